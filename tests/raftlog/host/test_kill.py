"""Real processes, killed without warning while they work: what was acknowledged is there, once, in its place."""

import asyncio
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.raftlog.host.processes import Gone, Process, Refused, processes
from tests.raftlog.host.traffic import body_of
from tests.support.waiting import until

NAMES = ("n1", "n2", "n3")


class Load:
    """Publishers that never give up, and what they were told."""

    def __init__(self, nodes: Mapping[str, Process], shards: int = 4) -> None:
        self._nodes = nodes
        self._shards = shards
        self._numbers = itertools.count()
        self._ending = False
        self.acknowledged: dict[int, tuple[int, int]] = {}

    async def run(self, publishers: int) -> None:
        await asyncio.gather(*[self._publisher() for _ in range(publishers)])

    def end(self) -> None:
        self._ending = True

    async def _publisher(self) -> None:
        while not self._ending:
            number = next(self._numbers)
            shard = number % self._shards
            offset = await self._publish(shard, number)
            self.acknowledged[number] = (shard, offset)

    async def _publish(self, shard: int, number: int) -> int:
        async with asyncio.timeout(120):
            for node in itertools.cycle(self._nodes.values()):
                try:
                    offset: int = await node.ask("publish", shard, number=number)
                except (Gone, Refused):
                    # The frame has an identity, so asking again is safe even if it had been stored.
                    await asyncio.sleep(0.01)
                    continue
                return offset
        raise AssertionError("unreachable")

    async def reaches(self, count: int) -> None:
        """Wait for so many acknowledgements more."""
        goal = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= goal, "acknowledgements", 120)


async def leader_of(nodes: Mapping[str, Process], shard: int) -> Process:
    async with asyncio.timeout(120):
        while True:
            for node in nodes.values():
                try:
                    if (await node.ask("status", shard))["is_leader"]:
                        return node
                except Gone:
                    continue
            await asyncio.sleep(0.02)


async def make_queues(nodes: Mapping[str, Process]) -> None:
    for shard in range(4):
        await (await leader_of(nodes, shard)).ask("ensure", shard)


async def settled(nodes: Mapping[str, Process], shard: int) -> dict[str, Any]:
    """Wait until every node applied the same; return the contents, which are equal."""
    last = (await (await leader_of(nodes, shard)).ask("status", shard))["last"]
    async with asyncio.timeout(120):
        while True:
            states = [await node.ask("status", shard) for node in nodes.values()]
            if all(state["applied"] >= last for state in states):
                break
            await asyncio.sleep(0.02)
    contents = [await node.ask("contents", shard) for node in nodes.values()]
    assert len({content["digest"] for content in contents}) == 1
    return contents[0]


async def check_nothing_lost(nodes: Mapping[str, Process], acknowledged: Mapping[int, tuple[int, int]]) -> None:
    for shard in range(4):
        found = (await settled(nodes, shard))["stored"]
        assert sorted(map(int, found)) == list(range(len(found))), "offsets have gaps"
        assert len(set(found.values())) == len(found), "a message was stored twice"
        for number, (place, offset) in acknowledged.items():
            if place == shard:
                assert found[str(offset)] == body_of(number)[:64].hex(), f"message {number} is lost"


async def test_kill_of_a_single_node_loses_nothing_acknowledged(tmp_path: Path) -> None:
    async with processes(tmp_path, ["n1"]) as nodes:
        await make_queues(nodes)
        load = Load(nodes)
        running = asyncio.create_task(load.run(16))
        for _ in range(3):
            await load.reaches(200)
            await nodes["n1"].kill()
            await nodes["n1"].start()
        await load.reaches(50)
        load.end()
        await running
        await check_nothing_lost(nodes, load.acknowledged)
        assert await nodes["n1"].stop() == 0


async def test_kill_of_the_leader_under_load_loses_nothing_and_the_others_resume(tmp_path: Path) -> None:
    async with processes(tmp_path, NAMES) as nodes:
        await make_queues(nodes)
        load = Load(nodes)
        running = asyncio.create_task(load.run(12))
        await load.reaches(200)
        for shard in range(3):
            leader = await leader_of(nodes, shard)
            await leader.kill()
            # Without the one that was killed.
            await load.reaches(100)
            await leader.start()
            await load.reaches(20)
        load.end()
        await running
        await check_nothing_lost(nodes, load.acknowledged)


async def test_kill_of_all_nodes_at_once_loses_nothing(tmp_path: Path) -> None:
    async with processes(tmp_path, NAMES) as nodes:
        await make_queues(nodes)
        load = Load(nodes)
        running = asyncio.create_task(load.run(12))
        await load.reaches(300)
        await asyncio.gather(*[node.kill() for node in nodes.values()])
        await asyncio.gather(*[node.start() for node in nodes.values()])
        await load.reaches(50)
        load.end()
        await running
        await check_nothing_lost(nodes, load.acknowledged)

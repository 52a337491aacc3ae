"""Real processes, killed without warning in the middle of a snapshot: in the end the follower has everything."""

import asyncio
from pathlib import Path

import pytest

from tests.raftlog.host.processes import Process, processes
from tests.raftlog.host.test_kill import NAMES, Load, check_nothing_lost, leader_of, make_queues


async def collects(node: Process, shard: int, index: int) -> None:
    """Wait until a snapshot comes in, or came in."""
    async with asyncio.timeout(120):
        while True:
            status = await node.ask("status", shard)
            if status["phase"] != "idle" or status["applied"] >= index:
                return
            await asyncio.sleep(0.005)


async def is_applied(node: Process, shard: int, index: int) -> None:
    async with asyncio.timeout(120):
        while True:
            if (await node.ask("status", shard))["applied"] >= index:
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("victim", ["follower", "leader"])
@pytest.mark.long
async def test_kill_in_the_middle_of_a_snapshot_under_load_loses_nothing(tmp_path: Path, victim: str) -> None:
    # Slow enough to be met in the middle.
    async with processes(tmp_path, NAMES, snapshot_bytes_per_second=150_000) as nodes:
        await make_queues(nodes)
        others = {name: nodes[name] for name in ("n1", "n2")}
        load = Load(nodes)
        running = asyncio.create_task(load.run(8))
        # While it is away, so that it never had what the others forget.
        await nodes["n3"].kill()
        await load.reaches(300)
        last = {shard: await node.ask("forget", shard) for shard in range(4) for node in others.values()}
        for moment in range(3):
            await nodes["n3"].start()
            await collects(nodes["n3"], moment, last[moment])
            killed = nodes["n3"] if victim == "follower" else await leader_of(others, moment)
            await asyncio.sleep(0.1 * moment)
            await killed.kill()
            if victim == "leader":
                await killed.start()
                await nodes["n3"].kill()
        await nodes["n3"].start()
        for shard in range(4):
            await is_applied(nodes["n3"], shard, last[shard])
        load.end()
        await running
        await check_nothing_lost(nodes, load.acknowledged)
        # And with one other node it is a majority.
        await nodes["n1"].kill()
        rest = {name: nodes[name] for name in ("n2", "n3")}
        for shard in range(4):
            assert await (await leader_of(rest, shard)).ask("publish", shard, number=1_000_000 + shard) > 0

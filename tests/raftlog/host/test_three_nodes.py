"""Three nodes on loopback with mutual TLS: they elect, agree, go on without one, and end up equal."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tallymq.raftlog.errors import NotLeader, OutcomeUnknown, Overloaded, ShardStopped
from tallymq.raftlog.host import Host, ShardHandle
from tallymq.raftlog.proposals import Proposals
from tallymq.raftlog.settings import Member
from tallymq.txn.commands import Barrier
from tallymq.txn.outcomes import Done, Result, Stored
from tests.raftlog.host.traffic import (
    Ear,
    body_of,
    digest,
    ensure_queue,
    publish,
    publish_all,
    settings_for,
    stored,
    transfer,
)
from tests.support.certificates import Authority
from tests.support.ports import free_ports
from tests.support.waiting import until

NAMES = ("n1", "n2", "n3")
NOT_NOW = (NotLeader, OutcomeUnknown, Overloaded, ShardStopped)


class Cluster:
    """Hosts by name in one process; each can be stopped and started again."""

    def __init__(self, folder: Path, **more: object) -> None:
        self.folder = folder
        self.authority = Authority(folder / "certificates")
        self.members = [Member(name, "127.0.0.1", port) for name, port in zip(NAMES, free_ports(3), strict=True)]
        self.hosts: dict[str, Host] = {}
        self.ears: dict[str, Ear] = {}
        self.more = more

    async def start(self, *names: str) -> None:
        for name in names:
            settings = settings_for(self.folder, name, self.members, self.authority.issue(name), **self.more)
            self.ears[name] = Ear()
            self.hosts[name] = await Host.start(settings, self.ears[name], "test")

    async def stop(self, name: str) -> None:
        await self.hosts.pop(name).stop()

    def leader(self, shard: int) -> ShardHandle | None:
        """The shard on whoever leads it, as far as the living know."""
        leading = [host.shards[shard] for host in self.hosts.values() if host.shards[shard].is_leader]
        return max(leading, key=lambda handle: handle.term, default=None)

    async def led(self, shard: int) -> ShardHandle:
        """Wait for a leader of the shard."""
        await until(lambda: self.leader(shard) is not None, f"a leader of shard {shard}")
        handle = self.leader(shard)
        assert handle is not None
        return handle

    async def publish(self, shard: int, number: int) -> int:
        """Publish until it is acknowledged, whoever leads; return the offset."""
        async with asyncio.timeout(60):
            while True:
                try:
                    result = await publish(await self.led(shard), number)
                except NOT_NOW:
                    await asyncio.sleep(0.01)
                    continue
                assert isinstance(result, Stored)
                return result.batches[0].first_offset

    async def agree(self) -> None:
        """Wait until all living nodes applied the same, then compare their whole state."""
        for shard in range(4):
            handles = [host.shards[shard] for host in self.hosts.values()]
            last = (await self.led(shard)).last_index
            await until(lambda h=handles, i=last: all(x.applied_index >= i for x in h), f"shard {shard} to catch up")
            assert len({digest(handle) for handle in handles}) == 1
            assert len({tuple(sorted(stored(handle).items())) for handle in handles}) == 1

    def name_of(self, handle: ShardHandle) -> str:
        return next(name for name, host in self.hosts.items() if host.shards[handle.number] is handle)


@asynccontextmanager
async def a_cluster(folder: Path, names: Sequence[str] = NAMES, **more: object) -> AsyncIterator[Cluster]:
    cluster = Cluster(folder, **more)
    try:
        await cluster.start(*names)
        yield cluster
    finally:
        await asyncio.gather(*[host.stop() for host in cluster.hosts.values()])


async def test_three_nodes_elect_replicate_and_are_equal(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        for shard in range(4):
            handle = await cluster.led(shard)
            await ensure_queue(handle)
            await publish_all(handle, range(shard * 100, shard * 100 + 40))
            await transfer(handle, 5000 + shard)
        await cluster.agree()
        follower = next(h for h in cluster.hosts.values() if not h.shards[0].is_leader)
        found = stored(follower.shards[0])
        assert {found[offset] for offset in range(40)} == {body_of(number) for number in range(40)}
        assert all(len(host.connected_peers()) == 2 for host in cluster.hosts.values())


async def test_a_follower_refuses_and_names_the_leader(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        leader = cluster.name_of(await cluster.led(0))
        other = next(host for name, host in cluster.hosts.items() if name != leader)
        await until(lambda: other.shards[0].leader == leader)
        with pytest.raises(NotLeader) as refused:
            other.shards[0].propose(Barrier())
        assert refused.value.leader == leader


async def test_the_others_go_on_without_the_leader_and_it_catches_up(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        for shard in range(4):
            await ensure_queue(await cluster.led(shard))
        handle = await cluster.led(1)
        before = dict(zip(range(30), await publish_all(handle, range(30)), strict=True))
        gone = cluster.name_of(handle)
        await cluster.stop(gone)
        after = {number: await cluster.publish(1, number) for number in range(100, 130)}
        await cluster.start(gone)
        await cluster.agree()
        found = stored(cluster.hosts[gone].shards[1])
        for number, offset in {**before, **after}.items():
            assert found[offset] == body_of(number)


async def test_one_of_three_alone_answers_nobody_and_says_so(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        handle = await cluster.led(0)
        alone = cluster.name_of(handle)
        await ensure_queue(handle)
        for name in NAMES:
            if name != alone:
                await cluster.stop(name)
        caller = None
        if handle.is_leader:
            caller = publish(handle, 1)
        await until(lambda: not handle.is_leader, "the leader to notice that it is alone")
        if caller is not None:
            with pytest.raises((OutcomeUnknown, NotLeader)):
                await caller
        with pytest.raises(NotLeader):
            handle.propose(Barrier())
        await cluster.start(next(name for name in NAMES if name != alone))
        assert await (await cluster.led(0)).propose(Barrier()) == Done()
        await cluster.agree()


async def test_a_follower_far_behind_is_sent_what_it_missed_within_bounds(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, segment_bytes=2 << 20) as cluster:
        handle = await cluster.led(0)
        for shard in range(4):
            await ensure_queue(await cluster.led(shard))
        behind = next(name for name in NAMES if name != cluster.name_of(handle))
        await cluster.stop(behind)
        offsets = {}
        for first in range(0, 160, 20):
            results = await asyncio.gather(*[publish(handle, number, 120_000) for number in range(first, first + 20)])
            for number, result in zip(range(first, first + 20), results, strict=True):
                offsets[result.batches[0].first_offset] = body_of(number, 120_000)
        await cluster.start(behind)
        await cluster.agree()
        assert stored(cluster.hosts[behind].shards[0]) == offsets


async def test_who_came_before_a_leader_was_ready_is_told_when_it_never_is(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        handle = await cluster.led(0)
        member = cluster.hosts[cluster.name_of(handle)]._members[0]
        # A leader that others deposed before its first entry was on a majority: it never told anyone that it led.
        waiting = Proposals[asyncio.Future[Result]](1 << 20, 1 << 20)
        replica, log, stamps = handle._replica, handle._log, handle._stamps
        early = ShardHandle(cluster.hosts[cluster.name_of(handle)], member, replica, log, stamps, waiting)
        caller = early.propose(Barrier())
        member._shard.follow("")
        early.gather()
        with pytest.raises(NotLeader):
            await caller
        assert early.waiting_bytes == 0


async def test_a_port_in_use_leaves_nothing_open(tmp_path: Path) -> None:
    members = [Member(name, "127.0.0.1", port) for name, port in zip(NAMES, free_ports(3), strict=True)]
    settings = settings_for(tmp_path, "n1", members)
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", settings.listen_port)
    async with taken:
        with pytest.raises(OSError, match="address already in use"):
            await Host.start(settings, Ear())
    host = await Host.start(settings, Ear())
    assert host.connected_peers() == frozenset()
    await host.stop()


async def test_a_node_of_another_cluster_is_not_let_in(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, names=("n1", "n2")) as cluster:
        await ensure_queue(await cluster.led(0))
        settings = settings_for(tmp_path / "other", "n3", cluster.members, cluster.authority.issue("n3"), shard_count=5)
        stranger = await Host.start(settings, Ear(), "test")
        try:
            links = stranger._links
            await until(lambda: sum(h._links.refused_count for h in cluster.hosts.values()) + links.refused_count >= 4)
            assert not stranger.connected_peers()
            assert not any("n3" in host.connected_peers() for host in cluster.hosts.values())
            assert not any(shard.is_leader for shard in stranger.shards.values())
        finally:
            await stranger.stop()
        assert await cluster.publish(0, 1) == 0
        await cluster.agree()

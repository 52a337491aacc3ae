"""Real hosts hand leaderships over, a node that stops does so by itself, and reads need no entry."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from tallymq.raftlog.errors import NotLeader
from tallymq.raftlog.host import ShardHandle
from tallymq.raftlog.membership import AddLearner, Promote, Refusal, Remove
from tests.raftlog.host.test_three_nodes import NAMES, Cluster, a_cluster
from tests.raftlog.host.traffic import body_of, ensure_queue, publish, stored
from tests.support.waiting import until

# A transfer is given up after an election time-out, and nobody else may campaign meanwhile: these are about who leads
# because it was told to, however busy the machine.
PATIENT: Mapping[str, int] = {"election_ms_min": 4_000, "election_ms_max": 8_000}


async def with_peers(cluster: Cluster, shard: int) -> ShardHandle:
    """The leader of the shard, once it can hand over to either of the others."""
    handle = await cluster.led(shard)
    host = cluster.hosts[cluster.name_of(handle)]
    await until(lambda: len(host.connected_peers()) == len(NAMES) - 1)
    return handle


async def test_a_leadership_goes_to_whom_it_is_handed(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, **PATIENT) as cluster:
        handle = await with_peers(cluster, 1)
        await ensure_queue(handle)
        term = handle.term
        others = [name for name in NAMES if name != cluster.name_of(handle)]
        answers = [publish(handle, number) for number in range(20)]
        assert await handle.transfer(others[0]) is None
        new = cluster.hosts[others[0]].shards[1]
        await until(lambda: new.is_leader)
        assert new.term == term + 1
        results = await asyncio.gather(*answers, return_exceptions=True)
        assert not [result for result in results if isinstance(result, Exception) and not isinstance(result, NotLeader)]
        assert await handle.transfer(others[1]) is Refusal.NOT_LEADER
        assert await new.transfer("nobody") is Refusal.NOT_A_VOTER
        await cluster.agree()


async def test_a_node_that_stops_hands_over_what_it_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transfers: list[asyncio.Future[Refusal | None]] = []
    original = ShardHandle.transfer

    def noted(handle: ShardHandle, to_node: str = "") -> asyncio.Future[Refusal | None]:
        transfers.append(original(handle, to_node))
        return transfers[-1]

    monkeypatch.setattr(ShardHandle, "transfer", noted)
    async with a_cluster(tmp_path, **PATIENT) as cluster:
        leaders = [cluster.name_of(await with_peers(cluster, shard)) for shard in range(4)]
        terms = [(await cluster.led(shard)).term for shard in range(4)]
        led = [shard for shard in range(4) if leaders[shard] == leaders[0]]
        await cluster.stop(leaders[0])
        assert [future.result() for future in transfers] == [None] * len(led)
        for shard in led:
            new = await cluster.led(shard)
            assert new.term == terms[shard] + 1, "the first to campaign won: it was told to"


async def test_a_read_behind_a_barrier_sees_what_was_acknowledged(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, **PATIENT) as cluster:
        handle = await with_peers(cluster, 1)
        await ensure_queue(handle)
        await publish(handle, 7)
        last = handle.last_index
        await asyncio.gather(*[handle.read_barrier() for _ in range(50)])
        assert body_of(7) in stored(handle).values()
        assert handle.last_index == last, "no entry was needed"
        follower = next(host.shards[1] for host in cluster.hosts.values() if not host.shards[1].is_leader)
        with pytest.raises(NotLeader):
            follower.read_barrier()


async def test_members_are_changed_by_the_leader_and_a_restart_knows_them(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, **PATIENT) as cluster:
        handle = await with_peers(cluster, 1)
        assert await handle.change_members(AddLearner("n9", "127.0.0.1", 1)) is None
        member = handle.configuration.member_on("n9")
        assert member == f"n9+{handle.applied_index}"
        assert await handle.change_members(Promote(member)) is Refusal.NOT_CAUGHT_UP
        names = [name for name in NAMES if name != cluster.name_of(handle)]
        assert await handle.change_members(Remove(names[0])) is None
        gone = cluster.hosts[names[0]].shards[1]
        await until(lambda: gone._consensus.is_removed)
        expected = handle.configuration
        await until(lambda: cluster.hosts[names[1]].shards[1].applied_index == handle.applied_index)
        await ensure_queue(handle)
        await publish(handle, 5)
        for name in NAMES:
            await cluster.stop(name)
        await cluster.start(*NAMES)
        again = await cluster.led(1)
        assert again.configuration == expected
        assert body_of(5) in stored(again).values()
        assert cluster.name_of(again) != names[0]

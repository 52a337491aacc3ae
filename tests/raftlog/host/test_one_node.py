"""One node alone: what it acknowledged is there after any end, and nothing is applied twice."""

import asyncio
import threading
from pathlib import Path

import pytest

from tallymq.raftlog import host_shard
from tallymq.raftlog.errors import (
    BodyDamaged,
    DirectoryInUse,
    DirectoryOfAnotherNode,
    DiskFull,
    OutcomeUnknown,
    Overloaded,
    ShardStopped,
    SyncFailed,
)
from tallymq.raftlog.host import Host
from tallymq.raftlog.log import NodeLog
from tallymq.raftlog.replica import Replica
from tallymq.txn import queries
from tallymq.txn.commands import Barrier, DeleteTopic, Publish, PutGroup
from tallymq.txn.outcomes import Done, Stored
from tallymq.txn.types import QueueGrew
from tests.raftlog.host.traffic import (
    Ear,
    batch_of,
    body_of,
    digest,
    ensure_queue,
    identity_of,
    publish,
    publish_all,
    running,
    settings_for,
    stored,
    transfer,
)
from tests.support.waiting import until


async def test_what_was_stored_can_be_read_byte_for_byte(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as host:
        shard = host.shards[2]
        await ensure_queue(shard)
        offsets = await publish_all(shard, range(300))
        assert sorted(offsets) == list(range(300))
        found = stored(shard)
        assert all(found[offset] == body_of(number) for number, offset in enumerate(offsets))


async def test_a_restart_keeps_everything_and_applies_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied: list[tuple[int, int]] = []
    apply = Replica.apply

    def counting(replica: Replica, index: int, term: int, payload: bytes) -> object:
        applied.append((replica.shard, index))
        return apply(replica, index, term, payload)

    monkeypatch.setattr(Replica, "apply", counting)
    settings = settings_for(tmp_path)
    async with running(settings) as host:
        await ensure_queue(host.shards[1])
        await publish_all(host.shards[1], range(50))
        await transfer(host.shards[1], 1000)
        before = {number: shard.applied_index for number, shard in host.shards.items()}
        state, messages = digest(host.shards[1]), stored(host.shards[1])
    async with running(settings) as host:
        assert digest(host.shards[1]) == state
        assert stored(host.shards[1]) == messages
        # Only the entry that begins the new leadership is new.
        assert {number: shard.applied_index for number, shard in host.shards.items()} == {
            number: index + 1 for number, index in before.items()
        }
        assert await publish_all(host.shards[1], [60]) == [max(messages) + 1]
    assert len(applied) == len(set(applied))


async def test_a_retried_frame_is_stored_once_across_a_restart(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    async with running(settings) as host:
        await ensure_queue(host.shards[0])
        body = body_of(5)
        command = Publish(identity_of(5), "producers", "", (batch_of(0, body),))
        first = await host.shards[0].propose(command, (body,))
    async with running(settings) as host:
        again = await host.shards[0].propose(command, (body,))
        assert isinstance(first, Stored)
        assert isinstance(again, Stored)
        assert again.repeated
        assert again.batches == first.batches
        assert len(stored(host.shards[0])) == 1


async def test_callers_that_come_during_a_sync_share_one_round(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as host:
        before, last = host.rounds, host.shards[0].last_index
        results = await asyncio.gather(*[host.shards[0].propose(Barrier()) for _ in range(400)])
        assert results == [Done()] * 400
        assert host.rounds - before <= 3
        assert host.shards[0].last_index - last <= 2


async def test_an_answer_comes_only_after_the_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(settings_for(tmp_path)) as host:
        loop = asyncio.get_running_loop()
        started, allowed = asyncio.Event(), threading.Event()
        sync = NodeLog.sync

        def slow(log: NodeLog) -> None:
            loop.call_soon_threadsafe(started.set)
            assert allowed.wait(60)
            sync(log)

        monkeypatch.setattr(NodeLog, "sync", slow)
        index = host.shards[0].applied_index
        caller = host.shards[0].propose(Barrier())
        await started.wait()
        # Many turns of the loop later nothing may have been promised.
        for _ in range(200):
            await asyncio.sleep(0)
        assert not caller.done()
        assert host.shards[0].applied_index == index
        # What comes meanwhile waits for the next round, and the loop is free.
        later = host.shards[1].propose(Barrier())
        allowed.set()
        assert await caller == Done()
        assert await later == Done()


async def test_a_failed_sync_stops_the_node_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Ear()
    host = await Host.start(settings_for(tmp_path), ear)
    await until(lambda: all(shard.is_leader for shard in host.shards.values()))

    def fail(log: NodeLog) -> None:
        raise SyncFailed("the disk did not confirm")

    monkeypatch.setattr(NodeLog, "sync", fail)
    caller = host.shards[0].propose(Barrier())
    with pytest.raises(OutcomeUnknown):
        await caller
    assert ear.reasons == ["the disk did not confirm"]
    for shard in host.shards.values():
        with pytest.raises(ShardStopped):
            shard.propose(Barrier())
    await host.stop()
    assert len(ear.reasons) == 1


async def test_a_mistake_in_the_rules_stops_its_shard_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(tmp_path)
    async with running(settings) as host:
        await ensure_queue(host.shards[2])
        apply = Replica.apply

        def mistaken(replica: Replica, index: int, term: int, payload: bytes) -> object:
            if replica.shard == 1:
                raise ZeroDivisionError("a mistake")
            return apply(replica, index, term, payload)

        with monkeypatch.context() as patch:
            patch.setattr(Replica, "apply", mistaken)
            with pytest.raises(OutcomeUnknown):
                await host.shards[1].propose(Barrier())
            assert "a mistake" in host.shards[1].health
            with pytest.raises(ShardStopped, match="a mistake"):
                host.shards[1].propose(Barrier())
            assert not host.shards[1].is_leader
            assert await publish_all(host.shards[2], range(3)) == [0, 1, 2]
    # Nothing was lost: with the mistake put right, the entry is applied.
    async with running(settings) as host:
        assert host.shards[1].health == "ok"
        assert await host.shards[1].propose(Barrier()) == Done()


async def test_one_impossible_command_does_not_take_its_round_down(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as host:
        good = [host.shards[0].propose(Barrier()) for _ in range(5)]
        bad = host.shards[0].propose(PutGroup("g", -1, 0, 0, 0))
        good += [host.shards[0].propose(Barrier()) for _ in range(5)]
        with pytest.raises(ValueError, match="cannot be stored"):
            await bad
        assert await asyncio.gather(*good) == [Done()] * 10
        assert host.shards[0].waiting_bytes == 0


async def test_what_would_make_an_entry_too_large_for_a_frame_goes_in_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings_for(tmp_path)) as host:
        # Smaller than a real frame, so that few commands show it.
        monkeypatch.setattr(host_shard, "PAYLOAD_BYTES_MAX", 1_000)
        before = host.shards[0].applied_index
        groups = [PutGroup("g" * 200 + str(number), 1, 1, 1, 1) for number in range(8)]
        assert await asyncio.gather(*[host.shards[0].propose(group) for group in groups]) == [Done()] * 8
        assert host.shards[0].applied_index >= before + 2
        too_large = host.shards[0].propose(DeleteTopic("t" * 2_000))
        with pytest.raises(ValueError, match="cannot be stored"):
            await too_large
        assert host.shards[0].waiting_bytes == 0


async def test_bodies_must_be_those_of_the_command(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as host:
        body = body_of(1)
        command = Publish(identity_of(1), "producers", "", (batch_of(0, body),))
        for wrong in ((), (body[1:],), (body, body)):
            with pytest.raises(ValueError, match="bodies"):
                host.shards[0].propose(command, wrong)
        assert host.shards[0].waiting_bytes == 0


async def test_what_waits_is_bounded_and_room_comes_back(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, entry_bytes_max=64 * 1024, queue_bytes_max=256 * 1024)
    async with running(settings) as host:
        await ensure_queue(host.shards[0])
        accepted, refused = [], 0
        for number in range(100):
            try:
                accepted.append(publish(host.shards[0], number, 10_000))
            except Overloaded:
                refused += 1
        assert len(accepted) == 25
        assert refused == 75
        assert host.shards[0].waiting_bytes <= 256 * 1024
        await asyncio.gather(*accepted)
        assert host.shards[0].waiting_bytes == 0
        assert len(stored(host.shards[0])) == 25
        await publish(host.shards[0], 1000, 10_000)


async def test_a_full_disk_refuses_writes_serves_reads_and_recovers(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, free_bytes_min=1)) as host:
        await ensure_queue(host.shards[0])
        await publish_all(host.shards[0], range(5))
        free = {"bytes": 0}
        host._opened.disk.free_bytes = lambda: free["bytes"]  # type: ignore[method-assign]
        await until(lambda: host.refusal is not None)
        with pytest.raises(DiskFull):
            publish(host.shards[0], 6)
        assert len(stored(host.shards[0])) == 5
        free["bytes"] = 1 << 40
        await until(lambda: host.refusal is None)
        assert await publish_all(host.shards[0], [6]) == [5]


async def test_damaged_bytes_are_found_and_not_served(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    async with running(settings) as host:
        await ensure_queue(host.shards[0])
        await publish_all(host.shards[0], range(20))
        await publish_all(host.shards[0], range(20, 25))
    hurt = 0
    for path in (tmp_path / "n1" / "log").glob("*.segment"):
        data = bytearray(path.read_bytes())
        place = data.find(body_of(11))
        if place >= 0:
            data[place + 3] ^= 1
            path.write_bytes(data)
            hurt += 1
    assert hurt == 1
    async with running(settings) as host:
        pieces = queries.browse(host.shards[0].view, "ledger", 0, 0, 100)
        damaged = []
        for piece in pieces:
            try:
                host.shards[0].read(piece.reference)
            except BodyDamaged:
                damaged.append(piece.first_offset)
        assert damaged == [11]


async def test_the_listener_hears_of_leadership_and_of_what_grew(tmp_path: Path) -> None:
    ear = Ear()
    async with running(settings_for(tmp_path), ear) as host:
        assert ear.leads == dict.fromkeys(range(4), True)
        await ensure_queue(host.shards[3])
        await publish(host.shards[3], 1)
        assert (3, QueueGrew("ledger", 3)) in ear.notices


async def test_a_listener_that_fails_does_not_stop_the_shard(tmp_path: Path) -> None:
    class Clumsy(Ear):
        def effects(self, shard: int, effects: object) -> None:
            raise RuntimeError("clumsy")

    async with running(settings_for(tmp_path), Clumsy()) as host:
        await ensure_queue(host.shards[3])
        assert await publish_all(host.shards[3], range(5)) == list(range(5))


async def test_a_data_directory_belongs_to_one_process_and_one_node(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    async with running(settings):
        with pytest.raises(DirectoryInUse):
            await Host.start(settings, Ear())
    (tmp_path / "n1").rename(tmp_path / "n2")
    with pytest.raises(DirectoryOfAnotherNode):
        await Host.start(settings_for(tmp_path, "n2"), Ear())
    (tmp_path / "n2").rename(tmp_path / "n1")
    async with running(settings) as host:
        assert await host.shards[0].propose(Barrier()) == Done()


async def test_a_clean_stop_answers_who_waits_and_refuses_who_comes_late(tmp_path: Path) -> None:
    host = await Host.start(settings_for(tmp_path), Ear())
    await until(lambda: all(shard.is_leader for shard in host.shards.values()))
    callers = [host.shards[number % 4].propose(Barrier()) for number in range(200)]
    stopping = asyncio.ensure_future(host.stop())
    await asyncio.sleep(0)
    with pytest.raises(ShardStopped):
        host.shards[0].propose(Barrier())
    await asyncio.gather(stopping, host.stop())
    assert [caller.result() for caller in callers] == [Done()] * 200


async def test_the_store_is_flushed_once_enough_was_logged(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, flush_log_bytes=1 << 20)
    async with running(settings) as host:
        await ensure_queue(host.shards[0])
        for number in range(12):
            await publish(host.shards[0], number, 300_000)
        await until(lambda: host.flushes >= 1)
        assert host._opened.log.flushes.bytes_since < 12 * 300_000
    # Without so much log there is no flush before the interval's end, but the one of a clean stop.
    async with running(settings_for(tmp_path)) as host:
        await publish(host.shards[0], 100, 300_000)
        assert host.flushes == 0
    assert host.flushes == 1


async def test_the_store_is_flushed_once_enough_entries_were_logged_however_small(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, flush_log_entries=40, flush_interval_ms=86_400_000)
    async with running(settings) as host:
        for flushes in (1, 2):
            # One after the other, so that each is an entry of its own.
            for _ in range(45):
                await host.shards[0].propose(Barrier())
            await until(lambda wanted=flushes: host.flushes >= wanted)
        assert host._opened.log.flushes.bytes_since < settings.flush_log_bytes


def test_nothing_of_a_stopped_host_is_left_running(tmp_path: Path) -> None:
    async def once() -> None:
        async with running(settings_for(tmp_path)) as host:
            await host.shards[0].propose(Barrier())

    asyncio.run(once())
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("tallymq")]
    for thread in ours:
        thread.join(60)
    assert not any(thread.is_alive() for thread in ours)

"""What the log forgets: a body without a place costs no other its place; a tail that a snapshot ended stays ended."""

import pytest

from tallymq.raftlog import reclaiming
from tallymq.raftlog.keys import applied_key, encode_applied, location_key
from tallymq.raftlog.payloads import Base
from tests.raftlog.storage.test_freeing import COUNT, OneShard
from tests.support.logs import append, entries, finish_round, open_log
from tests.support.memory_disk import MemoryDisk
from tests.support.power_cut_store import PowerCutStore


@pytest.mark.parametrize("page", [1, 8, COUNT])
@pytest.mark.parametrize("lost", [(1,), (3, 4, 60), tuple(range(2, 40)), (COUNT,)])
def test_needed_bodies_keep_their_places_beside_needed_ones_that_have_none(
    monkeypatch: pytest.MonkeyPatch, page: int, lost: tuple[int, ...]
) -> None:
    monkeypatch.setattr(reclaiming, "PAGE", page)
    shard = OneShard(*range(1, COUNT + 1))
    # As after a snapshot whose sender could not read these.
    shard.store.write([(location_key(0, index), None) for index in lost])
    shard.reclaim()
    there = {index for index in range(1, COUNT + 1) if shard.store.get(location_key(0, index)) is not None}
    assert there == set(range(1, COUNT + 1)) - set(lost)


@pytest.mark.parametrize("followed", [False, True])
@pytest.mark.parametrize("flushed_after", [False, True])
def test_entries_that_a_snapshots_base_ended_do_not_come_back_however_old_the_scans_start(
    followed: bool, flushed_after: bool
) -> None:
    disk, store = MemoryDisk(), PowerCutStore()
    log = open_log(disk, store)
    # Tails of a leadership that no majority followed. That of shard 1 stays, and with it the start of the scan.
    for _ in range(20):
        append(log, 0, b"lost", term=1)
        append(log, 1, b"kept", term=1)
    finish_round(log)
    store.write([(applied_key(0, 1), encode_applied(10))])
    store.flush()
    log.append_base(0, Base(10, 2, 1, b""))
    finish_round(log)
    if flushed_after:
        store.write(log.flush_mark({0: 10, 1: 0}))
        store.flush()
        log.flushes.completed()
    if followed:
        append(log, 0, b"new", term=3)
        finish_round(log)
    again = open_log(disk.killed(), store.at_batch(0), seed=9)
    state = again.shard_state(0)
    assert (state.last_index, state.last_term) == ((11, 3) if followed else (10, 2))
    assert entries(again, 1) == [b"kept"] * 20

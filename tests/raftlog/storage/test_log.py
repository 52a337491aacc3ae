"""The node's log in ordinary times: what it holds in memory, where it finds the rest, and what a flush lets it skip."""

from random import Random

import pytest

from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.keys import applied_key, encode_applied
from tallymq.raftlog.payloads import Base
from tallymq.raftlog.store import MemoryStore
from tests.support.logs import append, apply_all, entries, finish_round, open_log
from tests.support.memory_disk import MemoryDisk
from tests.support.power_cut_store import PowerCutStore


def test_a_round_is_one_write_and_one_sync_for_all_shards() -> None:
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore())
    operations: list[str] = []
    disk.before = operations.append
    for shard in range(4):
        append(log, shard, b"body")
        log.append_hard_state(shard, 1, "a")
    finish_round(log)
    assert operations == ["write", "synchronize"]


def test_an_empty_round_is_not_written() -> None:
    log = open_log(MemoryDisk(), MemoryStore())
    assert log.write_round() is None
    assert (log.round_open, log.round_synced) == (1, 0)


def test_payloads_leave_memory_once_applied_and_are_then_read_from_the_disk() -> None:
    disk, store = MemoryDisk(), MemoryStore()
    log = open_log(disk, store)
    log.append_entry(0, 1, 1, [b"head", memoryview(b"body"), bytearray(b"tail")])  # type: ignore[list-item]
    assert log.read_entry(0, 1) == b"headbodytail"
    assert log.read_slice(0, 1, 3, 6) == b"dbodyt"
    assert log.tail_bytes == 12
    finish_round(log)
    apply_all(log, store, 0, 1)
    assert log.tail_bytes == 0
    assert log.read_entry(0, 1) == b"headbodytail"
    assert log.read_slice(0, 1, 3, 6) == b"dbodyt"
    for start, length in ((-1, 2), (0, 13), (12, 1), (3, -1)):
        with pytest.raises(BodyDamaged):
            log.read_slice(0, 1, start, length)


def test_memory_for_applied_entries_is_bounded_and_old_ones_are_found_through_the_store() -> None:
    store = MemoryStore()
    log = open_log(MemoryDisk(), store, segment_bytes=1 << 20)
    for number in range(5_000):
        append(log, 3, b"%d" % number, term=1 + number // 1000)
        if number % 500 == 499:
            finish_round(log)
    apply_all(log, store, 3, 5_000)
    assert not log._shards[3].holds(1)
    assert len(log._shards[3]._terms) <= 2048
    assert log.read_entry(3, 1) == b"0"
    assert (log.term_at(3, 1), log.term_at(3, 1001), log.term_at(3, 5000), log.term_at(3, 5001)) == (1, 2, 5, None)
    assert log.round_of(3, 1) == 0


def test_durability_is_told_by_round_also_for_an_index_used_again() -> None:
    log = open_log(MemoryDisk(), MemoryStore())
    append(log, 0, b"of term 1", term=1)
    first = finish_round(log)
    assert log.round_of(0, 1) == first
    log.append_truncate(0, 1)
    append(log, 0, b"of term 2", term=2)
    assert log.round_of(0, 1) > log.round_synced
    assert (log.read_entry(0, 1), log.term_at(0, 1)) == (b"of term 2", 2)


def test_the_scan_begins_at_the_flush_mark() -> None:
    disk, store = MemoryDisk(), MemoryStore()
    log = open_log(disk, store, segment_bytes=32 * 1024)
    for _ in range(100):
        append(log, 0, bytes(3000))
        finish_round(log)
    apply_all(log, store, 0, 98)
    store.write(log.flush_mark({0: 98}))
    again = open_log(disk.killed(), store, seed=2)
    assert 6_000 < again.flushes.bytes_since < 7_000
    assert again.flushes.entries_since == 2
    assert again.shard_state(0).last_index == 100
    assert log.flushes.entries_since == 100, "a flush that did not complete has changed nothing"
    log.flushes.completed()
    assert (log.flushes.bytes_since, log.flushes.entries_since) == (0, 0)
    append(log, 0, b"x")
    finish_round(log)
    assert (log.flushes.bytes_since, log.flushes.entries_since) == (4096, 1)


def test_a_crash_between_mark_and_flush_is_harmless_at_every_write_of_the_store() -> None:
    """The store may come back at any prefix of its writes; from each of them the log must meet it."""
    disk, store = MemoryDisk(), PowerCutStore()
    log = open_log(disk, store, segment_bytes=16 * 1024)
    applied, batches = {0: 0, 1: 0}, 0
    for number in range(40):
        log.append_hard_state(0, number + 1, "a")
        append(log, 0, b"zero %d" % number, term=number + 1)
        append(log, 1, b"one %d" % number)
        finish_round(log)
        for shard in (0, 1):
            if number % (2 + shard) == 0:
                for index in range(applied[shard] + 1, number + 2):
                    store.write([log.location_pair(shard, index), (applied_key(shard), encode_applied(index))])
                    batches += 1
                applied[shard] = number + 1
                log.applied(shard, number + 1)
        if number % 7 == 6:
            store.write(log.flush_mark(applied))
            batches += 1
    for count in range(batches + 1):
        found = open_log(disk.killed(), store.at_batch(count), seed=count)
        assert entries(found, 0) == [b"zero %d" % number for number in range(40)]
        assert entries(found, 1) == [b"one %d" % number for number in range(40)]
        assert (found.shard_state(0).term, found.shard_state(0).voted_for) == (40, "a")


def test_a_withdrawal_that_is_lost_brings_back_what_it_withdrew() -> None:
    """A flush after an unsynced truncation must not let the next start skip the entries that truncation withdrew."""
    disk, store = MemoryDisk(), MemoryStore()
    log = open_log(disk, store)
    for body in (b"a", b"b", b"c"):
        append(log, 0, body)
        finish_round(log)
    before = disk.killed()
    apply_all(log, store, 0, 1)
    log.append_truncate(0, 2)
    append(log, 0, b"B", term=2)
    log.write_round()
    store.write(log.flush_mark({0: 1}))
    assert entries(open_log(before, store, seed=2), 0) == [b"a", b"b", b"c"]


def test_a_seal_states_that_the_last_round_was_synced() -> None:
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore())
    append(log, 0, b"body")
    log.write_round()
    log.seal()
    assert log.write_round() is None, "a seal before the sync would state nothing"
    log.sync()
    log.note_synced(1)
    log.seal()
    assert finish_round(log) == 2
    log.seal()
    assert log.write_round() is None, "one seal is enough"


def test_term_vote_and_base_survive_a_flush_that_skips_their_records() -> None:
    disk, store = MemoryDisk(), MemoryStore()
    log = open_log(disk, store)
    log.append_hard_state(2, 9, "node-b")
    log.append_base(2, Base(index=50, term=8, generation=3, configuration=b"members"))
    finish_round(log)
    store.write([(applied_key(2, 3), encode_applied(50))])
    store.write(log.flush_mark({2: 50}))
    again = open_log(disk, store, seed=2)
    assert again.flushes.bytes_since == 0
    assert again.shard_state(2) == log.shard_state(2)
    assert (again.shard_state(2).generation, again.shard_state(2).configuration) == (3, b"members")
    assert (again.term_at(2, 50), again.shard_state(2).first_index, again.shard_state(2).last_index) == (8, 51, 50)


@pytest.mark.parametrize(("base_term", "kept"), [(1, 3), (2, 0)])
def test_entries_after_a_base_stay_only_if_they_follow_it(base_term: int, kept: int) -> None:
    disk, store = MemoryDisk(), MemoryStore()
    log = open_log(disk, store)
    for number in range(5):
        append(log, 0, b"%d" % number, term=1)
    finish_round(log)
    log.append_base(0, Base(index=2, term=base_term, generation=1))
    finish_round(log)
    store.write([(applied_key(0, 1), encode_applied(2))])
    for found in (log, open_log(disk, store, seed=2)):
        assert found.shard_state(0).last_index == 2 + kept
        assert found.shard_state(0).last_term == (1 if kept else 2)
        assert [found.read_entry(0, 3 + number) for number in range(kept)] == [b"2", b"3", b"4"][:kept]


def test_restarts_do_not_keep_the_room_of_segments_they_left() -> None:
    disk, store = MemoryDisk(), MemoryStore()
    for seed in range(10):
        log = open_log(disk, store, seed=seed, segment_bytes=1 << 20)
        append(log, 0, b"%d" % seed)
        finish_round(log)
        log.close()
    assert sum(len(content.data) for content in disk.files.values()) < (1 << 20) + 10 * 4 * 4096
    assert entries(open_log(disk, store, seed=99), 0) == [b"%d" % seed for seed in range(10)]


def test_what_closes_is_synced_and_sealed() -> None:
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore())
    append(log, 0, b"last words")
    log.close()
    found = open_log(disk.power_cut(Random(1)), MemoryStore(), seed=2)
    assert entries(found, 0) == [b"last words"]

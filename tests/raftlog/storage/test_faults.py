"""What a disk refuses has a name, leaves nothing half accepted, and a failed sync is final."""

import errno

import pytest

from tallymq.raftlog.errors import LogFull, LogWriteFailed, SyncFailed
from tallymq.raftlog.store import MemoryStore
from tests.support.logs import append, entries, finish_round, open_log
from tests.support.memory_disk import MemoryDisk


def fail(disk: MemoryDisk, operation: str, number: int) -> None:
    """Make every operation of this name fail from now on."""

    def before(name: str) -> None:
        if name == operation:
            raise OSError(number, "made to fail")

    disk.before = before


def heal(disk: MemoryDisk) -> None:
    disk.before = lambda name: None


def test_a_full_disk_refuses_the_round_and_the_same_round_is_taken_once_there_is_room() -> None:
    disk = MemoryDisk()
    store = MemoryStore()
    log = open_log(disk, store, segment_bytes=16 * 1024)
    append(log, 0, b"before")
    finish_round(log)
    disk.capacity = 16 * 1024 + 3000
    append(log, 0, bytes(14 * 1024))
    opened, names = log.round_open, disk.names()
    for _ in range(3):
        with pytest.raises(LogFull):
            log.write_round()
        assert (log.round_open, disk.names()) == (opened, names)
    disk.capacity = 1 << 30
    assert entries(open_log(disk.killed(), MemoryStore(), seed=2), 0) == [b"before"]
    assert finish_round(log) == opened
    assert entries(open_log(disk.killed(), store, seed=3), 0) == [b"before", bytes(14 * 1024)]


def test_a_round_larger_than_the_segment_that_meets_a_full_disk_half_way_leaves_no_trace() -> None:
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore(), segment_bytes=16 * 1024)
    disk.capacity = 24 * 1024
    append(log, 0, bytes(64 * 1024))
    with pytest.raises(LogFull):
        log.write_round()
    disk.capacity = 1 << 30
    assert entries(open_log(disk.killed(), MemoryStore(), seed=2), 0) == []
    finish_round(log)
    assert entries(open_log(disk.killed(), MemoryStore(), seed=2), 0) == [bytes(64 * 1024)]


def test_a_disk_that_is_full_at_start_is_said_so_and_nothing_is_lost() -> None:
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore())
    append(log, 0, b"kept")
    finish_round(log)
    full = disk.killed()
    full.capacity = 64 * 1024
    with pytest.raises(LogFull, match="no room"):
        open_log(full, MemoryStore(), seed=2)
    full.capacity = 1 << 30
    assert entries(open_log(full, MemoryStore(), seed=3), 0) == [b"kept"]


def test_a_failed_sync_is_final() -> None:
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore())
    append(log, 0, b"entry")
    log.write_round()
    fail(disk, "synchronize", errno.EIO)
    with pytest.raises(SyncFailed):
        log.sync()
    heal(disk)
    with pytest.raises(SyncFailed):
        log.sync()
    with pytest.raises(SyncFailed):
        log.append_entry(0, 2, 1, [b"more"])
    with pytest.raises(SyncFailed):
        log.append_hard_state(0, 2, "")
    with pytest.raises(SyncFailed):
        log.write_round()
    assert log.round_synced == 0
    log.close()


def test_a_failed_sync_of_a_new_files_name_is_final_too() -> None:
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore(), segment_bytes=8192)
    append(log, 0, bytes(3000))
    finish_round(log)
    append(log, 0, bytes(3000))
    log.write_round()
    assert len(disk.names()) == 2
    fail(disk, "synchronize_names", errno.EIO)
    with pytest.raises(SyncFailed):
        log.sync()


def test_a_failed_write_stops_the_log() -> None:
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore())
    append(log, 0, b"entry")
    fail(disk, "write", errno.EIO)
    with pytest.raises(LogWriteFailed):
        log.write_round()
    heal(disk)
    with pytest.raises(SyncFailed):
        log.write_round()


def test_every_file_a_round_touched_is_synced() -> None:
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore(), segment_bytes=8192)
    for number in range(5):
        append(log, 0, b"%d" % number * 3000)
        written = log.write_round()
    assert written is not None
    assert len(disk.names()) == 5
    synced: list[str] = []
    disk.before = synced.append
    log.sync()
    log.note_synced(written)
    assert synced == ["synchronize"] * 5 + ["synchronize_names"]
    synced.clear()
    append(log, 0, b"next")
    finish_round(log)
    assert synced.count("synchronize") == 1


def test_what_a_caller_may_not_do_is_refused_and_changes_nothing() -> None:
    log = open_log(MemoryDisk(), MemoryStore())
    append(log, 0, b"one")
    before = log.shard_state(0)
    with pytest.raises(ValueError, match="cannot follow"):
        log.append_entry(0, 3, 1, [b"gap"])
    with pytest.raises(ValueError, match="not 5"):
        log.append_truncate(0, 5)
    with pytest.raises(ValueError, match="not written"):
        log.location_pair(0, 1)
    log.append_hard_state(0, 4, "a")
    with pytest.raises(ValueError, match="term 4"):
        log.append_hard_state(0, 3, "a")
    finish_round(log)
    log.applied(0, 1)
    with pytest.raises(ValueError, match="not 1"):
        log.append_truncate(0, 1)
    assert log.shard_state(0).last_index == before.last_index
    with pytest.raises(IndexError):
        log.read_entry(0, 2)

"""A disk that fills: new messages are refused first, what frees room is written to the last, and then all goes on."""

import errno
from pathlib import Path

import pytest

from tallymq.raftlog.errors import DiskFull, Taken
from tallymq.raftlog.host_shard import is_taken
from tallymq.raftlog.host_space import BALLAST, Ballast, Room
from tallymq.raftlog.log_writer import SMALL_SHARE
from tallymq.txn import commands
from tests.raftlog.host.traffic import settings_for
from tests.support.logs import append, finish_round, open_log
from tests.support.memory_disk import MemoryDisk
from tests.support.power_cut_store import PowerCutStore

MIB = 1 << 20


@pytest.mark.parametrize(
    ("free_bytes", "has_reserve", "taken"),
    [
        (100 * MIB, True, None),
        (99 * MIB, True, Taken.KNOWN),
        (24 * MIB, True, Taken.FREEING),
        (1 << 40, False, Taken.FREEING),
        (0, True, Taken.NOTHING),
    ],
)
def test_the_less_room_there_is_the_less_is_taken(
    tmp_path: Path, free_bytes: int, has_reserve: bool, taken: Taken | None
) -> None:
    room = Room(settings_for(tmp_path, free_bytes_min=100 * MIB))
    refusal = room.refusal(free_bytes, has_reserve=has_reserve)
    assert (refusal.taken if refusal is not None else None) == taken


def test_what_frees_room_is_taken_longest_and_new_messages_go_first() -> None:
    trim = commands.TrimQueue("t", 1, 0, 5, 100)
    publish = commands.Publish(commands.Identity(1, 2, 3), "", "", ())
    lease = commands.Lease("g", "t", 0, 1, 1, 1, 1, False)
    decide = commands.Decide("g", "", "call", ())
    by_room = {taken: [is_taken(one, taken) for one in (publish, lease, decide, trim)] for taken in Taken}
    assert by_room == {
        Taken.KNOWN: [False, True, True, True],
        Taken.FREEING: [False, False, False, True],
        Taken.NOTHING: [False, False, False, False],
    }
    assert DiskFull("full").taken is Taken.NOTHING


def test_the_reserve_is_made_with_room_to_spare_given_up_once_and_made_again() -> None:
    disk = MemoryDisk(capacity=10 * MIB)
    ballast = Ballast(disk, MIB, 2 * MIB)
    assert ballast.look(is_needed=False) == 9 * MIB
    assert disk.names() == [BALLAST]
    hog = disk.create("hog")
    hog.allocate(9 * MIB)
    assert ballast.look(is_needed=False) == 0
    assert not ballast.is_given_up
    assert ballast.look(is_needed=True) == MIB
    assert ballast.is_given_up
    assert ballast.look(is_needed=True) == MIB
    hog.truncate(7 * MIB)
    assert ballast.look(is_needed=False) == 3 * MIB, "not while that would leave too little"
    assert ballast.is_given_up
    hog.truncate(6 * MIB)
    assert ballast.look(is_needed=False) == 3 * MIB
    assert not ballast.is_given_up


def test_a_disk_that_never_had_room_for_the_reserve_serves_without_it() -> None:
    disk = MemoryDisk(capacity=3 * MIB)
    ballast = Ballast(disk, MIB, 2 * MIB)
    assert ballast.look(is_needed=False) == 3 * MIB
    assert not ballast.is_given_up
    assert ballast.look(is_needed=True) == 3 * MIB
    assert not ballast.is_given_up


def test_a_reserve_that_does_not_fit_after_all_is_not_left_half_made() -> None:
    disk = MemoryDisk(capacity=10 * MIB)

    def full(operation: str) -> None:
        if operation == "allocate":
            raise OSError(errno.ENOSPC, "No space left on device")

    disk.before = full
    ballast = Ballast(disk, MIB, 2 * MIB)
    assert ballast.look(is_needed=False) == 10 * MIB
    assert disk.names() == []


def test_a_full_disk_still_takes_a_small_file_of_the_log() -> None:
    disk, store = MemoryDisk(), PowerCutStore()
    log = open_log(disk, store, segment_bytes=MIB)
    append(log, 0, bytes(MIB - 20_000))
    finish_round(log)
    disk.capacity = sum(len(content.data) for content in disk.files.values()) + MIB // SMALL_SHARE + 100
    for _ in range(4):
        append(log, 0, bytes(9_000))
        finish_round(log)
    newest = log.segments.numbers()[-1]
    assert log.segments.length(newest) == MIB // SMALL_SHARE
    found = disk.killed()
    found.capacity = 1 << 40
    again = open_log(found, store, seed=7, segment_bytes=MIB)
    assert again.shard_state(0).last_index == 5

"""Which files of the log may go, what keeps them, and what a start says where one is missing that should be there."""

import pytest

from tallymq.raftlog.errors import LogDamaged
from tallymq.raftlog.keys import applied_key, encode_applied, log_mark_key, state_key
from tallymq.raftlog.log import NodeLog
from tallymq.raftlog.log_mark import decode_mark, encode_mark
from tallymq.raftlog.payloads import Base
from tallymq.raftlog.reclaiming import Reclaiming, ReclaimSettings
from tallymq.raftlog.segments import segment_name
from tallymq.txn import keys
from tallymq.txn.draft import encode
from tallymq.txn.state import BodyState
from tests.support.logs import append, finish_round, open_log
from tests.support.memory_disk import MemoryDisk
from tests.support.power_cut_store import PowerCutStore
from tests.support.reclaim_machine import StoredState

SEGMENT_BYTES = 32 * 1024
BODY_BYTES = 3_000
COUNT = 100


class OneShard:
    """A log of a hundred entries in some ten files, all applied and flushed; `needed` are those somebody refers to."""

    def __init__(self, *needed: int, carry_share: float = 0.5, kept_bytes: int = 0) -> None:
        self.disk, self.store = MemoryDisk(), PowerCutStore()
        self.log = open_log(self.disk, self.store, segment_bytes=SEGMENT_BYTES)
        self.log.append_hard_state(0, 3, "node-b")
        for number in range(COUNT):
            append(self.log, 0, self.body(number + 1), term=3)
            finish_round(self.log)
        for index in range(1, COUNT + 1):
            pairs = [self.log.location_pair(0, index), (applied_key(0), encode_applied(index))]
            if index in needed:
                pairs.append((self.body_key(index), encode(BodyState(1))))
            self.store.write(pairs)
        self.log.applied(0, COUNT)
        self.settings = ReclaimSettings(carry_share=carry_share, kept_bytes=kept_bytes)
        self.attach(self.log)
        self.flush()

    def attach(self, log: NodeLog) -> None:
        self.log = log
        states = {0: StoredState(self.store, 0)}
        self.reclaiming = Reclaiming(log, self.store, states, self.settings, self.drop_prefix)

    def drop_prefix(self, shard: int, index: int) -> None:
        self.log.drop_prefix(shard, index, 3, b"")

    @staticmethod
    def body(index: int) -> bytes:
        return index.to_bytes(2, "big") * (BODY_BYTES // 2)

    @staticmethod
    def body_key(index: int) -> bytes:
        return state_key(0, 0, keys.body_key(index))

    def flush(self) -> list[str]:
        if self.log._drafts:
            finish_round(self.log)
        self.store.write(self.log.flush_mark({0: COUNT}))
        self.store.flush()
        self.log.flushes.completed()
        names = self.log.flushes.detach()
        self.log.flushes.remove(names)
        return names

    def reclaim(self) -> list[str]:
        """Passes and flushes until nothing more happens; the names of the files that went."""
        gone: list[str] = []
        for _ in range(6):
            while (more := self.reclaiming.step()) is not None:
                if not more:
                    finish_round(self.log)
            gone += self.flush()
        return gone

    def reopen(self) -> NodeLog:
        return open_log(self.disk.killed(), self.store.at_batch(0), seed=9, segment_bytes=SEGMENT_BYTES)


def test_what_nobody_needs_goes_oldest_first_and_the_start_after_is_a_good_one() -> None:
    shard = OneShard()
    before = shard.log.segments.numbers()
    gone = shard.reclaim()
    assert gone == sorted(gone)
    assert len(gone) >= len(before) - 2
    assert len(shard.store.range(b"\x03", b"\x04", 1000)) <= 12, "places of what is gone are forgotten, too"
    again = shard.reopen()
    assert again.shard_state(0).term == 3
    assert again.shard_state(0).voted_for == "node-b"
    assert again.shard_state(0).last_index == COUNT
    assert again.shard_state(0).base_index > COUNT - 12


def test_a_few_needed_bodies_are_carried_forward_and_read_after_the_next_start() -> None:
    needed = (1, 7, 50)
    shard = OneShard(*needed)
    gone = shard.reclaim()
    assert len(gone) >= 8
    assert shard.reclaiming.carried_bytes == BODY_BYTES * len(needed)
    for log in (shard.log, shard.reopen()):
        for index in needed:
            assert log.read_slice(0, index, 0, BODY_BYTES) == shard.body(index)


def test_files_that_are_mostly_needed_stay_unless_room_is_short() -> None:
    needed = [index for index in range(1, COUNT + 1) if index % 4]
    shard = OneShard(*needed, carry_share=0.3)
    assert shard.reclaim() == []
    assert shard.reclaiming.carried_bytes == 0
    shard.reclaiming.is_pressed = True
    assert shard.reclaim() != []
    for index in needed:
        assert shard.log.read_slice(0, index, 0, BODY_BYTES) == shard.body(index)


def test_the_end_of_the_log_is_kept_for_followers() -> None:
    kept = 5 * SEGMENT_BYTES
    shard = OneShard(kept_bytes=kept)
    before = shard.log.segments.numbers()
    assert 0 < len(shard.reclaim()) <= len(before) - 5
    assert shard.log.shard_state(0).base_index <= COUNT - 4 * 7, "seven entries fit a file"


def test_a_pin_keeps_every_file_there_was_until_it_is_released() -> None:
    shard = OneShard()
    pin = shard.log.flushes.pin()
    before = shard.disk.names()
    assert shard.reclaim() == []
    assert set(before) <= set(shard.disk.names())
    pin.release()
    pin.release()
    assert shard.reclaim() != []


def test_a_damaged_body_that_is_needed_keeps_its_file_and_those_after_it() -> None:
    shard = OneShard(35)
    location = shard.log.location_pair(0, 35)
    found = shard.log._location(0, 35)
    shard.disk.files[segment_name(found.segment, shard.log.segments.salt(found.segment))].data[found.offset + 500] ^= 1
    gone = shard.reclaim()
    assert gone
    assert shard.reclaiming.damaged_segment == found.segment == shard.log.segments.numbers()[0]
    assert shard.store.get(location[0]) == location[1]


def test_nothing_goes_before_a_flush_has_completed() -> None:
    shard = OneShard()
    shard.reclaim()
    log = shard.log
    flushes = log.flushes
    append(log, 0, bytes(SEGMENT_BYTES), term=3)
    finish_round(log)
    first = flushes.first_segment
    shard.store.write(log.flush_mark({0: COUNT}))
    flushes.release(flushes.start_segment - 1)
    assert flushes.detach() == []
    shard.store.write(log.flush_mark({0: COUNT}))
    assert flushes.first_segment == first
    assert flushes.detach() == []
    with pytest.raises(ValueError, match="not before"):
        flushes.release(flushes.start_segment)


def test_a_prefix_is_dropped_only_as_far_as_a_completed_flush_has_it() -> None:
    disk, store = MemoryDisk(), PowerCutStore()
    log = open_log(disk, store)
    for number in range(3):
        append(log, 0, b"entry %d" % number, term=2)
    finish_round(log)
    for index in (1, 2, 3):
        store.write([log.location_pair(0, index), (applied_key(0), encode_applied(index))])
    log.applied(0, 3)
    with pytest.raises(ValueError, match="cannot begin"):
        log.drop_prefix(0, 2, 2, b"")
    store.write(log.flush_mark({0: 2}))
    log.flushes.completed()
    with pytest.raises(ValueError, match="cannot begin"):
        log.drop_prefix(0, 3, 2, b"")
    with pytest.raises(ValueError, match="not of term"):
        log.drop_prefix(0, 2, 1, b"")
    log.drop_prefix(0, 2, 2, b"members")
    finish_round(log)
    for opened in (log, open_log(disk.killed(), store, seed=5)):
        state = opened.shard_state(0)
        assert (state.base_index, state.base_term, state.configuration, state.last_index) == (2, 2, b"members", 3)
        assert opened.read_entry(0, 3) == b"entry 2"
        assert opened.read_slice(0, 1, 0, 7) == b"entry 0", "bytes stay after Raft has forgotten them"
        with pytest.raises(IndexError):
            opened.read_entry(0, 2)


@pytest.mark.parametrize("which", [0, 1, -3])
def test_a_file_that_should_be_there_is_missed_at_start(which: int) -> None:
    shard = OneShard(*range(60, COUNT), carry_share=0.1)
    shard.reclaim()
    numbers = shard.log.segments.numbers()
    assert numbers[0] == shard.log.flushes.first_segment > 1
    disk = shard.disk.killed()
    disk.remove(segment_name(numbers[which], shard.log.segments.salt(numbers[which])))
    before = dict(disk.files)
    with pytest.raises(LogDamaged, match=r"not there|damaged"):
        open_log(disk, shard.store.at_batch(0), segment_bytes=SEGMENT_BYTES)
    assert disk.files == before, "nothing was changed"


def test_a_file_that_was_given_up_and_is_still_there_goes_at_start() -> None:
    shard = OneShard()
    kept = dict(shard.disk.files)
    shard.reclaim()
    disk = shard.disk.killed()
    for name, content in kept.items():
        disk.files.setdefault(name, content)
    log = open_log(disk, shard.store.at_batch(0), segment_bytes=SEGMENT_BYTES)
    assert log.segments.numbers()[0] == shard.log.flushes.first_segment
    assert len(disk.names()) == len(log.segments.numbers())


def test_a_mark_of_a_log_that_was_never_freed_is_read() -> None:
    shard = OneShard()
    value = shard.store.get(log_mark_key())
    assert value is not None
    mark = decode_mark(value)
    older = (1).to_bytes(4, "little") + value[4:-8]
    assert decode_mark(older) == mark
    assert decode_mark(encode_mark(mark)) == mark
    assert mark.first_segment == 1


def test_a_snapshots_base_still_takes_the_place_of_what_was_there() -> None:
    shard = OneShard()
    shard.log.append_base(0, Base(COUNT + 50, 4, 1, b"members"))
    finish_round(shard.log)
    assert shard.reopen().shard_state(0).last_index == COUNT + 50

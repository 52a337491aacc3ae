"""Every byte of a log of one MiB, flipped: found, or of no meaning; what it said is never believed."""

from random import Random

import pytest

from tallymq.raftlog.errors import BodyDamaged, LogDamaged
from tallymq.raftlog.log import NodeLog
from tallymq.raftlog.log_mark import LogMark
from tallymq.raftlog.log_reader import LogReader
from tallymq.raftlog.payloads import NOWHERE, Position
from tallymq.raftlog.records import BLOCK_BYTES, Kind, round_up
from tallymq.raftlog.segments import Segments
from tallymq.raftlog.store import MemoryStore
from tests.support.logs import append, apply_all, finish_round, open_log
from tests.support.memory_disk import Content, MemoryDisk

SHARDS = (0, 5)
LOG_BYTES = 1 << 20


class OneMib:
    """A log in one file, where its records lie, and for each round a mark at its start."""

    def __init__(self) -> None:
        disk, random = MemoryDisk(), Random(11)
        log = open_log(disk, MemoryStore(), segment_bytes=2 * LOG_BYTES)
        while log.flushes.bytes_since < LOG_BYTES:
            append_some(log, {}, random)
            if random.random() < 0.2:
                log.append_hard_state(random.choice(SHARDS), 1, "node-a")
        ((self.name, content),) = disk.files.items()
        self.data = bytes(content.data[:LOG_BYTES])
        self.places: list[tuple[int, int, int]] = []
        self.marks = {0: LogMark(start=Position(1, 0), start_round=1, start_crc=0, synced=NOWHERE)}
        crc = 0
        for found in LogReader(self.until(LOG_BYTES)[1], self.marks[0]).records():
            if found.record.kind == Kind.ROUND:
                start = Position(1, found.record.offset)
                self.marks[found.round] = LogMark(start=start, start_round=found.round, start_crc=crc, synced=NOWHERE)
            self.places.append((found.record.offset, found.record.end, found.round))
            crc = found.record.crc

    def until(self, end: int) -> tuple[Content, Segments]:
        """The beginning of the file, and what reads it."""
        content = Content(self.data[:end])
        return content, Segments(MemoryDisk({self.name: content}), 4)


def check(step: int) -> tuple[int, int]:
    """Flip every `step`-th byte and read what it belongs to; return how many were found, and how many say nothing."""
    log, found = OneMib(), 0
    covered = range(0)
    silent = 0
    for start, end, round_number in log.places:
        # What is behind the record can be seen, too: it must not be read as if nothing were.
        content, segments = log.until(round_up(end) + BLOCK_BYTES)
        first = -(-start // step) * step
        silent += len(range(-(-covered.stop // step) * step, start, step))
        covered = range(start, end)
        for offset in range(first, end, step):
            content.data[offset] ^= 1 << offset % 8
            last = max(
                (seen.record.offset for seen in LogReader(segments, log.marks[round_number]).records()), default=-1
            )
            assert last < start, f"byte {offset} of a record was flipped, and it was believed"
            content.data[offset] ^= 1 << offset % 8
            found += 1
    return found, silent + len(range(-(-covered.stop // step) * step, LOG_BYTES, step))


def test_a_flipped_byte_is_found_by_the_reader() -> None:
    found, silent = check(499)
    assert found > 1_000
    assert silent > 10


@pytest.mark.long
def test_every_flipped_byte_is_found_by_the_reader() -> None:
    found, silent = check(1)
    assert found + silent == LOG_BYTES


def restarted(step: int) -> tuple[int, int, int]:
    """Flip every `step`-th byte, and start from what is there: refused, a body found damaged, or of no meaning."""
    disk, random = MemoryDisk(), Random(12)
    store = MemoryStore()
    log = open_log(disk, store, segment_bytes=2 * LOG_BYTES)
    written: dict[tuple[int, int], bytes] = {}
    while log.flushes.bytes_since < LOG_BYTES // 2:
        append_some(log, written, random)
    for shard in SHARDS:
        apply_all(log, store, shard, log.shard_state(shard).last_index)
    store.write(log.flush_mark({}))
    log.flushes.completed()
    while log.flushes.bytes_since < LOG_BYTES // 2:
        append_some(log, written, random)
    log.close()
    name = min(disk.files)
    refused = damaged = harmless = 0
    for offset in range(0, min(LOG_BYTES, len(disk.files[name].data)), step):
        copy = disk.killed()
        copy.files[name].data[offset] ^= 1 << offset % 8
        try:
            opened = open_log(copy, MemoryStore(store.pairs()), seed=offset, segment_bytes=2 * LOG_BYTES)
        except LogDamaged:
            refused += 1
            continue
        wrong = 0
        for (shard, index), payload in written.items():
            try:
                assert opened.read_entry(shard, index) == payload, f"byte {offset} was served"
            except BodyDamaged:
                wrong += 1
        assert wrong <= 1
        damaged += wrong
        harmless += not wrong
    return refused, damaged, harmless


def append_some(log: NodeLog, written: dict[tuple[int, int], bytes], random: Random) -> None:
    for _ in range(random.randint(1, 6)):
        shard = random.choice(SHARDS)
        payload = random.randbytes(random.choice((100, 900, 3_000)))
        written[shard, append(log, shard, payload)] = payload
    finish_round(log)


def test_a_node_that_starts_on_a_flipped_byte_refuses_or_finds_it() -> None:
    refused, damaged, _ = restarted(33 * 997)
    assert refused > 5
    assert damaged > 5


@pytest.mark.long
def test_every_997th_flipped_byte_is_refused_found_or_harmless_at_a_start() -> None:
    refused, damaged, harmless = restarted(997)
    assert refused + damaged + harmless >= LOG_BYTES // 997 - 1
    assert min(refused, damaged) > 0

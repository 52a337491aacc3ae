"""What happens to the log when a node starts: read, tell tail from damage, make the tail durable, open a new segment.

Nothing on the disk is changed before it is certain that nothing synced is missing.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from dataclasses import dataclass

from tallymq.raftlog.disk import Disk, DiskFile
from tallymq.raftlog.errors import DirectoryFormatUnknown, LogDamaged, LogFull
from tallymq.raftlog.keys import applied_key, applied_range, decode_applied, location_key, log_mark_key
from tallymq.raftlog.locations import Location, decode_location
from tallymq.raftlog.log_mark import BEGINNING, LogMark, decode_mark
from tallymq.raftlog.log_reader import Found, LogReader
from tallymq.raftlog.log_rounds import RoundPlace, Rounds
from tallymq.raftlog.log_shard import ShardLog
from tallymq.raftlog.payloads import Position, SegmentStart, decode_base, encode_segment
from tallymq.raftlog.records import FORMAT_VERSION, Kind, Record, encode_header, round_up
from tallymq.raftlog.segments import Segments
from tallymq.raftlog.store import Store

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Recovered:
    """The log as it was found, and the segment that was opened for what comes next.

    `end` and `end_crc` are of the new segment's first record; all before `end` is synced. `file` is the caller's.
    """

    shards: dict[int, ShardLog]
    rounds: Rounds
    end: Position
    end_crc: int
    file: DiskFile
    bytes_read: int
    entries_read: int
    mark: LogMark


def recover(
    disk: Disk, segments: Segments, store: Store, segment_bytes: int, draw_salt: Callable[[], int]
) -> Recovered:
    """Read the log from the store's mark on and make it ready to be appended to.

    Raises LogDamaged where something that was synced is missing (nothing was changed then), LogFull where there is no
    room for a new segment, DirectoryFormatUnknown where a later version wrote the log.
    """
    value = store.get(log_mark_key())
    try:
        mark = BEGINNING if value is None else decode_mark(value)
        _check_beginning(segments, mark, known=value is not None)
        reader = LogReader(segments, mark)
        replay = _Replay(mark, store)
        for found in reader.records():
            replay.take(found)
    except (struct.error, UnicodeDecodeError) as error:
        raise LogDamaged(
            f"The log or its mark holds a sound record with what no version of TallyMQ writes ({error}); nothing was "
            "changed. Restore this node's data directory, or replace the node."
        ) from error
    if reader.synced > reader.end:
        raise LogDamaged(
            f"The log is damaged: up to byte {reader.synced.offset} of segment {reader.synced.segment} it had been "
            f"synced, but it can be read only up to byte {reader.end.offset} of segment {reader.end.segment}; nothing "
            f"was changed. Restore this node's data directory, or replace the node."
        )
    shards = replay.finish()
    _secure(segments, reader.synced, reader.end)
    _remove(disk, segments, [number for number in segments.numbers() if number < mark.first_segment])
    # Newest first, so that there is never a gap.
    _remove(disk, segments, [number for number in reversed(segments.numbers()) if number > reader.end.segment])
    end, crc, file = open_segment(disk, segments, reader, segment_bytes, draw_salt())
    _cut(segments, reader.end)
    return Recovered(shards, replay.rounds, end, crc, file, reader.bytes_read, replay.entries, mark)


def _check_beginning(segments: Segments, mark: LogMark, *, known: bool) -> None:
    numbers = segments.numbers()
    if not known and numbers and numbers[0] != 1:
        raise LogDamaged(
            f"The log begins with segment {numbers[0]}, but the store does not know what was before it: one of the two "
            "was lost or belongs to another node. Restore this node's data directory, or replace the node."
        )
    there = set(numbers)
    missing = [number for number in range(mark.first_segment, max(numbers, default=0) + 1) if number not in there]
    if known and missing and missing[0] < mark.start.segment:
        raise LogDamaged(
            f"Segment {missing[0]} of the log is not there, and what lies in it is still needed ({len(missing)} "
            f"missing in all, the log begins with segment {mark.first_segment}); nothing was changed. Restore this "
            "node's data directory, or replace the node."
        )
    start = mark.start
    if known and (start.segment not in segments or segments.length(start.segment) < start.offset):
        raise LogDamaged(
            f"The store was written up to byte {start.offset} of segment {start.segment} of the log, which is not "
            "there. Restore this node's data directory, or replace the node."
        )


def open_segment(
    disk: Disk, segments: Segments, reader: LogReader, segment_bytes: int, salt: int
) -> tuple[Position, int, DiskFile]:
    """Open the next segment after what `reader` found sound, and sync its first record, which says so."""
    number = reader.end.segment + 1
    start = SegmentStart(FORMAT_VERSION, number, reader.end, reader.round, reader.end)
    pieces, crc, length = first_record(salt, start, reader.end_crc)
    try:
        file = segments.create(number, salt, segment_bytes)
        file.write(0, pieces)
        file.synchronize()
    except OSError as error:
        if error.errno in NO_ROOM:
            raise LogFull("The disk has no room for a new segment of the log: free some and start again.") from error
        raise
    disk.synchronize_names()
    return Position(number, length), crc, file


def first_record(salt: int, start: SegmentStart, previous: int) -> tuple[list[bytes], int, int]:
    """Return the first record of a segment: its bytes, its crc and its length."""
    payload = encode_segment(start)
    header, crc = encode_header(salt, previous, 0, Kind.SEGMENT, (payload,), len(payload))
    return [header, payload], crc, len(header) + len(payload)


def _secure(segments: Segments, synced: Position, end: Position) -> None:
    """Write what was read above the synced mark again, byte for byte, and sync it.

    It may have been read from memory only: a sync that failed, or was never asked for, leaves pages that no later
    sync writes.
    """
    for number in range(max(synced.segment, 1), end.segment + 1):
        begin = synced.offset if number == synced.segment else 0
        until = end.offset if number == end.segment else segments.length(number)
        if begin >= until:
            continue
        file = segments.writable(number)
        try:
            for offset in range(begin, until, _COPY_BYTES):
                file.write(offset, [segments.read(number, offset, min(_COPY_BYTES, until - offset))])
            file.synchronize()
        finally:
            file.close()


def _remove(disk: Disk, segments: Segments, surplus: list[int]) -> None:
    """Remove segments, in this order."""
    for number in surplus:
        segments.remove(number)
    if surplus:
        disk.synchronize_names()


def _cut(segments: Segments, end: Position) -> None:
    """Give back what the last segment had reserved past its end; its successor says where that is."""
    if end.segment in segments and segments.length(end.segment) > round_up(end.offset):
        file = segments.writable(end.segment)
        try:
            file.truncate(round_up(end.offset))
        finally:
            file.close()


class _Replay:
    """Builds the shards' logs from the mark and the records after it."""

    def __init__(self, mark: LogMark, store: Store) -> None:
        self._mark = mark
        self._store = store
        self._shards: dict[int, ShardLog] = {}
        self.entries = 0
        self.rounds = Rounds(mark.start_round)
        for number, known in mark.shards.items():
            log = self._shard(number)
            log.set_hard_state(known.term, known.voted_for, 0)
            log.set_base(known.base, 0)

    def _shard(self, number: int) -> ShardLog:
        log = self._shards.get(number)
        if log is None:
            log = self._shards[number] = ShardLog()
        return log

    def take(self, found: Found) -> None:
        """Take the next record of the log into account."""
        record = found.record
        match record.kind:
            case Kind.ROUND:
                self.rounds.add(RoundPlace(Position(found.segment, record.offset), record.previous))
            case Kind.ENTRY:
                self._take_entry(found.segment, found.round, record)
            case Kind.TRUNCATE:
                self._take_truncate(record)
            case Kind.HARD_STATE:
                self._take_hard_state(record)
            case Kind.BASE:
                self._take_base(record)
            case Kind.SEGMENT | Kind.SEAL | Kind.BODY_COPY:
                pass
            case _:
                raise DirectoryFormatUnknown(
                    f"The log holds a record of kind {record.kind}, which this version of TallyMQ does not know."
                )

    def _take_entry(self, segment: int, round_number: int, record: Record) -> None:
        self.entries += 1
        log = self._shard(record.shard)
        if record.index <= log.base.index:
            return
        if log.last_index < log.first:
            # The first one seen of this shard. Entries of before the mark's start that were withdrawn later may make
            # a gap for a while; `finish` sees to it that none is left.
            log.start_after(record.index - 1, 0)
        elif record.index != log.last_index + 1:
            raise LogDamaged(
                f"The log contradicts itself: shard {record.shard} has entry {record.index} after {log.last_index}."
            )
        length = len(record.payload)
        log.append(record.term, Location(segment, record.offset, length, record.term), round_number, length)

    def _take_truncate(self, record: Record) -> None:
        log = self._shard(record.shard)
        if record.index <= log.first:
            log.start_after(max(record.index - 1, log.base.index), 0)
        elif record.index <= log.last_index:
            log.truncate(record.index)

    def _take_base(self, record: Record) -> None:
        log = self._shard(record.shard)
        base = decode_base(record.index, record.term, record.payload)
        # What the mark restates may be newer than what the log said at this point; a base never goes back.
        if base.index <= log.base.index:
            return
        if base.generation == log.base.generation and log.first <= log.last_index and base.index < log.first:
            # A prefix was dropped that the scan did not meet: what it met stays.
            log.raise_base(base, 0)
        else:
            log.set_base(base, 0)

    def _take_hard_state(self, record: Record) -> None:
        log = self._shard(record.shard)
        # What the mark restates may be newer than what the log said at this point; a term never goes back.
        if record.term >= log.term:
            log.set_hard_state(record.term, record.payload.decode(), 0)

    def finish(self) -> dict[int, ShardLog]:
        """Join the log to the applied state in the store; LogDamaged if the two do not meet."""
        for key, _ in self._store.range(*applied_range(), 1 << 20):
            self._shard(int.from_bytes(key[1:3], "big"))
        for number, log in self._shards.items():
            self._join(number, log)
        return self._shards

    def _join(self, number: int, log: ShardLog) -> None:
        applied = decode_applied(self._store.get(applied_key(number, log.base.generation)))
        floor = max(applied, log.base.index)
        known = self._mark.shards.get(number)
        empty = log.last_index < log.first
        if empty and applied > max(known.applied if known else 0, log.base.index):
            raise self._apart(number, applied)
        if not empty and not log.first - 1 <= floor <= log.last_index:
            raise self._apart(number, applied)
        term = log.base.term if floor == log.base.index else self._applied_term(number, floor)
        if empty or floor == log.last_index:
            log.start_after(floor, term)
        elif log.holds(floor):
            log.drop_through(floor)
        else:
            log.set_term_before(term)
        log.note_applied(floor)

    def _applied_term(self, number: int, index: int) -> int:
        value = self._store.get(location_key(number, index))
        if value is None:
            raise self._apart(number, index)
        return decode_location(value).term

    def _apart(self, number: int, applied: int) -> LogDamaged:
        return LogDamaged(
            f"The log and the store do not meet: shard {number} was applied up to entry {applied}, which the log does "
            "not have; nothing was changed. Restore this node's data directory, or replace the node."
        )

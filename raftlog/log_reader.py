"""Reads the log from a mark on: yields what is sound and in its place, then finds out what should have been there.

The reader stops at the first record that does not verify or does not follow the one before. After that it only looks
for the greatest synced mark, at block boundaries, because whatever lies below such a mark must have been readable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tallymq.raftlog.errors import DirectoryFormatUnknown
from tallymq.raftlog.log_mark import LogMark
from tallymq.raftlog.payloads import NOWHERE, Position, SegmentStart, decode_round, decode_segment
from tallymq.raftlog.records import (
    BLOCK_BYTES,
    FORMAT_VERSION,
    HEADER_BYTES,
    Header,
    Kind,
    Record,
    peek_header,
    plausible,
    round_up,
    verify,
    verify_next,
)
from tallymq.raftlog.segments import Segments

_READ_BYTES = 1 << 20


class Found(NamedTuple):
    """A sound record, its segment and its round."""

    segment: int
    round: int
    record: Record


class LogReader:
    """One pass over the log. After `records` is exhausted, the other attributes say how it ended."""

    def __init__(self, segments: Segments, mark: LogMark) -> None:
        self._segments = segments
        self._start = mark.start
        self._window = _Window(segments)
        self.end = NOWHERE if mark.start.offset == 0 else mark.start
        """End of the last sound record."""
        self.end_crc = mark.start_crc
        self.round = mark.start_round - 1
        """Number of the last round of which anything was sound."""
        self.synced = mark.synced
        """Greatest position that is known to have been synced."""
        self.bytes_read = 0

    def records(self) -> Iterator[Found]:
        """Yield all sound records in log order, then look for synced marks in what is left."""
        for number in range(self._start.segment, max(self._segments.numbers(), default=0) + 1):
            if number not in self._segments:
                break
            if self.end.segment != number:
                first = self._segment_record(number)
                if first is None:
                    break
                yield Found(number, self.round, first)
            limit = self._stated_end(number)
            yield from self._rounds(number, self.end.offset, limit)
            if limit is None or round_up(self.end.offset) < limit:
                break
        self._search_marks()

    def _segment_record(self, number: int) -> Record | None:
        record = self._segments.read_segment_record(number)
        if record is None:
            return None
        start = self._decode_segment(record)
        follows = record.previous == self.end_crc and start.number == number and start.round == self.round
        if (
            not follows
            or start.end.segment != self.end.segment
            or round_up(start.end.offset) != round_up(self.end.offset)
        ):
            return None
        self._accept(number, record)
        self.synced = max(self.synced, start.synced)
        return record

    def _decode_segment(self, record: Record) -> SegmentStart:
        start = decode_segment(record.payload)
        if start.version != FORMAT_VERSION:
            raise DirectoryFormatUnknown(
                f"Segment {start.number} of the log has format {start.version}, "
                f"this version of TallyMQ reads {FORMAT_VERSION}."
            )
        return start

    def _stated_end(self, number: int) -> int | None:
        """Return the offset at which the next segment says this one ends; None if none says so."""
        if number + 1 not in self._segments:
            return None
        record = self._segments.read_segment_record(number + 1)
        if record is None:
            return None
        end = self._decode_segment(record).end
        return end.offset if end.segment == number else None

    def _rounds(self, number: int, offset: int, limit: int | None) -> Iterator[Found]:
        """Yield the records of all rounds of one segment."""
        while True:
            start = round_up(offset)
            if limit is not None and start >= limit:
                return
            record = self._next(number, start, start + BLOCK_BYTES)
            if record is None or record.kind != Kind.ROUND or record.index != self.round + 1:
                return
            stated = decode_round(record.payload)
            self.synced = max(self.synced, stated.synced)
            self.round += 1
            self._accept(number, record)
            yield Found(number, self.round, record)
            round_end = start + stated.length
            if limit is not None:
                round_end = min(round_end, limit)
            offset = record.end
            while offset < round_end:
                record = self._next(number, offset, round_end)
                if record is None:
                    return
                self._accept(number, record)
                yield Found(number, self.round, record)
                offset = record.end

    def _accept(self, number: int, record: Record) -> None:
        self.end = Position(number, record.end)
        self.end_crc = record.crc
        self.bytes_read += record.end - record.offset

    def _next(self, number: int, offset: int, end_max: int) -> Record | None:
        """Return the record at `offset` if it is sound, follows the last one and ends by `end_max`."""
        salt, window = self._segments.salt(number), self._window
        at = window.hold(number, offset, HEADER_BYTES)
        found = verify_next(salt, offset, self.end_crc, window.data, at, end_max - offset)
        if isinstance(found, int):
            at = window.hold(number, offset, found)
            found = verify_next(salt, offset, self.end_crc, window.data, at, end_max - offset)
        return found if isinstance(found, Record) else None

    def _search_marks(self) -> None:
        """Take into account every synced mark stated past the end of what is sound."""
        for number in self._segments.numbers():
            if number < max(self.end.segment, self._start.segment):
                continue
            record = self._segments.read_segment_record(number)
            if record is not None and number > self.end.segment:
                self.synced = max(self.synced, self._decode_segment(record).synced)
            limit = self._stated_end(number)
            begin = round_up(self.end.offset) if number == self.end.segment else 0
            self._search_segment(number, begin, self._segments.length(number) if limit is None else limit)

    def _search_segment(self, number: int, begin: int, end: int) -> None:
        salt = self._segments.salt(number)
        for chunk_start in range(begin, end, _READ_BYTES):
            chunk = self._segments.read(number, chunk_start, min(_READ_BYTES, end - chunk_start))
            if chunk == bytes(len(chunk)):
                continue
            for at in range(0, len(chunk), BLOCK_BYTES):
                header = peek_header(chunk, at)
                if header is not None and header.kind == Kind.ROUND and plausible(header, salt, chunk_start + at):
                    self._note_mark(salt, chunk_start + at, chunk[at : at + BLOCK_BYTES], header)

    def _note_mark(self, salt: int, offset: int, block: bytes, header: Header) -> None:
        record = verify(salt, offset, block[: HEADER_BYTES + header.length])
        if record is not None:
            self.synced = max(self.synced, decode_round(record.payload).synced)


class _Window:
    """Reads a segment forward through a buffer, so that small records do not cost a system call each."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._number = 0
        self._start = 0
        self.data = b""

    def hold(self, number: int, offset: int, length: int) -> int:
        """Have `length` bytes from `offset` in `data`, fewer at the file's end; returns where they begin there."""
        at = offset - self._start
        if number != self._number or at < 0 or at + length > len(self.data):
            self._number, self._start, at = number, offset, 0
            self.data = self._segments.read(number, offset, max(length, _READ_BYTES))
        return at

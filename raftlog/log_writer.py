"""Writes rounds: one vectored write each, into the newest segment or a new one, and keeps track of what is synced."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from tallymq.raftlog.disk import Disk, DiskFile
from tallymq.raftlog.errors import LogFull, LogWriteFailed, SyncFailed
from tallymq.raftlog.log_rounds import RoundPlace, Rounds
from tallymq.raftlog.payloads import (
    ROUND_PAYLOAD_BYTES,
    SEGMENT_PAYLOAD_BYTES,
    Position,
    RoundStart,
    SegmentStart,
    encode_round,
)
from tallymq.raftlog.records import BLOCK_BYTES, FORMAT_VERSION, HEADER_BYTES, Kind, encode_header, round_up
from tallymq.raftlog.recovery import NO_ROOM, Recovered, first_record
from tallymq.raftlog.segments import Segments

SMALL_SHARE = 16
"""On a full disk a new file has this part of the usual size."""

_ROUND_START_BYTES = HEADER_BYTES + ROUND_PAYLOAD_BYTES
_FIRST_PADDING = bytes(BLOCK_BYTES - HEADER_BYTES - SEGMENT_PAYLOAD_BYTES)


class Draft(msgspec.Struct, frozen=True):
    """A record that has no place yet; `length` is of all pieces together."""

    kind: Kind
    shard: int
    term: int
    index: int
    pieces: tuple[bytes, ...]
    length: int


class RoundEnd(NamedTuple):
    """Where a round ends, and the crc of its last record."""

    round: int
    position: Position
    crc: int


@dataclass(slots=True)
class _Touched:
    """A file with writes that may not be durable; `round` is the last one written to it."""

    file: DiskFile
    round: int


class _Room(NamedTuple):
    """Where the next round goes; `pieces` come before it, for a new segment its first record."""

    number: int
    file: DiskFile
    salt: int
    start: int
    crc: int
    pieces: list[bytes]


class RoundWriter:
    """The end of the log. All methods but `sync` are called on one thread."""

    def __init__(
        self, disk: Disk, segments: Segments, recovered: Recovered, segment_bytes: int, draw_salt: Callable[[], int]
    ) -> None:
        self._disk = disk
        self._segments = segments
        self._segment_bytes = segment_bytes
        self._draw_salt = draw_salt
        self._rounds: Rounds = recovered.rounds
        self._file = recovered.file
        self._capacity = self._capacity_next = segment_bytes
        self._end = RoundEnd(self._rounds.next - 1, recovered.end, recovered.end_crc)
        self._synced_end = self._end
        self._unsynced: deque[RoundEnd] = deque()
        self._touched: list[_Touched] = []
        # The round in which a file was last made whose name may not be durable; 0 for none.
        self._names_round = 0
        self._failure = ""
        self.bytes_written = 0

    @property
    def round_open(self) -> int:
        """Number of the round that is written next."""
        return self._end.round + 1

    @property
    def synced_end(self) -> RoundEnd:
        """End of the greatest round known to be durable."""
        return self._synced_end

    @property
    def all_synced(self) -> bool:
        """Whether every written round is known to be durable."""
        return not self._unsynced

    @property
    def failed(self) -> bool:
        """Whether a sync or a write failed."""
        return bool(self._failure)

    def refuse_if_failed(self) -> None:
        """Raise SyncFailed once a sync or a write has failed: what the disk holds is not known any more."""
        if self._failure:
            raise SyncFailed(self._failure)

    def write(self, drafts: Sequence[Draft]) -> list[Position]:
        """Write one round; returns where each record went. After LogFull nothing has changed."""
        self.refuse_if_failed()
        length = _ROUND_START_BYTES + sum(HEADER_BYTES + draft.length for draft in drafts)
        try:
            room = self._room(length)
            places, end = self._write_into(room, drafts, length)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise LogFull("The disk is full: the log cannot take the next round.") from error
            self._failure = f"A write to the log failed ({error.strerror}): this node must stop."
            raise LogWriteFailed(self._failure) from error
        self._rounds.add(RoundPlace(Position(room.number, room.start), room.crc))
        self._note_written(room, end)
        return places

    def _room(self, length: int) -> _Room:
        """Find room in the newest segment, else open another one."""
        end = self._end
        start = round_up(end.position.offset)
        if start + length <= self._capacity or start <= BLOCK_BYTES:
            number = end.position.segment
            return _Room(number, self._file, self._segments.salt(number), start, end.crc, [])
        number, salt = end.position.segment + 1, self._draw_salt()
        synced = self._synced_end.position
        pieces, crc, _ = first_record(
            salt, SegmentStart(FORMAT_VERSION, number, end.position, end.round, synced), end.crc
        )
        file, self._capacity_next = self._create(number, salt, BLOCK_BYTES + round_up(length))
        return _Room(number, file, salt, BLOCK_BYTES, crc, [*pieces, _FIRST_PADDING])

    def _create(self, number: int, salt: int, needed: int) -> tuple[DiskFile, int]:
        """Make a file of the usual size; where there is no room for that, a small one: what frees room must fit."""
        usual, small = max(self._segment_bytes, needed), max(self._segment_bytes // SMALL_SHARE, needed)
        try:
            return self._segments.create(number, salt, usual), usual
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            return self._segments.create(number, salt, small), small

    def _write_into(self, room: _Room, drafts: Sequence[Draft], length: int) -> tuple[list[Position], RoundEnd]:
        pieces, places, end = self._encode(room, drafts, length)
        try:
            room.file.write(0 if room.pieces else room.start, pieces)
        except OSError:
            if room.pieces:
                room.file.close()
                self._segments.remove(room.number)
                self._disk.synchronize_names()
            raise
        return places, end

    def _encode(
        self, room: _Room, drafts: Sequence[Draft], length: int
    ) -> tuple[list[bytes], list[Position], RoundEnd]:
        stated = encode_round(RoundStart(length, self._synced_end.position))
        offset, salt = room.start, room.salt
        header, crc = encode_header(
            salt, room.crc, offset, Kind.ROUND, (stated,), ROUND_PAYLOAD_BYTES, index=self.round_open
        )
        pieces = [*room.pieces, header, stated]
        offset += _ROUND_START_BYTES
        places = []
        for draft in drafts:
            header, crc = encode_header(
                salt,
                crc,
                offset,
                draft.kind,
                draft.pieces,
                draft.length,
                shard=draft.shard,
                term=draft.term,
                index=draft.index,
            )
            pieces.append(header)
            pieces += draft.pieces
            places.append(Position(room.number, offset))
            offset += HEADER_BYTES + draft.length
        # Whole blocks: a partial one would make the kernel read what a recycled file held there.
        pieces.append(bytes(round_up(offset) - offset))
        return pieces, places, RoundEnd(self.round_open, Position(room.number, offset), crc)

    def _note_written(self, room: _Room, end: RoundEnd) -> None:
        if room.pieces:
            old, self._file = self._file, room.file
            self._capacity = self._capacity_next
            if all(touched.file is not old for touched in self._touched):
                old.close()
            self._names_round = end.round
        if self._touched and self._touched[-1].file is room.file:
            self._touched[-1].round = end.round
        else:
            self._touched.append(_Touched(room.file, end.round))
        self.bytes_written += round_up(end.position.offset) - (0 if room.pieces else room.start)
        self._unsynced.append(end)
        self._end = end

    def sync(self) -> None:
        """Make every round written before the call durable. Blocks; may run beside the other methods in a thread."""
        self.refuse_if_failed()
        try:
            # A copy: the loop may write to, and so add, another file meanwhile. That one waits for the next sync.
            for touched in tuple(self._touched):
                touched.file.synchronize()
            if self._names_round:
                self._disk.synchronize_names()
        except OSError as error:
            self._failure = f"A sync of the log failed ({error.strerror}): this node must stop."
            raise SyncFailed(self._failure) from error

    def note_synced(self, round_number: int) -> None:
        """Take note that everything up to a round is durable."""
        while self._unsynced and self._unsynced[0].round <= round_number:
            self._synced_end = self._unsynced.popleft()
        for touched in [touched for touched in self._touched if touched.round <= round_number]:
            self._touched.remove(touched)
            if touched.file is not self._file:
                touched.file.close()
        if self._names_round <= round_number:
            self._names_round = 0

    def close(self) -> None:
        """Close the files, without a sync."""
        for touched in self._touched:
            touched.file.close()
        self._touched.clear()
        self._file.close()

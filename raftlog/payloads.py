"""What the log's own records carry: payloads of segment, round, hard state and base records."""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgspec

_SEGMENT = struct.Struct("<IQQQQQQ")
_ROUND = struct.Struct("<QQQ")
_BASE = struct.Struct("<I")

ROUND_PAYLOAD_BYTES = _ROUND.size
SEGMENT_PAYLOAD_BYTES = _SEGMENT.size


class Position(NamedTuple):
    """A byte of the log: number of the segment, then the offset in its file. Positions compare as they were written."""

    segment: int
    offset: int


NOWHERE = Position(0, 0)
"""Before the first segment, which has number 1."""


class SegmentStart(NamedTuple):
    """Payload of a segment record.

    `end` is where the log before this segment ends: bytes past it are never read again. `round` is the number of the
    last round before it. `synced` is the greatest position known to be synced when the segment was opened.
    """

    version: int
    number: int
    end: Position
    round: int
    synced: Position


class RoundStart(NamedTuple):
    """Payload of a round record: bytes from its own start to the end of its last record, and the synced mark."""

    length: int
    synced: Position


class Base(msgspec.Struct, frozen=True):
    """Where a shard's log begins: entries up to `index` are in the snapshot of `generation`.

    `configuration` is the shard's membership at that index, encoded by consensus; opaque here.
    """

    index: int = 0
    term: int = 0
    generation: int = 0
    configuration: bytes = b""


def encode_segment(start: SegmentStart) -> bytes:
    """Return the payload of a segment record."""
    return _SEGMENT.pack(start.version, start.number, *start.end, start.round, *start.synced)


def decode_segment(payload: bytes) -> SegmentStart:
    """Read the payload of a segment record; struct.error if it is too short. Later versions may append fields."""
    version, number, segment, offset, last, synced_segment, synced_offset = _SEGMENT.unpack_from(payload)
    return SegmentStart(version, number, Position(segment, offset), last, Position(synced_segment, synced_offset))


def encode_round(start: RoundStart) -> bytes:
    """Return the payload of a round record."""
    return _ROUND.pack(start.length, *start.synced)


def decode_round(payload: bytes) -> RoundStart:
    """Read the payload of a round record; struct.error if it is too short. Later versions may append fields."""
    length, segment, offset = _ROUND.unpack_from(payload)
    return RoundStart(length, Position(segment, offset))


def encode_base(base: Base) -> bytes:
    """Return the payload of a base record; index and term are in the record's header."""
    return _BASE.pack(base.generation) + base.configuration


def decode_base(index: int, term: int, payload: bytes) -> Base:
    """Read a base record; struct.error if it is not of this shape."""
    (generation,) = _BASE.unpack_from(payload)
    return Base(index, term, generation, payload[_BASE.size :])

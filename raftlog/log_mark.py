"""The log's mark in the store: where the scan at the next start begins, and what the log before it had said.

It is written with the store's other pairs right before the store is flushed; docs/decisions/0002-log-format.md tells
why a crash at any moment between the two does no harm.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from tallymq.raftlog.errors import DirectoryFormatUnknown
from tallymq.raftlog.payloads import NOWHERE, Base, Position

_VERSION = 2
_HEAD = struct.Struct("<IQQQIQQI")
_FIRST = struct.Struct("<Q")
_SHARD = struct.Struct("<HQQQQIHI")


@dataclass(frozen=True, slots=True)
class ShardMark:
    """What is known of a shard without reading the log before the scan's start."""

    applied: int
    term: int
    voted_for: str
    base: Base


@dataclass(frozen=True, slots=True)
class LogMark:
    """`start` is a block boundary at which round `start_round` begins, or would begin, after a record of `start_crc`.

    `synced` is the greatest position that was known to be synced. Segments from `first_segment` on must be there: an
    older one is left over from being freed.
    """

    start: Position
    start_round: int
    start_crc: int
    synced: Position
    shards: Mapping[int, ShardMark] = field(default_factory=dict)
    first_segment: int = 1


BEGINNING = LogMark(start=Position(1, 0), start_round=1, start_crc=0, synced=NOWHERE)
"""The mark of a log whose store was never flushed."""


def encode_mark(mark: LogMark) -> bytes:
    """Return the value stored under `log_mark_key`."""
    parts = [
        _HEAD.pack(_VERSION, *mark.start, mark.start_round, mark.start_crc, *mark.synced, len(mark.shards)),
    ]
    for number, shard in sorted(mark.shards.items()):
        voted_for = shard.voted_for.encode()
        base = shard.base
        parts.append(
            _SHARD.pack(
                number,
                shard.applied,
                shard.term,
                base.index,
                base.term,
                base.generation,
                len(voted_for),
                len(base.configuration),
            )
        )
        parts += [voted_for, base.configuration]
    parts.append(_FIRST.pack(mark.first_segment))
    return b"".join(parts)


def decode_mark(value: bytes) -> LogMark:
    """Read what `encode_mark` made; DirectoryFormatUnknown if a later version wrote it."""
    version, segment, offset, start_round, crc, synced_segment, synced_offset, count = _HEAD.unpack_from(value)
    if version not in (1, _VERSION):
        raise DirectoryFormatUnknown(f"The log's mark has format {version}, this version of TallyMQ reads {_VERSION}.")
    shards: dict[int, ShardMark] = {}
    at = _HEAD.size
    for _ in range(count):
        number, applied, term, index, base_term, generation, vote_length, length = _SHARD.unpack_from(value, at)
        at += _SHARD.size
        voted_for = value[at : at + vote_length].decode()
        at += vote_length
        base = Base(index, base_term, generation, value[at : at + length])
        at += length
        shards[number] = ShardMark(applied, term, voted_for, base)
    # Version 1 is of a time when no segment was ever freed.
    first = 1 if version == 1 else int(_FIRST.unpack_from(value, at)[0])
    return LogMark(Position(segment, offset), start_round, crc, Position(synced_segment, synced_offset), shards, first)

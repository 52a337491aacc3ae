"""The record format of the log: forty bytes of header, then a payload. Little-endian.

| field | bytes | |
| --- | --- | --- |
| crc | 4 | CRC32C, seeded with the low half of the segment's salt, of all that follows, payload included |
| previous | 4 | crc of the record before, in log order, also across segments |
| use | 4 | high half of the segment's salt |
| position | 4 | low 32 bits of where the record begins in its file |
| length | 4 | bytes of payload |
| kind | 1 | see `Kind` |
| flags | 1 | 0 |
| shard | 2 | |
| term | 8 | |
| index | 8 | |

A record verifies only where it was written: same salt, same file position. So neither stale bytes of a recycled file,
nor a misdirected write, nor a body that imitates records (its author cannot know the salt) is taken for one.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum

import google_crc32c
import msgspec

FORMAT_VERSION = 1
BLOCK_BYTES = 4096
"""Rounds begin at multiples of this, so that writing one never touches the page of another."""

_CRC = struct.Struct("<I")
_FIELDS = struct.Struct("<IIIIBBHQQ")
HEADER_BYTES = _CRC.size + _FIELDS.size
PAYLOAD_BYTES_MAX = (1 << 32) - 1
_LOW = 0xFFFF_FFFF


class Kind(IntEnum):
    """What a record says. Numbers are never reused; an unknown one in a sound record stops the node."""

    SEGMENT = 1
    """First record of a file: format version, and where the log before it ends."""
    ROUND = 2
    """First record of a round: how long it is, and the greatest round known to be synced."""
    ENTRY = 3
    """One Raft entry of a shard."""
    TRUNCATE = 4
    """Entries of a shard from an index on are withdrawn."""
    HARD_STATE = 5
    """Term and vote of a shard."""
    BASE = 6
    """A shard's log now begins after this index: a snapshot took the place of what was before."""
    BODY_COPY = 7
    """Bytes of an older entry, carried forward. Never takes part in Raft."""
    SEAL = 8
    """Nothing; written when idle so that the round before it is stated to be synced."""


class Record(msgspec.Struct, frozen=True):
    """A record that verified. `offset` is its place in the file, `crc` what the next one must state."""

    kind: int
    shard: int
    term: int
    index: int
    payload: bytes
    offset: int
    previous: int
    crc: int

    @property
    def end(self) -> int:
        """First byte after the record."""
        return self.offset + HEADER_BYTES + len(self.payload)


class Header(msgspec.Struct, frozen=True):
    """The fields of a header that nobody verified yet."""

    crc: int
    previous: int
    use: int
    position: int
    length: int
    kind: int
    flags: int
    shard: int
    term: int
    index: int


def round_up(offset: int) -> int:
    """Return the first block boundary at or after `offset`."""
    return -(-offset // BLOCK_BYTES) * BLOCK_BYTES


def encode_header(
    salt: int,
    previous: int,
    offset: int,
    kind: Kind,
    payload: Sequence[bytes],
    length: int,
    *,
    shard: int = 0,
    term: int = 0,
    index: int = 0,
) -> tuple[bytes, int]:
    """Return the header of a record whose payload is these pieces, `length` bytes together, and the record's crc."""
    fields = _FIELDS.pack(previous, salt >> 32, offset & _LOW, length, kind, 0, shard, term, index)
    crc = google_crc32c.extend(salt & _LOW, fields)
    for piece in payload:
        crc = google_crc32c.extend(crc, piece)
    return _CRC.pack(crc) + fields, crc


def peek_header(data: bytes, at: int = 0) -> Header | None:
    """Read the header at `at` without verifying it; None if there are too few bytes."""
    if len(data) - at < HEADER_BYTES:
        return None
    return Header(*_CRC.unpack_from(data, at), *_FIELDS.unpack_from(data, at + _CRC.size))


def plausible(header: Header, salt: int, offset: int) -> bool:
    """Whether a header could belong to a record of this file at `offset`; cheap, before the payload is read."""
    return header.use == salt >> 32 and header.position == offset & _LOW and header.flags == 0


def verify(salt: int, offset: int, data: bytes) -> Record | None:
    """Return the record that `data` is exactly, if it is the one that was written there."""
    header = peek_header(data)
    if header is None or header.length != len(data) - HEADER_BYTES or not plausible(header, salt, offset):
        return None
    if google_crc32c.extend(salt & _LOW, data[_CRC.size :]) != header.crc:
        return None
    payload = data[HEADER_BYTES:]
    return Record(header.kind, header.shard, header.term, header.index, payload, offset, header.previous, header.crc)


def verify_next(salt: int, offset: int, previous: int, data: bytes, at: int, length_max: int) -> Record | int | None:
    """Return the record at `at` of `data`, which lies at `offset` of its file, if it is sound and follows `previous`.

    None if there is no such record of at most `length_max` bytes; the record's length if `data` does not reach so far.
    One pass without intermediate objects: a start reads a million records this way.
    """
    payload = at + HEADER_BYTES
    if len(data) < payload:
        return None
    stated, use, position, length, kind, flags, shard, term, index = _FIELDS.unpack_from(data, at + _CRC.size)
    if stated != previous or use != salt >> 32 or position != offset & _LOW or flags:
        return None
    if HEADER_BYTES + length > length_max:
        return None
    if len(data) < payload + length:
        return HEADER_BYTES + int(length)
    (crc,) = _CRC.unpack_from(data, at)
    if google_crc32c.extend(salt & _LOW, data[at + _CRC.size : payload + length]) != crc:
        return None
    return Record(kind, shard, term, index, data[payload : payload + length], offset, previous, crc)

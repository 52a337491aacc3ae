"""Cutting stored batches at record boundaries, so that only visible records leave."""

from __future__ import annotations

import google_crc32c

from tallymq.txn.bits import first, full


def positions_of(bits: int) -> list[int]:
    """Return the positions in a bit set, ascending."""
    positions = []
    while bits:
        positions.append(first(bits))
        bits &= bits - 1
    return positions


def are_consecutive(bits: int) -> bool:
    """Return whether the set bits follow each other without a gap."""
    shifted = bits // (bits & -bits) if bits else 0
    return shifted & (shifted + 1) == 0


def cut(records: bytes, bits: int) -> bytes:
    """Return the encoded batch with only the records whose bit is set, byte for byte as they were stored."""
    view = memoryview(records)
    pieces: list[memoryview] = []
    record = position = 0
    run_start = -1
    while position < len(records) and bits >> record:
        if bits >> record & 1:
            run_start = position if run_start < 0 else run_start
        elif run_start >= 0:
            pieces.append(view[run_start:position])
            run_start = -1
        position = _after_record(records, position)
        record += 1
    if run_start >= 0:
        pieces.append(view[run_start:position])
    return b"".join(pieces)


def visible(records: bytes, crc32c: int, count: int, bits: int) -> tuple[bytes, int]:
    """Return the selected records and their CRC32C; a batch that is wholly selected is returned untouched."""
    if bits == full(count):
        return records, crc32c
    part = cut(records, bits)
    return part, int(google_crc32c.value(part))


def _after_record(records: bytes, position: int) -> int:
    position += 1
    length = shift = 0
    while True:
        byte = records[position]
        position += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return position + length
        shift += 7

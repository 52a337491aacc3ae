"""Bit sets: Python integers, bit p for record p. In state they are bytes, little-endian, without the zeros below."""

from __future__ import annotations

from collections.abc import Iterator


def full(count: int) -> int:
    """Return the set of the first `count` bits."""
    return (1 << count) - 1


def pack(bits: int) -> bytes:
    """Return `bits` as stored: two bytes that count the zero bytes left out, then the rest, little-endian.

    One bit of a batch of 16,384 takes three bytes this way and not two thousand, so a batch decided record by record
    costs no more than its records. The empty set is empty.
    """
    if bits == 0:
        return b""
    below = ((bits & -bits).bit_length() - 1) >> 3
    rest = bits >> (below << 3)
    return below.to_bytes(2, "little") + rest.to_bytes((rest.bit_length() + 7) >> 3, "little")


def unpack(stored: bytes) -> int:
    """Return the set that `pack` stored."""
    return int.from_bytes(stored[2:], "little") << (int.from_bytes(stored[:2], "little") << 3)


def first(bits: int) -> int:
    """Return the number of the lowest bit of a set that is not empty."""
    return (bits & -bits).bit_length() - 1


def find(bits: int, rank: int) -> int:
    """Return the number of the bit that has exactly `rank` others of the set below it."""
    low, high = 0, bits.bit_length()
    while high - low > 1:
        middle = (low + high) >> 1
        if (bits & full(middle)).bit_count() > rank:
            high = middle
        else:
            low = middle
    return low


def pick(bits: int, skip: int, take: int) -> int:
    """Return `take` bits of the set, counted from below, after the first `skip` of them."""
    if skip == 0 and take >= bits.bit_count():
        return bits
    start = find(bits, skip)
    rest = bits >> start << start
    return rest & full(find(rest, take - 1) + 1)


def runs(bits: int) -> Iterator[tuple[int, int]]:
    """Yield (first, count) of each run of neighbouring bits, from below."""
    base = 0
    while bits:
        gap = first(bits)
        bits >>= gap
        base += gap
        count = first(~bits)
        yield base, count
        bits >>= count
        base += count

"""Limits of names, numbers and lists, as the proto files document them. Each check raises Refused or returns."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tallymq.proto import messaging_pb2
from tallymq.service.errors import Refused

NAME_BYTES_MAX = 255
RECORDS_MAX = 16_384
QUEUE_COUNT_MAX = 1_024
LIMIT_DEFAULT, LIMIT_MAX = 100, 1_000
"""How many things a list answers with."""
DECISIONS_MAX = 1_024
RANGES_MAX = 1_024
BITS_BYTES_MAX = 2_048
LEASE_MS_MIN, LEASE_MS_MAX = 1_000, 43_200_000
CHECK_AFTER_MS_MIN, CHECK_AFTER_MS_MAX = 1_000, 86_400_000
DELAY_MS_MAX = 86_400_000
WAIT_MS_MAX = 60_000
FETCH_BYTES_MAX = 3 << 20
REASON_BYTES_MAX = 1_024
ID_BYTES = 16

_NAME = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)?")


def check_name(name: str, field: str) -> None:
    """Refuse a missing or illegal topic or group name."""
    if not name:
        raise Refused("MISSING_FIELD", field)
    if len(name) > NAME_BYTES_MAX or _NAME.fullmatch(name) is None:
        raise Refused("ILLEGAL_NAME", field)


def check_optional_name(name: str, field: str) -> None:
    """Refuse an illegal name; an empty one is allowed."""
    if name:
        check_name(name, field)


def check_range(value: int, low: int, high: int, field: str, zero: bool = False) -> None:
    """Refuse a number outside [low, high]; `zero` allows 0, which stands for a default."""
    if zero and value == 0:
        return
    if not low <= value <= high:
        raise Refused("OUT_OF_RANGE", f"{field} is {value}, allowed are {low} to {high}")


def check_present(value: int, field: str) -> None:
    """Refuse a number that must not be 0."""
    if value == 0:
        raise Refused("MISSING_FIELD", field)


def check_items(count: int, low: int, high: int, field: str) -> None:
    """Refuse a list with fewer or more items than allowed."""
    if not low <= count <= high:
        raise Refused("TOO_MANY_ITEMS", f"{field} has {count} items, allowed are {low} to {high}")


def check_text(text: str, low: int, high: int, field: str) -> None:
    """Refuse a text of fewer or more bytes than allowed."""
    size = len(text.encode())
    if size < low:
        raise Refused("MISSING_FIELD", field)
    if size > high:
        raise Refused("TEXT_TOO_LONG", f"{field} has {size} bytes, at most {high} are allowed")


def check_id(value: bytes, field: str) -> None:
    """Refuse an id that is not 16 bytes."""
    if len(value) != ID_BYTES:
        raise Refused("ILLEGAL_ID", f"{field} has {len(value)} bytes")


def check_ranges(ranges: Sequence[messaging_pb2.LeasedRange]) -> None:
    """Refuse an illegal list of leased ranges."""
    check_items(len(ranges), 1, RANGES_MAX, "ranges")
    for leased in ranges:
        check_name(leased.topic, "ranges.topic")
        check_range(leased.count, 1, RECORDS_MAX, "ranges.count")
        check_present(leased.lease, "ranges.lease")
        if leased.first_offset + leased.count > 1 << 63:
            raise Refused("OUT_OF_RANGE", "ranges.first_offset")


def bits_of(raw: bytes, field: str) -> int:
    """Return a bit set of the wire as an integer; refuse one that is longer than any batch."""
    if len(raw) > BITS_BYTES_MAX:
        raise Refused("OUT_OF_RANGE", f"{field} has {len(raw)} bytes, at most {BITS_BYTES_MAX} are allowed")
    return int.from_bytes(raw, "little")


def bits_to_bytes(bits: int) -> bytes:
    """Return a bit set as the wire carries it."""
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")

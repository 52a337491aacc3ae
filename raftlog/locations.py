"""Where an entry lies in the log: what the store keeps under `location_key`."""

from __future__ import annotations

import struct
from typing import NamedTuple

_LOCATION = struct.Struct(">QQIQ")


class Location(NamedTuple):
    """Segment number, offset of the record in its file, bytes of payload, and the entry's term."""

    segment: int
    offset: int
    length: int
    term: int


def encode_location(location: Location) -> bytes:
    """Return the value stored under `location_key`."""
    return _LOCATION.pack(*location)


def decode_location(value: bytes) -> Location:
    """Read what `encode_location` made."""
    return Location(*_LOCATION.unpack(value))

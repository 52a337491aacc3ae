"""Where the bytes of an entry lie in the log: what the store keeps under `location_key`."""

from __future__ import annotations

import struct
from typing import NamedTuple

_ENTRY = struct.Struct(">QQIQ")
_COPY = struct.Struct(">QQIQI")

COPY_START = struct.Struct("<I")
"""What a body copy's payload begins with: where in the entry's payload its bytes were."""


class Location(NamedTuple):
    """Segment number, offset of the record in its file, bytes of the entry's payload in it, and the entry's term.

    `copied_from` None: the record is the entry itself. Otherwise it is a body copy, which holds the part of the payload
    that begins there.
    """

    segment: int
    offset: int
    length: int
    term: int
    copied_from: int | None = None

    @property
    def start(self) -> int:
        """Where in the entry's payload the bytes held begin."""
        return self.copied_from or 0

    @property
    def prefix_bytes(self) -> int:
        """What the record's payload has before them."""
        return 0 if self.copied_from is None else COPY_START.size


def encode_location(location: Location) -> bytes:
    """Return the value stored under `location_key`."""
    if location.copied_from is None:
        return _ENTRY.pack(*location[:-1])
    return _COPY.pack(*location)


def decode_location(value: bytes) -> Location:
    """Read what `encode_location` made."""
    return Location(*(_ENTRY if len(value) == _ENTRY.size else _COPY).unpack(value))

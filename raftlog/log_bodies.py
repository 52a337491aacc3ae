"""Bodies outside of Raft: copies of an entry's bytes, and reading what is held of an entry in small pieces."""

from __future__ import annotations

from dataclasses import dataclass

import google_crc32c

from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.keys import location_key
from tallymq.raftlog.locations import COPY_START, Location, encode_location
from tallymq.raftlog.payloads import Position
from tallymq.raftlog.records import HEADER_BYTES, Kind, peek_header, plausible
from tallymq.raftlog.segments import Segments

_CRC_BYTES = 4
_LOW = 0xFFFF_FFFF


@dataclass(slots=True)
class BodyCopy:
    """A copy on its way into the log. It counts once `round` is synced; `location` is None before it is written."""

    shard: int
    index: int
    term: int
    start: int
    length: int
    round: int
    location: Location | None = None

    def placed(self, position: Position) -> None:
        """Note where it was written."""
        self.location = Location(position.segment, position.offset, self.length, self.term, self.start)

    def pair(self) -> tuple[bytes, bytes]:
        """Return the store's key and value that make it the bytes of its entry; ValueError before it is written."""
        if self.location is None:
            raise ValueError(f"the copy of entry {self.index} of shard {self.shard} is not written yet")
        return location_key(self.shard, self.index), encode_location(self.location)


def copy_pieces(start: int, body: bytes) -> tuple[bytes, bytes]:
    """Return the payload of a body copy."""
    return COPY_START.pack(start), body


class BodyReader:
    """Reads the bytes held of one entry. They count only once `read` gave the last of them: then the record is sound.

    `start` is where in the entry's payload they begin, `length` how many there are. Raises BodyDamaged.
    """

    def __init__(self, segments: Segments, shard: int, index: int, location: Location) -> None:
        self._segments = segments
        self._location = location
        self._name = f"entry {index} of shard {shard} is damaged in segment {location.segment} of the log"
        self._read = 0
        self.start = location.start
        self.length = location.length
        self.term = location.term
        if location.segment not in segments:
            raise BodyDamaged(self._name)
        salt = segments.salt(location.segment)
        head = segments.read(location.segment, location.offset, HEADER_BYTES + location.prefix_bytes)
        header = peek_header(head)
        kind = Kind.ENTRY if location.copied_from is None else Kind.BODY_COPY
        if (
            header is None
            or not plausible(header, salt, location.offset)
            or (header.kind, header.shard, header.index, header.term) != (kind, shard, index, location.term)
            or header.length != location.prefix_bytes + location.length
            or len(head) != HEADER_BYTES + location.prefix_bytes
        ):
            raise BodyDamaged(self._name)
        self._wanted_crc = header.crc
        self._crc = google_crc32c.extend(salt & _LOW, head[_CRC_BYTES:])

    @property
    def offset(self) -> int:
        """How many bytes were read."""
        return self._read

    @property
    def is_done(self) -> bool:
        """Whether all were read, and found sound."""
        return self._read == self.length

    def read(self, bytes_max: int) -> bytes:
        """Return the next bytes; the last of them only if the whole record is sound, else BodyDamaged."""
        location = self._location
        wanted = min(bytes_max, self.length - self._read)
        place = location.offset + HEADER_BYTES + location.prefix_bytes + self._read
        data = self._segments.read(location.segment, place, wanted)
        if len(data) != wanted:
            raise BodyDamaged(self._name)
        self._crc = google_crc32c.extend(self._crc, data)
        self._read += wanted
        if self.is_done and self._crc != self._wanted_crc:
            raise BodyDamaged(self._name)
        return data

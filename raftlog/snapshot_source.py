"""What a snapshot is made of, read piece by piece from one consistent view of the store and from the log.

First the bodies that the state refers to, by ascending index, then the pairs of the state, by ascending key. The state
after an entry is the same on every node, so a receiver may go on with what it has of it, whoever sends.
"""

from __future__ import annotations

import hashlib

import google_crc32c

from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.keys import (
    applied_key,
    decode_applied,
    decode_stamped,
    location_key,
    state_key,
    state_range_end,
)
from tallymq.raftlog.locations import decode_location
from tallymq.raftlog.log import NodeLog
from tallymq.raftlog.log_bodies import BodyReader
from tallymq.raftlog.snapshot_messages import BodyPiece
from tallymq.raftlog.store import StoreReader
from tallymq.txn.queries import needed_bodies

PAIRS_READ = 32
"""At once: few, so that one read of large values stays small."""
PAIRS_MAX = 192
"""In one message: 0.9 ms of CPU to read and encode, p99 1.2, worst seen 7 of 315 (512 pairs: p99 8.5)."""
BODIES_MAX = 64
"""In one message: opening a body costs a read of the disk."""
INDEXES_READ = 256


class Digest:
    """What all pairs of a state add up to: their number and a SHA-256; each pair counts once, by ascending key."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.pairs = 0
        self.last_key = b""

    def add(self, key: bytes, value: bytes) -> None:
        """Take the next pair; one that was taken before changes nothing."""
        if key > self.last_key:
            self._hash.update(b"%b%b%b%b" % (len(key).to_bytes(4, "big"), key, len(value).to_bytes(4, "big"), value))
            self.last_key = key
            self.pairs += 1

    def value(self) -> bytes:
        """Return the 32 bytes."""
        return self._hash.digest()


class SnapshotView:
    """The rules' keys of one generation, as they were when the reader was made."""

    def __init__(self, reader: StoreReader, shard: int, generation: int) -> None:
        self._reader = reader
        self._prefix = state_key(shard, generation, b"")
        self._end = state_range_end(shard, generation)

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""
        return self._reader.get(self._prefix + key)

    def range(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` pairs with start <= key < end, by ascending key."""
        return self._cut(self._reader.range(self._prefix + start, self._prefix + end, limit))

    def after(self, key: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return the first pairs after `key`."""
        return self._cut(self._reader.range(self._prefix + key + b"\0" * bool(key), self._end, limit))

    def _cut(self, pairs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        cut = len(self._prefix)
        return [(key[cut:], value) for key, value in pairs]


class Source:
    """One snapshot being read. `index` is the entry after which the state is as it is sent."""

    def __init__(self, reader: StoreReader, log: NodeLog, shard: int, generation: int) -> None:
        applied = reader.get(applied_key(shard, generation))
        self.index = decode_applied(applied)
        self.stamped_ms = decode_stamped(applied)
        self.damaged_bodies = 0
        self.digest = Digest()
        self._reader = reader
        # What the reader says of places stays true for as long as no file goes.
        self._pin = log.flushes.pin()
        self._log = log
        self._shard = shard
        self._view = SnapshotView(reader, shard, generation)
        self.seek(0, b"")

    def seek(self, bodies_after: int, pairs_after: bytes) -> None:
        """Go on after this body and this key: the receiver has what is before them."""
        self._bodies_after = bodies_after
        self._indexes: list[int] = []
        self._bodies_done = bodies_after >= self.index
        self._body: BodyReader | None = None
        self._body_index = 0
        self._crc = 0
        self._send_after = pairs_after
        # What was not sent by this source must be read all the same: the digest is of everything.
        self._pairs_after = min(pairs_after, self.digest.last_key)
        self.is_done = False

    def close(self) -> None:
        """Let store and log forget what only this snapshot needs."""
        self._reader.close()
        self._pin.release()

    # Bodies

    def bodies(self, bytes_max: int) -> tuple[BodyPiece, ...]:
        """Return the next parts of bodies; none: there are no more, `pairs` come now."""
        pieces: list[BodyPiece] = []
        size = 0
        while size < bytes_max and len(pieces) < BODIES_MAX and not self._bodies_done:
            piece = self._body_piece(bytes_max - size)
            if piece is not None:
                pieces.append(piece)
                size += len(piece.data)
        return tuple(pieces)

    def _body_piece(self, bytes_max: int) -> BodyPiece | None:
        """Read on in the body that is open, or open the next; None where there was nothing to read."""
        try:
            body = self._body or self._open_next()
            if body is None:
                return None
            offset = body.offset
            data = body.read(bytes_max)
        except BodyDamaged:
            # Another node may have it: the receiver asks for it when someone wants to read it.
            self.damaged_bodies += 1
            self._body = None
            return BodyPiece(self._body_index, 1, 0, 0, 0, b"", 0, damaged=True)
        self._crc = google_crc32c.extend(self._crc, data)
        piece = BodyPiece(self._body_index, body.term, body.start, body.length, offset, data, self._crc)
        self._body = None if body.is_done else body
        return piece

    def _open_next(self) -> BodyReader | None:
        if not self._indexes:
            self._indexes = self._next_indexes()[::-1]
            if not self._indexes:
                self._bodies_done = True
                return None
        self._body_index = self._bodies_after = self._indexes.pop()
        self._crc = 0
        value = self._reader.get(location_key(self._shard, self._body_index))
        if value is None:
            raise BodyDamaged(f"the store does not know where entry {self._body_index} of shard {self._shard} is")
        location = decode_location(value)
        self._body = self._log.open_body(self._shard, self._body_index, location)
        return self._body

    def _next_indexes(self) -> list[int]:
        return needed_bodies(self._view, self._bodies_after, INDEXES_READ)

    # Pairs

    def pairs(self, bytes_max: int) -> tuple[tuple[bytes, bytes], ...]:
        """Return the next pairs; none while `is_done` is False means: what was read the receiver has already."""
        pairs: list[tuple[bytes, bytes]] = []
        size = read = 0
        while size < bytes_max and read < PAIRS_MAX and not self.is_done:
            found = self._view.after(self._pairs_after, PAIRS_READ)
            self.is_done = len(found) < PAIRS_READ
            read += PAIRS_READ
            for key, value in found:
                self.digest.add(key, value)
                self._pairs_after = key
                if key > self._send_after:
                    pairs.append((key, value))
                size += len(key) + len(value)
        return tuple(pairs)

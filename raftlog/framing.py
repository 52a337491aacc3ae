"""Frames between two nodes: cut from received bytes, and queued to be sent. No input or output of its own.

A frame is `u32 length of the payload, u8 kind, u16 shard` (little-endian) and the payload.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

HEADER = struct.Struct("<IBH")
KIND_HELLO = 1
KIND_PING = 2
KIND_MESSAGE = 16
"""A message of one shard's consensus; its payload is `codec`'s."""
KIND_SNAPSHOT = 17
"""Part of a snapshot of one shard, or a word about one; its payload is `snapshot_codec`'s. Leaves after all others."""
KINDS = frozenset({KIND_HELLO, KIND_PING, KIND_MESSAGE, KIND_SNAPSHOT})

RECEIVE_BYTES = 256 * 1024
"""Size of the buffer all small frames are received into; a larger one gets a buffer of its own."""
JOIN_BYTES_MAX = 64 * 1024
"""Pieces up to this size are joined before they are sent: below it a copy is cheaper than a TLS record of its own."""

SNAPSHOT_BYTES_MAX = 4 * 1024 * 1024
"""Of parts of snapshots waiting for one peer; whoever sends them waits for answers long before."""

Bytes = bytes | bytearray | memoryview


class FrameRefused(Exception):
    """What was received is not a frame that may come here; the connection must be closed."""


class Frame(NamedTuple):
    """One received frame. The payload is the receiver's to keep: its memory is never used again."""

    kind: int
    shard: int
    payload: bytes | memoryview


class FrameReader:
    """Cuts a stream of bytes into frames.

    Use: receive into `space()`, then call `received(count)`. `payload_bytes_max` may be raised while reading. A small
    payload is copied out once; a payload that does not fit the buffer is received straight into memory of its own.
    """

    def __init__(self, payload_bytes_max: int) -> None:
        self.payload_bytes_max = payload_bytes_max
        self._buffer = bytearray(RECEIVE_BYTES)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._large: memoryview | None = None
        self._large_header = (0, 0)
        self._large_filled = 0

    def space(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        if self._large is not None:
            return self._large[self._large_filled :]
        return self._view[self._end :]

    def received(self, count: int) -> list[Frame]:
        """Account for `count` bytes written into `space()`; return the frames now complete. Raises FrameRefused."""
        if self._large is not None:
            self._large_filled += count
            return self._take_large()
        self._end += count
        frames = []
        while (frame := self._cut()) is not None:
            frames.append(frame)
        return frames

    def _take_large(self) -> list[Frame]:
        large = self._large
        if large is None or self._large_filled < len(large):
            return []
        self._large = None
        kind, shard = self._large_header
        return [Frame(kind, shard, large.toreadonly())]

    def _cut(self) -> Frame | None:
        held = self._end - self._start
        if held < HEADER.size:
            self._make_room(HEADER.size)
            return None
        length, kind, shard = HEADER.unpack_from(self._buffer, self._start)
        if kind not in KINDS:
            raise FrameRefused(f"unknown frame kind {kind}")
        if length > self.payload_bytes_max:
            raise FrameRefused(f"a frame of {length} bytes, at most {self.payload_bytes_max} are allowed here")
        body = self._start + HEADER.size
        if held < HEADER.size + length:
            if HEADER.size + length > RECEIVE_BYTES // 2:
                self._begin_large(length, kind, shard, body)
            else:
                self._make_room(HEADER.size + length)
            return None
        self._start = body + length
        frame = Frame(kind, shard, bytes(self._view[body : self._start]))
        if self._start == self._end:
            self._start = self._end = 0
        return frame

    def _begin_large(self, length: int, kind: int, shard: int, body: int) -> None:
        have = self._end - body
        self._large = memoryview(bytearray(length))
        self._large[:have] = self._view[body : self._end]
        self._large_header = (kind, shard)
        self._large_filled = have
        self._start = self._end = 0

    def _make_room(self, wanted: int) -> None:
        """Move a begun frame to the front when the rest of it would not fit behind it."""
        if self._start and RECEIVE_BYTES - self._start < wanted + HEADER.size:
            held = bytes(self._view[self._start : self._end])
            self._view[: len(held)] = held
            self._start, self._end = 0, len(held)


class SendQueue:
    """Frames waiting for one peer, bounded in bytes: urgent ones leave first, parts of snapshots last.

    Each of the three has a bound of its own.
    """

    def __init__(
        self,
        bytes_max: int,
        urgent_bytes_max: int = 1024 * 1024,
        snapshot_bytes_max: int = SNAPSHOT_BYTES_MAX,
    ) -> None:
        self._bytes_max = bytes_max
        self._urgent_bytes_max = urgent_bytes_max
        self._snapshot_bytes_max = snapshot_bytes_max
        self._queue: deque[tuple[int, list[Bytes]]] = deque()
        self._urgent: deque[tuple[int, list[Bytes]]] = deque()
        self._snapshots: deque[tuple[int, list[Bytes]]] = deque()
        self.queued_bytes = 0
        self.urgent_bytes = 0
        self.snapshot_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._queue or self._urgent or self._snapshots)

    def put(self, kind: int, shard: int, payload: Sequence[Bytes], urgent: bool = False) -> bool:
        """Queue one frame; False if the bound forbids it and nothing was queued."""
        length = sum(map(len, payload))
        size = HEADER.size + length
        pieces: list[Bytes] = [HEADER.pack(length, kind, shard), *payload]
        if urgent:
            if self.urgent_bytes + size > self._urgent_bytes_max:
                return False
            self.urgent_bytes += size
            self._urgent.append((size, pieces))
            return True
        if kind == KIND_SNAPSHOT:
            # One body may be larger than the bound: then it waits alone.
            if self._snapshots and self.snapshot_bytes + size > self._snapshot_bytes_max:
                return False
            self.snapshot_bytes += size
            self._snapshots.append((size, pieces))
            return True
        if self.queued_bytes + size > self._bytes_max:
            return False
        self.queued_bytes += size
        self._queue.append((size, pieces))
        return True

    def take(self, bytes_max: int) -> list[Bytes]:
        """Remove whole frames, urgent ones first, until `bytes_max` is reached; return what to write, in order."""
        pieces: list[Bytes] = []
        taken = 0
        while taken < bytes_max and self:
            if self._urgent:
                size, frame = self._urgent.popleft()
                self.urgent_bytes -= size
            elif self._queue:
                size, frame = self._queue.popleft()
                self.queued_bytes -= size
            else:
                size, frame = self._snapshots.popleft()
                self.snapshot_bytes -= size
            taken += size
            pieces += frame
        return join_small(pieces)

    def clear(self) -> None:
        """Forget everything."""
        self._queue.clear()
        self._urgent.clear()
        self._snapshots.clear()
        self.queued_bytes = self.urgent_bytes = self.snapshot_bytes = 0


def join_small(pieces: Iterable[Bytes]) -> list[Bytes]:
    """The same bytes with runs of small pieces joined into one."""
    joined: list[Bytes] = []
    run: list[Bytes] = []
    run_bytes = 0
    for piece in pieces:
        if run and run_bytes + len(piece) > JOIN_BYTES_MAX:
            joined.append(b"".join(run))
            run, run_bytes = [], 0
        if len(piece) > JOIN_BYTES_MAX:
            joined.append(piece)
        else:
            run.append(piece)
            run_bytes += len(piece)
    if run:
        joined.append(b"".join(run))
    return joined

"""Frames over a raw connection between two processes."""

import asyncio
from collections.abc import Callable
from typing import cast

from benchmarks.trial.segment import FRAME_HEADER, Frame

BUFFER_BYTES = 1 << 20
ROOM_BYTES_MIN = 1 << 17
WRITE_BYTES_HIGH = 8 << 20


class Link(asyncio.BufferedProtocol):
    """Cuts what arrives into frames and hands them over, all that are complete at once."""

    def __init__(self, on_frames: Callable[[list[Frame]], None]) -> None:
        self._on_frames = on_frames
        self._buffer = bytearray(BUFFER_BYTES)
        self._filled = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        # uvloop's transports are none of asyncio's by class.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(WRITE_BYTES_HIGH)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        if len(self._buffer) - self._filled < ROOM_BYTES_MIN:
            larger = bytearray(2 * len(self._buffer))
            larger[: self._filled] = memoryview(self._buffer)[: self._filled]
            self._buffer = larger
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        self._filled += nbytes
        frames, used = self._cut()
        if used:
            rest = bytes(memoryview(self._buffer)[used : self._filled])
            self._buffer[: len(rest)] = rest
            self._filled = len(rest)
        if frames:
            self._on_frames(frames)

    def _cut(self) -> tuple[list[Frame], int]:
        view = memoryview(self._buffer)
        frames: list[Frame] = []
        used = 0
        while self._filled - used >= FRAME_HEADER.size:
            length, number = FRAME_HEADER.unpack_from(view, used)
            end = used + FRAME_HEADER.size + length
            if end > self._filled:
                break
            frames.append((number, bytes(view[used + FRAME_HEADER.size : end])))
            used = end
        return frames, used

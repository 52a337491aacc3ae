"""A preallocated file that frames are appended to, and a thread that syncs it."""

import asyncio
import os
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

# Length of the payload, number of the frame.
FRAME_HEADER = struct.Struct("<IQ")
SEGMENT_BYTES = 1 << 30
# The file is begun again before its end, so that nothing is ever extended.
REWIND_BYTES = 1000 << 20
# The kernel takes at most 1,024 pieces in one write.
PIECES_MAX = 1000

Frame = tuple[int, bytes]


def encode(frames: Sequence[Frame]) -> list[bytes]:
    """The pieces of these frames as they go to a file or a peer."""
    pieces = []
    for number, payload in frames:
        pieces.append(FRAME_HEADER.pack(len(payload), number))
        pieces.append(payload)
    return pieces


class Segment:
    """Appends frames; a thread of its own syncs whatever is there and tells the loop up to which number."""

    def __init__(self, path: Path, on_synced: Callable[[int], None]) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
        os.posix_fallocate(self._descriptor, 0, SEGMENT_BYTES)
        self._offset = 0
        self._written = 0
        self._woken = threading.Event()
        self._on_synced = on_synced
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._sync_for_ever, name="sync", daemon=True).start()

    def append(self, frames: Sequence[Frame]) -> None:
        """Hands frames to the file, without waiting for the disk."""
        pieces = encode(frames)
        for start in range(0, len(pieces), PIECES_MAX):
            self._offset += os.pwritev(self._descriptor, pieces[start : start + PIECES_MAX], self._offset)
        if self._offset > REWIND_BYTES:
            self._offset = 0
        self._written = frames[-1][0]
        self._woken.set()

    def _sync_for_ever(self) -> None:
        synced = 0
        while True:
            self._woken.wait()
            self._woken.clear()
            written = self._written
            if written != synced:
                os.fdatasync(self._descriptor)
                synced = written
                self._loop.call_soon_threadsafe(self._on_synced, synced)

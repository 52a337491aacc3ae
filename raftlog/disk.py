"""The disk as the log sees it: files by name in one folder. The real one is here; a simulator brings its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

# IOV_MAX of Linux: more pieces than this in one call are refused by the kernel.
PIECES_MAX = 1024


class DiskFile(Protocol):
    """One open file. Offsets and lengths are bytes. Every method raises OSError as the operating system does."""

    def write(self, offset: int, pieces: Sequence[bytes]) -> None:
        """Write all pieces, one after the other, from `offset`; nothing is durable before `synchronize`."""

    def read(self, offset: int, length: int) -> bytes:
        """Return at most `length` bytes from `offset`; fewer only at the end of the file."""

    def synchronize(self) -> None:
        """Block until every write so far, and the length, are on stable storage. May be called from any thread."""

    def allocate(self, length: int) -> None:
        """Reserve room up to `length`; the file is at least that long afterwards, zeros where nothing was written."""

    def truncate(self, length: int) -> None:
        """Cut the file, or lengthen it with zeros."""

    def length(self) -> int:
        """Return the file's length."""

    def close(self) -> None:
        """Give the handle back; idempotent. Nothing is synced by it."""


class Disk(Protocol):
    """One folder of files. Names hold no separators."""

    def create(self, name: str) -> DiskFile:
        """Make an empty file and open it; FileExistsError where there is one."""

    def open(self, name: str) -> DiskFile:
        """Open an existing file for reading and writing; FileNotFoundError where there is none."""

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing what had it."""

    def remove(self, name: str) -> None:
        """Remove a file."""

    def synchronize_names(self) -> None:
        """Block until files made, renamed and removed so far stay so after a power cut. Any thread may call it."""

    def free_bytes(self) -> int:
        """Return how much room an ordinary process has left on this disk."""


class RealFile:
    """A file of the operating system."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, offset: int, pieces: Sequence[bytes]) -> None:
        """Write all pieces with as few system calls as the kernel allows."""
        for group in _groups(pieces):
            wanted = sum(map(len, group))
            written = os.pwritev(self._descriptor, group, offset)
            if written < wanted:
                self._write_rest(offset + written, b"".join(group)[written:])
            offset += wanted

    def _write_rest(self, offset: int, rest: bytes) -> None:
        view = memoryview(rest)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view = view[written:]
            offset += written

    def read(self, offset: int, length: int) -> bytes:
        """Read with as many calls as it takes."""
        data = os.pread(self._descriptor, length, offset)
        while data and len(data) < length:
            more = os.pread(self._descriptor, length - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def synchronize(self) -> None:
        """Call fdatasync, which releases Python's global lock."""
        os.fdatasync(self._descriptor)

    def allocate(self, length: int) -> None:
        """Call fallocate, so that a round within `length` cannot find the disk full."""
        os.posix_fallocate(self._descriptor, 0, length)

    def truncate(self, length: int) -> None:
        """Call ftruncate."""
        os.ftruncate(self._descriptor, length)

    def length(self) -> int:
        """Return what fstat says."""
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Close the descriptor once."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class RealDisk:
    """A folder of the operating system; made, and its own name synced, where it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True)
            synchronize_folder(folder.parent)

    def create(self, name: str) -> RealFile:
        """Make a file that only this user may read."""
        return RealFile(os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def open(self, name: str) -> RealFile:
        """Open a file that exists."""
        return RealFile(os.open(self._folder / name, os.O_RDWR | os.O_CLOEXEC))

    def names(self) -> list[str]:
        """List regular files only."""
        with os.scandir(self._folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))

    def rename(self, old: str, new: str) -> None:
        """Rename within the folder, atomically."""
        os.replace(self._folder / old, self._folder / new)

    def remove(self, name: str) -> None:
        """Unlink."""
        os.unlink(self._folder / name)

    def synchronize_names(self) -> None:
        """Call fsync on the folder."""
        synchronize_folder(self._folder)

    def free_bytes(self) -> int:
        """Ask statvfs."""
        return free_bytes(self._folder)


def free_bytes(folder: Path) -> int:
    """Return the room that an ordinary process has on the disk of `folder`, in bytes."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _groups(pieces: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(pieces), PIECES_MAX):
        yield pieces[start : start + PIECES_MAX]


def synchronize_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

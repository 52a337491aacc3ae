"""A file system of one's own whose power can be cut: what was synced is there afterwards, the rest is gone.

It can be filled to the last byte, too.
"""

import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

IMAGE_BYTES = 2 << 30
BALLAST = "ballast"
MIB = 1 << 20
BLOCK = 4096
SHUTDOWN = 0x8004587D
"""The call by which xfs and ext4 take themselves off their disk."""
WITHOUT_THE_JOURNAL = struct.pack("I", 2)
MAKE = {"xfs": ("mkfs.xfs", "-q"), "ext4": ("mkfs.ext4", "-q", "-F")}


def run(*command: str) -> None:
    """Runs a program. Raises CalledProcessError with what it said."""
    subprocess.run(command, check=True, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)


class LoopFileSystem:
    """An xfs or ext4 in a sparse file, mounted on a folder."""

    def __init__(self, folder: Path, kind: str = "xfs", image_bytes: int = IMAGE_BYTES) -> None:
        self._image = folder.with_suffix(".img")
        self.folder = folder
        folder.mkdir(parents=True)
        with self._image.open("wb") as image:
            image.truncate(image_bytes)
        run(*MAKE[kind], str(self._image))
        self.mount()

    def __enter__(self) -> "LoopFileSystem":
        return self

    def __exit__(self, *_: object) -> None:
        self.unmount()
        self._image.unlink()

    def mount(self) -> None:
        """Mounts it; what was synced is there."""
        run("mount", "-o", "loop", str(self._image), str(self.folder))

    def unmount(self) -> None:
        """Takes it off. Whoever uses it must have ended."""
        run("umount", str(self.folder))

    def fill(self) -> None:
        """Takes all the room there is, until `free`."""
        with (self.folder / BALLAST).open("wb") as ballast:
            size = MIB
            while size >= BLOCK:
                try:
                    os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2
                else:
                    size *= 2

    def free(self) -> None:
        """Gives back what `fill` took."""
        (self.folder / BALLAST).unlink()

    def cut_power(self) -> None:
        """From now on nothing reaches the disk, and every call to it fails."""
        run("xfs_io", "-x", "-c", "shutdown", str(self.folder))


def cut_power_together(disks: Sequence[LoopFileSystem]) -> None:
    """Cuts the power of all of them, microseconds apart."""
    handles = [os.open(disk.folder, os.O_RDONLY) for disk in disks]
    try:
        for handle in handles:
            fcntl.ioctl(handle, SHUTDOWN, WITHOUT_THE_JOURNAL)
    finally:
        for handle in handles:
            os.close(handle)

"""How much room a node's disk has, what it therefore takes, and a reserve to be given up when there is none.

Rule 1. New messages are refused first, while there is room for all that goes on about those that are stored; then all
but what frees room; with none left, everything. Reads go on.
Rule 2. The reserve is a file that is removed when store or log found no room: what frees room can then be written.
Until it is back nothing new is taken, so it cannot be eaten up by what it was not kept for.
"""

from __future__ import annotations

from tallymq.raftlog.disk import Disk
from tallymq.raftlog.errors import DiskFull, Taken
from tallymq.raftlog.recovery import NO_ROOM
from tallymq.raftlog.settings import HostSettings

BALLAST = "ballast"
SCARCE_SHARE = 4
"""Below this part of `free_bytes_min` only what frees room is taken."""


class Ballast:
    """A file of `size_bytes` beside the log's; of no size it is never there. Every method blocks, for a thread."""

    def __init__(self, disk: Disk, size_bytes: int, free_bytes_min: int) -> None:
        self._disk = disk
        self._size_bytes = size_bytes
        # It is made again only where that leaves as much as it takes, so that it does not come and go.
        self._wanted_bytes = free_bytes_min + 2 * size_bytes
        self.is_there = BALLAST in disk.names()
        self.is_given_up = False

    def look(self, *, is_needed: bool) -> int:
        """Return the free bytes of the disk, after the reserve was given up if `is_needed`, else made if it may be."""
        if is_needed:
            self.is_given_up = self.is_given_up or self.is_there
            self._drop()
        elif self._size_bytes and not self.is_there and self._disk.free_bytes() >= self._wanted_bytes:
            self._make()
        return self._disk.free_bytes()

    def _drop(self) -> None:
        if self.is_there:
            self._disk.remove(BALLAST)
            self.is_there = False

    def _make(self) -> None:
        file = self._disk.create(BALLAST)
        self.is_there = True
        try:
            file.allocate(self._size_bytes)
            self.is_given_up = False
        except OSError as error:
            self._drop()
            if error.errno not in NO_ROOM:
                raise
        finally:
            file.close()


class Room:
    """What may be taken, by what is free."""

    def __init__(self, settings: HostSettings) -> None:
        self._free_bytes_min = settings.free_bytes_min
        self._text = f"the disk of {settings.data_directory} is nearly full; free some room"

    def refusal(self, free_bytes: int, *, has_reserve: bool) -> DiskFull | None:
        """Return why new messages are refused, None if they are not. 0 free: store or log found no room."""
        if free_bytes <= 0:
            return DiskFull(self._text)
        if free_bytes < self._free_bytes_min // SCARCE_SHARE or not has_reserve:
            return DiskFull(self._text, Taken.FREEING)
        if free_bytes < self._free_bytes_min:
            return DiskFull(self._text, Taken.KNOWN)
        return None

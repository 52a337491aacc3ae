"""A disk and a store that fail as real ones do.

A power cut keeps, drops or tears (at sectors of 512 bytes) each write that was not synced; a killed process leaves all
it wrote in the page cache, where a later power cut may still take it. A failed sync may throw pages away that reads go
on showing. The store keeps a prefix of its batches, at least up to its last completed flush, as RocksDB does.
"""

import errno
from collections.abc import Callable, Iterable, Sequence
from random import Random

from tallymq.raftlog.store import MemoryStore, Pair

SECTOR_BYTES = 512

Point = Callable[[str], None]
"""Called before and after whatever becomes durable or leaves the node; may end the process there."""


class Content:
    """The bytes of one file: what reads show, what is on stable storage, and the writes between the two."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.synced = bytearray()
        self.pending: list[tuple[int, bytes]] = []

    def write(self, offset: int, data: bytes) -> None:
        _overwrite(self.data, offset, data)
        self.pending.append((offset, data))

    def resize(self, length: int) -> None:
        # A length is metadata: durable at once, which a journalling file system may well do.
        _resize(self.data, length)
        _resize(self.synced, length)

    def synchronize(self) -> None:
        for offset, data in self.pending:
            _overwrite(self.synced, offset, data)
        self.pending.clear()

    def forget_dirty(self, chance: Random) -> None:
        """Lose pages as a failed sync does: reads show them, no later sync writes them."""
        self.pending = [write for write in self.pending if chance.random() < 0.5]

    def power_cut(self, chance: Random) -> None:
        for offset, data in self.pending:
            fate = chance.randrange(3)
            if fate == 0:
                continue
            for start in range(0, len(data), SECTOR_BYTES):
                if fate == 1 or chance.random() < 0.5:
                    _overwrite(self.synced, offset + start, data[start : start + SECTOR_BYTES])
        self.pending.clear()
        self.data = bytearray(self.synced)

    def damage(self, change: Callable[[bytearray], None]) -> None:
        """Change what is on stable storage behind the back of whoever wrote it."""
        change(self.synced)
        self.data = bytearray(self.synced)
        self.pending.clear()


def _overwrite(data: bytearray, offset: int, written: bytes) -> None:
    if offset + len(written) > len(data):
        _resize(data, offset + len(written))
    data[offset : offset + len(written)] = written


def _resize(data: bytearray, length: int) -> None:
    del data[length:]
    data.extend(bytes(length - len(data)))


class SimulatedFile:
    """A `DiskFile` of a `SimulatedDisk`."""

    def __init__(self, disk: "SimulatedDisk", content: Content) -> None:
        self._disk = disk
        self._content = content

    def write(self, offset: int, pieces: Sequence[bytes]) -> None:
        data = b"".join(pieces)
        self._disk.point("before write")
        missing = self._disk.missing(len(self._content.data), offset + len(data))
        if missing:
            # As the kernel does: some of it is written before the disk is found to be full.
            self._content.write(offset, data[: max(len(data) - missing, 0)])
            raise OSError(errno.ENOSPC, "No space left on device")
        self._content.write(offset, data)
        self._disk.point("after write")

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._content.data[offset : offset + length])

    def synchronize(self) -> None:
        disk = self._disk
        disk.point("before sync")
        if disk.failing_syncs:
            disk.failing_syncs -= 1
            self._content.forget_dirty(disk.chance)
            raise OSError(errno.EIO, "Input/output error")
        if not disk.is_lying:
            self._content.synchronize()
        disk.point("after sync")

    def allocate(self, length: int) -> None:
        self._disk.point("before allocate")
        if length > len(self._content.data):
            if self._disk.missing(len(self._content.data), length):
                raise OSError(errno.ENOSPC, "No space left on device")
            self._content.resize(length)

    def truncate(self, length: int) -> None:
        self._disk.point("before truncate")
        self._content.resize(length)

    def length(self) -> int:
        return len(self._content.data)

    def close(self) -> None:
        """Nothing to give back."""


class SimulatedDisk:
    """A `Disk` of one node. What survives the node's process is here; `point` is of the process."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.files: dict[str, Content] = {}
        self.capacity = 1 << 40
        self.failing_syncs = 0
        self.is_lying = False
        self.point: Point = lambda what: None
        self._synced_names: dict[str, Content] = {}
        self._name_operations: list[Callable[[dict[str, Content]], None]] = []

    def create(self, name: str) -> SimulatedFile:
        self.point("before create")
        if name in self.files:
            raise FileExistsError(errno.EEXIST, "File exists", name)
        content = Content()
        self._do(lambda names: names.__setitem__(name, content))
        return SimulatedFile(self, content)

    def open(self, name: str) -> SimulatedFile:
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file", name)
        return SimulatedFile(self, self.files[name])

    def names(self) -> list[str]:
        return sorted(self.files)

    def rename(self, old: str, new: str) -> None:
        self.point("before rename")
        self._do(lambda names: names.__setitem__(new, names.pop(old)))

    def remove(self, name: str) -> None:
        self.point("before remove")
        self._do(lambda names: names.pop(name))

    def synchronize_names(self) -> None:
        self.point("before names")
        if not self.is_lying:
            self._synced_names = dict(self.files)
            self._name_operations.clear()
        self.point("after names")

    def used_bytes(self) -> int:
        return sum(len(content.data) for content in self.files.values())

    def free_bytes(self) -> int:
        return self.capacity - self.used_bytes()

    def missing(self, length: int, wanted: int) -> int:
        """Return how many bytes of room a file of this length lacks to reach `wanted`."""
        if wanted <= length or self.capacity == 1 << 40:
            return 0
        return max(wanted - length - self.free_bytes(), 0)

    def _do(self, operation: Callable[[dict[str, Content]], None]) -> None:
        operation(self.files)
        self._name_operations.append(operation)

    def power_cut(self) -> None:
        """Become what is found when the power is back; changes of names survive in their order."""
        names = dict(self._synced_names)
        for operation in self._name_operations[: self.chance.randint(0, len(self._name_operations))]:
            operation(names)
        for content in names.values():
            content.power_cut(self.chance)
        self.files, self._synced_names = names, dict(names)
        self._name_operations.clear()

    def wipe(self) -> None:
        """Lose everything."""
        self.files, self._synced_names = {}, {}
        self._name_operations.clear()


class SimulatedStore(MemoryStore):
    """A store that survives its process; `undone` after a crash it is what a prefix of its batches left."""

    def __init__(self) -> None:
        super().__init__()
        self.point: Point = lambda what: None
        self.stalled = False
        self._undo: list[list[Pair]] = []

    def write(self, pairs: Iterable[Pair]) -> bool:
        if self.stalled:
            return False
        self.point("before store write")
        batch = list(pairs)
        self._undo.append([(key, self.get(key)) for key, _ in batch])
        super().write(batch)
        self.point("after store write")
        return True

    @property
    def unflushed(self) -> int:
        """How many batches a crash may take back."""
        return len(self._undo)

    def flushed(self, batches: int) -> None:
        """A flush of so many of the oldest unflushed batches is complete."""
        self.point("before flush")
        del self._undo[:batches]
        self.point("after flush")

    def crash(self, chance: Random) -> None:
        """Become what a crash leaves: some of the newest batches are gone."""
        kept = chance.randint(0, len(self._undo))
        for before in reversed(self._undo[kept:]):
            super().write(reversed(before))
        # What survived is in the files of the store now.
        self._undo.clear()

    def wipe(self) -> None:
        """Lose everything."""
        super().write([(key, None) for key, _ in self.pairs()])
        self._undo.clear()

"""A disk in memory that forgets, at a power cut, what was not synced: each pending write kept, dropped or torn."""

import errno
from collections.abc import Callable, Sequence
from random import Random

SECTOR_BYTES = 512


class Content:
    """The bytes of one file: what is on stable storage, and what was written since."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.synced = bytes(data)
        self.pending: list[tuple[int, bytes]] = []

    def write(self, offset: int, data: bytes) -> None:
        _overwrite(self.data, offset, data)
        self.pending.append((offset, data))

    def resize(self, length: int) -> None:
        _resize(self.data, length)
        # A length is metadata: taken as durable at once, which a journalling file system may well do.
        synced = bytearray(self.synced)
        _resize(synced, length)
        self.synced = bytes(synced)

    def synchronize(self) -> None:
        self.synced = bytes(self.data)
        self.pending.clear()

    def after_power_cut(self, random: Random) -> "Content":
        """Return what is found when the power is back."""
        data = bytearray(self.synced)
        for offset, written in self.pending:
            fate = random.randrange(3)
            if fate == 0:
                continue
            for start in range(0, len(written), SECTOR_BYTES):
                if fate == 1 or random.random() < 0.5:
                    _overwrite(data, offset + start, written[start : start + SECTOR_BYTES])
        return Content(bytes(data))


def _overwrite(data: bytearray, offset: int, written: bytes) -> None:
    if offset + len(written) > len(data):
        _resize(data, offset + len(written))
    data[offset : offset + len(written)] = written


def _resize(data: bytearray, length: int) -> None:
    del data[length:]
    data.extend(bytes(length - len(data)))


class MemoryFile:
    """A `DiskFile` of a `MemoryDisk`."""

    def __init__(self, disk: "MemoryDisk", content: Content) -> None:
        self._disk = disk
        self._content = content

    def write(self, offset: int, pieces: Sequence[bytes]) -> None:
        data = b"".join(pieces)
        self._disk.before("write")
        missing = self._disk.missing(len(self._content.data), offset + len(data))
        if missing:
            # As the kernel does: some of it is written before the disk is found to be full.
            self._content.write(offset, data[: max(len(data) - missing, 0)])
            raise OSError(errno.ENOSPC, "No space left on device")
        self._content.write(offset, data)
        self._disk.after("write")

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._content.data[offset : offset + length])

    def synchronize(self) -> None:
        self._disk.before("synchronize")
        self._content.synchronize()
        self._disk.after("synchronize")

    def allocate(self, length: int) -> None:
        self._disk.before("allocate")
        if length > len(self._content.data):
            if self._disk.missing(len(self._content.data), length):
                raise OSError(errno.ENOSPC, "No space left on device")
            self._content.resize(length)

    def truncate(self, length: int) -> None:
        self._disk.before("truncate")
        self._content.resize(length)

    def length(self) -> int:
        return len(self._content.data)

    def close(self) -> None:
        pass


class MemoryDisk:
    """A `Disk`. `before` and `after` are called around each operation: a test may raise there, or count.

    `capacity` in bytes bounds the sum of all files' lengths.
    """

    def __init__(self, files: dict[str, Content] | None = None, capacity: int = 1 << 40) -> None:
        self.files: dict[str, Content] = files if files is not None else {}
        self.capacity = capacity
        self.before: Callable[[str], None] = lambda operation: None
        self.after: Callable[[str], None] = lambda operation: None
        self._synced_names = dict(self.files)
        self._name_operations: list[Callable[[dict[str, Content]], None]] = []

    def create(self, name: str) -> MemoryFile:
        self.before("create")
        if name in self.files:
            raise FileExistsError(errno.EEXIST, "File exists", name)
        content = Content()
        self._do(lambda names: names.__setitem__(name, content))
        return MemoryFile(self, content)

    def open(self, name: str) -> MemoryFile:
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file", name)
        return MemoryFile(self, self.files[name])

    def names(self) -> list[str]:
        return sorted(self.files)

    def rename(self, old: str, new: str) -> None:
        self.before("rename")
        self._do(lambda names: names.__setitem__(new, names.pop(old)))

    def remove(self, name: str) -> None:
        self.before("remove")
        self._do(lambda names: names.pop(name))

    def synchronize_names(self) -> None:
        self.before("synchronize_names")
        self._synced_names = dict(self.files)
        self._name_operations.clear()
        self.after("synchronize_names")

    def free_bytes(self) -> int:
        return self.capacity - sum(len(content.data) for content in self.files.values())

    def missing(self, length: int, wanted: int) -> int:
        """Return how many bytes of room a file of this length lacks to reach `wanted`."""
        return max(wanted - length - self.free_bytes(), 0) if wanted > length else 0

    def _do(self, operation: Callable[[dict[str, Content]], None]) -> None:
        operation(self.files)
        self._name_operations.append(operation)

    def power_cut(self, random: Random) -> "MemoryDisk":
        """Return the disk as it is found when the power is back; changes of names survive in their order."""
        names = dict(self._synced_names)
        for operation in self._name_operations[: random.randint(0, len(self._name_operations))]:
            operation(names)
        return MemoryDisk({name: content.after_power_cut(random) for name, content in names.items()}, self.capacity)

    def killed(self) -> "MemoryDisk":
        """Return the disk as it is found after the process alone was killed: everything written is there."""
        return MemoryDisk({name: Content(bytes(content.data)) for name, content in self.files.items()}, self.capacity)

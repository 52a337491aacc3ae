"""A node's folder: held by one process at a time, and marked with whose it is before anything is stored in it.

tallymq.lock   held with flock while a process uses the folder
node.json      cluster, node, number of shards and format version, written once, when the node is set up
log/           the segments of the log
state/         the store
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from tallymq.raftlog.disk import free_bytes, synchronize_folder
from tallymq.raftlog.errors import (
    DirectoryFormatUnknown,
    DirectoryFull,
    DirectoryInUse,
    DirectoryOfAnotherNode,
    DirectoryRefused,
)

FORMAT_VERSION = 1
_LOCK = "tallymq.lock"
_IDENTITY = "node.json"
_IDENTITY_BYTES_MAX = 64 * 1024
_MIB = 1 << 20


class DataDirectory:
    """An opened data directory. Every error of opening is a DirectoryRefused whose text is one clear sentence."""

    def __init__(self, folder: Path, *, node: str, cluster: str, shard_count: int, free_bytes_min: int = 0) -> None:
        """Lock the folder, made if missing, and check whose it is; a refused one keeps what it held.

        DirectoryInUse, DirectoryOfAnotherNode (also where it was made with another number of shards),
        DirectoryFormatUnknown, or DirectoryFull where fewer than `free_bytes_min` bytes of disk are free.
        """
        self.folder = folder
        self._node = node
        self._cluster = cluster
        self._shard_count = shard_count
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock: int | None = _lock(folder)
        except OSError as error:
            raise DirectoryRefused(f"The data directory {folder} cannot be used: {error.strerror}.") from error
        try:
            self.is_new = not self._check_identity()
            self._check_room(free_bytes_min)
        except BaseException:
            self.close()
            raise

    @property
    def log_folder(self) -> Path:
        """Where the segments are."""
        return self.folder / "log"

    @property
    def state_folder(self) -> Path:
        """Where the store is."""
        return self.folder / "state"

    def _check_identity(self) -> bool:
        """Return whether the folder was set up before, for this node."""
        found = _read_identity(self.folder)
        if found is None:
            strange = sorted(path.name for path in self.folder.iterdir() if path.name not in _OF_AN_UNFINISHED_SETUP)
            if strange:
                raise DirectoryFormatUnknown(
                    f"The folder {self.folder} holds other things ({strange[0]}) and no {_IDENTITY}: "
                    "give this node a folder of its own."
                )
            return False
        if found.get("format") != FORMAT_VERSION:
            raise DirectoryFormatUnknown(
                f"The data directory {self.folder} has format {found.get('format')}, this version of TallyMQ uses "
                f"{FORMAT_VERSION}: start the version that wrote it."
            )
        if (found.get("cluster"), found.get("node")) != (self._cluster, self._node):
            raise DirectoryOfAnotherNode(
                f"The data directory {self.folder} belongs to node {found.get('node')!r} of cluster "
                f"{found.get('cluster')!r}, this is node {self._node!r} of cluster {self._cluster!r}: "
                "start with the other folder or the other name."
            )
        shard_count = found.get("shard_count")
        # Without it nobody knows how many shards there are, and with too few some would be left out without a word. No
        # release wrote a folder that does not say; so such a file was changed by hand, or is damaged.
        if not isinstance(shard_count, int) or isinstance(shard_count, bool):
            raise DirectoryFormatUnknown(
                f"The file {self.folder / _IDENTITY} does not say how many shards this node has (shard_count): restore "
                "it, or this node's data directory."
            )
        if shard_count != self._shard_count:
            raise DirectoryOfAnotherNode(
                f"The data directory {self.folder} was made with shards = {shard_count}, the settings say "
                f"{self._shard_count}: the number is fixed when the cluster is made, set it back."
            )
        return True

    def _check_room(self, free_bytes_min: int) -> None:
        free = free_bytes(self.folder)
        if free < free_bytes_min:
            raise DirectoryFull(
                f"The disk of {self.folder} has {free // _MIB} MiB free, a node needs {-(-free_bytes_min // _MIB)} MiB "
                "to start: free some."
            )

    def mark_set_up(self) -> None:
        """Write whose folder this is, durably; called once store and log exist, so that their loss is noticed later."""
        identity = {
            "format": FORMAT_VERSION,
            "cluster": self._cluster,
            "node": self._node,
            "shard_count": self._shard_count,
        }
        draft = self.folder / f"{_IDENTITY}.draft"
        try:
            with draft.open("wb") as file:
                file.write(json.dumps(identity, indent=1).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.folder / _IDENTITY)
            synchronize_folder(self.folder)
            synchronize_folder(self.folder.parent)
        except OSError as error:
            raise DirectoryRefused(f"The data directory {self.folder} cannot be written: {error.strerror}.") from error
        self.is_new = False

    def close(self) -> None:
        """Let another process use the folder; idempotent."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            os.close(lock)


_OF_AN_UNFINISHED_SETUP = frozenset({_LOCK, f"{_IDENTITY}.draft", "log", "state"})


def _lock(folder: Path) -> int:
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DirectoryInUse(
            f"The data directory {folder} is in use by another process: stop that one, or use another folder."
        ) from error
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _read_identity(folder: Path) -> dict[str, Any] | None:
    try:
        with (folder / _IDENTITY).open("rb") as file:
            found = json.loads(file.read(_IDENTITY_BYTES_MAX))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DirectoryFormatUnknown(
            f"The file {folder / _IDENTITY} cannot be read: restore it, or this node's data directory."
        ) from error
    if not isinstance(found, dict):
        raise DirectoryFormatUnknown(f"The file {folder / _IDENTITY} is not of TallyMQ: restore it.")
    return found

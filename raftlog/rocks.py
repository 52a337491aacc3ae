"""The one door to RocksDB: one column family, no write-ahead log, explicit options at each opening.

The log replays what was not flushed (docs/decisions/0002-log-format.md), so a write costs no disk. Reads are not
cached here: a point read was measured at 2-3 microseconds, which a cache in Python would hardly beat.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakSet

from rocksdict import (
    BlockBasedOptions,
    Cache,
    ChecksumType,
    DBCompressionType,
    Options,
    Rdict,
    RdictIter,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from tallymq.raftlog.errors import StoreFailed, StoreFull
from tallymq.raftlog.store import Pair, StoreReader

_MIB = 1 << 20

# What rocksdict 0.3.29 says when a write with `no_slowdown` meets a stall (provoked by a test).
_STALLED = "Write stall"
_NO_ROOM = "No space left"


@dataclass(frozen=True, kw_only=True)
class RocksSettings:
    """Bounds of memory, in bytes, and how many unmerged files are borne before a write is refused as stalled."""

    write_buffer_bytes: int = 64 * _MIB
    write_buffer_count: int = 4
    block_cache_bytes: int = 32 * _MIB
    unmerged_files_stall: int = 64


class RocksStore:
    """A `Store` on RocksDB. Raises StoreFull where the disk is full, StoreFailed for anything else that goes wrong."""

    def __init__(self, folder: Path, *, create: bool, settings: RocksSettings | None = None) -> None:
        """Open the store in `folder`; only with `create` may it be missing, so a wrong path never looks empty."""
        if not create and not (folder / "CURRENT").exists():
            raise StoreFailed(f"There is no store in {folder}, though the node was set up before: restore it.")
        self._options = WriteOptions()
        self._options.no_slowdown = True
        # A property, whatever rocksdict's stub says: calling it leaves the write-ahead log on.
        self._options.disable_wal = True  # type: ignore[method-assign,assignment]
        self._readers: WeakSet[_RocksReader] = WeakSet()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._database: Rdict | None = Rdict(str(folder), options=_options(create, settings or RocksSettings()))
        except Exception as error:
            raise _failure("open", error) from error

    def get(self, key: bytes) -> bytes | None:
        """Read one key."""
        try:
            value: bytes | None = self._open().get(key)
        except Exception as error:
            raise _failure("read", error) from error
        return value

    def range(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Read with an iterator whose status is checked: `items()` would end silently at a damaged block."""
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(end)
        try:
            iterator = self._open().iter(bounds)
        except Exception as error:
            raise _failure("read", error) from error
        return _read(iterator, start, end, limit)

    def write(self, pairs: Iterable[Pair]) -> bool:
        """Write one batch to memory; False at once, without waiting, where RocksDB would make the caller wait.

        After a flush that found no room RocksDB takes nothing until it has found some: the caller has to wait, too.
        """
        batch = WriteBatch(raw_mode=True)
        for key, value in pairs:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        return self._write(batch)

    def delete_range(self, start: bytes, end: bytes) -> bool:
        """Write one mark that covers the range; what it hides goes when RocksDB merges its files."""
        if start >= end:
            return True
        batch = WriteBatch(raw_mode=True)
        batch.delete_range(start, end)
        return self._write(batch)

    def snapshot(self) -> StoreReader:
        """Make one iterator, which sees the store as it is now for as long as it lives: nothing is copied.

        Not rocksdict's own snapshots: what iterates over those reads the present state (0.3.29; tried).
        """
        try:
            reader = _RocksReader(self._open().iter(ReadOptions()))
        except Exception as error:
            raise _failure("read", error) from error
        self._readers.add(reader)
        return reader

    def _write(self, batch: WriteBatch) -> bool:
        try:
            self._open().write(batch, self._options)
        except Exception as error:
            if _STALLED in str(error) or _NO_ROOM in str(error):
                return False
            raise _failure("write", error) from error
        return True

    def flush(self) -> None:
        """Write the memory table to a synced file; releases Python's global lock."""
        try:
            self._open().flush(wait=True)
        except Exception as error:
            raise _failure("flush", error) from error

    def compact(self) -> None:
        """Merge everything; for after large deletions, in a thread."""
        try:
            self._open().compact_range(None, None)
        except Exception as error:
            raise _failure("compact", error) from error

    def close(self) -> None:
        """Flush and close."""
        for reader in list(self._readers):
            reader.close()
        if self._database is not None:
            database, self._database = self._database, None
            try:
                database.close()
            except Exception as error:
                raise _failure("close", error) from error

    def _open(self) -> Rdict:
        if self._database is None:
            raise StoreFailed("The store is closed.")
        return self._database


class _RocksReader:
    """A `StoreReader`. RocksDB keeps the files it reads for as long as it is open."""

    def __init__(self, iterator: RdictIter) -> None:
        self._iterator: RdictIter | None = iterator

    def get(self, key: bytes) -> bytes | None:
        """Read one key as it was."""
        found = self.range(key, key + b"\0", 1)
        return found[0][1] if found else None

    def range(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Read pairs as they were."""
        if self._iterator is None:
            raise StoreFailed("The reader of the store is closed.")
        return _read(self._iterator, start, end, limit)

    def close(self) -> None:
        """Give the files back."""
        self._iterator = None


def _read(iterator: RdictIter, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    pairs: list[tuple[bytes, bytes]] = []
    if start >= end or limit <= 0:
        return pairs
    try:
        iterator.seek(start)
        while len(pairs) < limit and iterator.valid():
            key = iterator.key()
            if key >= end:
                break
            pairs.append((key, iterator.value()))
            iterator.next()
        iterator.status()
    except Exception as error:
        raise _failure("read", error) from error
    return pairs


def _options(create: bool, settings: RocksSettings) -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(Cache(settings.block_cache_bytes))
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_bloom_filter(10, False)
    table.set_format_version(5)
    table.set_checksum_type(ChecksumType.crc32c())
    options = Options(raw_mode=True)
    options.create_if_missing(create)
    options.set_block_based_table_factory(table)
    # Bodies are not in here, and clients compress them: compression would cost time and save little.
    options.set_compression_type(DBCompressionType.none())
    # The host flushes by log bytes and time; these only bound memory should it not.
    options.set_write_buffer_size(settings.write_buffer_bytes)
    options.set_max_write_buffer_number(settings.write_buffer_count)
    options.set_level_zero_file_num_compaction_trigger(8)
    options.set_level_zero_slowdown_writes_trigger(settings.unmerged_files_stall)
    options.set_level_zero_stop_writes_trigger(settings.unmerged_files_stall)
    options.set_soft_pending_compaction_bytes_limit(64 << 30)
    options.set_hard_pending_compaction_bytes_limit(256 << 30)
    options.set_target_file_size_base(64 * _MIB)
    options.set_max_bytes_for_level_base(256 * _MIB)
    options.set_max_background_jobs(2)
    options.set_max_open_files(256)
    options.set_bytes_per_sync(_MIB)
    options.set_paranoid_checks(True)
    options.set_keep_log_file_num(4)
    options.set_max_log_file_size(4 * _MIB)
    options.set_max_manifest_file_size(16 * _MIB)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    return options


def _failure(action: str, error: Exception) -> StoreFull | StoreFailed:
    if isinstance(error, StoreFailed | StoreFull):
        return error
    if _NO_ROOM in str(error):
        return StoreFull(f"The disk is full: the store could not {action}. Free some room.")
    return StoreFailed(f"The store could not {action}: {error}")

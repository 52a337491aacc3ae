"""What a node does beside its rounds: flushing the store, and watching how much room the disk has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

from tallymq.raftlog.disk import Disk
from tallymq.raftlog.errors import StoreFull
from tallymq.raftlog.host_space import Ballast
from tallymq.raftlog.host_worker import Worker
from tallymq.raftlog.log import NodeLog
from tallymq.raftlog.replica import Replica
from tallymq.raftlog.settings import HostSettings
from tallymq.raftlog.store import Store

LOG = logging.getLogger(__name__)

LOOK_S = 1.0


class Upkeep:
    """Runs on the loop, blocks in a thread of its own. `on_space(free_bytes)` is told once a second.

    It is told 0 for as long as the store finds no room: the log goes on holding what the store could not take.
    """

    def __init__(
        self,
        settings: HostSettings,
        disk: Disk,
        store: Store,
        log: NodeLog,
        replicas: Mapping[int, Replica],
        worker: Worker,
        on_space: Callable[[int], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._log = log
        self._replicas = replicas
        self._worker = worker
        self._on_space = on_space
        self._on_failed = on_failed
        self._wanted = asyncio.Event()
        self._flushed_at = asyncio.get_running_loop().time()
        self._flushed_applied = self._applied()
        self._store_full = False
        self._begun = self._requested = self._completed = 0
        self._log_full = False
        self._ballast = Ballast(disk, settings.ballast_bytes, settings.free_bytes_min)
        # Until the first look, which makes it on a disk with room.
        self.has_ballast = True
        self.on_flushed: Callable[[], None] = lambda: None
        self.flushes = 0

    def maybe_poke(self) -> None:
        """Flush soon if enough was logged; cheap, called after every round."""
        if self._is_much_logged():
            self._wanted.set()

    def request(self) -> int:
        """Ask for a flush that begins after this call; returns the ticket to ask `done` with."""
        self._requested = self._begun + 1
        self._wanted.set()
        return self._requested

    def done(self, ticket: int) -> bool:
        """Whether the flush that was asked for is over."""
        return self._completed >= ticket

    async def run(self) -> None:
        """Look once a second, and at once when poked; ends by being cancelled."""
        try:
            while True:
                self._wanted.clear()
                await self._look()
                self._retry_writes()
                if self._is_due():
                    await self._try_flush()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._wanted.wait()
                except TimeoutError:
                    continue
        except Exception as error:
            # Without its flushes the node would need ever longer to start: it must not go on as if nothing were.
            LOG.exception("upkeep of the store failed")
            self._on_failed(f"the store cannot be kept: {error}")

    def log_full(self) -> None:
        """The log found no room for a round: give the reserve up."""
        self._log_full = True
        self._wanted.set()

    async def _look(self) -> None:
        """See how much room there is, and say so."""
        is_needed, self._log_full = self._store_full or self._log_full, False
        free_bytes = await self._worker.call(partial(self._ballast.look, is_needed=is_needed))
        self.has_ballast = not self._ballast.is_given_up
        self._on_space(0 if self._store_full else free_bytes)

    async def _try_flush(self) -> None:
        """Flush; without room, writes are refused from now on until a flush succeeds, and the node lives on."""
        try:
            await self.flush()
        except StoreFull as error:
            if not self._store_full:
                LOG.warning("the store could not be flushed, writes are refused until it can: %s", error)
            self._store_full = True
            self._on_space(0)

    async def flush(self) -> None:
        """Bring everything applied so far onto the disk in the store; the log before it need not be read again."""
        if not self._retry_writes():
            return
        applied = self._applied()
        if not self._store.write(self._log.flush_mark(applied)):
            return
        self._begun += 1
        begun = self._begun
        await self._worker.call(self._store.flush)
        self._log.flushes.completed()
        self._completed = begun
        names = self._log.flushes.detach()
        if names:
            LOG.info("%d files of the log are given back", len(names))
            await self._worker.call(partial(self._log.flushes.remove, names))
        self._store_full = False
        self._flushed_at = asyncio.get_running_loop().time()
        self._flushed_applied = applied
        self.flushes += 1
        self.on_flushed()

    def _retry_writes(self) -> bool:
        """Bring what a stalled store did not take into it; whether nothing is left."""
        written = [replica.flush_writes() for replica in self._replicas.values()]
        return all(written)

    def _is_much_logged(self) -> bool:
        """Whether a start would have to read more bytes, or more entries, than it should."""
        flushes, settings = self._log.flushes, self._settings
        return flushes.bytes_since >= settings.flush_log_bytes or flushes.entries_since >= settings.flush_log_entries

    def _is_due(self) -> bool:
        if self._is_much_logged() or self._completed < self._requested:
            return True
        waited_ms = (asyncio.get_running_loop().time() - self._flushed_at) * 1000
        return waited_ms >= self._settings.flush_interval_ms and self._applied() != self._flushed_applied

    def _applied(self) -> dict[int, int]:
        return {shard: replica.applied_index for shard, replica in self._replicas.items()}

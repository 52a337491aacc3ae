"""The rounds of a node: gather what all shards have, write it at once, sync it in a thread, gather meanwhile.

Rule 1: at most one sync is under way; what arrives during it becomes the next round.
Rule 2: nothing counts before its round is synced: `synced` of every shard is called then, and not earlier.
Rule 3: any failure of the log ends the rounds for good.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from tallymq.raftlog.consensus import Consensus
from tallymq.raftlog.errors import LogFull, RaftLogError
from tallymq.raftlog.host_worker import Worker
from tallymq.raftlog.log import NodeLog

LOG = logging.getLogger(__name__)

FULL_RETRY_S = 0.25
IDLE_MS_MAX = 60_000


class Gathering(Protocol):
    """What makes entries of what its callers proposed."""

    def gather(self) -> None:
        """Append to the open round."""


class Rounds:
    """Drives all shards of a node. Everything runs on the loop but the sync."""

    def __init__(
        self,
        log: NodeLog,
        worker: Worker,
        members: Mapping[int, Consensus],
        shards: Mapping[int, Gathering],
        *,
        now_ms: Callable[[], int],
        tick_grid_ms: int,
        seal_idle_ms: int,
        after_round: Callable[[], None],
        on_full: Callable[[], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self.count = 0
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._worker = worker
        self._members = members
        self._shards = shards
        self._now_ms = now_ms
        self._tick_grid_ms = max(tick_grid_ms, 1)
        self._seal_idle_s = seal_idle_ms / 1000
        self._after_round = after_round
        self._on_full = on_full
        self._on_failed = on_failed
        self._syncing: int | None = None
        self._woken = False
        self._stopped = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_ms = 0
        self._seal_timer: asyncio.TimerHandle | None = None

    @property
    def is_syncing(self) -> bool:
        """Whether a round is on its way to the disk."""
        return self._syncing is not None

    @property
    def is_stopped(self) -> bool:
        """Whether there will be no further round."""
        return self._stopped

    def wake(self) -> None:
        """Something may be due or appended: see to it in this turn of the loop, once for all who call."""
        if not self._woken and not self._stopped:
            self._woken = True
            self._loop.call_soon(self._turn)

    def stop(self) -> None:
        """No further turn; a sync under way ends, and nobody is told."""
        self._stopped = True
        for timer in (self._timer, self._seal_timer):
            if timer is not None:
                timer.cancel()

    def _turn(self) -> None:
        self._woken = False
        if self._stopped:
            return
        try:
            self._tick_due()
            if self._syncing is None:
                for shard in self._shards.values():
                    shard.gather()
                self._write()
        except Exception as error:  # noqa: BLE001 - whatever it is, this node must not go on as if nothing were
            self._broken(error)
            return
        self._set_timer()

    def _tick_due(self) -> None:
        now_ms = self._now_ms()
        for member in self._members.values():
            if member.next_deadline_ms <= now_ms:
                member.tick()

    def _write(self) -> None:
        try:
            written = self._log.write_round()
        except LogFull:
            # The round stays open; nothing of it was promised to anyone.
            self._on_full()
            self._loop.call_later(FULL_RETRY_S, self.wake)
            return
        if written is None:
            return
        self._syncing = written
        if self._seal_timer is not None:
            self._seal_timer.cancel()
            self._seal_timer = None
        self._worker.start(self._log.sync, self._synced)

    def _synced(self, error: Exception | None) -> None:
        written, self._syncing = self._syncing, None
        if self._stopped or written is None:
            return
        try:
            if error is not None:
                raise error
            self.count += 1
            self._log.note_synced(written)
            for member in self._members.values():
                member.synced()
            self._after_round()
        except Exception as failure:  # noqa: BLE001 - as above
            self._broken(failure)
            return
        self._seal_timer = self._loop.call_later(self._seal_idle_s, self._seal)
        self._turn()

    def _seal(self) -> None:
        self._seal_timer = None
        self._log.seal()
        self.wake()

    def _broken(self, error: Exception) -> None:
        if not isinstance(error, RaftLogError):
            LOG.exception("the rounds of this node broke", exc_info=error)
        self.stop()
        self._on_failed(str(error) or type(error).__name__)

    def _set_timer(self) -> None:
        now_ms = self._now_ms()
        wait_ms = min(member.next_deadline_ms for member in self._members.values()) - now_ms
        if wait_ms > self._tick_grid_ms:
            # On a grid, so that the heartbeats of all shards leave in one write.
            wait_ms += -(now_ms + wait_ms) % self._tick_grid_ms
        due_ms = now_ms + min(max(wait_ms, 0), IDLE_MS_MAX)
        if self._timer is not None:
            if self._timer_due_ms == due_ms > now_ms:
                return
            self._timer.cancel()
        self._timer_due_ms = due_ms
        self._timer = self._loop.call_later((due_ms - now_ms) / 1000, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._turn()

"""Drives the giving back of room on a running node: passes after flushes, at a bounded rate, and its figures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from tallymq.raftlog.consensus import Consensus
from tallymq.raftlog.errors import RaftLogError
from tallymq.raftlog.host_upkeep import Upkeep
from tallymq.raftlog.log import NodeLog
from tallymq.raftlog.reclaiming import Reclaiming, ReclaimSettings
from tallymq.raftlog.replica import Replica
from tallymq.raftlog.settings import HostSettings
from tallymq.raftlog.store import Store

LOG = logging.getLogger(__name__)

REST_S = 1.0
"""Least pause between passes."""
REST_SHARE = 10
"""Pauses between passes are so many times as long as these took: each reads every place there is. Not while room
is short."""
ROUND_S = 0.005
"""Pause while a round with copies is on its way to the disk."""
DUTY = 10
"""Pauses are so many times as long as the slices between them: a tenth of the loop's time at most."""


class HostReclaiming:
    """One node's. `wake` lets a round be written, `fail` stops the node."""

    def __init__(
        self,
        settings: HostSettings,
        log: NodeLog,
        store: Store,
        replicas: Mapping[int, Replica],
        members: Mapping[int, Consensus],
        upkeep: Upkeep,
        wake: Callable[[], None],
        fail: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._log = log
        self._members = members
        self._upkeep = upkeep
        self._wake = wake
        self._fail = fail
        self.prefix_floor: Callable[[int], int] = lambda shard: 0
        """After which entry of a shard everything must stay, 0 for none: somebody is being sent the state there."""
        self._flushed = asyncio.Event()
        self._took_s = 0.0
        self._base_round = 0
        limits = ReclaimSettings(
            carry_share=settings.carry_share_percent / 100,
            kept_bytes=0 if settings.alone else settings.log_kept_bytes,
        )
        self._reclaiming = Reclaiming(log, store, replicas, limits, self._drop_prefix)
        upkeep.on_flushed = self._flushed.set

    @property
    def log_bytes(self) -> int:
        """How much room the files of the log take."""
        segments = self._log.segments
        return sum(segments.length(number) for number in segments.numbers())

    @property
    def freed_bytes(self) -> int:
        """How much was given back since the start."""
        return self._log.flushes.freed_bytes

    @property
    def carried_bytes(self) -> int:
        """How much was copied to give files back since the start."""
        return self._reclaiming.carried_bytes

    @property
    def damaged_segment(self) -> int:
        """The file that is kept because needed bytes in it are damaged, 0 if there is none."""
        return self._reclaiming.damaged_segment

    def press(self, is_pressed: bool) -> None:
        """Room is short, or not any more."""
        if is_pressed and not self._reclaiming.is_pressed:
            self._flushed.set()
        self._reclaiming.is_pressed = is_pressed

    async def run(self) -> None:
        """Work after flushes; ends by being cancelled."""
        try:
            while True:
                await self._flushed.wait()
                await asyncio.sleep(self._rest_s())
                self._flushed.clear()
                begun = asyncio.get_running_loop().time()
                await self._give_back()
                self._took_s = asyncio.get_running_loop().time() - begun
        except Exception as error:
            if not isinstance(error, RaftLogError):
                LOG.exception("giving room back broke")
            self._fail(str(error) or type(error).__name__)

    def _rest_s(self) -> float:
        """How long to wait before the next pass."""
        return REST_S if self._reclaiming.is_pressed else max(REST_S, REST_SHARE * self._took_s)

    async def _give_back(self) -> None:
        """Pass after pass, as long as one finds something."""
        while True:
            self._base_round, released = 0, self._log.flushes.released
            await self._pass()
            if self._log.flushes.released > released:
                # What was given up goes with the next flush, which may be far off on a quiet node.
                self._upkeep.request()
            elif not self._base_round:
                break

    async def _pass(self) -> None:
        loop, rate = asyncio.get_running_loop(), self._settings.carry_bytes_per_second
        while True:
            begun, carried = loop.time(), self._reclaiming.carried_bytes
            more = self._reclaiming.step()
            if more is None:
                break
            if more:
                pause_s = max(DUTY * (loop.time() - begun), (self._reclaiming.carried_bytes - carried) / rate)
                await asyncio.sleep(pause_s)
            else:
                self._wake()
                await asyncio.sleep(ROUND_S)
        while self._log.round_synced < self._base_round:
            # Only a durable base lets files go.
            self._wake()
            await asyncio.sleep(ROUND_S)

    def _drop_prefix(self, shard: int, index: int) -> None:
        floor = self.prefix_floor(shard)
        index = min(index, floor) if floor else index
        term = self._log.term_at(shard, index)
        if term is None or index <= self._log.shard_state(shard).base_index:
            return
        self._base_round = self._log.round_open
        self._log.drop_prefix(shard, index, term, self._members[shard].configuration_at(index))
        self._members[shard].rebase()

"""Proposes Expire when the earliest timer of a led shard is due. Sleeps until then; a notice may bring it forward.

What is due is told by the time the shard would stamp now, not by this machine's clock, which may have jumped.
"""

from __future__ import annotations

import asyncio

import structlog

from tallymq.service.alarm import Alarm
from tallymq.service.cluster import Cluster, Shard
from tallymq.txn import queries
from tallymq.txn.commands import Expire
from tallymq.txn.outcomes import Expired

TIMERS_AT_ONCE = 1_000
RETRY_MS = 50
"""Pause before asking again when nothing was handled: the log's stamped time may lag behind this node's clock."""

log = structlog.get_logger("tallymq.service.timers")


class ShardTimers:
    """The timers of one shard; works while this node leads it."""

    def __init__(self, cluster: Cluster, shard: Shard) -> None:
        self.alarm = Alarm(lambda: shard.clock_ms)
        self._cluster = cluster
        self._shard = shard

    async def run(self) -> None:
        """Expire what is due, for ever."""
        await self.alarm.serve(self._expire_due, log.bind(work="timers", shard=self._shard.number))

    async def _expire_due(self) -> None:
        if not self._shard.is_leader:
            return
        due_ms = queries.next_timer_ms(self._shard.view)
        if due_ms == 0 or due_ms > self._shard.clock_ms:
            self.alarm.set_due(due_ms)
            return
        result = await self._cluster.require(self._shard, Expire(TIMERS_AT_ONCE))
        if isinstance(result, Expired):
            pause_ms = 0 if result.handled else RETRY_MS
            if result.next_due_ms:
                self.alarm.set_due(max(result.next_due_ms, self._shard.clock_ms + pause_ms))


class Timers:
    """The timers of every shard of this node."""

    def __init__(self, cluster: Cluster) -> None:
        self._shards = {number: ShardTimers(cluster, shard) for number, shard in cluster.shards.items()}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to expire."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(shard.run()) for shard in self._shards.values()]

    def stop(self) -> None:
        """Expire nothing more."""
        for task in self._tasks:
            task.cancel()
        for shard in self._shards.values():
            shard.alarm.close()

    def due(self, shard: int, due_ms: int) -> None:
        """Note that a timer of a shard was set for `due_ms`."""
        self._shards[shard].alarm.set_due(due_ms)

    def began_to_lead(self, shard: int) -> None:
        """Look after a shard that this node leads from now on."""
        self._shards[shard].alarm.ring()

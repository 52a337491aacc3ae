"""Lets the oldest messages go: the leader of each shard looks at its queues and proposes TrimQueue for what is past.

What goes is decided by the rules (`txn.trimming`), at one place of the log. Here is only when to look, and how much at
once. What a group has not done with stays, however old: it is counted as held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import structlog

from tallymq.service.cluster import Cluster, Shard
from tallymq.service.errors import Refused
from tallymq.txn import queries
from tallymq.txn.answers import QueueInfo
from tallymq.txn.commands import TrimQueue
from tallymq.txn.outcomes import QueueTrimmed

PAGE = 100
"""Queues looked at before others get their turn of the loop."""

log = structlog.get_logger("tallymq.service.retention")


class Retention:
    """Retention by time and by bytes, for every shard that this node leads."""

    def __init__(self, cluster: Cluster, interval_ms: int, batches_max: int) -> None:
        self._cluster = cluster
        self._interval_s = interval_ms / 1_000
        self._batches_max = batches_max
        self._task: asyncio.Task[None] | None = None
        self.trimmed_batches = 0
        self.held: dict[int, int] = {}
        """By shard, messages that are past their retention and that a group has not done with; as of the last look."""

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            for shard in self._cluster.shards.values():
                self.held.pop(shard.number, None)
                if not shard.is_leader:
                    continue
                try:
                    await self._look(shard)
                except Refused as refused:
                    log.info("trimming waits", shard=shard.number, refusal=refused.name)
                except Exception:
                    # Whatever it was, what is past must still be looked at later.
                    log.exception("trimming failed", shard=shard.number)

    async def _look(self, shard: Shard) -> None:
        held = 0
        for page in _pages(shard):
            for info in page:
                held += await self._trim(shard, info)
            await asyncio.sleep(0)
        self.held[shard.number] = held

    async def _trim(self, shard: Shard, info: QueueInfo) -> int:
        """Trim one queue as far as it may be now; return how many messages a group holds."""
        while True:
            topic, queue = info.topic, info.queue
            until = queries.trim_until(shard.view, topic, queue, shard.clock_ms, self._batches_max)
            if until <= info.first_offset:
                return 0
            floor = queries.held_offset(shard.view, topic, queue)
            if floor > info.first_offset:
                command = TrimQueue(topic, info.topic_id, queue, until, self._batches_max)
                result = await self._cluster.require(shard, command)
                if not isinstance(result, QueueTrimmed):
                    return 0
                self.trimmed_batches += result.removed
                if result.removed == self._batches_max:
                    found = queries.queue(shard.view, topic, queue)
                    if found is None or found.topic_id != info.topic_id:
                        return 0
                    info = found
                    continue
                return max(until - result.first_offset, 0)
            return until - info.first_offset


def _pages(shard: Shard) -> Iterator[list[QueueInfo]]:
    """Yield the queues of a shard that take new messages, some at a time."""
    topic, queue = "", 0
    while True:
        page = queries.queues(shard.view, topic, queue, PAGE)
        yield [info for info in page if not info.dropping]
        if len(page) < PAGE:
            return
        topic, queue = page[-1].topic, page[-1].queue

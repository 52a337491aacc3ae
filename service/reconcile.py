"""What the metadata shard says ought to be, made so on every shard: each led shard watches its own node's copy.

The leader of a shard proposes EnsureQueue, DropQueue and PutGroup for what the shard owns. The leader of the metadata
shard adopts groups that were first seen elsewhere, and carries a deletion on by what its own copies of the other shards
show: it takes the deletion back where a queue holds a transaction in doubt, confirms it once every queue is marked,
and removes the topic once all of them are gone. Only for a confirmed deletion do leaders remove what lies on a queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import structlog

from tallymq.raftlog.settings import METADATA_SHARD
from tallymq.service.alarm import Alarm
from tallymq.service.cluster import Cluster, Shard
from tallymq.service.groups import put_group
from tallymq.txn import queries
from tallymq.txn.answers import GroupInfo, TopicInfo
from tallymq.txn.commands import Command, ConfirmDelete, DropQueue, EnsureQueue, RemoveTopic, UndeleteTopic
from tallymq.txn.outcomes import QueueDropped, Refusal

PAGE = 1_000
DROPPED_AT_ONCE = 1_000
DELETING_MS = 50
"""How soon to look again while a topic is being deleted: other nodes' progress shows in our copies without a notice."""
SWEEP_MS = 30_000
"""How often the metadata shard's leader looks for groups that were first seen on another node."""
PROPOSED_AT_ONCE = 64

log = structlog.get_logger("tallymq.service.reconcile")


class Reconcile:
    """Compares all led shards with the metadata shard whenever that changes or a shard is led anew."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._alarm = Alarm(cluster.now_ms)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to compare."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Compare no more."""
        if self._task is not None:
            self._task.cancel()
        self._alarm.close()

    def wake(self) -> None:
        """Compare soon: the metadata changed, or this node leads another shard."""
        self._alarm.ring()

    async def _run(self) -> None:
        await self._alarm.serve(self._compare, log.bind(work="comparing shards"))

    async def _compare(self) -> None:
        """Propose what is missing."""
        deleting = False
        for metadata_index, page in self._topic_pages():
            for topic in page:
                deleting = deleting or topic.deleting
                await self._compare_topic(topic, metadata_index)
            await asyncio.sleep(0)
        await self._compare_groups()
        self._alarm.set_due(self._cluster.now_ms() + (DELETING_MS if deleting else SWEEP_MS))

    async def _compare_topic(self, topic: TopicInfo, metadata_index: int) -> None:
        wanted: list[tuple[Shard, Command]] = []
        for queue, number in enumerate(topic.queue_shards):
            shard = self._cluster.shards[number]
            if not shard.is_leader:
                continue
            if topic.confirmed:
                await self._drop(shard, topic, queue, metadata_index)
            elif topic.deleting:
                await self._mark(shard, topic, queue, metadata_index)
            elif not _is_as_wanted(shard, topic, queue):
                wanted.append((shard, _ensure(topic, queue, metadata_index)))
        await self._propose_all(wanted)
        if topic.deleting and self._cluster.metadata.is_leader:
            await self._carry_deletion_on(topic)

    async def _mark(self, shard: Shard, topic: TopicInfo, queue: int, metadata_index: int) -> None:
        """Let a queue take nothing new; none of it is removed."""
        if _is_settled(shard, topic, queue):
            return
        result = await self._cluster.ask(shard, DropQueue(topic.name, topic.topic_id, queue, 0, metadata_index))
        if isinstance(result, Refusal):
            log.info("queue is not marked", topic=topic.name, queue=queue, refusal=result.value)

    async def _drop(self, shard: Shard, topic: TopicInfo, queue: int, metadata_index: int) -> None:
        """Remove a queue piece by piece."""
        while _holds(shard, topic, queue):
            command = DropQueue(topic.name, topic.topic_id, queue, DROPPED_AT_ONCE, metadata_index)
            result = await self._cluster.ask(shard, command)
            if isinstance(result, Refusal):
                log.info("queue is not dropped", topic=topic.name, queue=queue, refusal=result.value)
                return
            if isinstance(result, QueueDropped) and result.complete:
                return

    async def _carry_deletion_on(self, topic: TopicInfo) -> None:
        """Take a deletion back, confirm it or end it, as this node's copies of the topic's shards show; or wait."""
        queues = [(self._cluster.shards[number], queue) for queue, number in enumerate(topic.queue_shards)]
        command: Command | None = None
        if topic.confirmed:
            # A copy that has not heard of the deletion yet may not have heard of the queue either.
            if all(_is_settled(shard, topic, queue) and not _holds(shard, topic, queue) for shard, queue in queues):
                command = RemoveTopic(topic.name, topic.topic_id)
        elif any(holds_in_doubt(shard, topic, queue) for shard, queue in queues):
            command = UndeleteTopic(topic.name, topic.topic_id)
        elif all(_is_settled(shard, topic, queue) for shard, queue in queues):
            command = ConfirmDelete(topic.name, topic.topic_id, topic.deletion)
        if command is not None:
            await self._cluster.require(self._cluster.metadata, command)

    async def _compare_groups(self) -> None:
        metadata = self._cluster.metadata
        for page in self._group_pages(metadata):
            for shard in self._cluster.led():
                if shard.number != METADATA_SHARD:
                    differing = [info for info in page if queries.group(shard.view, info.name) != info]
                    await self._propose_all([(shard, put_group(info)) for info in differing])
            await asyncio.sleep(0)
        if metadata.is_leader:
            for shard in self._cluster.shards.values():
                await self._adopt_groups(shard)

    async def _adopt_groups(self, shard: Shard) -> None:
        metadata = self._cluster.metadata
        for page in self._group_pages(shard):
            unknown = [info for info in page if queries.group(metadata.view, info.name) is None]
            await self._propose_all([(metadata, put_group(info, new_only=True)) for info in unknown])

    async def _propose_all(self, wanted: list[tuple[Shard, Command]]) -> None:
        """Propose a few at a time, so that one round of the log carries many."""
        for start in range(0, len(wanted), PROPOSED_AT_ONCE):
            part = wanted[start : start + PROPOSED_AT_ONCE]
            results = await asyncio.gather(
                *(self._cluster.require(shard, command) for shard, command in part), return_exceptions=True
            )
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    def _topic_pages(self) -> Iterator[tuple[int, list[TopicInfo]]]:
        """Yield topics, and the index of the metadata shard that they are at least as new as."""
        after = ""
        metadata = self._cluster.metadata
        while True:
            index = metadata.applied_index
            page = queries.topics(metadata.view, after, PAGE)
            if not page:
                return
            yield index, page
            after = page[-1].name

    def _group_pages(self, shard: Shard) -> Iterator[list[GroupInfo]]:
        after = ""
        while page := queries.groups(shard.view, after, PAGE):
            yield page
            after = page[-1].name


def _holds(shard: Shard, topic: TopicInfo, queue: int) -> bool:
    info = queries.queue(shard.view, topic.name, queue)
    return info is not None and info.topic_id == topic.topic_id


def holds_in_doubt(shard: Shard, topic: TopicInfo, queue: int) -> bool:
    """Return whether the local copy of `shard` has a transaction in doubt on a queue of this topic."""
    info = queries.queue(shard.view, topic.name, queue)
    return info is not None and info.topic_id == topic.topic_id and info.in_doubt > 0


def _is_settled(shard: Shard, topic: TopicInfo, queue: int) -> bool:
    return queries.is_settled(shard.view, topic.name, topic.topic_id, queue, topic.deletion)


def is_made(shard: Shard, topic: TopicInfo, queue: int) -> bool:
    """Return whether the local copy of `shard` owns a queue of this topic."""
    info = queries.queue(shard.view, topic.name, queue)
    return info is not None and info.topic_id == topic.topic_id and not info.dropping


def _is_as_wanted(shard: Shard, topic: TopicInfo, queue: int) -> bool:
    info = queries.queue(shard.view, topic.name, queue)
    return info is not None and (
        info.topic_id,
        info.queue_count,
        info.retention_ms,
        info.retention_bytes,
        info.dropping,
    ) == (topic.topic_id, len(topic.queue_shards), topic.retention_ms, topic.retention_bytes, False)


def _ensure(topic: TopicInfo, queue: int, metadata_index: int) -> EnsureQueue:
    return EnsureQueue(
        topic=topic.name,
        topic_id=topic.topic_id,
        queue=queue,
        queue_count=len(topic.queue_shards),
        retention_ms=topic.retention_ms,
        retention_bytes=topic.retention_bytes,
        metadata_index=metadata_index,
    )

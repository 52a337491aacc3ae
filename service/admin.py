"""The Admin service of proto/admin.proto: topics, groups, messages and the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version

import structlog

from tallymq.proto import admin_pb2, frames_pb2
from tallymq.service import admin_replies as replies
from tallymq.service.admin_nodes import AdminNodes
from tallymq.service.admin_transactions import AdminTransactions
from tallymq.service.calls import Calls, Draining, GenericHandler
from tallymq.service.cluster import Cluster
from tallymq.service.consumers import Consumers
from tallymq.service.delivery import deliveries_of
from tallymq.service.errors import Refused
from tallymq.service.groups import default_group
from tallymq.service.metrics import Metrics
from tallymq.service.reconcile import holds_in_doubt, is_made
from tallymq.service.tasks import Tasks
from tallymq.service.validation import (
    DELAY_MS_MAX,
    LEASE_MS_MAX,
    LEASE_MS_MIN,
    LIMIT_DEFAULT,
    LIMIT_MAX,
    NAME_BYTES_MAX,
    QUEUE_COUNT_MAX,
    WAIT_MS_MAX,
    check_name,
    check_range,
    check_text,
)
from tallymq.txn import queries
from tallymq.txn.answers import DeadLetterInfo, TopicInfo
from tallymq.txn.commands import Barrier, CreateTopic, DeleteTopic, PutGroup
from tallymq.txn.outcomes import LeasedPiece

SERVICE = "tallymq.v1.Admin"
QUEUE_COUNT_DEFAULT = 4
RETENTION_MS_DEFAULT = 7 * 24 * 60 * 60 * 1_000
RETENTION_MS_MAX = 100 * 365 * 24 * 60 * 60 * 1_000
ATTEMPTS_MAX = 1_000
WAIT_S_MAX = 30.0
WATCH_S = 0.02
"""How often to look at this node's copies of shards led elsewhere: what they apply comes without a notice."""
BROWSE_BYTES_MAX = 3 << 20

log = structlog.get_logger("tallymq.service.admin")


class Admin:
    """Everything operators may ask of this node."""

    def __init__(
        self,
        cluster: Cluster,
        consumers: Consumers,
        transactions: AdminTransactions,
        nodes: AdminNodes,
        metrics: Metrics,
        draining: Draining,
    ) -> None:
        self._cluster = cluster
        self._consumers = consumers
        self._transactions = transactions
        self._nodes = nodes
        self._metrics = metrics
        self._draining = draining

    def handler(self) -> GenericHandler:
        """Return the methods for a gRPC server."""
        calls = Calls(SERVICE, self._metrics, self._draining)
        calls.unary("CreateTopic", admin_pb2.CreateTopicRequest, self.create_topic)
        calls.unary("DeleteTopic", admin_pb2.DeleteTopicRequest, self.delete_topic)
        calls.unary("ListTopics", admin_pb2.ListTopicsRequest, self.list_topics)
        calls.unary("GetTopic", admin_pb2.GetTopicRequest, self.get_topic)
        calls.unary("PutGroup", admin_pb2.PutGroupRequest, self.put_group)
        calls.unary("ListGroups", admin_pb2.ListGroupsRequest, self.list_groups)
        calls.unary("GetGroup", admin_pb2.GetGroupRequest, self.get_group)
        calls.unary("ListDeadLetters", admin_pb2.ListDeadLettersRequest, self.list_dead_letters)
        calls.unary("Browse", admin_pb2.BrowseRequest, self.browse)
        calls.unary("GetClusterStatus", admin_pb2.GetClusterStatusRequest, self.get_cluster_status)
        self._transactions.add_to(calls)
        self._nodes.add_to(calls)
        return calls.handler()

    async def create_topic(self, request: admin_pb2.CreateTopicRequest, _principal: str) -> admin_pb2.CreateTopicReply:
        """Make a topic, and answer when its queues are made on all their shards."""
        check_name(request.name, "name")
        check_range(request.queue_count, 1, QUEUE_COUNT_MAX, "queue_count", zero=True)
        check_range(request.settings.retention_ms, 0, RETENTION_MS_MAX, "retention_ms")
        check_range(request.settings.retention_bytes, 0, 1 << 62, "retention_bytes")
        command = CreateTopic(
            request.name,
            self._spread(request.queue_count or QUEUE_COUNT_DEFAULT),
            request.settings.retention_ms or RETENTION_MS_DEFAULT,
            request.settings.retention_bytes,
        )
        await self._cluster.require(self._cluster.metadata, command)
        # It is made, whatever becomes of its queues: nothing definite can be said of the call any more.
        await self._wait_until(lambda: self._is_ready(request.name), "TIMED_OUT")
        topic = self._cluster.topic(request.name)
        return admin_pb2.CreateTopicReply(topic=replies.topic(topic, self._cluster, with_queues=False))

    async def delete_topic(self, request: admin_pb2.DeleteTopicRequest, _principal: str) -> admin_pb2.DeleteTopicReply:
        """Delete a topic, and answer when it is gone, or the deletion was taken back.

        A shard without a leader holds it up: the caller is told TIMED_OUT, and it goes on once there is one.
        """
        check_name(request.name, "name")
        if not self._cluster.metadata.is_leader:
            raise self._cluster.not_leader(self._cluster.metadata)
        # A leader that was replaced unawares must not say of a new topic that there is none.
        await self._catch_up()
        topic = self._cluster.topic(request.name)
        if not topic.deleting and self._in_doubt(topic):
            raise Refused("TOPIC_IN_DOUBT", topic.name)
        await self._cluster.require(self._cluster.metadata, DeleteTopic(request.name))
        begun = queries.topic(self._cluster.metadata.view, request.name)
        if begun is not None and begun.topic_id == topic.topic_id and begun.deleting:
            await self._wait_until(lambda: not self._is_deleting(begun), "TIMED_OUT")
        left = queries.topic(self._cluster.metadata.view, request.name)
        if left is not None and left.topic_id == topic.topic_id:
            raise Refused("TOPIC_IN_DOUBT", topic.name)
        return admin_pb2.DeleteTopicReply()

    async def list_topics(self, request: admin_pb2.ListTopicsRequest, _principal: str) -> admin_pb2.ListTopicsReply:
        """Return topics by name."""
        check_range(request.limit, 1, LIMIT_MAX, "limit", zero=True)
        check_text(request.after, 0, NAME_BYTES_MAX, "after")
        await self._catch_up()
        found = queries.topics(self._cluster.metadata.view, request.after, request.limit or LIMIT_MAX)
        return admin_pb2.ListTopicsReply(
            topics=[replies.topic(topic, self._cluster, with_queues=False) for topic in found]
        )

    async def get_topic(self, request: admin_pb2.GetTopicRequest, _principal: str) -> admin_pb2.GetTopicReply:
        """Return one topic with its queues."""
        check_name(request.name, "name")
        await self._catch_up()
        topic = self._cluster.topic(request.name)
        return admin_pb2.GetTopicReply(topic=replies.topic(topic, self._cluster, with_queues=True))

    async def put_group(self, request: admin_pb2.PutGroupRequest, _principal: str) -> admin_pb2.PutGroupReply:
        """Make a group, or change its settings; other shards follow."""
        check_name(request.name, "name")
        given, plain = request.settings, default_group(request.name)
        check_range(given.attempts_max, 1, ATTEMPTS_MAX, "attempts_max", zero=True)
        check_range(given.lease_ms, LEASE_MS_MIN, LEASE_MS_MAX, "lease_ms", zero=True)
        check_range(given.backoff_ms_min, 0, DELAY_MS_MAX, "backoff_ms_min")
        check_range(given.backoff_ms_max, 0, DELAY_MS_MAX, "backoff_ms_max")
        command = PutGroup(
            request.name,
            given.attempts_max or plain.attempts_max,
            given.lease_ms or plain.lease_ms,
            given.backoff_ms_min or plain.backoff_ms_min,
            given.backoff_ms_max or plain.backoff_ms_max,
        )
        if command.backoff_ms_max < command.backoff_ms_min:
            raise Refused("OUT_OF_RANGE", "backoff_ms_max is less than backoff_ms_min")
        await self._cluster.require(self._cluster.metadata, command)
        return admin_pb2.PutGroupReply(group=replies.group(command))

    async def list_groups(self, request: admin_pb2.ListGroupsRequest, _principal: str) -> admin_pb2.ListGroupsReply:
        """Return groups by name."""
        check_range(request.limit, 1, LIMIT_MAX, "limit", zero=True)
        check_text(request.after, 0, NAME_BYTES_MAX, "after")
        await self._catch_up()
        found = queries.groups(self._cluster.metadata.view, request.after, request.limit or LIMIT_MAX)
        return admin_pb2.ListGroupsReply(groups=[replies.group(info) for info in found])

    async def get_group(self, request: admin_pb2.GetGroupRequest, _principal: str) -> admin_pb2.GetGroupReply:
        """Return one group with where it stands on each queue."""
        check_name(request.name, "name")
        await self._catch_up()
        info = queries.group(self._cluster.metadata.view, request.name)
        if info is None:
            known = (queries.group(shard.view, request.name) for shard in self._cluster.shards.values())
            info = next((each for each in known if each is not None), None)
        if info is None:
            raise Refused("UNKNOWN_GROUP", request.name)
        group = replies.group(info)
        group.queues.extend(replies.group_queues(request.name, self._cluster))
        group.consumers = self._consumers.count(request.name)
        return admin_pb2.GetGroupReply(group=group)

    async def list_dead_letters(
        self, request: admin_pb2.ListDeadLettersRequest, _principal: str
    ) -> admin_pb2.ListDeadLettersReply:
        """Return the dead letters of a group on a topic, queue by queue."""
        check_name(request.group, "group")
        check_name(request.topic, "topic")
        check_range(request.limit, 1, LIMIT_MAX, "limit", zero=True)
        limit = request.limit or LIMIT_DEFAULT
        topic = self._cluster.topic(request.topic)
        found: list[DeadLetterInfo] = []
        for queue, number in enumerate(topic.queue_shards):
            view = self._cluster.shards[number].view
            found += queries.dead_letters(view, request.group, topic.name, queue, -1, limit - len(found))
            if len(found) >= limit:
                break
        return admin_pb2.ListDeadLettersReply(dead_letters=[replies.dead_letter(letter) for letter in found])

    async def browse(self, request: admin_pb2.BrowseRequest, _principal: str) -> frames_pb2.BrowseReply:
        """Return messages of a queue without leasing them."""
        check_name(request.topic, "topic")
        check_range(request.records_max, 1, LIMIT_MAX, "records_max", zero=True)
        check_range(request.wait_ms, 0, WAIT_MS_MAX, "wait_ms")
        topic = self._cluster.topic(request.topic)
        shard = self._cluster.shard_of_queue(topic, request.queue)
        info = queries.queue(shard.view, topic.name, request.queue)
        if info is None:
            raise Refused("TOPIC_NOT_READY", topic.name)
        offset = max(request.offset, info.first_offset)
        if request.from_end:
            offset = max(info.next_offset - request.from_end, info.first_offset)
        await self._wait_for_message(shard.number, topic.name, request.queue, offset, request.wait_ms)
        pieces = queries.browse(shard.view, topic.name, request.queue, offset, request.records_max or LIMIT_DEFAULT)
        fitting: list[LeasedPiece] = []
        size = 0
        for piece in pieces:
            size += piece.reference.length
            if fitting and size > BROWSE_BYTES_MAX:
                break
            fitting.append(piece)
        end = fitting[-1].first_offset + fitting[-1].count if fitting else offset
        return frames_pb2.BrowseReply(deliveries=deliveries_of(shard, fitting), next_offset=end)

    async def get_cluster_status(
        self, _request: admin_pb2.GetClusterStatusRequest, _principal: str
    ) -> admin_pb2.GetClusterStatusReply:
        """Return the cluster as this node knows it."""
        return admin_pb2.GetClusterStatusReply(
            cluster=self._cluster.name,
            node=self._cluster.node,
            version=version("tallymq"),
            nodes=replies.nodes(self._cluster),
            shards=[replies.shard(shard) for shard in self._cluster.shards.values()],
        )

    async def _catch_up(self) -> None:
        """Make what is read next linearizable where this node leads the metadata shard."""
        if self._cluster.metadata.is_leader:
            await self._cluster.require(self._cluster.metadata, Barrier())

    def _spread(self, queue_count: int) -> tuple[int, ...]:
        """Return a shard for each queue of a new topic: round robin, each topic beginning where the last ended."""
        shard_count = len(self._cluster.shards)
        first = self._cluster.metadata.applied_index % shard_count
        return tuple((first + queue) % shard_count for queue in range(queue_count))

    def _is_ready(self, name: str) -> bool:
        topic = self._cluster.find_topic(name)
        return topic is not None and all(
            is_made(self._cluster.shards[number], topic, queue) for queue, number in enumerate(topic.queue_shards)
        )

    def _is_deleting(self, topic: TopicInfo) -> bool:
        now = queries.topic(self._cluster.metadata.view, topic.name)
        return now is not None and (now.topic_id, now.deletion) == (topic.topic_id, topic.deletion) and now.deleting

    def _in_doubt(self, topic: TopicInfo) -> bool:
        return any(
            holds_in_doubt(self._cluster.shards[number], topic, queue)
            for queue, number in enumerate(topic.queue_shards)
        )

    async def _wait_for_message(self, shard: int, topic: str, queue: int, offset: int, wait_ms: int) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_ms / 1_000
        while loop.time() < deadline and not self._draining.begun.is_set():
            info = queries.queue(self._cluster.shards[shard].view, topic, queue)
            if info is None or info.next_offset > offset:
                return
            with Tasks() as tasks:
                grown = tasks.start(self._cluster.wait_for_growth(topic, queue))
                await tasks.until_first(self._draining, grown, timeout_s=deadline - loop.time())

    async def _wait_until(self, is_so: Callable[[], bool], otherwise: str) -> None:
        deadline = asyncio.get_running_loop().time() + WAIT_S_MAX
        while not is_so():
            if asyncio.get_running_loop().time() >= deadline:
                raise Refused(otherwise)
            await asyncio.sleep(WATCH_S)

"""Subscribe and Fetch: consumers that are sent messages as their credit allows, and those that ask for some."""

from __future__ import annotations

import asyncio

import structlog

from tallymq.proto import frames_pb2, messaging_pb2
from tallymq.service.calls import Context, Draining
from tallymq.service.cluster import Cluster
from tallymq.service.delivery import Delivery, Member
from tallymq.service.errors import Refused
from tallymq.service.groups import ensure_true_copy
from tallymq.service.leases import Leases
from tallymq.service.metrics import Metrics
from tallymq.service.subscription import Subscription
from tallymq.service.validation import (
    FETCH_BYTES_MAX,
    LEASE_MS_MAX,
    LEASE_MS_MIN,
    RECORDS_MAX,
    WAIT_MS_MAX,
    check_name,
    check_present,
    check_range,
)
from tallymq.txn.answers import TopicInfo

RECORDS_DEFAULT = 1_024

log = structlog.get_logger("tallymq.service.consumers")


class Consumers:
    """Everyone who consumes from this node."""

    def __init__(
        self,
        cluster: Cluster,
        delivery: Delivery,
        leases: Leases,
        metrics: Metrics,
        draining: Draining,
        subscriptions_max: int,
    ) -> None:
        self._cluster = cluster
        self._delivery = delivery
        self._leases = leases
        self._metrics = metrics
        self._draining = draining
        self._subscriptions_max = subscriptions_max
        self._subscriptions: set[Subscription] = set()
        self._fetching = 0

    def count(self, group: str = "") -> int:
        """Return how many subscriptions are open on this node, of one group or of all."""
        return sum(1 for subscription in self._subscriptions if not group or subscription.member.group == group)

    async def subscribe(self, context: Context, _principal: str) -> None:
        """Serve one subscription until its client leaves, its topic is deleted or the node drains."""
        subscription = Subscription(self._cluster, self._leases, self._metrics, self._draining, context)
        start = await subscription.read_start()
        _check_consumer(start)
        check_range(start.delivery_records_max, 1, RECORDS_MAX, "delivery_records_max", zero=True)
        topic = await self._usable_topic(start.topic)
        if len(self._subscriptions) >= self._subscriptions_max:
            raise Refused("TOO_MANY_STREAMS", f"{len(self._subscriptions)} subscriptions")
        await self._ensure_group(start.consumer_group)
        member = Member(
            group=start.consumer_group,
            topic=start.topic,
            consumer=start.consumer,
            lease_ms=start.lease_ms,
            start_at_latest=start.start_at == messaging_pb2.START_AT_LATEST,
            delivery_records_max=start.delivery_records_max or RECORDS_DEFAULT,
            on_delivery=subscription.put,
        )
        subscription.begin(member, topic.topic_id)
        self._subscriptions.add(subscription)
        self._delivery.join(member, topic)
        try:
            await subscription.serve()
        finally:
            self._subscriptions.discard(subscription)
            self._delivery.leave(member)

    async def fetch(self, request: messaging_pb2.FetchRequest, _principal: str) -> frames_pb2.FetchReply:
        """Return messages; wait for the first as long as asked."""
        _check_consumer(request)
        check_range(request.records_max, 1, RECORDS_MAX, "records_max", zero=True)
        check_range(request.record_bytes_max, 1, FETCH_BYTES_MAX, "record_bytes_max", zero=True)
        check_range(request.wait_ms, 0, WAIT_MS_MAX, "wait_ms")
        topic = await self._usable_topic(request.topic)
        if self._fetching >= self._subscriptions_max:
            raise Refused("TOO_MANY_STREAMS", f"{self._fetching} fetches")
        await self._ensure_group(request.consumer_group)
        self._fetching += 1
        try:
            return await self._fetch(request, topic)
        finally:
            self._fetching -= 1

    def metadata_changed(self) -> None:
        """End the subscriptions of topics that are gone."""
        for subscription in list(self._subscriptions):
            topic = self._cluster.find_topic(subscription.member.topic)
            if topic is None or topic.topic_id != subscription.topic_id:
                subscription.end(Refused("UNKNOWN_TOPIC", subscription.member.topic))

    async def _fetch(self, request: messaging_pb2.FetchRequest, topic: TopicInfo) -> frames_pb2.FetchReply:
        found: list[frames_pb2.Delivery] = []
        settled = asyncio.Event()

        def take(deliveries: list[frames_pb2.Delivery]) -> None:
            found.extend(deliveries)
            settled.set()

        member = Member(
            group=request.consumer_group,
            topic=request.topic,
            consumer=request.consumer,
            lease_ms=request.lease_ms,
            start_at_latest=request.start_at == messaging_pb2.START_AT_LATEST,
            delivery_records_max=request.records_max or RECORDS_DEFAULT,
            on_delivery=take,
        )
        member.credit_records = request.records_max or RECORDS_DEFAULT
        member.credit_bytes = request.record_bytes_max or FETCH_BYTES_MAX
        self._delivery.join(member, topic)
        try:
            # The lanes' tasks begin first, so that a fetch that does not wait still gets what is there.
            await asyncio.sleep(0)
            await self._wait(member, found, settled, request.wait_ms)
        finally:
            member.is_paused = True
            self._delivery.leave(member)
        return frames_pb2.FetchReply(deliveries=found)

    async def _wait(
        self, member: Member, found: list[frames_pb2.Delivery], settled: asyncio.Event, wait_ms: int
    ) -> None:
        """Return when something was found and nothing more is under way, or the time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_ms / 1_000
        drain = asyncio.create_task(self._draining.begun.wait())
        try:
            # What is leased must be returned, so commands under way are waited for even when the time is over.
            while member.under_way or not (found or self._draining.begun.is_set() or loop.time() >= deadline):
                waiter = asyncio.create_task(settled.wait())
                waits = {waiter} if drain.done() else {waiter, drain}
                left = None if member.under_way else deadline - loop.time()
                await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                waiter.cancel()
                settled.clear()
                if self._draining.begun.is_set():
                    member.is_paused = True
        finally:
            drain.cancel()

    async def _usable_topic(self, name: str) -> TopicInfo:
        if self._cluster.may_be_behind(name):
            await self._cluster.wait_for_topic(name)
        topic = self._cluster.topic(name)
        if topic.deleting:
            raise Refused("TOPIC_DELETING", name)
        return topic

    async def _ensure_group(self, name: str) -> None:
        try:
            await ensure_true_copy(self._cluster, name)
        except Refused as refused:
            # The group is made again where it is used; the true copy follows when the metadata shard can be written.
            log.info("group is not yet in the metadata shard", group=name, refusal=refused.name)


def _check_consumer(request: messaging_pb2.SubscribeStart | messaging_pb2.FetchRequest) -> None:
    check_name(request.consumer_group, "consumer_group")
    check_name(request.topic, "topic")
    check_present(request.consumer, "consumer")
    check_range(request.lease_ms, LEASE_MS_MIN, LEASE_MS_MAX, "lease_ms", zero=True)
    if request.start_at not in messaging_pb2.StartAt.values():
        raise Refused("OUT_OF_RANGE", f"start_at is {request.start_at}")

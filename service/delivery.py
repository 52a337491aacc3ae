"""Who waits for which queue. Messages are leased when there are some and somebody has room; nothing polls.

A lane is one group's way through one queue. It has at most one Lease command under way; the log joins the commands of
many lanes into one entry. A lane works while there is something to lease and a member with room, then rests until the
queue grows, a member gets room, or this node begins to lead the queue's shard.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from tallymq.proto import frames_pb2
from tallymq.service.calls import log
from tallymq.service.cluster import Cluster, Shard
from tallymq.service.errors import Refused, from_outcome
from tallymq.service.groups import ensure_on_shard
from tallymq.service.metrics import Metrics
from tallymq.service.slices import are_consecutive, positions_of, visible
from tallymq.txn import queries
from tallymq.txn.answers import TopicInfo
from tallymq.txn.bits import first
from tallymq.txn.commands import Lease
from tallymq.txn.outcomes import Leased, LeasedPiece, Refusal

LEASE_BYTES_MAX = 3 << 20
RETRY_S = 0.2
"""Pause before a lane asks again after a refusal, or for a queue that its shard has not made yet."""


class Member:
    """A consumer that waits: how much it takes, and what it was given. Its owner writes `on_delivery`."""

    def __init__(
        self,
        *,
        group: str,
        topic: str,
        consumer: int,
        lease_ms: int,
        start_at_latest: bool,
        delivery_records_max: int,
        on_delivery: Callable[[list[frames_pb2.Delivery]], None],
    ) -> None:
        self.group = group
        self.topic = topic
        self.consumer = consumer
        self.lease_ms = lease_ms
        self.start_at_latest = start_at_latest
        self.delivery_records_max = delivery_records_max
        self.credit_records = 0
        self.credit_bytes = 0
        self.under_way = 0
        self.is_paused = False
        self.lanes: list[Lane] = []
        self._on_delivery = on_delivery

    @property
    def has_room(self) -> bool:
        """Whether a lane may lease for this member."""
        return not self.is_paused and self.credit_records > 0 and self.credit_bytes > 0

    def reserve(self) -> tuple[int, int]:
        """Take credit for one Lease command: records, bytes."""
        records = min(self.credit_records, self.delivery_records_max)
        size = min(self.credit_bytes, LEASE_BYTES_MAX)
        self.credit_records -= records
        self.credit_bytes -= size
        self.under_way += 1
        return records, size

    def settle(self, reserved: tuple[int, int], deliveries: list[frames_pb2.Delivery]) -> None:
        """Hand over what a Lease command brought and give unused credit back."""
        had_room = self.has_room
        self.under_way -= 1
        self.credit_records += reserved[0] - sum(delivery.count for delivery in deliveries)
        self.credit_bytes += reserved[1] - sum(len(delivery.records) for delivery in deliveries)
        self._on_delivery(deliveries)
        if not had_room and self.has_room:
            self.wake()

    def wake(self) -> None:
        """Let the lanes look again: there is room now."""
        if self.has_room:
            for lane in self.lanes:
                lane.wake()


class Lane:
    """One group on one queue."""

    def __init__(self, cluster: Cluster, metrics: Metrics, shard: Shard, group: str, topic: str, queue: int) -> None:
        self.shard = shard
        self.group = group
        self.topic = topic
        self.queue = queue
        self.members: deque[Member] = deque()
        self._cluster = cluster
        self._metrics = metrics
        self._task: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._wanted = False

    def wake(self) -> None:
        """Look for something to lease, now or when the Lease command under way is answered."""
        self._wanted = True
        if self._task is None and self._can_work():
            self._task = asyncio.get_running_loop().create_task(self._work())
            self._task.add_done_callback(self._rest)

    def close(self) -> None:
        """Forget the timer; a command under way ends by itself."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _can_work(self) -> bool:
        return self._retry is None and self.shard.is_leader and self._has_room() and self._has_something()

    def _has_room(self) -> bool:
        return any(member.has_room for member in self.members)

    def _next_member(self) -> Member | None:
        """Return a member with room; each in its turn."""
        for _ in range(len(self.members)):
            member = self.members[0]
            self.members.rotate(-1)
            if member.has_room:
                return member
        return None

    def _has_something(self) -> bool:
        """Return whether a Lease command would find anything, or give a new group its place on the queue."""
        view = self.shard.view
        queue = queries.queue(view, self.topic, self.queue)
        if queue is None:
            self._retry_soon()
            return False
        standing = queries.group_queue(view, self.group, self.topic, self.queue)
        if standing is None:
            return True
        if max(standing.next_offset, queue.first_offset) < queue.next_offset:
            return True
        due_ms = queries.group_next_due_ms(view, self.group, self.topic, self.queue)
        return 0 < due_ms <= self.shard.clock_ms

    async def _work(self) -> None:
        is_known_full = True
        while is_known_full or self._can_work():
            self._wanted = False
            member = self._next_member()
            if member is None:
                return
            reserved = member.reserve()
            deliveries: list[frames_pb2.Delivery] = []
            try:
                deliveries = await self._lease(member, reserved)
            except Refused:
                # Before the credit is given back, which wakes lanes: this one pauses, whatever shard it was that
                # refused (the group may have to be made on another one), and then looks again.
                self._retry_soon()
                return
            finally:
                member.settle(reserved, deliveries)
            taken = sum(delivery.count for delivery in deliveries)
            is_known_full = taken >= reserved[0] and self._has_room()
            if taken == 0 and not self._wanted:
                return

    async def _lease(self, member: Member, reserved: tuple[int, int]) -> list[frames_pb2.Delivery]:
        command = Lease(
            group=self.group,
            topic=self.topic,
            queue=self.queue,
            consumer=member.consumer,
            records_max=reserved[0],
            record_bytes_max=reserved[1],
            lease_ms=member.lease_ms,
            start_at_latest=member.start_at_latest,
        )
        result = await self._cluster.ask(self.shard, command)
        if result is Refusal.UNKNOWN_GROUP:
            await ensure_on_shard(self._cluster, self.shard, self.group)
            result = await self._cluster.ask(self.shard, command)
        if isinstance(result, Refusal):
            raise from_outcome(result)
        if not isinstance(result, Leased):
            return []
        deliveries = deliveries_of(self.shard, result.pieces)
        self._wanted = self._wanted or len(deliveries) < len(result.pieces)
        self._metrics.records_delivered.inc(sum(delivery.count for delivery in deliveries))
        self._metrics.record_bytes_delivered.inc(sum(len(delivery.records) for delivery in deliveries))
        return deliveries

    def _rest(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("lane failed", topic=self.topic, queue=self.queue, group=self.group, exc_info=error)
            self._retry_soon()
        elif self._wanted:
            self.wake()

    def _retry_soon(self) -> None:
        if self._retry is None and self.members:
            self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        self.wake()


class Delivery:
    """All lanes of this node, found by group, topic and queue."""

    def __init__(self, cluster: Cluster, metrics: Metrics) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._lanes: dict[tuple[str, int], dict[str, Lane]] = {}
        self._turn = 0

    def join(self, member: Member, topic: TopicInfo) -> None:
        """Let a member wait on every queue of its topic; lanes of shards led elsewhere rest until led here."""
        self._turn += 1
        count = len(topic.queue_shards)
        for step in range(count):
            queue = (self._turn + step) % count
            lanes = self._lanes.setdefault((topic.name, queue), {})
            lane = lanes.get(member.group)
            if lane is None:
                shard = self._cluster.shard_of_queue(topic, queue)
                lane = lanes[member.group] = Lane(self._cluster, self._metrics, shard, member.group, topic.name, queue)
            lane.members.append(member)
            member.lanes.append(lane)
        member.wake()

    def leave(self, member: Member) -> None:
        """Forget a member. What it holds stays leased until it is acknowledged or the lease ends."""
        for lane in member.lanes:
            lane.members.remove(member)
            if not lane.members:
                lane.close()
                self._remove(lane)
        member.lanes.clear()

    def grew(self, topic: str, queue: int, group: str) -> None:
        """Wake the lanes of a queue that has something new, for one group or (empty) for all."""
        lanes = self._lanes.get((topic, queue))
        if not lanes:
            return
        for lane in [lanes[group]] if group in lanes else [] if group else list(lanes.values()):
            lane.wake()

    def wake_shard(self, shard: int) -> None:
        """Wake all lanes of a shard that this node has begun to lead."""
        for lanes in list(self._lanes.values()):
            for lane in list(lanes.values()):
                if lane.shard.number == shard:
                    lane.wake()

    def _remove(self, lane: Lane) -> None:
        lanes = self._lanes.get((lane.topic, lane.queue), {})
        if lanes.get(lane.group) is lane:
            del lanes[lane.group]
            if not lanes:
                del self._lanes[lane.topic, lane.queue]


def deliveries_of(shard: Shard, pieces: tuple[LeasedPiece, ...] | list[LeasedPiece]) -> list[frames_pb2.Delivery]:
    """Return pieces with their bytes; a piece whose bytes are damaged is logged and left out, never served."""
    deliveries = []
    for piece in pieces:
        try:
            deliveries.append(delivery_of(shard, piece))
        except Exception as error:  # noqa: BLE001 - one unreadable batch must not hold up the others
            log.error("stored batch cannot be served", shard=shard.number, index=piece.reference.index, exc_info=error)
    return deliveries


def delivery_of(shard: Shard, piece: LeasedPiece) -> frames_pb2.Delivery:
    """Return one piece with exactly its records; raises what `Shard.read` raises."""
    reference = piece.reference
    records, crc32c = visible(shard.read(reference), reference.crc32c, reference.count, piece.selected)
    return frames_pb2.Delivery(
        topic=piece.topic,
        queue=piece.queue,
        first_offset=piece.first_offset,
        count=piece.count,
        attempt=piece.attempt,
        lease=piece.lease,
        lease_until_ms=piece.lease_until_ms,
        instance=piece.instance,
        sequence=piece.sequence,
        positions=(
            []
            if are_consecutive(piece.selected)
            else [piece.first_position + position for position in positions_of(piece.selected)]
        ),
        first_position=piece.first_position + first(piece.selected),
        visible_time_ms=piece.visible_ms,
        crc32c=crc32c,
        records=records,
    )

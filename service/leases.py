"""Acknowledge, negative-acknowledge and extend: what consumers say of messages they hold."""

from __future__ import annotations

from collections.abc import Sequence

from tallymq.proto import messaging_pb2
from tallymq.service.cluster import Cluster, Shard
from tallymq.service.errors import Refused
from tallymq.service.validation import (
    DELAY_MS_MAX,
    LEASE_MS_MAX,
    LEASE_MS_MIN,
    REASON_BYTES_MAX,
    check_name,
    check_range,
    check_ranges,
    check_text,
)
from tallymq.txn.commands import Acknowledge, Command, Extend, LeasedRange, NegativeAcknowledge
from tallymq.txn.outcomes import RangesDone, Refusal

LeaseRequest = messaging_pb2.AcknowledgeRequest | messaging_pb2.NegativeAcknowledgeRequest | messaging_pb2.ExtendRequest


class Leases:
    """Proposes what consumers say of their leases, to the shard that owns the queues."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def acknowledge(self, request: messaging_pb2.AcknowledgeRequest, _principal: str) -> messaging_pb2.LeaseReply:
        """These messages are done."""
        shard, ranges = self._place(request)
        return await self._propose(shard, Acknowledge(request.consumer_group, ranges))

    async def negative_acknowledge(
        self, request: messaging_pb2.NegativeAcknowledgeRequest, _principal: str
    ) -> messaging_pb2.LeaseReply:
        """These messages must come again, or are dead letters."""
        check_range(request.delay_ms, 0, DELAY_MS_MAX, "delay_ms")
        check_text(request.reason, 0, REASON_BYTES_MAX, "reason")
        shard, ranges = self._place(request)
        command = NegativeAcknowledge(
            request.consumer_group, ranges, request.delay_ms, request.reason, request.dead_letter
        )
        return await self._propose(shard, command)

    async def extend(self, request: messaging_pb2.ExtendRequest, _principal: str) -> messaging_pb2.LeaseReply:
        """The consumer needs more time."""
        check_range(request.lease_ms, LEASE_MS_MIN, LEASE_MS_MAX, "lease_ms")
        shard, ranges = self._place(request)
        return await self._propose(shard, Extend(request.consumer_group, ranges, request.lease_ms))

    def _place(self, request: LeaseRequest) -> tuple[Shard, tuple[LeasedRange, ...]]:
        """Return the one shard that all ranges are of, and the ranges as the rules know them."""
        check_name(request.consumer_group, "consumer_group")
        check_ranges(request.ranges)
        shards = {self._shard_of(leased) for leased in request.ranges}
        if len(shards) != 1:
            raise Refused("SEVERAL_SHARDS", f"shards {sorted(shards)}")
        return self._cluster.shards[shards.pop()], _to_rules(request.ranges)

    def _shard_of(self, leased: messaging_pb2.LeasedRange) -> int:
        topic = self._cluster.topic(leased.topic)
        return self._cluster.shard_of_queue(topic, leased.queue).number

    async def _propose(self, shard: Shard, command: Command) -> messaging_pb2.LeaseReply:
        result = await self._cluster.require(shard, command)
        if not isinstance(result, RangesDone):
            raise Refused("INTERNAL_ERROR", type(result).__name__)
        return messaging_pb2.LeaseReply(results=[_lease_result(refusal) for refusal in result.results])


def _to_rules(ranges: Sequence[messaging_pb2.LeasedRange]) -> tuple[LeasedRange, ...]:
    return tuple(
        LeasedRange(leased.topic, leased.queue, leased.lease, leased.first_offset, leased.count) for leased in ranges
    )


def _lease_result(refusal: Refusal | None) -> messaging_pb2.LeaseResult:
    return messaging_pb2.LEASE_RESULT_OK if refusal is None else messaging_pb2.LEASE_RESULT_LOST

"""Frames of publishes, halves and decisions: checked, placed on a shard, proposed, and their results said in proto."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import google_crc32c
from google.protobuf.message import Message

from tallymq.proto import frames_pb2, messaging_pb2
from tallymq.service.batches import check_frame, to_rules
from tallymq.service.cluster import Cluster, Shard, look_at_error
from tallymq.service.errors import Refused, from_outcome, to_message
from tallymq.service.identities import DEADLINE_MS_DEFAULT, Identities
from tallymq.service.validation import (
    CHECK_AFTER_MS_MAX,
    CHECK_AFTER_MS_MIN,
    DECISIONS_MAX,
    bits_of,
    bits_to_bytes,
    check_items,
    check_name,
    check_optional_name,
    check_range,
)
from tallymq.txn import outcomes
from tallymq.txn.answers import TopicInfo
from tallymq.txn.bits import first
from tallymq.txn.commands import Decide, Decision, Prepare, Publish
from tallymq.txn.outcomes import Decided, Prepared, Refusal, Result, Stored
from tallymq.txn.types import Batch, Identity

TIME_MS_MAX = 1 << 52


@dataclass(frozen=True)
class Pending:
    """A frame on its way: `finish` turns the result of `future` into the reply, or raises Refused."""

    shard: Shard
    future: asyncio.Future[Result]
    finish: Callable[[Result], Message]


class Frames:
    """Takes frames of one node's clients. Everything here returns at once; the future tells the outcome."""

    def __init__(
        self, cluster: Cluster, identities: Identities, *, validate_records: bool, check_after_ms: int
    ) -> None:
        self._cluster = cluster
        self._identities = identities
        self._validate_records = validate_records
        self._check_after_ms = check_after_ms

    def publish(self, request: frames_pb2.PublishRequest, principal: str) -> Pending:
        """Propose a frame of messages; raises Refused for what certainly did not happen."""
        check_optional_name(request.producer_group, "producer_group")
        identity, shard, batches = self._place(request)
        command = Publish(identity, request.producer_group, principal, batches)
        future = self._cluster.propose(shard, command, [batch.records for batch in request.batches])
        return Pending(shard, future, lambda result: self._published(request, identity, shard, result))

    def prepare(self, request: frames_pb2.PrepareRequest, principal: str) -> Pending:
        """Propose a frame of half messages; raises Refused for what certainly did not happen."""
        check_name(request.producer_group, "producer_group")
        check_range(request.check_after_ms, CHECK_AFTER_MS_MIN, CHECK_AFTER_MS_MAX, "check_after_ms", zero=True)
        identity, shard, batches = self._place(request)
        check_after_ms = request.check_after_ms or self._check_after_ms
        command = Prepare(identity, request.producer_group, principal, batches, check_after_ms)
        future = self._cluster.propose(shard, command, [batch.records for batch in request.batches])
        return Pending(shard, future, lambda result: self._prepared(request, identity, shard, result))

    def decide(self, request: messaging_pb2.DecideRequest, principal: str) -> Pending:
        """Propose decisions by bits; raises Refused for what certainly did not happen."""
        check_name(request.producer_group, "producer_group")
        check_items(len(request.decisions), 1, DECISIONS_MAX, "decisions")
        shard = self._shard_of({decision.shard for decision in request.decisions})
        decisions = tuple(_decision(decision) for decision in request.decisions)
        command = Decide(request.producer_group, principal, "call", decisions)
        return Pending(shard, self._cluster.propose(shard, command), _decided)

    def decide_handles(
        self, group: str, handles: Sequence[messaging_pb2.Handle], commit: bool, principal: str
    ) -> Pending:
        """Propose one decision for all handles of a unary call; raises Refused."""
        check_name(group, "producer_group")
        check_items(len(handles), 1, DECISIONS_MAX, "handles")
        shard = self._shard_of({handle.shard for handle in handles})
        bits: dict[tuple[int, int, int, int], int] = {}
        for handle in handles:
            if handle.record >= 16_384:
                raise Refused("WRONG_HANDLE", f"record {handle.record}")
            key = (handle.index, handle.batch, handle.instance, handle.sequence)
            bits[key] = bits.get(key, 0) | 1 << handle.record
        decisions = tuple(
            Decision(*key, commit=chosen if commit else 0, roll_back=0 if commit else chosen)
            for key, chosen in bits.items()
        )
        future = self._cluster.propose(shard, Decide(group, principal, "call", decisions))
        reply = messaging_pb2.CommitReply() if commit else messaging_pb2.RollBackReply()
        return Pending(shard, future, lambda result: _all_decided(decisions, result, reply))

    def unknown_topics(self, batches: Sequence[frames_pb2.Batch]) -> list[str]:
        """Return the topics of a frame that this node has not heard of, though they may exist."""
        names = {batch.header.topic for batch in batches[:256]}
        return [name for name in names if 0 < len(name) <= 255 and self._cluster.may_be_behind(name)]

    def refusal_of(self, shard: Shard, error: BaseException) -> Refused:
        """Return what a caller is told when a frame for `shard` failed with `error`."""
        return self._cluster.refusal_of(shard, error)

    async def wait_for_topic(self, name: str) -> None:
        """Give a topic that may just have been made a moment to become known here."""
        await self._cluster.wait_for_topic(name)

    async def outcome(self, pending: Pending) -> Message:
        """Return the reply to a frame; raises Refused."""
        try:
            result = await asyncio.shield(pending.future)
        except asyncio.CancelledError:
            pending.future.add_done_callback(look_at_error)
            raise
        except Exception as error:
            raise self.refusal_of(pending.shard, error) from error
        return pending.finish(result)

    def _shard_of(self, numbers: set[int]) -> Shard:
        if len(numbers) != 1:
            raise Refused("SEVERAL_SHARDS", f"shards {sorted(numbers)}")
        return self._cluster.shard_of_handle(numbers.pop())

    def _place(
        self, request: frames_pb2.PublishRequest | frames_pb2.PrepareRequest
    ) -> tuple[Identity, Shard, tuple[Batch, ...]]:
        """Return who sent the frame, its shard, and its batches with their queues chosen."""
        check_frame(request.batches, self._validate_records)
        check_range(request.identity.deadline_ms, 0, TIME_MS_MAX, "deadline_ms")
        identity = self._identities.of(request.identity)
        taken: set[tuple[str, int]] = set()
        shard: Shard | None = None
        for batch in request.batches:
            if batch.header.queue_count:
                chosen = self._cluster.shard_of_queue(self._usable_topic(batch), batch.header.queue)
                shard = _same_shard(shard, chosen)
                taken.add((batch.header.topic, batch.header.queue))
        batches = []
        for batch in request.batches:
            topic = self._usable_topic(batch)
            if batch.header.queue_count:
                batches.append(to_rules(batch, batch.header.queue, batch.header.queue_count))
                continue
            queue = self._choose_queue(topic.name, topic.queue_shards, request.identity, identity, shard, taken)
            shard = self._cluster.shard_of_queue(topic, queue)
            taken.add((topic.name, queue))
            batches.append(to_rules(batch, queue, len(topic.queue_shards)))
        if shard is None:
            raise Refused("WRONG_BATCH_COUNT")
        if identity.deadline_ms == 0:
            identity = Identity(identity.instance, identity.sequence, shard.clock_ms + DEADLINE_MS_DEFAULT)
        return identity, shard, tuple(batches)

    def _usable_topic(self, batch: frames_pb2.Batch) -> TopicInfo:
        topic = self._cluster.topic(batch.header.topic)
        if topic.deleting:
            raise Refused("TOPIC_DELETING", topic.name)
        return topic

    def _choose_queue(
        self,
        topic: str,
        queue_shards: Sequence[int],
        given: messaging_pb2.FrameIdentity,
        identity: Identity,
        shard: Shard | None,
        taken: set[tuple[str, int]],
    ) -> int:
        """Return a queue of `topic` for a batch whose client does not care.

        A frame with an identity of its own may be sent again, perhaps elsewhere, and must then come to the same queue:
        it is chosen among all queues by the identity. Others get one of a shard that this node leads.
        """
        free = [queue for queue in range(len(queue_shards)) if (topic, queue) not in taken]
        if shard is not None:
            free = [queue for queue in free if queue_shards[queue] == shard.number]
        elif not given.instance:
            led = [queue for queue in free if self._cluster.shards[queue_shards[queue]].is_leader]
            if not led:
                raise self._cluster.not_leader(self._cluster.shards[queue_shards[0]])
            free = led
        if not free:
            raise Refused("SEVERAL_SHARDS", f"no free queue of {topic} on the shard of the frame's other batches")
        mixed = google_crc32c.value(struct.pack(">QI", identity.instance, identity.sequence))
        return free[int(mixed) % len(free)]

    def _published(
        self, request: frames_pb2.PublishRequest, identity: Identity, shard: Shard, result: Result
    ) -> messaging_pb2.PublishReply:
        if not isinstance(result, Stored):
            raise self._frame_refusal(request.batches, shard, result)
        return messaging_pb2.PublishReply(
            identity=_identity_message(identity),
            batches=[
                messaging_pb2.StoredBatch(
                    queue=batch.queue, first_offset=batch.first_offset, visible_count=batch.visible_count
                )
                for batch in result.batches
            ],
            repeated_frame=result.repeated,
        )

    def _prepared(
        self, request: frames_pb2.PrepareRequest, identity: Identity, shard: Shard, result: Result
    ) -> messaging_pb2.PrepareReply:
        if not isinstance(result, Prepared):
            raise self._frame_refusal(request.batches, shard, result)
        return messaging_pb2.PrepareReply(
            identity=_identity_message(identity),
            batches=[
                messaging_pb2.HalfBatch(
                    shard=shard.number,
                    index=batch.index,
                    batch=batch.batch,
                    queue=batch.queue,
                    first_position=batch.first_position,
                    count=batch.count,
                )
                for batch in result.batches
            ],
            repeated_frame=result.repeated,
        )

    def _frame_refusal(self, batches: Sequence[frames_pb2.Batch], shard: Shard, result: Result) -> Refused:
        """Return why a frame was refused; a shard that has not made the queue yet is no unknown topic."""
        if not isinstance(result, Refusal):
            return Refused("INTERNAL_ERROR", type(result).__name__)
        unmade = result in (Refusal.UNKNOWN_TOPIC, Refusal.UNKNOWN_QUEUE)
        if unmade and all(self._cluster.find_topic(batch.header.topic) is not None for batch in batches):
            return Refused("TOPIC_NOT_READY")
        if result in (Refusal.DEADLINE_PASSED, Refusal.DEADLINE_TOO_FAR):
            return Refused(result.value, time_ms=shard.clock_ms)
        return from_outcome(result)


def _same_shard(shard: Shard | None, chosen: Shard) -> Shard:
    if shard is not None and shard.number != chosen.number:
        raise Refused("SEVERAL_SHARDS", f"shards {shard.number} and {chosen.number}")
    return chosen


def _identity_message(identity: Identity) -> messaging_pb2.FrameIdentity:
    return messaging_pb2.FrameIdentity(
        instance=identity.instance, sequence=identity.sequence, deadline_ms=identity.deadline_ms
    )


def _decision(given: messaging_pb2.Decision) -> Decision:
    commit = bits_of(given.commit_bits, "commit_bits")
    roll_back = bits_of(given.roll_back_bits, "roll_back_bits")
    if commit & roll_back:
        raise Refused("CONTRADICTION")
    return Decision(given.index, given.batch, given.instance, given.sequence, commit, roll_back)


def _decided(result: Result) -> messaging_pb2.DecideReply:
    if isinstance(result, Refusal):
        raise from_outcome(result)
    if not isinstance(result, Decided):
        raise Refused("INTERNAL_ERROR", type(result).__name__)
    return messaging_pb2.DecideReply(results=[_decision_result(outcome) for outcome in result.outcomes])


def _decision_result(outcome: outcomes.DecisionOutcome) -> messaging_pb2.DecisionResult:
    return messaging_pb2.DecisionResult(
        already_committed_bits=bits_to_bytes(outcome.already_committed),
        already_rolled_back_bits=bits_to_bytes(outcome.already_rolled_back),
        refusal=None if outcome.refusal is None else to_message(from_outcome(outcome.refusal)),
    )


def _all_decided(decisions: Sequence[Decision], result: Result, reply: Message) -> Message:
    """Return `reply` if every decision stands as asked; otherwise raise the first refusal, naming the handle."""
    if isinstance(result, Refusal):
        raise from_outcome(result)
    if not isinstance(result, Decided):
        raise Refused("INTERNAL_ERROR", type(result).__name__)
    for decision, outcome in zip(decisions, result.outcomes, strict=True):
        place = f"index {decision.index}, batch {decision.batch}"
        if outcome.refusal is not None:
            raise from_outcome(outcome.refusal, place)
        for bits, name in (
            (outcome.already_committed, "ALREADY_COMMITTED"),
            (outcome.already_rolled_back, "ALREADY_ROLLED_BACK"),
        ):
            if bits:
                raise Refused(name, f"{place}, record {first(bits)}")
    return reply

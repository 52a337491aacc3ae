"""Gives each caller of a frame its part of the answer."""

from __future__ import annotations

from tallymq._batcher import Frame, HalfHandle, Item
from tallymq._records import message_id
from tallymq.exceptions import (
    AlreadyCommitted,
    AlreadyRolledBack,
    OutcomeUnknown,
    TallyError,
    error_of_refusal,
)
from tallymq.proto import messaging_pb2
from tallymq.types import Receipt


def fail(items: list[Item], error: TallyError) -> None:
    """Give every caller the error, an exception of its own each."""
    for item in items:
        if not item.future.done():
            item.future.set_exception(_copy(error))


def _copy(error: TallyError) -> TallyError:
    copy = type(error)(error.message, hint=error.hint)
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error.__cause__
    return copy


def settle(frame: Frame, reply: messaging_pb2.ProduceReply) -> None:
    """Give every caller its receipt, handle, or None for a decision."""
    kind = reply.WhichOneof("reply")
    if kind == "publish" and len(reply.publish.batches) == len(frame.batches):
        _settle_publish(frame, reply.publish)
    elif kind == "prepare" and len(reply.prepare.batches) == len(frame.batches):
        _settle_prepare(frame, reply.prepare)
    elif kind == "decide" and len(reply.decide.results) == len(frame.batches):
        _settle_decide(frame, reply.decide)
    else:
        fail(frame.items, OutcomeUnknown("The service's answer does not fit what was asked."))


def _settle_publish(frame: Frame, reply: messaging_pb2.PublishReply) -> None:
    for items, stored in zip(frame.batches, reply.batches, strict=True):
        offset = stored.first_offset
        # Records not delayed get consecutive offsets, in order; a delayed one gets its offset when due. Where some
        # whose time was near are visible already, the answer does not say which.
        all_visible = stored.visible_count == len(items)
        told = all_visible or stored.visible_count == sum(not item.outgoing.delivery_time_ms for item in items)
        for item in items:
            visible = told and (all_visible or not item.outgoing.delivery_time_ms)
            receipt = Receipt(
                message_id(frame.instance, frame.sequence, item.position),
                item.outgoing.topic,
                stored.queue,
                offset if visible else None,
            )
            offset += visible
            if not item.future.done():
                item.future.set_result(receipt)


def _settle_prepare(frame: Frame, reply: messaging_pb2.PrepareReply) -> None:
    for items, half in zip(frame.batches, reply.batches, strict=True):
        for item in items:
            if not item.future.done():
                item.future.set_result(
                    HalfHandle(
                        message_id(frame.instance, frame.sequence, item.position),
                        half.shard,
                        half.index,
                        half.batch,
                        item.position - half.first_position,
                        frame.instance,
                        frame.sequence,
                        half.queue,
                    )
                )


def _settle_decide(frame: Frame, reply: messaging_pb2.DecideReply) -> None:
    for items, result in zip(frame.batches, reply.results, strict=True):
        if result.HasField("refusal"):
            fail(items, error_of_refusal(result.refusal))
            continue
        committed = int.from_bytes(result.already_committed_bits, "little")
        rolled_back = int.from_bytes(result.already_rolled_back_bits, "little")
        chosen = 0
        for item in items:
            chosen |= item.commit << item.handle.bit
        for item in items:
            if item.future.done():
                continue
            bit = 1 << item.handle.bit
            if item.commit and rolled_back & bit:
                item.future.set_exception(AlreadyRolledBack(f"Transaction {item.handle.id} was rolled back before."))
            elif not item.commit and (committed | chosen) & bit:
                item.future.set_exception(AlreadyCommitted(f"Transaction {item.handle.id} was committed before."))
            else:
                item.future.set_result(None)

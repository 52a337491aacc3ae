"""Frames: each is stored once, however often it is sent, and never after its deadline.

Rule 1: a stored frame answers a repetition as it answered the first time. Another frame with its identity is refused. A
frame not stored is refused after its deadline; until then what was stored is remembered. So a client that sends a
frame again until the deadline knows that it is stored once or, once refused, not at all.
"""

from __future__ import annotations

from zlib import crc32

from msgspec.structs import replace

from tallymq.txn import keys
from tallymq.txn.commands import Prepare, Publish
from tallymq.txn.draft import Draft
from tallymq.txn.outcomes import HalfBatchStored, Prepared, Refusal, Stored, StoredBatch
from tallymq.txn.queue import find_for_frame
from tallymq.txn.state import FrameBatch, FrameState, QueueState, Source
from tallymq.txn.types import Batch, Reference

DEADLINE_AHEAD_MS_MAX = 15 * 60 * 1000
"""A frame is remembered until its deadline; without a bound one client could make the shard remember for ever."""

DELIVERY_AHEAD_MS_MAX = 40 * 24 * 60 * 60 * 1000
"""A delayed message pins its batch in the log; 40 days is what delayed queues elsewhere offer at most."""


def known(draft: Draft, frame: Publish | Prepare) -> FrameState | Refusal | None:
    """Return what is stored under the frame's identity, a refusal if it must not be stored, None if it may be."""
    identity = frame.identity
    stored = draft.get(keys.frame_key(identity.instance, identity.sequence), FrameState)
    if stored is not None:
        return _remember_longer(draft, stored, frame) if _is_same(stored, frame) else Refusal.FRAME_DIFFERS
    if draft.stamped_ms > identity.deadline_ms:
        return Refusal.DEADLINE_PASSED
    if identity.deadline_ms > draft.stamped_ms + DEADLINE_AHEAD_MS_MAX:
        return Refusal.DEADLINE_TOO_FAR
    return None


def _remember_longer(draft: Draft, stored: FrameState, frame: Publish | Prepare) -> FrameState:
    """Remember a frame that was sent again with a later deadline until that one."""
    identity = frame.identity
    deadline_ms = min(identity.deadline_ms, draft.stamped_ms + DEADLINE_AHEAD_MS_MAX)
    if deadline_ms <= stored.deadline_ms:
        return stored
    stored = replace(stored, deadline_ms=deadline_ms)
    _store(draft, identity.instance, identity.sequence, stored)
    return stored


def _store(draft: Draft, instance: int, sequence: int, state: FrameState) -> None:
    """Store a frame, and when to forget it, unless half batches of its own are still remembered."""
    draft.put(keys.frame_key(instance, sequence), state)
    if state.halves_left == 0:
        draft.put_timer(state.deadline_ms + 1, keys.Timer.FRAME, keys.half_part(instance, sequence))


def forget_half(draft: Draft, source: Source) -> None:
    """One half batch of a frame is forgotten: with the last one the frame goes, but never before its deadline."""
    key = keys.frame_key(source.instance, source.sequence)
    state = draft.get(key, FrameState)
    assert state is not None, "a frame outlives its half batches"
    state = replace(state, halves_left=state.halves_left - 1)
    if state.halves_left == 0 and draft.stamped_ms > state.deadline_ms:
        draft.delete(key)
    else:
        _store(draft, source.instance, source.sequence, state)


def forget(draft: Draft, instance: int, sequence: int) -> None:
    """Forget a frame whose deadline is over; one that was sent again with a later deadline stays."""
    key = keys.frame_key(instance, sequence)
    state = draft.get(key, FrameState)
    if state is not None and state.halves_left == 0 and draft.stamped_ms > state.deadline_ms:
        draft.delete(key)


def _is_same(stored: FrameState, frame: Publish | Prepare) -> bool:
    return (
        stored.prepared is isinstance(frame, Prepare)
        and stored.producer_group == frame.producer_group
        and stored.principal == frame.principal
        and len(stored.batches) == len(frame.batches)
        and all(map(_is_same_batch, stored.batches, frame.batches))
    )


def _is_same_batch(stored: FrameBatch, batch: Batch) -> bool:
    reference = stored.source.reference
    return (
        reference.crc32c == batch.crc32c
        and reference.length == batch.length
        and reference.count == batch.count
        and stored.topic == batch.topic
        and stored.queue == batch.queue
        and stored.times_crc32 == times_crc32(batch)
    )


def times_crc32(batch: Batch) -> int:
    """Return the checksum of a batch's delivery times, 0 if it has none."""
    return crc32(pack_times(batch)) if batch.delivery_times_ms else 0


def pack_times(batch: Batch) -> bytes:
    """Return eight bytes for each record: its delivery time, 0 for what is in the past anyway."""
    return b"".join(max(time_ms, 0).to_bytes(8, "big") for time_ms in batch.delivery_times_ms)


def queues_for(draft: Draft, frame: Publish | Prepare) -> list[QueueState] | Refusal:
    """Return the queue of each batch, or why the frame as a whole is refused."""
    queues: list[QueueState] = []
    seen: set[tuple[str, int]] = set()
    for batch in frame.batches:
        queue = find_for_frame(draft, batch)
        if isinstance(queue, Refusal):
            return queue
        if (batch.topic, batch.queue) in seen:
            return Refusal.QUEUE_TWICE
        seen.add((batch.topic, batch.queue))
        if batch.delivery_times_ms and max(batch.delivery_times_ms) > draft.stamped_ms + DELIVERY_AHEAD_MS_MAX:
            return Refusal.DELIVERY_TIME_TOO_FAR
        queues.append(queue)
    return queues


def sources(draft: Draft, frame: Publish | Prepare, batch_first: int) -> list[Source]:
    """Return where each batch of the frame is; `batch_first` is the number of its first batch within the entry."""
    made: list[Source] = []
    position = 0
    identity = frame.identity
    for number, batch in enumerate(frame.batches, batch_first):
        reference = Reference(draft.index, number, batch.start, batch.length, batch.crc32c, batch.count)
        made.append(Source(reference, identity.instance, identity.sequence, position))
        position += batch.count
    return made


def remember(draft: Draft, frame: Publish | Prepare, batches: list[FrameBatch]) -> FrameState:
    """Store the frame: until its deadline, a prepare frame at least as long as its half batches."""
    identity = frame.identity
    prepared = isinstance(frame, Prepare)
    state = FrameState(
        prepared=prepared,
        deadline_ms=identity.deadline_ms,
        producer_group=frame.producer_group,
        principal=frame.principal,
        batches=tuple(batches),
        halves_left=len(batches) if prepared else 0,
    )
    _store(draft, identity.instance, identity.sequence, state)
    return state


def stored_reply(state: FrameState, *, repeated: bool) -> Stored:
    """Return the answer to a publish frame."""
    return Stored(
        tuple([StoredBatch(batch.queue, batch.first_offset, batch.visible_count) for batch in state.batches]), repeated
    )


def prepared_reply(state: FrameState, *, repeated: bool) -> Prepared:
    """Return the answer to a prepare frame."""
    halves = []
    for batch in state.batches:
        reference = batch.source.reference
        halves.append(
            HalfBatchStored(reference.index, reference.batch, batch.queue, batch.source.first_position, reference.count)
        )
    return Prepared(tuple(halves), repeated)

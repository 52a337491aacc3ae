"""Owning queues: a shard takes a queue on, and drops it with all that lies on it.

Rule 8: a queue with a transaction in doubt is not dropped. A dropped queue goes in pieces, so that no command takes
long; from the first of them on it takes nothing new.
"""

from __future__ import annotations

from msgspec.structs import replace

from tallymq.txn import keys
from tallymq.txn.commands import DropQueue, EnsureQueue
from tallymq.txn.draft import Draft, S
from tallymq.txn.outcomes import Done, QueueDropped, Refusal
from tallymq.txn.piece import delete_piece
from tallymq.txn.state import CursorState, DeadState, DelayedState, PieceState, QueueEntry, QueueState
from tallymq.txn.transaction import append_visible
from tallymq.txn.types import Struct

_PLAIN: tuple[tuple[bytes, type[Struct]], ...] = ((b"C", CursorState), (b"D", DeadState), (b"E", QueueEntry))
"""What lies on a queue with no timer of its own."""


def ensure(draft: Draft, command: EnsureQueue) -> Done | Refusal:
    """Own a queue from now on, or take its topic's settings over again. The queue count never shrinks."""
    key = keys.queue_key(command.topic, command.queue)
    known = draft.get(key, QueueState)
    if known is None:
        draft.put(
            key,
            QueueState(command.topic_id, command.queue_count, command.retention_ms, command.retention_bytes),
        )
        return Done()
    if known.dropping or known.topic_id < command.topic_id:
        return Refusal.TOPIC_DELETING
    if known.topic_id > command.topic_id:
        return Refusal.TOPIC_EXISTS
    wanted = replace(
        known,
        queue_count=max(known.queue_count, command.queue_count),
        retention_ms=command.retention_ms,
        retention_bytes=command.retention_bytes,
    )
    if wanted != known:
        draft.put(key, wanted)
    return Done()


def drop(draft: Draft, command: DropQueue) -> QueueDropped | Refusal:
    """Drop a queue, or as much of it as `limit` allows."""
    key = keys.queue_key(command.topic, command.queue)
    queue = draft.get(key, QueueState)
    if queue is None or queue.topic_id != command.topic_id:
        return QueueDropped(complete=True)
    if queue.in_doubt:
        return Refusal.TOPIC_IN_DOUBT
    append_visible(draft)
    queue = draft.get(key, QueueState)
    assert queue is not None, "appending does not drop"
    if not queue.dropping:
        draft.put(key, replace(queue, dropping=True))
    complete = _drop_keys(draft, keys.place_of(command.topic_id, command.queue), max(command.limit, 1))
    if complete:
        draft.delete(key)
    return QueueDropped(complete)


def _drop_keys(draft: Draft, place: bytes, limit: int) -> bool:
    """Remove at most `limit` things that lie on a queue; return whether none is left."""
    pieces = _lying_on(draft, b"P" + place, limit, PieceState)
    for key, piece in pieces:
        delete_piece(draft, key[1:21], keys.number_at(key, -8), piece)
    limit -= len(pieces)
    delayed = _lying_on(draft, b"Y" + place, limit, DelayedState)
    for key, _ in delayed:
        due_ms, (index, batch) = keys.number_at(key, 13), keys.half_name(key)
        draft.delete(key)
        draft.delete(keys.timer_key(due_ms, keys.Timer.DELAYED, place + keys.half_part(index, batch)))
    limit -= len(delayed)
    for letter, kind in _PLAIN:
        for key, _ in _lying_on(draft, letter + place, limit, kind):
            draft.delete(key)
            limit -= 1
    return limit > 0


def _lying_on(draft: Draft, prefix: bytes, limit: int, kind: type[S]) -> list[tuple[bytes, S]]:
    return draft.range(prefix, keys.end_of(prefix), limit, kind) if limit > 0 else []

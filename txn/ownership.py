"""Owning queues: a shard takes a queue on, and drops it with all that lies on it.

Rule 8: a queue with a transaction in doubt is not dropped. A queue is marked first: it takes nothing new, so nothing of
it can become in doubt, and it may be opened again with all its offsets. Then it goes, in pieces, so that no command
takes long. These commands follow the metadata shard: one that was decided by older metadata than one before it is
refused, so a leader that lags behind neither opens what is being dropped nor makes again what is gone, at offset 0.
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


def ensure(draft: Draft, command: EnsureQueue) -> Done | Refusal:
    """Own a queue from now on, open it again, or take its topic's settings over. The queue count never shrinks."""
    if _is_behind(draft, command):
        return Refusal.METADATA_BEHIND
    key = keys.queue_key(command.topic, command.queue)
    known = draft.get(key, QueueState)
    if known is None:
        draft.put(
            key,
            QueueState(command.topic_id, command.queue_count, command.retention_ms, command.retention_bytes),
        )
        _follow(draft, command)
        return Done()
    if known.removing or known.topic_id < command.topic_id:
        return Refusal.TOPIC_DELETING
    if known.topic_id > command.topic_id:
        return Refusal.TOPIC_EXISTS
    wanted = replace(
        known,
        queue_count=max(known.queue_count, command.queue_count),
        retention_ms=command.retention_ms,
        retention_bytes=command.retention_bytes,
        dropping=False,
    )
    if wanted != known:
        draft.put(key, wanted)
    _follow(draft, command)
    return Done()


def drop(draft: Draft, command: DropQueue) -> QueueDropped | Refusal:
    """Mark a queue, or drop as much of it as `limit` allows."""
    if _is_behind(draft, command):
        return Refusal.METADATA_BEHIND
    key = keys.queue_key(command.topic, command.queue)
    queue = draft.get(key, QueueState)
    if queue is None or queue.topic_id != command.topic_id:
        _follow(draft, command)
        return QueueDropped(complete=True)
    if queue.in_doubt:
        return Refusal.TOPIC_IN_DOUBT
    _follow(draft, command)
    append_visible(draft)
    queue = draft.get(key, QueueState)
    assert queue is not None, "appending does not drop"
    marked = replace(queue, dropping=True, removing=queue.removing or command.limit > 0)
    if marked != queue:
        draft.put(key, marked)
    complete = _drop_keys(draft, keys.place_of(command.topic_id, command.queue), command.limit)
    if complete:
        draft.delete(key)
    return QueueDropped(complete)


def _is_behind(draft: Draft, command: EnsureQueue | DropQueue) -> bool:
    return command.metadata_index < draft.counts().metadata_index


def _follow(draft: Draft, command: EnsureQueue | DropQueue) -> None:
    counts = draft.counts()
    if command.metadata_index > counts.metadata_index:
        draft.put_counts(replace(counts, metadata_index=command.metadata_index))


def _drop_keys(draft: Draft, place: bytes, limit: int) -> bool:
    """Remove at most `limit` things that lie on a queue; return whether none is left."""
    pieces = _lying_on(draft, keys.PIECES + place, limit, PieceState)
    for key, piece in pieces:
        delete_piece(draft, key[1:21], keys.number_at(key, -8), piece)
    limit -= len(pieces)
    delayed = _lying_on(draft, keys.DELAYED + place, limit, DelayedState)
    for key, _ in delayed:
        due_ms, (index, batch) = keys.number_at(key, 13), keys.half_name(key)
        draft.delete(key)
        draft.release_body(index)
        draft.delete(keys.timer_key(due_ms, keys.Timer.DELAYED, place + keys.half_part(index, batch)))
    limit -= len(delayed)
    for key, _ in _lying_on(draft, keys.CURSORS + place, limit, CursorState):
        draft.delete(key)
        limit -= 1
    for key, dead in _lying_on(draft, keys.DEAD_LETTERS + place, limit, DeadState):
        draft.delete(key)
        draft.release_body(dead.entry.source.reference.index)
        limit -= 1
    for key, entry in _lying_on(draft, keys.ENTRIES + place, limit, QueueEntry):
        draft.delete(key)
        draft.release_body(entry.source.reference.index)
        limit -= 1
    return limit > 0


def _lying_on(draft: Draft, prefix: bytes, limit: int, kind: type[S]) -> list[tuple[bytes, S]]:
    return draft.range(prefix, keys.end_of(prefix), limit, kind) if limit > 0 else []

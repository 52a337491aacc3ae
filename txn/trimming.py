"""Trimming: the oldest messages of a queue go, as far as every group has done with them.

Rule 9: a queue's first offset moves by this command alone, upwards, to the beginning of a batch. It never passes the
floor of a group that stands on the queue: what is outstanding, waiting for its next attempt or not yet leased stays.
A dead letter keeps what it refers to, wherever its queue begins.
"""

from __future__ import annotations

from msgspec.structs import replace

from tallymq.txn import keys
from tallymq.txn.commands import TrimQueue
from tallymq.txn.draft import Draft
from tallymq.txn.outcomes import QueueTrimmed, Refusal
from tallymq.txn.piece import floor_of
from tallymq.txn.queue import bytes_of
from tallymq.txn.state import CursorState, QueueEntry, QueueState
from tallymq.txn.transaction import append_visible

_CHUNK = 64
"""Groups read at once; each costs one more look, for its first piece."""


def trim(draft: Draft, command: TrimQueue) -> QueueTrimmed | Refusal:
    """Let the oldest batches of a queue go, at most `limit` of them."""
    append_visible(draft)
    key = keys.queue_key(command.topic, command.queue)
    queue = draft.get(key, QueueState)
    if queue is None or queue.topic_id != command.topic_id:
        return Refusal.UNKNOWN_QUEUE
    if queue.dropping:
        return Refusal.TOPIC_DELETING
    place = keys.place_of(queue.topic_id, command.queue)
    held_offset = held_from(draft, place, queue)
    until = min(command.first_offset, held_offset)
    start, end = keys.entry_key(place, queue.first_offset), keys.entry_key(place, until)
    wanted = max(command.limit, 1)
    gone = draft.range(start, end, wanted, QueueEntry) if start < end else []
    for entry_key, entry in gone:
        draft.delete(entry_key)
        draft.release_body(entry.source.reference.index)
    if gone:
        last = gone[-1][1]
        record_bytes = queue.record_bytes - sum(bytes_of(entry) for _, entry in gone)
        queue = replace(queue, first_offset=last.first_offset + last.count, record_bytes=record_bytes)
        draft.put(key, queue)
    return QueueTrimmed(queue.first_offset, len(gone), held_offset)


def trim_until(draft: Draft, queue: QueueState, number: int, now_ms: int, limit: int) -> int:
    """Return where a queue would begin by its topic's settings alone, having looked at no more than `limit` batches.

    A batch goes once all of it is older than `retention_ms`, or while the queue has more than `retention_bytes`; a
    limit of 0 is none.
    """
    place = keys.place_of(queue.topic_id, number)
    until, excess = queue.first_offset, queue.record_bytes - queue.retention_bytes if queue.retention_bytes else 0
    start = keys.entry_key(place, queue.first_offset)
    for _, entry in draft.range(start, keys.end_of(keys.ENTRIES + place), limit, QueueEntry):
        is_old = queue.retention_ms > 0 and entry.visible_ms + queue.retention_ms <= now_ms
        if not is_old and excess <= 0:
            break
        until = entry.first_offset + entry.count
        excess -= bytes_of(entry)
    return until


def held_from(draft: Draft, place: bytes, queue: QueueState) -> int:
    """Return the lowest offset that some group on a queue has not done with, the queue's next one if there is none."""
    start, until = keys.CURSORS + place, keys.end_of(keys.CURSORS + place)
    lowest = queue.next_offset
    while True:
        cursors = draft.range(start, until, _CHUNK, CursorState)
        for key, cursor in cursors:
            lowest = min(lowest, floor_of(draft, key[1:], cursor))
        if len(cursors) < _CHUNK:
            return lowest
        start = cursors[-1][0] + b"\0"

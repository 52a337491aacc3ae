"""Queues: ordered logs of references with dense offsets.

Rule 3: an offset is given when a record becomes visible, in the order of the log, and never given again. What waits for
its delivery time has no offset.
"""

from __future__ import annotations

from msgspec.structs import replace

from tallymq.txn import bits, keys
from tallymq.txn.draft import Draft
from tallymq.txn.outcomes import Refusal
from tallymq.txn.state import DelayedState, QueueEntry, QueueState, Source
from tallymq.txn.types import Batch


def find_for_frame(draft: Draft, batch: Batch) -> QueueState | Refusal:
    """Return the queue a batch is for, or why the batch cannot be stored."""
    queue = draft.get(keys.queue_key(batch.topic, batch.queue), QueueState)
    if queue is None:
        return Refusal.UNKNOWN_QUEUE
    if queue.dropping:
        return Refusal.TOPIC_DELETING
    if queue.queue_count != batch.queue_count:
        return Refusal.QUEUE_COUNT_CHANGED
    return queue


def load(draft: Draft, topic: str, number: int) -> QueueState:
    """Return a queue that must be there, because something of it is."""
    queue = draft.get(keys.queue_key(topic, number), QueueState)
    assert queue is not None, "a queue went before what lies on it"
    return queue


def append(draft: Draft, topic: str, number: int, source: Source, selected: int) -> int:
    """Give the `selected` records of a batch the next offsets; return the first. The queue must be there."""
    queue = load(draft, topic, number)
    count = selected.bit_count()
    if count == 0:
        return queue.next_offset
    reference = source.reference
    whole = count == reference.count
    entry = QueueEntry(queue.next_offset, count, b"" if whole else bits.pack(selected), draft.stamped_ms, source)
    next_offset = queue.next_offset + count
    draft.put(keys.entry_key(keys.place_of(queue.topic_id, number), next_offset - 1), entry)
    draft.need_body(reference.index)
    record_bytes = queue.record_bytes + bytes_of(entry)
    draft.put(
        keys.queue_key(topic, number),
        replace(queue, next_offset=next_offset, record_bytes=record_bytes),
    )
    draft.grew(topic, number)
    return queue.next_offset


def bytes_of(entry: QueueEntry) -> int:
    """Return the share of its batch's bytes that a queue entry stands for."""
    reference = entry.source.reference
    return reference.length * entry.count // reference.count


def due_later(times: bytes, selected: int, now_ms: int) -> dict[int, int]:
    """Return the bits of `selected` whose delivery time is still to come, by that time.

    `times` is eight bytes a record, big-endian.
    """
    later: dict[int, int] = {}
    while selected:
        position = bits.first(selected)
        selected &= selected - 1
        due_ms = int.from_bytes(times[8 * position : 8 * position + 8], "big")
        if due_ms > now_ms:
            later[due_ms] = later.get(due_ms, 0) | (1 << position)
    return later


def delay(draft: Draft, topic: str, number: int, source: Source, later: dict[int, int]) -> int:
    """Keep records back until their delivery times; return all their bits."""
    if not later:
        return 0
    queue = load(draft, topic, number)
    place = keys.place_of(queue.topic_id, number)
    reference = source.reference
    kept = 0
    for due_ms, selected in later.items():
        key = keys.delayed_key(place, due_ms, reference.index, reference.batch)
        before = draft.get(key, DelayedState)
        together = selected | (bits.unpack(before.selected) if before is not None else 0)
        draft.put(key, DelayedState(topic, bits.pack(together), source))
        if before is None:
            draft.need_body(reference.index)
            rest = place + keys.half_part(reference.index, reference.batch)
            draft.put_timer(due_ms, keys.Timer.DELAYED, rest)
        kept |= selected
    draft.put(keys.queue_key(topic, number), replace(queue, delayed=queue.delayed + kept.bit_count()))
    return kept


def release(draft: Draft, due_ms: int, rest: bytes) -> None:
    """Give delayed records their offsets: their time has come."""
    place, (index, batch) = rest[:12], keys.half_name(rest)
    key = keys.delayed_key(place, due_ms, index, batch)
    delayed = draft.get(key, DelayedState)
    if delayed is None:
        return
    draft.delete(key)
    draft.release_body(index)
    number = int.from_bytes(place[8:], "big")
    selected = bits.unpack(delayed.selected)
    append(draft, delayed.topic, number, delayed.source, selected)
    queue = load(draft, delayed.topic, number)
    draft.put(keys.queue_key(delayed.topic, number), replace(queue, delayed=queue.delayed - selected.bit_count()))

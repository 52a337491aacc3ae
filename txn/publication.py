"""Publishing: a frame of messages visible at once, or each at its delivery time. All of a frame, or nothing."""

from __future__ import annotations

from tallymq.txn import bits, frame, queue
from tallymq.txn.commands import Publish
from tallymq.txn.draft import Draft
from tallymq.txn.outcomes import Refusal, Stored
from tallymq.txn.state import FrameBatch


def publish(draft: Draft, command: Publish, batch_first: int) -> Stored | Refusal:
    """Store a frame; `batch_first` is the number of its first batch within the entry."""
    known = frame.known(draft, command)
    if isinstance(known, Refusal):
        return known
    if known is not None:
        return frame.stored_reply(known, repeated=True)
    queues = frame.queues_for(draft, command)
    if isinstance(queues, Refusal):
        return queues
    stored: list[FrameBatch] = []
    for batch, source in zip(command.batches, frame.sources(draft, command, batch_first), strict=True):
        visible = bits.full(batch.count)
        times_crc32 = 0
        if batch.delivery_times_ms:
            times = frame.pack_times(batch)
            times_crc32 = frame.times_crc32(batch)
            later = queue.due_later(times, visible, draft.stamped_ms)
            visible ^= queue.delay(draft, batch.topic, batch.queue, source, later)
        first_offset = queue.append(draft, batch.topic, batch.queue, source, visible)
        stored.append(FrameBatch(batch.topic, batch.queue, times_crc32, source, first_offset, visible.bit_count()))
    return frame.stored_reply(frame.remember(draft, command, stored), repeated=False)

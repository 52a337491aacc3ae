"""Questions that change nothing, asked of any view of a shard: one replica's state, as far as it has applied."""

from __future__ import annotations

from collections.abc import Iterator

from tallymq.txn import bits, keys
from tallymq.txn.answers import DeadLetterInfo, GroupInfo, GroupQueueInfo, QueueInfo, TopicInfo
from tallymq.txn.body import is_body_needed, needed_bodies
from tallymq.txn.draft import Draft, reading
from tallymq.txn.lease import Room, next_due_ms, read_pieces
from tallymq.txn.outcomes import LeasedPiece
from tallymq.txn.piece import floor_of
from tallymq.txn.queries_transactions import (
    checks_due,
    half,
    halves,
    in_doubt_total,
    message,
    next_check_ms,
    transaction,
)
from tallymq.txn.state import CursorState, DeadState, GroupState, PieceState, QueueState, TopicState
from tallymq.txn.timer import next_timer_ms as _next_timer_ms
from tallymq.txn.trimming import held_from
from tallymq.txn.trimming import trim_until as _trim_until
from tallymq.txn.types import View

__all__ = [
    "browse",
    "checks_due",
    "dead_letters",
    "group",
    "group_next_due_ms",
    "group_queue",
    "groups",
    "half",
    "halves",
    "held_offset",
    "in_doubt_total",
    "is_body_needed",
    "is_settled",
    "message",
    "metadata_index",
    "needed_bodies",
    "next_check_ms",
    "next_timer_ms",
    "queue",
    "queues",
    "topic",
    "topics",
    "transaction",
    "trim_until",
]


def topic(view: View, name: str) -> TopicInfo | None:
    """Return a topic of the metadata shard."""
    state = reading(view).get(keys.topic_key(name), TopicState)
    return None if state is None else _topic_info(name, state)


def topics(view: View, after: str, limit: int) -> list[TopicInfo]:
    """Return at most `limit` topics whose names follow `after`, by name."""
    start = keys.topic_key(after) + b"\0"
    pairs = reading(view).range(start, keys.end_of(keys.TOPICS), limit, TopicState)
    return [_topic_info(key[1:].decode(), state) for key, state in pairs]


def _topic_info(name: str, state: TopicState) -> TopicInfo:
    return TopicInfo(
        name=name,
        topic_id=state.topic_id,
        queue_shards=state.queue_shards,
        retention_ms=state.retention_ms,
        retention_bytes=state.retention_bytes,
        deleting=state.deleting,
        deletion=state.deletion,
        confirmed=state.confirmed,
    )


def metadata_index(view: View) -> int:
    """Return by which index of the metadata shard this shard's queues were last decided about; it only grows."""
    return reading(view).counts().metadata_index


def is_settled(view: View, topic: str, topic_id: int, queue: int, deletion: int) -> bool:
    """Return whether a queue of this shard can no more come into use while that deletion of its topic stands.

    It takes nothing new or is not there, and nobody who has not heard of the deletion may open or make it.
    """
    state = reading(view).get(keys.queue_key(topic, queue), QueueState)
    is_open = state is not None and state.topic_id == topic_id and not state.dropping
    return not is_open and metadata_index(view) >= deletion


def group(view: View, name: str) -> GroupInfo | None:
    """Return a consumer group as this shard knows it."""
    state = reading(view).get(keys.group_key(name), GroupState)
    return None if state is None else _group_info(name, state)


def groups(view: View, after: str, limit: int) -> list[GroupInfo]:
    """Return at most `limit` groups whose names follow `after`, by name."""
    start = keys.group_key(after) + b"\0"
    pairs = reading(view).range(start, keys.end_of(keys.GROUPS), limit, GroupState)
    return [_group_info(key[1:].decode(), state) for key, state in pairs]


def _group_info(name: str, state: GroupState) -> GroupInfo:
    return GroupInfo(name, state.attempts_max, state.lease_ms, state.backoff_ms_min, state.backoff_ms_max)


def queue(view: View, topic: str, queue: int) -> QueueInfo | None:
    """Return a queue that this shard owns."""
    state = reading(view).get(keys.queue_key(topic, queue), QueueState)
    return None if state is None else _queue_info(topic, queue, state)


def queues(view: View, after_topic: str, after_queue: int, limit: int) -> list[QueueInfo]:
    """Return at most `limit` queues behind that one (an empty topic: from the first), shorter names first."""
    start = keys.queue_key(after_topic, after_queue) + b"\0" if after_topic else keys.QUEUES
    pairs = reading(view).range(start, keys.end_of(keys.QUEUES), limit, QueueState)
    return [_queue_info(*keys.queue_name(key), state) for key, state in pairs]


def _queue_info(topic: str, queue: int, state: QueueState) -> QueueInfo:
    return QueueInfo(
        topic=topic,
        queue=queue,
        topic_id=state.topic_id,
        queue_count=state.queue_count,
        first_offset=state.first_offset,
        next_offset=state.next_offset,
        in_doubt=state.in_doubt,
        delayed=state.delayed,
        record_bytes=state.record_bytes,
        retention_ms=state.retention_ms,
        retention_bytes=state.retention_bytes,
        dropping=state.dropping,
    )


def _seat(draft: Draft, group: str, topic: str, queue: int) -> bytes | None:
    group_state = draft.get(keys.group_key(group), GroupState)
    queue_state = draft.get(keys.queue_key(topic, queue), QueueState)
    if group_state is None or queue_state is None:
        return None
    return keys.seat_of(queue_state.topic_id, queue, group_state.number)


def group_queue(view: View, group: str, topic: str, queue: int) -> GroupQueueInfo | None:
    """Return where a group stands on a queue; None before its first lease there."""
    draft = reading(view)
    seat = _seat(draft, group, topic, queue)
    cursor = draft.get(keys.cursor_key(seat), CursorState) if seat is not None else None
    if seat is None or cursor is None:
        return None
    return GroupQueueInfo(
        group=group,
        topic=topic,
        queue=queue,
        floor_offset=floor_of(draft, seat, cursor),
        next_offset=cursor.next_offset,
        leased=cursor.leased,
        waiting=cursor.waiting,
        dead_letters=cursor.dead_letters,
    )


def group_next_due_ms(view: View, group: str, topic: str, queue: int) -> int:
    """Return when the next redelivery is due, 0 if none waits."""
    draft = reading(view)
    seat = _seat(draft, group, topic, queue)
    return 0 if seat is None else next_due_ms(draft, seat)


def dead_letters(view: View, group: str, topic: str, queue: int, after_offset: int, limit: int) -> list[DeadLetterInfo]:
    """Return at most `limit` dead letters with offsets above `after_offset` (-1: from the first), by offset."""
    draft = reading(view)
    seat = _seat(draft, group, topic, queue)
    if seat is None:
        return []
    start = keys.dead_key(seat, after_offset + 1)
    found: list[DeadLetterInfo] = []
    for _, dead in draft.range(start, keys.end_of(start[:-8]), limit, DeadState):
        found.extend(letter for letter in _letters(topic, queue, dead) if letter.offset > after_offset)
        if len(found) >= limit:
            break
    return found[:limit]


def _letters(topic: str, queue: int, dead: DeadState) -> Iterator[DeadLetterInfo]:
    source = dead.entry.source
    selected = bits.unpack(dead.entry.selected) if dead.entry.selected else bits.full(source.reference.count)
    for start, run in bits.runs(bits.unpack(dead.outstanding)):
        for offset in range(dead.first_offset + start, dead.first_offset + start + run):
            record = bits.find(selected, offset - dead.entry.first_offset)
            yield DeadLetterInfo(
                topic=topic,
                queue=queue,
                offset=offset,
                attempts=dead.attempts,
                reason=dead.reason,
                time_ms=dead.time_ms,
                reference=source.reference,
                record=record,
                instance=source.instance,
                sequence=source.sequence,
                position=source.first_position + record,
            )


def browse(view: View, topic: str, queue: int, offset: int, records_max: int) -> list[LeasedPiece]:
    """Return at most `records_max` visible messages from `offset` on, as if leased, with attempt and lease 0."""
    draft = reading(view)
    state = draft.get(keys.queue_key(topic, queue), QueueState)
    if state is None:
        return []
    start = max(offset, state.first_offset)
    wanted = min(records_max, state.next_offset - start)
    if wanted <= 0:
        return []
    looked_at = PieceState(first_offset=start, outstanding=b"", attempt=0, lease=0, due_ms=0, consumer=0)
    room = Room(wanted, keys.NUMBER_MAX)
    pieces, _ = read_pieces(draft, topic, keys.place_of(state.topic_id, queue), looked_at, bits.full(wanted), room)
    return pieces


def next_timer_ms(view: View) -> int:
    """Return when the next Expire is wanted, 0 if no timer is set."""
    return _next_timer_ms(reading(view))


def trim_until(view: View, topic: str, queue: int, now_ms: int, limit: int) -> int:
    """Return the offset below which a queue's messages are past their topic's retention; looks at `limit` batches.

    -1 where there is no such queue, or it is being dropped.
    """
    draft = reading(view)
    state = draft.get(keys.queue_key(topic, queue), QueueState)
    return -1 if state is None or state.dropping else _trim_until(draft, state, queue, now_ms, limit)


def held_offset(view: View, topic: str, queue: int) -> int:
    """Return the lowest offset of a queue that some group has not done with: nothing from there on is trimmed.

    The queue's next offset if there is none, -1 where there is no such queue.
    """
    draft = reading(view)
    state = draft.get(keys.queue_key(topic, queue), QueueState)
    return -1 if state is None else held_from(draft, keys.place_of(state.topic_id, queue), state)

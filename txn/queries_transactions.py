"""Questions about transactions and messages by their ids."""

from __future__ import annotations

from tallymq.txn import keys
from tallymq.txn.answers import DecisionInfo, HalfInfo, MessageInfo
from tallymq.txn.bits import unpack
from tallymq.txn.body import is_body_needed
from tallymq.txn.draft import Draft, reading
from tallymq.txn.state import DecisionState, FrameState, HalfState, Mark
from tallymq.txn.transaction import states_of
from tallymq.txn.types import TransactionState, View


def _info(draft: Draft, state: HalfState, *, with_decisions: bool) -> HalfInfo:
    reference = state.source.reference
    bits = states_of(state)
    decisions: tuple[DecisionInfo, ...] = ()
    if with_decisions and state.decisions:
        start = keys.decision_key(reference.index, reference.batch, 0)
        end = keys.decision_key(reference.index, reference.batch, state.decisions)
        pairs = draft.range(start, end, state.decisions, DecisionState)
        decisions = tuple([DecisionInfo(made.decided_by, made.time_ms, unpack(made.selected)) for _, made in pairs])
    return HalfInfo(
        index=reference.index,
        batch=reference.batch,
        reference=reference,
        in_doubt=bits[TransactionState.IN_DOUBT],
        committed=bits[TransactionState.COMMITTED],
        rolled_back=bits[TransactionState.ROLLED_BACK],
        instance=state.source.instance,
        sequence=state.source.sequence,
        first_position=state.source.first_position,
        topic=state.topic,
        queue=state.queue,
        producer_group=state.producer_group,
        principal=state.principal,
        prepared_ms=state.prepared_ms,
        checks=state.checks,
        next_check_ms=state.next_check_ms,
        decisions=decisions,
    )


def half(view: View, index: int, batch: int) -> HalfInfo | None:
    """Return a half batch, unless it is forgotten or never was."""
    draft = reading(view)
    state = draft.get(keys.half_key(index, batch), HalfState)
    return None if state is None else _info(draft, state, with_decisions=True)


def checks_due(view: View, now_ms: int, limit: int) -> list[HalfInfo]:
    """Return at most `limit` half batches whose check is due, longest due first."""
    draft = reading(view)
    due = draft.range(keys.CHECKS, keys.due_before(keys.CHECKS, now_ms), limit, Mark)
    found = []
    for key, _ in due:
        state = draft.get(keys.half_key(*keys.half_name(key)), HalfState)
        if state is not None:
            found.append(_info(draft, state, with_decisions=False))
    return found


def next_check_ms(view: View) -> int:
    """Return when the next check is due, 0 if nothing is in doubt."""
    first = reading(view).range(keys.CHECKS, keys.end_of(keys.CHECKS), 1, Mark)
    return keys.number_at(first[0][0], 1) if first else 0


def halves(view: View, after: tuple[int, int], in_doubt_only: bool, limit: int) -> list[HalfInfo]:
    """Return at most `limit` half batches behind (index, batch) `after` ((0, 0): from the first), oldest first."""
    draft = reading(view)
    if in_doubt_only:
        start = keys.in_doubt_key(*after) + b"\0"
        marks = draft.range(start, keys.end_of(keys.IN_DOUBT), limit, Mark)
        found = [draft.get(keys.half_key(*keys.half_name(key)), HalfState) for key, _ in marks]
    else:
        start = keys.half_key(*after) + b"\0"
        found = [state for _, state in draft.range(start, keys.end_of(keys.HALVES), limit, HalfState)]
    return [_info(draft, state, with_decisions=True) for state in found if state is not None]


def in_doubt_total(view: View) -> int:
    """Return how many transactions of the shard are in doubt."""
    return reading(view).counts().in_doubt


def message(view: View, message_id: bytes) -> MessageInfo | None:
    """Return where a message is by its id of 16 bytes, while its frame is remembered."""
    if len(message_id) != 16:
        return None
    draft = reading(view)
    instance = int.from_bytes(message_id[:8], "big")
    sequence = int.from_bytes(message_id[8:12], "big")
    position = int.from_bytes(message_id[12:], "big")
    frame = draft.get(keys.frame_key(instance, sequence), FrameState)
    if frame is None:
        return None
    for batch in frame.batches:
        reference = batch.source.reference
        record = position - batch.source.first_position
        if not 0 <= record < reference.count:
            continue
        if not is_body_needed(view, reference.index):
            # Its queue was trimmed while its frame is still remembered: the bytes may be gone.
            return None
        known = half(view, reference.index, reference.batch) if frame.prepared else None
        if frame.prepared and known is None:
            return None
        return MessageInfo(batch.topic, batch.queue, reference, record, instance, sequence, position, known)
    return None


def transaction(view: View, transaction_id: bytes) -> tuple[HalfInfo, int] | None:
    """Return the half batch that holds a transaction and its bit there, by its id of 16 bytes."""
    found = message(view, transaction_id)
    if found is None or found.half is None:
        return None
    return found.half, found.record

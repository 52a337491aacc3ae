"""Transactions: a half batch of N records is N transactions, and a transaction is a bit.

Rule 2: the first decision wins. The same decision again is fine, the opposite one changes nothing and is told so. What
is in doubt stays until somebody decides; what is decided is remembered for `DECIDED_KEPT_MS`, then forgotten.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec.structs import replace

from tallymq.txn import bits, frame, keys, queue
from tallymq.txn.commands import Decide, Decision, Prepare, RecordChecks
from tallymq.txn.draft import Draft
from tallymq.txn.outcomes import Decided, DecisionOutcome, Done, Prepared, Refusal
from tallymq.txn.state import MARK, DecisionState, FrameBatch, HalfState, TimesState
from tallymq.txn.types import TransactionState


class Wish(IntEnum):
    """What a decision asks for."""

    COMMIT = 1
    ROLL_BACK = 2


TRANSITIONS: dict[TransactionState, dict[Wish, TransactionState]] = {
    TransactionState.IN_DOUBT: {
        Wish.COMMIT: TransactionState.COMMITTED,
        Wish.ROLL_BACK: TransactionState.ROLLED_BACK,
    },
    TransactionState.COMMITTED: {Wish.COMMIT: TransactionState.COMMITTED},
    TransactionState.ROLLED_BACK: {Wish.ROLL_BACK: TransactionState.ROLLED_BACK},
}
"""What a decision makes of a transaction. What is not in the table is refused and changes nothing."""

DECIDED_KEPT_MS = 60 * 60 * 1000
"""A decision whose answer was lost is asked again within seconds, by a check within minutes: an hour is ample."""

_REFUSED = {refusal: DecisionOutcome(0, 0, refusal) for refusal in Refusal}
_AS_ASKED = DecisionOutcome(0, 0)


def prepare(draft: Draft, command: Prepare, batch_first: int) -> Prepared | Refusal:
    """Store a frame of half batches; `batch_first` is the number of its first batch within the entry."""
    known = frame.known(draft, command)
    if isinstance(known, Refusal):
        return known
    if known is not None:
        return frame.prepared_reply(known, repeated=True)
    queues = frame.queues_for(draft, command)
    if isinstance(queues, Refusal):
        return queues
    check_ms = draft.stamped_ms + command.check_after_ms
    stored: list[FrameBatch] = []
    for batch, source, state in zip(command.batches, frame.sources(draft, command, batch_first), queues, strict=True):
        half = HalfState(
            source=source,
            topic=batch.topic,
            queue=batch.queue,
            producer_group=command.producer_group,
            principal=command.principal,
            prepared_ms=draft.stamped_ms,
            next_check_ms=check_ms,
            delayed=bool(batch.delivery_times_ms),
        )
        if half.delayed:
            times = TimesState(frame.pack_times(batch))
            draft.put(keys.times_key(draft.index, source.reference.batch), times)
        _store_in_doubt(draft, half)
        draft.put(keys.queue_key(batch.topic, batch.queue), replace(state, in_doubt=state.in_doubt + batch.count))
        stored.append(FrameBatch(batch.topic, batch.queue, frame.times_crc32(batch), source))
    _count_in_doubt(draft, sum(batch.count for batch in command.batches))
    return frame.prepared_reply(frame.remember(draft, command, stored), repeated=False)


def _store_in_doubt(draft: Draft, half: HalfState) -> None:
    index, batch = half.source.reference.index, half.source.reference.batch
    draft.need_body(index)
    if half.source.reference.count == 0:
        # Nothing to decide, so nothing to ask about: as if the last decision had been made.
        draft.put(keys.half_key(index, batch), replace(half, next_check_ms=0))
        draft.put_timer(draft.stamped_ms + DECIDED_KEPT_MS, keys.Timer.HALF, keys.half_part(index, batch))
        return
    draft.put(keys.half_key(index, batch), half)
    draft.put(keys.in_doubt_key(index, batch), MARK)
    draft.put(keys.check_key(half.next_check_ms, index, batch), MARK)
    draft.check_set(half.next_check_ms)


def _count_in_doubt(draft: Draft, change: int) -> None:
    counts = draft.counts()
    draft.put_counts(replace(counts, in_doubt=counts.in_doubt + change))


def decide(draft: Draft, command: Decide) -> Decided:
    """Decide transactions; each decision of the command has an outcome of its own."""
    contradicted = _contradicted(command.decisions)
    return Decided(tuple([_decide_one(draft, command, decision, contradicted) for decision in command.decisions]))


def _contradicted(decisions: tuple[Decision, ...]) -> dict[tuple[int, int], int]:
    """Return, by half batch, the bits that the command both commits and rolls back."""
    commit: dict[tuple[int, int], int] = {}
    roll_back: dict[tuple[int, int], int] = {}
    for decision in decisions:
        name = (decision.index, decision.batch)
        commit[name] = commit.get(name, 0) | decision.commit
        roll_back[name] = roll_back.get(name, 0) | decision.roll_back
    return {name: wanted & roll_back[name] for name, wanted in commit.items() if wanted & roll_back[name]}


def _decide_one(
    draft: Draft, command: Decide, decision: Decision, contradicted: dict[tuple[int, int], int]
) -> DecisionOutcome:
    half = draft.get(keys.half_key(decision.index, decision.batch), HalfState)
    if half is None:
        return _REFUSED[Refusal.HANDLE_EXPIRED]
    refusal = _refusal(half, command, decision)
    if refusal is not None:
        return _REFUSED[refusal]
    wanted = decision.commit | decision.roll_back
    if contradicted and wanted & contradicted.get((decision.index, decision.batch), 0):
        return _REFUSED[Refusal.CONTRADICTION]
    states = states_of(half)
    wishes = {Wish.COMMIT: decision.commit, Wish.ROLL_BACK: decision.roll_back}
    moved = {TransactionState.COMMITTED: 0, TransactionState.ROLLED_BACK: 0}
    refused = {TransactionState.COMMITTED: 0, TransactionState.ROLLED_BACK: 0}
    for state, transitions in TRANSITIONS.items():
        for wish, asked in wishes.items():
            target = transitions.get(wish)
            if target is None:
                refused[state] |= states[state] & asked
            elif target is not state:
                moved[target] |= states[state] & asked
    if any(moved.values()):
        _move(draft, half, command, moved[TransactionState.COMMITTED], moved[TransactionState.ROLLED_BACK])
    if not any(refused.values()):
        return _AS_ASKED
    return DecisionOutcome(refused[TransactionState.COMMITTED], refused[TransactionState.ROLLED_BACK])


def _refusal(half: HalfState, command: Decide, decision: Decision) -> Refusal | None:
    source = half.source
    if source.instance != decision.instance or source.sequence != decision.sequence:
        return Refusal.WRONG_HANDLE
    is_operator = command.producer_group == "" and command.decided_by.startswith("operator")
    is_owner = command.producer_group == half.producer_group and command.principal == half.principal
    if not is_operator and not is_owner:
        return Refusal.FOREIGN_HANDLE
    if (decision.commit | decision.roll_back) >> source.reference.count:
        return Refusal.WRONG_HANDLE
    return None


def states_of(half: HalfState) -> dict[TransactionState, int]:
    """Return the bits in each state; every record is in exactly one."""
    committed, rolled_back = bits.unpack(half.committed), bits.unpack(half.rolled_back)
    return {
        TransactionState.IN_DOUBT: bits.full(half.source.reference.count) ^ committed ^ rolled_back,
        TransactionState.COMMITTED: committed,
        TransactionState.ROLLED_BACK: rolled_back,
    }


def _move(draft: Draft, half: HalfState, command: Decide, commit: int, roll_back: int) -> None:
    """Take bits out of doubt: keep who decided, let the committed ones become visible, settle what is complete."""
    reference = half.source.reference
    index, batch = reference.index, reference.batch
    moved = commit | roll_back
    decided = DecisionState(command.decided_by, draft.stamped_ms, bits.pack(moved))
    draft.put(keys.decision_key(index, batch, half.decisions), decided)
    half = replace(
        half,
        committed=bits.pack(bits.unpack(half.committed) | commit),
        rolled_back=bits.pack(bits.unpack(half.rolled_back) | roll_back),
        decisions=half.decisions + 1,
    )
    if states_of(half)[TransactionState.IN_DOUBT] == 0:
        draft.delete(keys.check_key(half.next_check_ms, index, batch))
        draft.delete(keys.in_doubt_key(index, batch))
        draft.put_timer(draft.stamped_ms + DECIDED_KEPT_MS, keys.Timer.HALF, keys.half_part(index, batch))
        half = replace(half, next_check_ms=0)
    draft.put(keys.half_key(index, batch), half)
    state = queue.load(draft, half.topic, half.queue)
    draft.put(keys.queue_key(half.topic, half.queue), replace(state, in_doubt=state.in_doubt - moved.bit_count()))
    _count_in_doubt(draft, -moved.bit_count())
    if commit:
        _show(draft, half, commit)


def _show(draft: Draft, half: HalfState, commit: int) -> None:
    reference = half.source.reference
    if half.delayed:
        times = draft.get(keys.times_key(reference.index, reference.batch), TimesState)
        assert times is not None, "a delayed half batch without its times"
        later = queue.due_later(times.packed, commit, draft.stamped_ms)
        commit ^= queue.delay(draft, half.topic, half.queue, half.source, later)
    if commit:
        key = keys.half_key(reference.index, reference.batch)
        draft.visible[key] = draft.visible.get(key, 0) | commit


def append_visible(draft: Draft) -> None:
    """Append what decisions made visible: one queue entry for each half batch, in the order of its first decision.

    Done before any command of the entry that reads queues, and at its end.
    """
    waiting, draft.visible = draft.visible, {}
    for key, selected in waiting.items():
        half = draft.get(key, HalfState)
        assert half is not None, "decided in this entry, so it is there"
        queue.append(draft, half.topic, half.queue, half.source, selected)


def record_checks(draft: Draft, command: RecordChecks) -> Done:
    """Move checks to their next time. A half batch that was decided meanwhile is left alone."""
    for check in command.checks:
        key = keys.half_key(check.index, check.batch)
        half = draft.get(key, HalfState)
        if half is None or half.next_check_ms == 0:
            continue
        draft.delete(keys.check_key(half.next_check_ms, check.index, check.batch))
        next_check_ms = max(check.next_check_ms, 1)
        draft.put(keys.check_key(next_check_ms, check.index, check.batch), MARK)
        draft.put(key, replace(half, next_check_ms=next_check_ms, checks=half.checks + check.counted))
        draft.check_set(next_check_ms)
    return Done()


def forget(draft: Draft, rest: bytes, limit: int) -> tuple[int, bool]:
    """Forget a decided half batch whose window is over, and its frame with the last one.

    Return how many keys went and whether all did; at most `limit` of its decision keys go at once.
    """
    index, batch = keys.half_name(rest)
    half = draft.get(keys.half_key(index, batch), HalfState)
    if half is None:
        return 0, True
    start = keys.decision_key(index, batch, 0)
    decisions = draft.range(start, keys.decision_key(index, batch, half.decisions), limit + 1, DecisionState)
    for key, _ in decisions[:limit]:
        draft.delete(key)
    if len(decisions) > limit:
        return limit, False
    draft.delete(keys.half_key(index, batch))
    draft.release_body(index)
    draft.delete(keys.times_key(index, batch))
    frame.forget_half(draft, half.source)
    return len(decisions), True

"""How answers are written in scenario files: short, and with times counted from the start."""

from __future__ import annotations

from tallymq.txn.answers import DeadLetterInfo, GroupQueueInfo, HalfInfo, MessageInfo, QueueInfo
from tallymq.txn.bits import runs
from tallymq.txn.outcomes import (
    Decided,
    DecisionOutcome,
    Done,
    Expired,
    Leased,
    LeasedPiece,
    Prepared,
    QueueDropped,
    QueueTrimmed,
    RangesDone,
    Refusal,
    Result,
    Stored,
    TopicMade,
)
from tallymq.txn.types import ChecksDue, Effect, MetadataChanged, QueueGrew, TimersDue

START_MS = 1_000_000


def clock(time_ms: int) -> str:
    """When, from the start; "never" for 0."""
    if time_ms == 0:
        return "never"
    ms = time_ms - START_MS
    return f"+{ms // 1000}s" if ms % 1000 == 0 else f"+{ms}ms"


def bit_text(bits: int) -> str:
    """A set of bits as "0-2,5"; "-" if empty."""
    texts = [f"{first}-{first + count - 1}" if count > 1 else f"{first}" for first, count in runs(bits)]
    return ",".join(texts) or "-"


def result_lines(result: Result) -> list[str]:
    """What one command was answered."""
    if isinstance(result, Refusal):
        return [f"refused {result.value}"]
    if isinstance(result, Done):
        return ["done"]
    if isinstance(result, Stored):
        again = " (repeated)" if result.repeated else ""
        return [f"stored queue {b.queue}: {b.visible_count} from {b.first_offset}{again}" for b in result.batches]
    if isinstance(result, Prepared):
        again = " (repeated)" if result.repeated else ""
        return [
            f"prepared {b.index}.{b.batch} queue {b.queue}: {b.count} from position {b.first_position}{again}"
            for b in result.batches
        ]
    if isinstance(result, Decided):
        return [_outcome(outcome) for outcome in result.outcomes]
    if isinstance(result, Leased):
        lines = [piece_line(piece) for piece in result.pieces] or ["nothing to lease"]
        return lines + ([f"next due {clock(result.next_due_ms)}"] if result.next_due_ms else [])
    if isinstance(result, RangesDone):
        return ["done" if refusal is None else f"refused {refusal.value}" for refusal in result.results]
    return [_other(result)]


def _other(result: Expired | TopicMade | QueueDropped | QueueTrimmed) -> str:
    if isinstance(result, Expired):
        return f"handled {result.handled}, next {clock(result.next_due_ms)}"
    if isinstance(result, TopicMade):
        return f"topic {result.topic_id}" + (" (repeated)" if result.repeated else "")
    if isinstance(result, QueueTrimmed):
        return f"begins at {result.first_offset}, {result.removed} batches went, held from {result.held_offset}"
    return "dropped" if result.complete else "not all dropped yet"


def _outcome(outcome: DecisionOutcome) -> str:
    if outcome.refusal is not None:
        return f"refused {outcome.refusal.value}"
    texts = []
    if outcome.already_committed:
        texts.append(f"already committed {bit_text(outcome.already_committed)}")
    if outcome.already_rolled_back:
        texts.append(f"already rolled back {bit_text(outcome.already_rolled_back)}")
    return ", ".join(texts) or "as asked"


def piece_line(piece: LeasedPiece) -> str:
    """One piece, leased or looked at."""
    held = f" attempt {piece.attempt} lease {piece.lease} until {clock(piece.lease_until_ms)}" if piece.lease else ""
    reference = piece.reference
    where = f"{piece.instance}:{piece.sequence} in {reference.index}.{reference.batch}"
    last = piece.first_offset + piece.count - 1
    return f"offsets {piece.first_offset}-{last}{held}: records {bit_text(piece.selected)} of {where}"


def notice_line(effect: Effect) -> str:
    """One thing the rules announced."""
    if isinstance(effect, QueueGrew):
        return f"! {effect.topic}/{effect.queue} has more" + (f" for {effect.group}" if effect.group else "")
    if isinstance(effect, ChecksDue):
        return f"! check due {clock(effect.due_ms)}"
    if isinstance(effect, TimersDue):
        return f"! timer due {clock(effect.due_ms)}"
    assert isinstance(effect, MetadataChanged)
    return "! metadata changed"


def half_lines(half: HalfInfo) -> list[str]:
    """A half batch, with who decided what."""
    states = (
        f"in doubt {bit_text(half.in_doubt)}, committed {bit_text(half.committed)}, "
        f"rolled back {bit_text(half.rolled_back)}"
    )
    owner = f"{half.producer_group}/{half.principal}"
    lines = [
        f"{half.index}.{half.batch} {half.instance}:{half.sequence} for {half.topic}/{half.queue} by {owner}: {states}",
        f"  prepared {clock(half.prepared_ms)}, checks {half.checks}, next check {clock(half.next_check_ms)}",
    ]
    return lines + [f"  {one.decided_by} decided {bit_text(one.bits)} {clock(one.time_ms)}" for one in half.decisions]


def queue_line(queue: QueueInfo) -> str:
    """A queue."""
    return (
        f"{queue.topic}/{queue.queue} id {queue.topic_id} of {queue.queue_count}: offsets {queue.first_offset} to "
        f"{queue.next_offset}, in doubt {queue.in_doubt}, delayed {queue.delayed}, {queue.record_bytes} bytes"
        + (", dropping" if queue.dropping else "")
    )


def group_line(group: GroupQueueInfo) -> str:
    """A group on a queue."""
    return (
        f"{group.group} on {group.topic}/{group.queue}: floor {group.floor_offset}, next {group.next_offset}, "
        f"leased {group.leased}, waiting {group.waiting}, dead {group.dead_letters}"
    )


def dead_line(letter: DeadLetterInfo) -> str:
    """A dead letter."""
    return (
        f"offset {letter.offset}: {letter.instance}:{letter.sequence}:{letter.position} after {letter.attempts} "
        f"attempts, {letter.reason!r} {clock(letter.time_ms)}"
    )


def message_line(message: MessageInfo) -> str:
    """Where a message is."""
    reference = message.reference
    where = f"record {message.record} of {reference.index}.{reference.batch}"
    state = "" if message.half is None else f", {message.half.state(message.record).name}"
    return f"{message.topic}/{message.queue}: {where}{state}"

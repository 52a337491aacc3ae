"""The slow obvious shard: messages one by one in plain dicts. What it says, the rules must say."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from msgspec.structs import replace

from tallymq.txn.commands import (
    Acknowledge,
    Decide,
    Decision,
    Extend,
    LeasedRange,
    NegativeAcknowledge,
    Prepare,
    Publish,
    TrimQueue,
)
from tallymq.txn.outcomes import (
    Decided,
    DecisionOutcome,
    HalfBatchStored,
    Leased,
    Prepared,
    QueueTrimmed,
    RangesDone,
    Refusal,
    Stored,
    StoredBatch,
)

MessageId = tuple[int, int, int]
QUARTER_MS = 15 * 60 * 1000
DAY_MS = 24 * 60 * 60 * 1000
WINDOW_MS = 60 * 60 * 1000
TOPIC, QUEUE_COUNT = "transfers", 2


@dataclass
class Half:
    """One half batch, a word for each record."""

    index: int
    batch: int
    queue: int
    ids: list[MessageId]
    due_ms: list[int]
    producer_group: str
    principal: str
    next_check_ms: int
    states: list[str]
    settled_ms: int = 0


@dataclass
class Status:
    """One message of one group."""

    word: str
    attempt: int = 0
    lease: int = 0
    due_ms: int = 0


@dataclass
class Group:
    """One group on one queue: a status for every offset below `next_offset`."""

    next_offset: int
    by_offset: dict[int, Status] = field(default_factory=dict)
    lease_last: int = 0

    def offsets(self, *words: str) -> list[int]:
        return [offset for offset, status in self.by_offset.items() if status.word in words]

    def floor(self) -> int:
        return min(self.offsets("leased", "waiting"), default=self.next_offset)


class Model:
    """A topic of two queues, and groups that all have the same settings."""

    def __init__(self, attempts_max: int, lease_ms: int, backoff_ms_min: int, backoff_ms_max: int) -> None:
        self.attempts_max = attempts_max
        self.lease_ms = lease_ms
        self.backoff_ms_min, self.backoff_ms_max = backoff_ms_min, backoff_ms_max
        self.logs: list[list[MessageId]] = [[] for _ in range(QUEUE_COUNT)]
        self.frames: dict[tuple[int, int], tuple[Publish | Prepare, Stored | Prepared]] = {}
        self.halves: dict[tuple[int, int], Half] = {}
        self.delayed: list[tuple[int, int, int, int, MessageId]] = []
        self.visible: dict[tuple[int, int], list[MessageId]] = {}
        self.groups: dict[tuple[str, int], Group] = {}
        self.rolled_back: set[MessageId] = set()
        # Where each message's bytes are, where each queue begins, and what became visible together: (offset, when).
        self.index_of: dict[MessageId, int] = {}
        self.first = [0] * QUEUE_COUNT
        self.together: list[list[tuple[int, int]]] = [[] for _ in range(QUEUE_COUNT)]

    def store(self, frame: Publish | Prepare, index: int, batch_first: int, now_ms: int) -> Stored | Prepared | Refusal:
        """Publish or prepare."""
        name = (frame.identity.instance, frame.identity.sequence)
        if name in self.frames:
            return self._again(*self.frames[name], frame, now_ms)
        refusal = self._refusal(frame, now_ms)
        if refusal is not None:
            return refusal
        stored: list[StoredBatch] = []
        halves: list[HalfBatchStored] = []
        position = 0
        for number, batch in enumerate(frame.batches, batch_first):
            ids = [(*name, position + record) for record in range(batch.count)]
            self.index_of.update(dict.fromkeys(ids, index))
            due_ms = list(batch.delivery_times_ms) or [0] * batch.count
            if isinstance(frame, Publish):
                now_visible = self._part(batch.queue, index, number, ids, due_ms, now_ms)
                stored.append(StoredBatch(batch.queue, len(self.logs[batch.queue]), len(now_visible)))
                self._append(batch.queue, now_visible, now_ms)
            else:
                check_ms = now_ms + frame.check_after_ms
                who = (frame.producer_group, frame.principal, check_ms)
                half = Half(index, number, batch.queue, ids, due_ms, *who, ["in doubt"] * batch.count)
                self.halves[index, number] = half
                halves.append(HalfBatchStored(index, number, batch.queue, position, batch.count))
            position += batch.count
        answer = (
            Stored(tuple(stored), repeated=False)
            if isinstance(frame, Publish)
            else Prepared(tuple(halves), repeated=False)
        )
        self.frames[name] = (frame, answer)
        return answer

    def _again(
        self, before: Publish | Prepare, answer: Stored | Prepared, frame: Publish | Prepare, now_ms: int
    ) -> Stored | Prepared | Refusal:
        same = type(before) is type(frame) and (before.producer_group, before.principal, before.batches) == (
            frame.producer_group,
            frame.principal,
            frame.batches,
        )
        if not same:
            return Refusal.FRAME_DIFFERS
        name = (frame.identity.instance, frame.identity.sequence)
        until_ms = max(before.identity.deadline_ms, min(frame.identity.deadline_ms, now_ms + QUARTER_MS))
        self.frames[name] = (replace(before, identity=replace(before.identity, deadline_ms=until_ms)), answer)
        return type(answer)(answer.batches, True)

    @staticmethod
    def _refusal(frame: Publish | Prepare, now_ms: int) -> Refusal | None:
        if now_ms > frame.identity.deadline_ms:
            return Refusal.DEADLINE_PASSED
        if frame.identity.deadline_ms - now_ms > QUARTER_MS:
            return Refusal.DEADLINE_TOO_FAR
        seen = set()
        for batch in frame.batches:
            if batch.topic != TOPIC or batch.queue >= QUEUE_COUNT:
                return Refusal.UNKNOWN_QUEUE
            if batch.queue_count != QUEUE_COUNT:
                return Refusal.QUEUE_COUNT_CHANGED
            if batch.queue in seen:
                return Refusal.QUEUE_TWICE
            seen.add(batch.queue)
            if any(due_ms - now_ms > 40 * DAY_MS for due_ms in batch.delivery_times_ms):
                return Refusal.DELIVERY_TIME_TOO_FAR
        return None

    def _part(
        self, queue: int, index: int, batch: int, ids: list[MessageId], due_ms: list[int], now_ms: int
    ) -> list[MessageId]:
        """Keep what is due later, return what is visible now."""
        self.delayed += [(due, queue, index, batch, one) for one, due in zip(ids, due_ms, strict=True) if due > now_ms]
        return [one for one, due in zip(ids, due_ms, strict=True) if due <= now_ms]

    def decide(self, command: Decide, now_ms: int) -> Decided:
        """Decide, record by record."""
        return Decided(tuple(self._decide_one(command, decision, now_ms) for decision in command.decisions))

    def _decide_one(self, command: Decide, decision: Decision, now_ms: int) -> DecisionOutcome:
        name = (decision.index, decision.batch)
        half = self.halves.get(name)
        if half is None:
            return DecisionOutcome(0, 0, Refusal.HANDLE_EXPIRED)
        if half.ids[0][:2] != (decision.instance, decision.sequence):
            return DecisionOutcome(0, 0, Refusal.WRONG_HANDLE)
        operator = command.producer_group == "" and command.decided_by.startswith("operator")
        if not operator and (half.producer_group, half.principal) != (command.producer_group, command.principal):
            return DecisionOutcome(0, 0, Refusal.FOREIGN_HANDLE)
        if max(decision.commit, decision.roll_back) >= 2 ** len(half.ids):
            return DecisionOutcome(0, 0, Refusal.WRONG_HANDLE)
        fellows = [other for other in command.decisions if (other.index, other.batch) == name]
        for record in range(len(half.ids)):
            asked = (decision.commit | decision.roll_back) >> record & 1
            commit = any(other.commit >> record & 1 for other in fellows)
            roll_back = any(other.roll_back >> record & 1 for other in fellows)
            if asked and commit and roll_back:
                return DecisionOutcome(0, 0, Refusal.CONTRADICTION)
        return self._decide_records(half, decision, now_ms)

    def _decide_records(self, half: Half, decision: Decision, now_ms: int) -> DecisionOutcome:
        already_committed = already_rolled_back = 0
        for record, one in enumerate(half.ids):
            commit, roll_back = decision.commit >> record & 1, decision.roll_back >> record & 1
            if half.states[record] == "in doubt" and (commit or roll_back):
                half.states[record] = "committed" if commit else "rolled back"
                if roll_back:
                    self.rolled_back.add(one)
                elif half.due_ms[record] > now_ms:
                    self.delayed.append((half.due_ms[record], half.queue, half.index, half.batch, one))
                else:
                    self.visible.setdefault((half.index, half.batch), []).append(one)
                if "in doubt" not in half.states:
                    half.settled_ms = now_ms
            elif half.states[record] == "committed" and roll_back:
                already_committed |= 1 << record
            elif half.states[record] == "rolled back" and commit:
                already_rolled_back |= 1 << record
        return DecisionOutcome(already_committed, already_rolled_back)

    def _append(self, queue: int, ids: list[MessageId], now_ms: int) -> None:
        if ids:
            self.together[queue].append((len(self.logs[queue]), now_ms))
            self.logs[queue] += ids

    def append_visible(self, now_ms: int) -> None:
        """What one entry decided becomes visible half batch by half batch."""
        for name, ids in self.visible.items():
            self._append(self.halves[name].queue, sorted(ids), now_ms)
        self.visible = {}

    def trim(self, command: TrimQueue) -> QueueTrimmed | Refusal:
        """What became visible together goes together, if every group is done with all of it."""
        if command.queue >= QUEUE_COUNT or command.topic != TOPIC:
            return Refusal.UNKNOWN_QUEUE
        queue = command.queue
        end = len(self.logs[queue])
        held = min([end, *(group.floor() for name, group in self.groups.items() if name[1] == queue)])
        removed = 0
        for _, after in self.pieces(queue):
            if after <= min(held, command.first_offset) and removed < max(command.limit, 1):
                self.first[queue] = after
                removed += 1
        return QueueTrimmed(self.first[queue], removed, held)

    def pieces(self, queue: int) -> list[tuple[int, int]]:
        """When what is still on a queue became visible, and the offset after it."""
        parts = [part for part in self.together[queue] if part[0] >= self.first[queue]]
        ends = [offset for offset, _ in parts[1:]] + [len(self.logs[queue])]
        return [(when_ms, after) for (_, when_ms), after in zip(parts, ends, strict=False)]

    def past(self, queue: int, now_ms: int, retention_ms: int, messages_max: int) -> int:
        """The offset below which nothing need be kept: too old, or too many behind it."""
        until = self.first[queue]
        for when_ms, after in self.pieces(queue):
            too_many = messages_max and len(self.logs[queue]) - until > messages_max
            if not too_many and not (retention_ms and when_ms + retention_ms <= now_ms):
                break
            until = after
        return until

    def needed(self) -> list[int]:
        """The entries whose bytes somebody may still ask for."""
        ids = [one for first, log in zip(self.first, self.logs, strict=True) for one in log[first:]]
        ids += [one for *_, one in self.delayed]
        ids += [one for half in self.halves.values() for one in half.ids]
        for (_, queue), group in self.groups.items():
            ids += [self.logs[queue][offset] for offset in group.offsets("leased", "waiting", "dead")]
        return sorted({self.index_of[one] for one in ids})

    def expire(self, now_ms: int) -> None:
        """Everything that is due by now."""
        for group in self.groups.values():
            for offset in group.offsets("leased"):
                if group.by_offset[offset].due_ms <= now_ms:
                    self._failed(group.by_offset[offset], now_ms, 0, dead=False)
        due = sorted(delayed for delayed in self.delayed if delayed[0] <= now_ms)
        for (_, queue, _, _), parts in groupby(due, key=itemgetter(0, 1, 2, 3)):
            self._append(queue, [one for *_, one in parts], now_ms)
        self.delayed = [delayed for delayed in self.delayed if delayed[0] > now_ms]
        for name, half in list(self.halves.items()):
            if half.settled_ms and half.settled_ms + WINDOW_MS <= now_ms:
                del self.halves[name]
        left = {half.ids[0][:2] for half in self.halves.values()}
        for name, (frame, _) in list(self.frames.items()):
            if name not in left and frame.identity.deadline_ms < now_ms:
                del self.frames[name]

    def _failed(self, status: Status, now_ms: int, delay_ms: int, *, dead: bool) -> None:
        if dead or status.attempt >= self.attempts_max:
            status.word = "dead"
            return
        wait_ms = self.backoff_ms_min
        for _ in range(status.attempt - 1):
            wait_ms = min(wait_ms * 2, self.backoff_ms_max)
        status.word, status.lease, status.due_ms = "waiting", 0, now_ms + (delay_ms or wait_ms)

    def take(self, name: tuple[str, int], answer: Leased, records_max: int, now_ms: int, until_ms: int) -> None:
        """Check what was leased, offset by offset, and take it over."""
        group = self.groups[name]
        due = {o for o in group.offsets("waiting") if group.by_offset[o].due_ms <= now_ms}
        fresh = len(self.logs[name[1]]) - group.next_offset
        count = sum(piece.count for piece in answer.pieces)
        assert count == min(records_max, len(due) + fresh), "as much as there is, as far as it fits"
        group.lease_last += bool(count)
        for piece in answer.pieces:
            assert piece.lease == group.lease_last
            assert piece.lease_until_ms == until_ms
            records = [p for p in range(piece.reference.count) if piece.selected >> p & 1]
            assert piece.selected.bit_count() == len(records) == piece.count
            for offset, record in enumerate(records, piece.first_offset):
                one = (piece.instance, piece.sequence, piece.first_position + record)
                assert self.logs[name[1]][offset] == one, "the message that has this offset"
                assert one not in self.rolled_back
                if offset in group.by_offset:
                    assert offset in due, "not acknowledged, dead, leased to another, or too early"
                    due.remove(offset)
                else:
                    assert not due, "first what comes again, then what is new"
                    assert offset == group.next_offset, "without gaps"
                    group.next_offset += 1
                    group.by_offset[offset] = Status("new")
                status = group.by_offset[offset]
                assert piece.attempt == status.attempt + 1
                group.by_offset[offset] = Status("leased", piece.attempt, piece.lease, until_ms)

    def about_ranges(
        self, group_name: str, command: Acknowledge | NegativeAcknowledge | Extend, now_ms: int
    ) -> RangesDone:
        """Acknowledge, ask again, extend."""
        return RangesDone(tuple(self._about(group_name, leased, command, now_ms) for leased in command.ranges))

    def _about(
        self,
        group_name: str,
        leased: LeasedRange,
        command: Acknowledge | NegativeAcknowledge | Extend,
        now_ms: int,
    ) -> Refusal | None:
        group = self.groups.get((group_name, leased.queue))
        if group is None or not 0 < leased.lease <= group.lease_last or leased.count == 0:
            return Refusal.LEASE_LOST
        offsets = range(leased.first_offset, leased.first_offset + leased.count)
        if offsets[-1] >= group.next_offset:
            return Refusal.LEASE_LOST
        touched = [group.by_offset[offset] for offset in offsets if offset in group.by_offset]
        if any(status.word == "dead" for status in touched):
            return Refusal.LEASE_LOST
        held = [status for status in touched if status.word in ("leased", "waiting")]
        if any(status.lease != leased.lease for status in held):
            return Refusal.LEASE_LOST
        for status in held:
            if isinstance(command, Acknowledge):
                status.word = "acknowledged"
            elif isinstance(command, NegativeAcknowledge):
                self._failed(status, now_ms, command.delay_ms, dead=command.dead_letter)
            else:
                status.due_ms = now_ms + (command.lease_ms or self.lease_ms)
        return None

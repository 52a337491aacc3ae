"""Random histories: what clients might say to one shard, well and badly, checked after each step against the model."""

from __future__ import annotations

import random

from msgspec.structs import replace

from tallymq.txn import keys, queries
from tallymq.txn.body import count_all
from tallymq.txn.commands import (
    Acknowledge,
    CheckSent,
    Command,
    Decide,
    Decision,
    EnsureQueue,
    Expire,
    Extend,
    Lease,
    LeasedRange,
    NegativeAcknowledge,
    Prepare,
    Publish,
    PutGroup,
    RecordChecks,
    TrimQueue,
)
from tallymq.txn.outcomes import Done, Expired, Leased, Result
from tallymq.txn.types import Batch, Identity
from tests.support.view import Shard
from tests.txn.model import QUEUE_COUNT, TOPIC, WINDOW_MS, Group, Model

GROUPS = ("bank", "audit")
PLENTY = 1 << 40
STEPS_MIN = 30
INSTANCE = 1 << 63
TOPIC_ID = 7
SEATS = {
    keys.seat_of(TOPIC_ID, queue, number): (group, queue)
    for number, group in enumerate(GROUPS, 1)
    for queue in range(QUEUE_COUNT)
}
"""Every group on every queue, by what its keys have in common."""
SEAT_LETTERS = keys.CURSORS + keys.PIECES + keys.WAITING + keys.DEAD_LETTERS


class History:
    """One random history of one shard, beside the model."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        settings = (self.random.randint(1, 4), 30_000, self.random.choice((0, 1000)), 5000)
        self.retention_ms, self.messages_max = self.random.choice((0, 20_000)), self.random.choice((0, 5))
        self.shard = Shard()
        self.model = Model(*settings)
        self.sequence = 0
        self.sent: list[Publish | Prepare] = []
        self.ranges: list[tuple[str, LeasedRange]] = []
        self.handles: list[tuple[int, int, int, int, int]] = []
        self.floors: dict[tuple[str, int], int] = {}
        self.buried: dict[tuple[str, int], int] = {}
        self.spoken_of: set[tuple[str, int]] = set()
        for queue in range(QUEUE_COUNT):
            self.shard.do(EnsureQueue(TOPIC, TOPIC_ID, queue, QUEUE_COUNT, self.retention_ms, 100 * self.messages_max))
        for group in GROUPS:
            self.shard.do(PutGroup(group, *settings))

    def run(self) -> None:
        """At least `STEPS_MIN` entries, then everything to its end."""
        for _ in range(STEPS_MIN + self.random.randrange(10)):
            self._pass_time()
            if self.random.random() < 0.15:
                self._expire()
            else:
                self._entry([self._command() for _ in range(self.random.choice((1, 1, 1, 2, 4)))])
            self._compare()
        self._drain()

    def _pass_time(self) -> None:
        kinds = (0, self.random.randrange(1, 3000), self.random.randrange(40_000), 2 * WINDOW_MS)
        self.shard.now_ms += self.random.choices(kinds, (40, 40, 17, 3))[0]

    def _command(self) -> Command:
        makers = (self._publish, self._prepare, self._decide, self._lease, self._about, self._check, self._trim)
        return self.random.choices(makers, (12, 16, 30, 20, 20, 2, 8))[0]()

    def _entry(self, commands: list[Command]) -> None:
        model, now_ms = self.model, self.shard.now_ms
        results = self.shard.apply(*commands)
        batch_next = 0
        for command, result in zip(commands, results, strict=True):
            if isinstance(command, Publish | Prepare):
                expected: Result = model.store(command, self.shard.index, batch_next, now_ms)
                batch_next += len(command.batches)
            elif isinstance(command, Decide):
                expected = model.decide(command, now_ms)
            elif isinstance(command, Lease):
                self._leased(command, result)
                self.spoken_of.add((command.group, command.queue))
                continue
            elif isinstance(command, Acknowledge | NegativeAcknowledge | Extend):
                expected = model.about_ranges(command.group, command, now_ms)
                self.spoken_of.update((command.group, leased.queue) for leased in command.ranges)
            elif isinstance(command, TrimQueue):
                model.append_visible(now_ms)
                expected = model.trim(command)
            else:
                expected = self._checked(command)
            assert result == expected, f"{command}\n answered {result}\n expected {expected}"
        model.append_visible(now_ms)
        self.handles = [
            (half.index, half.batch, *half.ids[0][:2], len(half.ids)) for half in model.halves.values()
        ] + self.handles[-2:]

    def _batch(self, queue: int) -> Batch:
        count = self.random.choice((1, 2, 3, 9))
        times = ()
        if self.random.random() < 0.25:
            ahead = (-5000, 0, 2000, 30_000, 3_000_000)
            times = tuple(self.shard.now_ms + self.random.choice(ahead) for _ in range(count))
            if self.random.random() < 0.05:
                times = (*times[1:], self.shard.now_ms + 41 * 24 * 60 * 60 * 1000)
        queue_count = QUEUE_COUNT if self.random.random() < 0.98 else 3
        return Batch(TOPIC, queue, queue_count, count, 0, 100 * count, self.random.getrandbits(32), times)

    def _frame(self, kind: type[Publish] | type[Prepare], *more: int) -> Publish | Prepare:
        if self.sent and self.random.random() < 0.15:
            return self._again()
        ahead_ms = self.random.choices((60_000, 900_000, 900_001, -1), (60, 36, 2, 2))[0]
        deadline_ms = self.shard.now_ms + ahead_ms
        before = self.model.frames.get((INSTANCE, self.sequence))
        if before is not None and self.random.random() < 0.05:
            deadline_ms = before[0].identity.deadline_ms
        else:
            self.sequence += 1
        queues = self.random.choices(((0,), (1,), (0, 1), (0, 0), (2,)), (40, 40, 16, 2, 2))[0]
        batches = tuple(self._batch(queue) for queue in queues)
        identity = Identity(INSTANCE, self.sequence, deadline_ms)
        frame = kind(identity, self.random.choice(("tellers", "others")), "lilei", batches, *more)
        self.sent.append(frame)
        return frame

    def _again(self) -> Publish | Prepare:
        """A frame sent before, as it was or, while it is remembered, with a later deadline."""
        frame = self.random.choice(self.sent)
        stored = self.model.frames.get((INSTANCE, frame.identity.sequence))
        # A later deadline only for the frame that is stored: two frames of one identity are a client's fault.
        if stored is not None and stored[0].batches == frame.batches and self.random.random() < 0.3:
            later = replace(frame.identity, deadline_ms=self.shard.now_ms + 900_000)
            frame = replace(frame, identity=later)
            self.sent.append(frame)
        return frame

    def _publish(self) -> Command:
        return self._frame(Publish)

    def _prepare(self) -> Command:
        return self._frame(Prepare, 6000)

    def _decide(self) -> Command:
        decisions = []
        for _ in range(self.random.choice((1, 1, 2, 3))):
            if not self.handles:
                break
            index, batch, instance, sequence, count = self.random.choice(self.handles)
            kind = self.random.random()
            commit = (1 << count) - 1 if kind < 0.4 else self.random.getrandbits(count)
            roll_back = self.random.getrandbits(count) & ~commit if kind < 0.9 else self.random.getrandbits(count)
            if self.random.random() < 0.3:
                commit, roll_back = roll_back, commit
            instance += self.random.random() < 0.03
            commit |= (self.random.random() < 0.02) << count
            decisions.append(Decision(index, batch, instance, sequence, commit, roll_back))
        half = self.model.halves.get((decisions[0].index, decisions[0].batch)) if decisions else None
        if half is None or self.random.random() < 0.1:
            who = self.random.choice((("", "", "operator han: call from the bank"), ("", "", "call")))
            return Decide(*who, tuple(decisions))
        return Decide(half.producer_group, half.principal, "call", tuple(decisions))

    def _lease(self) -> Command:
        records_max = self.random.choice((1, 2, 5, 100))
        group, queue = self.random.choice(GROUPS), self.random.randrange(QUEUE_COUNT)
        late = self.random.random() < 0.1
        return Lease(group, TOPIC, queue, 5, records_max, PLENTY, self.random.choice((0, 2000)), late)

    def _leased(self, command: Lease, result: Result) -> None:
        assert isinstance(result, Leased), result
        model, name, now_ms = self.model, (command.group, command.queue), self.shard.now_ms
        model.append_visible(now_ms)
        start = len(model.logs[command.queue]) if command.start_at_latest else model.first[command.queue]
        model.groups.setdefault(name, Group(start))
        model.take(name, result, command.records_max, now_ms, now_ms + (command.lease_ms or model.lease_ms))
        group = model.groups[name]
        waits = [group.by_offset[offset].due_ms for offset in group.offsets("waiting")]
        assert result.next_due_ms == min(waits, default=0)
        for piece in result.pieces:
            leased = LeasedRange(TOPIC, command.queue, piece.lease, piece.first_offset, piece.count)
            self.ranges.append((command.group, leased))

    def _about(self) -> Command:
        group, ranges = self.random.choice(GROUPS), []
        for name, leased in self.random.choices(self.ranges, k=self.random.choice((1, 2))) if self.ranges else []:
            first, last = sorted(self.random.randrange(leased.count) for _ in range(2))
            if self.random.random() < 0.5:
                first, last = 0, leased.count - 1
            last += self.random.random() < 0.05
            lease = leased.lease + (self.random.random() < 0.05)
            group = name
            offset = leased.first_offset + first
            ranges.append(LeasedRange(TOPIC, leased.queue, lease, offset, last - first + 1))
        kind = self.random.random()
        if kind < 0.5:
            return Acknowledge(group, tuple(ranges))
        if kind < 0.8:
            delay_ms = self.random.choice((0, 4000))
            return NegativeAcknowledge(group, tuple(ranges), delay_ms, "no money", self.random.random() < 0.1)
        return Extend(group, tuple(ranges), self.random.choice((0, 9000)))

    def _check(self) -> Command:
        chosen = self.random.sample(self.handles, min(2, len(self.handles)))
        return RecordChecks(tuple(CheckSent(one[0], one[1], self.shard.now_ms + 12_000) for one in chosen))

    def _trim(self) -> Command:
        queue = self.random.randrange(QUEUE_COUNT) if self.random.random() < 0.98 else QUEUE_COUNT
        end = len(self.model.logs[queue]) if queue < QUEUE_COUNT else 1
        return TrimQueue(TOPIC, TOPIC_ID, queue, self.random.randrange(end + 2), self.random.choice((1, 3, 100)))

    def _checked(self, command: Command) -> Result:
        assert isinstance(command, RecordChecks)
        for check in command.checks:
            half = self.model.halves.get((check.index, check.batch))
            if half is not None:
                half.next_check_ms = check.next_check_ms
        return Done()

    def _expire(self) -> None:
        limit = self.random.choice((1, 3, 100))
        for _ in range(10_000):
            result = self.shard.do(Expire(limit))
            assert isinstance(result, Expired)
            assert result.handled > 0 or not 0 < result.next_due_ms <= self.shard.now_ms, "no progress"
            if not 0 < result.next_due_ms <= self.shard.now_ms:
                break
        self.model.expire(self.shard.now_ms)
        self.spoken_of.update(self.model.groups)

    def _compare(self) -> None:
        """Everything that can be asked is as the model has it."""
        view, model, now_ms = self.shard.view, self.model, self.shard.now_ms
        doubt = {name: half for name, half in model.halves.items() if half.settled_ms == 0}
        in_doubt = [0] * QUEUE_COUNT
        for half in doubt.values():
            in_doubt[half.queue] += half.states.count("in doubt")
        for queue, log in enumerate(model.logs):
            info = queries.queue(view, TOPIC, queue)
            assert info is not None
            assert (info.first_offset, info.next_offset) == (model.first[queue], len(log))
            assert info.record_bytes == 100 * (len(log) - model.first[queue])
            until = queries.trim_until(view, TOPIC, queue, now_ms, 10_000)
            assert until == model.past(queue, now_ms, self.retention_ms, self.messages_max)
            assert info.in_doubt == in_doubt[queue]
            assert info.delayed == sum(1 for delayed in model.delayed if delayed[1] == queue)
        assert queries.in_doubt_total(view) == sum(in_doubt)
        assert queries.needed_bodies(view, 0, 10_000) == model.needed(), "exactly what somebody may still ask for"
        due = queries.checks_due(view, now_ms, 10_000)
        expected = {name for name, half in doubt.items() if half.next_check_ms <= now_ms}
        assert {(half.index, half.batch) for half in due} == expected, "each half in doubt is checked when due"
        assert queries.next_check_ms(view) == min((half.next_check_ms for half in doubt.values()), default=0)
        for name in self._seats_to_compare():
            if name in model.groups:
                self._compare_group(name, model.groups[name])

    def _seats_to_compare(self) -> set[tuple[str, int]]:
        """Every group on a queue that a command spoke of or whose keys changed; the others stay as compared before."""
        changed = {key[1:21] for key in self.shard.changed if key[0] in SEAT_LETTERS}
        seats = self.spoken_of | {SEATS[seat] for seat in changed}
        self.shard.changed.clear()
        self.spoken_of = set()
        return seats

    def _compare_group(self, name: tuple[str, int], group: Group) -> None:
        info = queries.group_queue(self.shard.view, name[0], TOPIC, name[1])
        assert info is not None
        found = (info.floor_offset, info.next_offset, info.leased, info.waiting, info.dead_letters)
        counts = [len(group.offsets(word)) for word in ("leased", "waiting", "dead")]
        assert found == (group.floor(), group.next_offset, *counts)
        assert info.floor_offset >= self.floors.get(name, 0), "the floor went back"
        self.floors[name] = info.floor_offset
        if info.dead_letters != self.buried.get(name, 0):
            self.buried[name] = info.dead_letters
            letters = queries.dead_letters(self.shard.view, name[0], TOPIC, name[1], -1, 10_000)
            assert [letter.offset for letter in letters] == sorted(group.offsets("dead"))
            for letter in letters:
                one = (letter.instance, letter.sequence, letter.position)
                assert self.model.logs[name[1]][letter.offset] == one
                assert queries.is_body_needed(self.shard.view, letter.reference.index)

    def _drain(self) -> None:
        """Decide what is left, deliver and acknowledge everything: what was committed came, and only that."""
        for half in list(self.model.halves.values()):
            commit = (1 << len(half.ids)) - 1
            decision = Decision(half.index, half.batch, *half.ids[0][:2], commit, 0)
            self._entry([Decide("", "", "operator han: the day ends", (decision,))])
        for _ in range(60):
            self.shard.now_ms += 3_600_000
            self._expire()
            self._drain_queues()
            self._compare()
            if all(group.floor() == len(self.model.logs[name[1]]) for name, group in self.model.groups.items()):
                break
        self._compare_logs()
        self._compare_counts()

    def _drain_queues(self) -> None:
        """Lease all there is for every group, then acknowledge it: two entries, for each costs more than a command."""
        seen = len(self.ranges)
        self._entry([Lease(*name, 5, 10_000, PLENTY, 0, False) for name in self._seats()])
        leased = self.ranges[seen:]
        self._entry([Acknowledge(group, tuple(one for name, one in leased if name == group)) for group in GROUPS])

    def _seats(self) -> list[tuple[str, str, int]]:
        return [(group, TOPIC, queue) for group in GROUPS for queue in range(QUEUE_COUNT)]

    def _compare_logs(self) -> None:
        delivered: list[tuple[int, int, int]] = []
        for queue, log in enumerate(self.model.logs):
            group = self.model.groups["bank", queue]
            assert group.floor() == len(log), "everything visible was delivered until it was done with"
            found = []
            for piece in queries.browse(self.shard.view, TOPIC, queue, 0, 10_000):
                records = [p for p in range(piece.reference.count) if piece.selected >> p & 1]
                found += [(piece.instance, piece.sequence, piece.first_position + record) for record in records]
            assert found == log[self.model.first[queue] :]
            delivered += found
        assert len(set(delivered)) == len(delivered), "a message became visible twice"
        assert not self.model.rolled_back & set(delivered), "a rolled back message became visible"
        assert not self.model.delayed

    def _compare_counts(self) -> None:
        """What counting along left is what counting everything at once finds: old state is brought up to date so."""
        view = self.shard.view
        counted = view.range(keys.BODIES, keys.end_of(keys.BODIES), 10_000)
        assert counted == count_all(view)

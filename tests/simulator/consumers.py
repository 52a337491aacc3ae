"""Consumers of groups, and the operator who looks at the end: what they got, in the bytes that came."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from tallymq.raftlog.errors import BodyDamaged
from tallymq.txn import bits, queries
from tallymq.txn.commands import (
    Acknowledge,
    Barrier,
    CreateTopic,
    Extend,
    Lease,
    LeasedRange,
    NegativeAcknowledge,
    PutGroup,
)
from tallymq.txn.outcomes import Leased, LeasedPiece, RangesDone, TopicMade
from tests.simulator.calls import Answer, Call, Client, Script, Sleep
from tests.simulator.node import Handle
from tests.simulator.producers import NAME_BYTES, digest_of, split_records
from tests.workloads import history
from tests.workloads.history import Outcome

if TYPE_CHECKING:
    pass

GROUPS = ("bank", "audit")
LEASE_MS = 3_000
PLENTY = 1 << 40
BROWSED_MAX = 500


def read_pieces(handle: Handle, pieces: tuple[LeasedPiece, ...] | list[LeasedPiece]) -> list[history.Record]:
    """Return what the bytes of these pieces say, up to the first damaged body: that one is served to nobody."""
    records: list[history.Record] = []
    for piece in pieces:
        try:
            data = handle.read(piece.reference)
        except BodyDamaged:
            break
        found = split_records(data, piece.reference.count)
        offset = piece.first_offset
        for start, run in bits.runs(piece.selected):
            for record in found[start : start + run]:
                name = record[:NAME_BYTES].decode(errors="replace").strip()
                records.append(history.Record(offset, name, digest_of(record), piece.attempt))
                offset += 1
    return records


def _read_lease(handle: Handle, result: Any) -> Any:
    return (result, read_pieces(handle, result.pieces)) if isinstance(result, Leased) else result


class Consumer(Client):
    """A member of a group, on all queues."""

    group: str = GROUPS[0]

    def run(self) -> Script:
        """Lease and acknowledge until nothing more can come."""
        chance, shape = self.chance, self.world.shape
        while not self.world.is_drained:
            yield Sleep(int(chance.expovariate(1) * shape.think_us) // (4 if self.world.winding_down else 1) + 1)
            topic = f"topic-{chance.randrange(self.world.topics)}"
            yield from self._consume(topic, chance.randrange(2 * shape.shards))

    def _consume(self, topic: str, queue: int) -> Generator[Sleep | Call, Answer | None, None]:
        shard = queue % self.world.shape.shards
        began_us = self.world.now_us
        records_max = self.chance.choice((1, 5, 100))
        lease = Lease(self.group, topic, queue, self.instance, records_max, PLENTY, LEASE_MS, False)
        # A lease that is not answered is over when its time is: it is not asked for again under the same name.
        answer = yield from self.submit(shard, lease, (), _read_lease, tries=1)
        if answer.outcome is not Outcome.OK or not isinstance(answer.value, tuple):
            return
        leased, records = answer.value
        if not leased.pieces:
            return
        token = leased.pieces[0].lease
        self.world.record(
            history.Deliver(self.name, began_us, self.world.now_us, self.group, topic, queue, tuple(records), token)
        )
        if len(records) == sum(piece.count for piece in leased.pieces):
            yield from self._finish(shard, topic, queue, leased)

    def _finish(
        self, shard: int, topic: str, queue: int, leased: Leased
    ) -> Generator[Sleep | Call, Answer | None, None]:
        work, calm = self.chance.random(), self.world.winding_down
        ranges = tuple(LeasedRange(topic, queue, p.lease, p.first_offset, p.count) for p in leased.pieces)
        if work < 0.08 and not calm:
            yield Sleep(LEASE_MS * 1_200)
        elif work < 0.14 and not calm:
            yield from self.submit(shard, NegativeAcknowledge(self.group, ranges, 500, "not now", False))
            return
        elif work < 0.2:
            yield from self.submit(shard, Extend(self.group, ranges, LEASE_MS))
        began_us = self.world.now_us
        answer = yield from self.submit(shard, Acknowledge(self.group, ranges))
        outcome = answer.outcome
        if outcome is Outcome.OK:
            results = answer.value.results if isinstance(answer.value, RangesDone) else (answer.value,)
            if any(result is not None for result in results):
                outcome = Outcome.UNKNOWN
        offsets = tuple(o for p in leased.pieces for o in range(p.first_offset, p.first_offset + p.count))
        self.world.record(
            history.Acknowledge(self.name, began_us, self.world.now_us, outcome, self.group, topic, queue, offsets)
        )


class Operator(Client):
    """Makes topics and groups at the beginning, looks at groups meanwhile, and reads everything at the end."""

    def run(self) -> Script:
        """From the first to the last thing of a run."""
        shape = self.world.shape
        for number in range(shape.topics):
            yield from self._create(number)
        for group in GROUPS:
            for shard in range(shape.shards):
                yield from self._insist(shard, PutGroup(group, 1_000, LEASE_MS, 0, 2_000))
        self.world.is_made = True
        while not self.world.winding_down:
            yield Sleep(self.chance.randrange(1_000_000, 4_000_000))
            yield from self._look(self.chance.choice(GROUPS), *self._any_queue())
            if self.chance.random() < 0.05 and self.world.topics < 4:
                yield from self._create(self.world.topics)

    def _any_queue(self) -> tuple[str, int]:
        shape = self.world.shape
        return f"topic-{self.chance.randrange(self.world.topics)}", self.chance.randrange(2 * shape.shards)

    def _insist(self, shard: int, command: Any, then: Any = None) -> Generator[Sleep | Call, Answer | None, Any]:
        while True:
            answer = yield from self.submit(shard, command, (), then, tries=50)
            if answer.outcome is Outcome.OK:
                return answer.value
            yield Sleep(200_000)

    def _create(self, number: int) -> Generator[Sleep | Call, Answer | None, None]:
        shards = tuple(queue % self.world.shape.shards for queue in range(2 * self.world.shape.shards))
        made = yield from self._insist(0, CreateTopic(f"topic-{number}", shards, 0, 0))
        if not isinstance(made, TopicMade):
            raise TypeError(f"a topic was not made: {made}")
        self.world.topics = max(self.world.topics, number + 1)

    def _look(self, group: str, topic: str, queue: int) -> Generator[Sleep | Call, Answer | None, None]:
        """Where a group stands, as a linearizable read."""
        began_us = self.world.now_us

        def then(handle: Handle, _: object) -> object:
            return queries.group_queue(handle.view, group, topic, queue)

        answer = yield from self.submit(queue % self.world.shape.shards, Barrier(), (), then, tries=1)
        info = answer.value
        if answer.outcome is Outcome.OK and info is not None:
            self.world.record(
                history.Stand(
                    self.name, began_us, self.world.now_us, group, topic, queue, info.floor_offset, info.next_offset
                )
            )

    # The end

    def close(self) -> Script:
        """Wait until everything is decided, delivered and done; then read every queue."""
        queues = [
            (f"topic-{number}", queue)
            for number in range(self.world.topics)
            for queue in range(2 * self.world.shape.shards)
        ]
        for topic, queue in queues:
            while not (yield from self._is_done(topic, queue)):
                yield Sleep(500_000)
        self.world.is_drained = True
        for topic, queue in queues:
            yield from self._read(topic, queue)
            for group in GROUPS:
                self.world.record(history.Drained(self.name, self.world.now_us, self.world.now_us, group, topic, queue))
        self.world.is_read = True

    def _is_done(self, topic: str, queue: int) -> Generator[Sleep | Call, Answer | None, bool]:
        def then(handle: Handle, _: object) -> bool:
            info = queries.queue(handle.view, topic, queue)
            if info is None or info.in_doubt or info.delayed:
                return False
            for group in GROUPS:
                stand = queries.group_queue(handle.view, group, topic, queue)
                if info.next_offset and (stand is None or stand.floor_offset < info.next_offset):
                    return False
            return True

        done: bool = yield from self._insist(queue % self.world.shape.shards, Barrier(), then)
        return done

    def _read(self, topic: str, queue: int) -> Generator[Sleep | Call, Answer | None, None]:
        records: list[history.Record] = []
        began_us = self.world.now_us
        first_offset = next_offset = offset = 0
        while True:

            def then(handle: Handle, _: object, start: int = offset) -> object:
                pieces = queries.browse(handle.view, topic, queue, start, BROWSED_MAX)
                return queries.queue(handle.view, topic, queue), read_pieces(handle, pieces)

            info, found = yield from self._insist(queue % self.world.shape.shards, Barrier(), then)
            records.extend(found)
            first_offset, next_offset = info.first_offset, info.next_offset
            offset = records[-1].offset + 1 if records else next_offset
            if not found or offset >= next_offset:
                break
        self.world.record(
            history.Log(self.name, began_us, self.world.now_us, topic, queue, first_offset, next_offset, tuple(records))
        )

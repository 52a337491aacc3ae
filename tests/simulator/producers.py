"""Producers: they publish, prepare and decide, late and against each other, retry, and answer checks.

Each record says which message it is, so whoever reads the bytes back knows what was sent. A transaction is a whole
frame, or each record of it; its producer's bank decides once, and whoever is asked looks there.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zlib import crc32

import google_crc32c

from tallymq.txn.answers import HalfInfo
from tallymq.txn.commands import Decide, Decision, Prepare, Publish
from tallymq.txn.outcomes import Decided, Prepared, Refusal, Stored
from tallymq.txn.types import Batch, Identity
from tests.simulator.calls import Answer, Call, Client, Script, Sleep
from tests.workloads import history
from tests.workloads.history import Outcome

if TYPE_CHECKING:
    from tests.simulator.world import World

PRODUCER_GROUP = "tellers"
PRINCIPAL = "lilei"
NAME_BYTES = 40
DEADLINE_MS = 60_000
DELAY_MS_MAX = 8_000


@dataclass
class Frame:
    """A frame on its way, and the messages in it."""

    identity: Identity
    shard: int
    batches: tuple[Batch, ...]
    bodies: tuple[bytes, ...]
    messages: tuple[history.Message, ...]
    is_delayed: bool


@dataclass
class Open:
    """A stored frame whose transactions wait for their decisions; `parts`: transaction, handle and bits."""

    shard: int
    parts: list[tuple[str, list[Decision]]] = field(default_factory=list)


def record_name(instance: int, sequence: int, position: int) -> str:
    """Return the id of a message."""
    return f"{instance:x}-{sequence}-{position}"


def digest_of(record: bytes) -> str:
    """Return what stands for a record's bytes."""
    return f"{crc32(record):08x}"


def split_records(data: bytes, count: int) -> list[bytes]:
    """Cut a batch of equal records."""
    length = len(data) // count
    return [data[start : start + length] for start in range(0, length * count, length)]


class Producer(Client):
    """One of them."""

    def run(self) -> Script:
        """Work until the world winds down."""
        chance = self.chance
        while not self.world.winding_down:
            yield Sleep(int(chance.expovariate(1) * self.world.shape.think_us) + 1)
            work = chance.random()
            if work < 0.45:
                yield from self._publish()
            elif work < 0.95:
                yield from self._transact()
            else:
                yield from self._contradict()

    # Frames

    def _frame(self) -> Frame:
        chance, shape = self.chance, self.world.shape
        shard = chance.randrange(shape.shards)
        topic = f"topic-{chance.randrange(self.world.topics)}"
        queues = [shard, shard + shape.shards]
        chosen = queues if chance.random() < 0.25 else [chance.choice(queues)]
        self.sequence += 1
        identity = Identity(self.instance, self.sequence, self.now_ms() + DEADLINE_MS)
        is_delayed = chance.random() < 0.08
        batches, bodies, messages = [], [], []
        position = 0
        for queue in chosen:
            count = chance.choice((1, 1, 2, 5))
            filling = chance.randbytes(chance.choice((0, 10, 100, 2_000)))
            records = []
            for _ in range(count):
                name = record_name(self.instance, self.sequence, position)
                records.append(name.ljust(NAME_BYTES).encode() + filling)
                messages.append(history.Message(name, digest_of(records[-1]), topic, queue))
                position += 1
            body = b"".join(records)
            times = tuple(self.now_ms() + chance.randrange(DELAY_MS_MAX) for _ in records) if is_delayed else ()
            checksum = google_crc32c.value(body)
            batches.append(Batch(topic, queue, 2 * shape.shards, count, 0, len(body), checksum, times))
            bodies.append(body)
        return Frame(identity, shard, tuple(batches), tuple(bodies), tuple(messages), is_delayed)

    def _send(
        self, frame: Frame, command: Publish | Prepare
    ) -> Generator[Sleep | Call, Answer | None, tuple[Outcome, Stored | Prepared | None]]:
        answer = yield from self.submit(frame.shard, command, frame.bodies)
        if answer.outcome is not Outcome.OK:
            return answer.outcome, None
        if isinstance(answer.value, Refusal):
            self._learn(answer.value)
            # Refused now; an earlier try of it may be stored all the same.
            return Outcome.REFUSED if answer.is_first else Outcome.UNKNOWN, None
        return Outcome.OK, answer.value

    def _learn(self, refusal: Refusal) -> None:
        if refusal is Refusal.DEADLINE_PASSED:
            self.clock_ahead_ms += DEADLINE_MS
        elif refusal is Refusal.DEADLINE_TOO_FAR:
            self.clock_ahead_ms -= DEADLINE_MS

    def _publish(self) -> Generator[Sleep | Call, Answer | None, None]:
        frame = self._frame()
        began_us = self.world.now_us
        command = Publish(frame.identity, PRODUCER_GROUP, PRINCIPAL, frame.batches)
        outcome, stored = yield from self._send(frame, command)
        offsets: list[int] = []
        if isinstance(stored, Stored) and not frame.is_delayed:
            for batch, place in zip(frame.batches, stored.batches, strict=True):
                offsets.extend(range(place.first_offset, place.first_offset + batch.count))
        self.world.record(
            history.Publish(self.name, began_us, self.world.now_us, outcome, frame.messages, tuple(offsets))
        )

    # Transactions

    def _transact(self) -> Generator[Sleep | Call, Answer | None, None]:
        frame = self._frame()
        # To the rules each record is a transaction of its own. One decision for one half batch is applied as one, so
        # a frame of one batch is decided whole whoever decides; over two batches only if nobody contradicts.
        is_one = self.chance.random() < 0.6
        names = [self._transaction(message.id, frame, is_one) for message in frame.messages]
        began_us = self.world.now_us
        check_ms = self.chance.choice((1_000, 5_000))
        command = Prepare(frame.identity, PRODUCER_GROUP, PRINCIPAL, frame.batches, check_ms)
        # Whoever is asked must know which messages are one transaction, whatever becomes of the answer.
        self.world.bank.note(names, frame.messages)
        outcome, stored = yield from self._send(frame, command)
        for name in dict.fromkeys(names):
            own = tuple(m for m, of in zip(frame.messages, names, strict=True) if of == name)
            self.world.record(
                history.Prepare(self.name, began_us, self.world.now_us, outcome, name, PRODUCER_GROUP, own)
            )
        if not isinstance(stored, Prepared):
            return
        held = self._open(frame, stored, names)
        if not is_one or len(frame.batches) == 1:
            self.world.opens.append(held)
        if self.chance.random() < 0.15:
            # Nobody decides: the service will ask.
            return
        yield Sleep(self.chance.choice((1_000, 50_000, 500_000, 4_000_000)))
        yield from self._decide_all(held)

    def _transaction(self, message_id: str, frame: Frame, is_one: bool) -> str:
        return f"t{frame.identity.instance:x}-{frame.identity.sequence}" if is_one else f"t{message_id}"

    def _open(self, frame: Frame, stored: Prepared, names: list[str]) -> Open:
        bits: dict[str, dict[tuple[int, int], int]] = {}
        position = 0
        for half in stored.batches:
            for bit in range(half.count):
                handles = bits.setdefault(names[position], {})
                handles[half.index, half.batch] = handles.get((half.index, half.batch), 0) | (1 << bit)
                position += 1
        held = Open(frame.shard)
        for name, handles in bits.items():
            decisions = [
                Decision(index, batch, self.instance, frame.identity.sequence, selected, 0)
                for (index, batch), selected in handles.items()
            ]
            held.parts.append((name, decisions))
        return held

    def _decide_all(self, held: Open) -> Generator[Sleep | Call, Answer | None, None]:
        for name, decisions in held.parts:
            wanted = self.world.bank.decide(name, commit=self.chance.random() < 0.7)
            yield from self._decide(held.shard, name, decisions, wanted, "call")

    def _contradict(self) -> Generator[Sleep | Call, Answer | None, None]:
        """Say late, or wrongly, what has been decided already."""
        opens = self.world.opens
        if not opens:
            return
        held = self.chance.choice(opens[-20:])
        name, decisions = self.chance.choice(held.parts)
        wanted = self.chance.choice((history.Decision.COMMITTED, history.Decision.ROLLED_BACK))
        yield from self._decide(held.shard, name, decisions, wanted, "call")

    def _decide(
        self, shard: int, name: str, decisions: list[Decision], wanted: history.Decision, by: str
    ) -> Generator[Sleep | Call, Answer | None, None]:
        is_commit = wanted is history.Decision.COMMITTED
        asked = tuple(
            Decision(
                one.index,
                one.batch,
                one.instance,
                one.sequence,
                one.commit if is_commit else 0,
                0 if is_commit else one.commit,
            )
            for one in decisions
        )
        began_us = self.world.now_us
        answer = yield from self.submit(shard, Decide(PRODUCER_GROUP, PRINCIPAL, by, asked))
        outcome, found = answer.outcome, None
        if isinstance(answer.value, Decided):
            for one in answer.value.outcomes:
                if one.refusal is not None:
                    outcome = Outcome.UNKNOWN
                elif one.already_committed:
                    outcome, found = Outcome.REFUSED, history.Decision.COMMITTED
                elif one.already_rolled_back:
                    outcome, found = Outcome.REFUSED, history.Decision.ROLLED_BACK
        if found is not None:
            # Refused as asked for the last time; an earlier try may have been the one that decided, had it been so.
            outcome = Outcome.REFUSED
        self.world.record(history.Decide(self.name, began_us, self.world.now_us, outcome, name, wanted, found))


class Answerer(Producer):
    """Answers one check, then is done."""

    def answer(self, shard: int, half: HalfInfo) -> Script:
        """Ask the bank about everything in doubt of a half batch, and say so."""
        names: dict[str, int] = {}
        for bit in range(half.reference.count):
            if half.in_doubt >> bit & 1:
                message_id = record_name(half.instance, half.sequence, half.first_position + bit)
                name = self.world.bank.transaction_of[message_id]
                names[name] = names.get(name, 0) | (1 << bit)
        for name, selected in names.items():
            self.world.record(history.Check(self.name, self.world.now_us, self.world.now_us, name))
            wanted = self.world.bank.decide(name, commit=False)
            decision = Decision(half.reference.index, half.reference.batch, half.instance, half.sequence, selected, 0)
            yield from self._decide(shard, name, [decision], wanted, "check")


class Bank:
    """The database of the producers: which messages are one transaction, and what became of it, once and for all."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._decided: dict[str, history.Decision] = {}
        self.transaction_of: dict[str, str] = {}

    def note(self, names: list[str], messages: tuple[history.Message, ...]) -> None:
        self.transaction_of.update({m.id: name for m, name in zip(messages, names, strict=True)})

    def decide(self, name: str, *, commit: bool) -> history.Decision:
        """Return the decision; the first one that asks makes it."""
        wanted = history.Decision.COMMITTED if commit else history.Decision.ROLLED_BACK
        return self._decided.setdefault(name, wanted)

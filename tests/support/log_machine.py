"""Drives a node's log at random beside an obvious model of it, and compares the two after power cuts."""

import contextlib
from collections.abc import Callable, Sequence
from random import Random

from tallymq.raftlog.keys import applied_key, decode_applied, encode_applied
from tallymq.raftlog.log import LogSettings, NodeLog
from tallymq.raftlog.store import Pair
from tests.support.memory_disk import MemoryDisk
from tests.support.power_cut_store import PowerCutStore

SHARDS = (0, 1, 7)
SEGMENT_BYTES = 24 * 1024

Operation = tuple[str, int, int, int, bytes]
"""Kind, shard, index, term, payload or vote."""


class PowerCutError(Exception):
    """The power went away during an operation of the disk."""


GONE = (0, b"forgotten by Raft")


def same_entries(left: list[tuple[int, bytes]], right: list[tuple[int, bytes]]) -> bool:
    return len(left) == len(right) and all(
        one == other or one is GONE or other is GONE for one, other in zip(left, right, strict=True)
    )


class ModelShard:
    """A shard's log as lists."""

    def __init__(self) -> None:
        self.term = 0
        self.voted_for = ""
        self.entries: list[tuple[int, bytes]] = []

    def copy(self) -> "ModelShard":
        other = ModelShard()
        other.term, other.voted_for, other.entries = self.term, self.voted_for, list(self.entries)
        return other

    def do(self, operation: Operation) -> None:
        kind, _, index, term, data = operation
        if kind == "entry":
            assert index == len(self.entries) + 1
            self.entries.append((term, data))
        elif kind == "truncate":
            del self.entries[index - 1 :]
        else:
            self.term, self.voted_for = term, data.decode()

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ModelShard)
            and (self.term, self.voted_for) == (other.term, other.voted_for)
            and same_entries(self.entries, other.entries)
        )

    __hash__ = None  # type: ignore[assignment]


Model = dict[int, ModelShard]


def empty_model() -> Model:
    return {shard: ModelShard() for shard in SHARDS}


def observed(log: NodeLog) -> Model:
    """Everything the log says, read entry by entry."""
    model = empty_model()
    for shard, seen in model.items():
        state = log.shard_state(shard)
        seen.term, seen.voted_for = state.term, state.voted_for
        # What Raft has forgotten is not asked for here.
        seen.entries += [GONE] * state.base_index
        for index in range(state.base_index + 1, state.last_index + 1):
            term = log.term_at(shard, index)
            assert term is not None
            seen.entries.append((term, log.read_entry(shard, index)))
        assert log.term_at(shard, state.last_index + 1) is None
        assert state.last_term == (seen.entries[-1][0] if seen.entries else 0) or seen.entries[-1] is GONE
    return model


class LogMachine:
    """One node's log, its model, and how much of it must survive. Everything random comes from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.disk = MemoryDisk()
        self.store = PowerCutStore()
        self.settings = LogSettings(
            draw_salt=lambda: self.random.getrandbits(64), segment_bytes=SEGMENT_BYTES, open_files_max=2
        )
        self.log = NodeLog.open(self.disk, self.store, self.settings)
        # The model when everything known was durable, and what was appended since, with its round.
        self.durable = empty_model()
        self.since: list[tuple[int, Operation]] = []
        self.model = empty_model()
        # What a majority has: never withdrawn again, whatever becomes of the store.
        self.committed = dict.fromkeys(SHARDS, 0)
        self.applied = dict.fromkeys(SHARDS, 0)
        self.written = self.log.round_synced
        self.crashes = 0

    # --- Steps -------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Do one thing."""
        steps = self.steps()
        self.random.choices([step for step, _ in steps], [weight for _, weight in steps])[0]()

    def steps(self) -> Sequence[tuple[Callable[[], None], int]]:
        """What may be done, and how often."""
        return (
            (self.append_entries, 8),
            (self.truncate, 2),
            (self.hard_state, 2),
            (self.write, 6),
            (self.sync, 5),
            (self.apply, 4),
            (self.flush, 1),
            (self.seal, 1),
            (self.read, 2),
        )

    def append_entries(self) -> None:
        shard = self.random.choice(SHARDS)
        model = self.model[shard]
        for _ in range(self.random.randint(1, 3)):
            payload = self.payload()
            index = len(model.entries) + 1
            middle = self.random.randint(0, len(payload))
            self.log.append_entry(shard, index, model.term, [payload[:middle], memoryview(payload)[middle:]])
            self.note(("entry", shard, index, model.term, payload))

    def payload(self) -> bytes:
        if self.random.random() < 0.2:
            return self.imitation()
        return self.random.randbytes(self.random.choice((0, 1, 40, 500, 3000, 9000)))

    def imitation(self) -> bytes:
        """Bytes of the log itself, so that sound records lie inside a body, some of them at block boundaries."""
        content = self.disk.files[self.random.choice(self.disk.names())].data
        start = self.random.choice((0, 4096, 8192)) - self.random.choice((0, 136, 96))
        return bytes(content[max(start, 0) : max(start, 0) + self.random.randint(1, 9000)])

    def truncate(self) -> None:
        shard = self.random.choice(SHARDS)
        model = self.model[shard]
        if len(model.entries) > self.committed[shard]:
            index = self.random.randint(self.committed[shard] + 1, len(model.entries))
            self.log.append_truncate(shard, index)
            self.note(("truncate", shard, index, 0, b""))

    def hard_state(self) -> None:
        shard = self.random.choice(SHARDS)
        term = self.model[shard].term + 1
        voted_for = self.random.choice(("", "a", "node-b"))
        self.log.append_hard_state(shard, term, voted_for)
        self.note(("hard state", shard, 0, term, voted_for.encode()))

    def note(self, operation: Operation) -> None:
        self.model[operation[1]].do(operation)
        self.since.append((self.log.round_open, operation))

    def write(self) -> None:
        self.written = self.log.write_round() or self.written

    def sync(self) -> None:
        self.log.sync()
        self.log.note_synced(self.written)
        while self.since and self.since[0][0] <= self.written:
            operation = self.since.pop(0)[1]
            self.durable[operation[1]].do(operation)

    def apply(self) -> None:
        shard = self.random.choice(SHARDS)
        durable = self.applied[shard]
        while (
            durable < len(self.model[shard].entries) and self.log.round_of(shard, durable + 1) <= self.log.round_synced
        ):
            durable += 1
        until = self.random.randint(self.applied[shard], durable)
        for index in range(self.applied[shard] + 1, until + 1):
            assert self.store.write(self.pairs(shard, index))
        self.applied[shard] = until
        self.committed[shard] = max(self.committed[shard], until)
        self.log.applied(shard, until)

    def pairs(self, shard: int, index: int) -> list[Pair]:
        """What is written to the store with an entry."""
        return [self.log.location_pair(shard, index), (applied_key(shard), encode_applied(index))]

    def flush(self) -> None:
        assert self.store.write(self.log.flush_mark(self.applied))
        if self.random.random() < 0.5:
            self.apply()
        if self.random.random() < 0.7:
            self.store.flush()
            self.log.flushes.completed()

    def seal(self) -> None:
        self.log.seal()
        self.write()

    def read(self) -> None:
        shard = self.random.choice(SHARDS)
        entries = self.model[shard].entries
        if entries:
            index = self.random.randint(min(self.log.shard_state(shard).base_index + 1, len(entries)), len(entries))
            if index <= self.log.shard_state(shard).base_index:
                return
            payload = entries[index - 1][1]
            start = self.random.randint(0, len(payload))
            length = self.random.randint(0, len(payload) - start)
            if self.log.round_of(shard, index) < self.log.round_open or self.random.random() < 0.5:
                assert self.log.read_entry(shard, index) == payload
                assert self.log.read_slice(shard, index, start, length) == payload[start : start + length]

    # --- Crashes -----------------------------------------------------------------------------------------------------

    def crash(self, *, power: bool) -> None:
        """Lose the process, and with `power` what was not synced; start again, perhaps in several attempts."""
        self.crashes += 1
        self._lose(power=power)
        while self.random.random() < 0.3:
            countdown = self.random.randint(1, 12)

            def before(operation: str) -> None:
                nonlocal countdown
                countdown -= 1
                if countdown == 0:
                    raise PowerCutError(operation)

            self.disk.before = before
            with contextlib.suppress(PowerCutError):
                NodeLog.open(self.disk, self.store, self.settings)
            self._lose(power=power)
        self.log = NodeLog.open(self.disk, self.store, self.settings)
        self._compare()

    def _lose(self, *, power: bool) -> None:
        self.disk = self.disk.power_cut(self.random) if power else self.disk.killed()
        self.store = self.store.power_cut(self.random)

    def _compare(self) -> None:
        """The log must be the durable model plus some of the records after it, the first ones, and nothing else."""
        found = observed(self.log)
        candidate = self.durable
        rest = [operation for _, operation in self.since]
        while found != candidate and rest:
            operation = rest.pop(0)
            candidate[operation[1]].do(operation)
        assert found == candidate, f"after {self.crashes} crashes"
        self.since.clear()
        for shard, model in found.items():
            # The bytes of what Raft has forgotten are still known here: some of them must be readable.
            model.entries = candidate[shard].entries
        self.model = {shard: model.copy() for shard, model in found.items()}
        self.durable = found
        self.written = self.log.round_synced
        self.applied = {shard: decode_applied(self.store.get(applied_key(shard))) for shard in SHARDS}
        for shard in SHARDS:
            behind = range(self.log.shard_state(shard).base_index + 1, len(found[shard].entries) + 1)
            assert all(self.log.round_of(shard, index) == 0 for index in behind)

"""The log machine with a state that needs bodies for a while, and room given back: everything needed stays readable."""

import contextlib
from collections.abc import Callable, Sequence

from tallymq.raftlog.keys import applied_key, decode_applied, state_key
from tallymq.raftlog.log_flushes import Pin
from tallymq.raftlog.reclaiming import Reclaiming, ReclaimSettings
from tallymq.raftlog.segments import parse_segment_name
from tallymq.raftlog.store import Pair, Store
from tallymq.txn import keys, queries
from tallymq.txn.draft import encode
from tallymq.txn.state import BodyState
from tests.support.log_machine import SHARDS, LogMachine, PowerCutError


class StoredState:
    """A shard's state as the store has it."""

    generation = 0

    def __init__(self, store: Store, shard: int) -> None:
        self._store = store
        self._prefix = state_key(shard, 0, b"")
        self.view = self

    def get(self, key: bytes) -> bytes | None:
        return self._store.get(self._prefix + key)

    def range(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        found = self._store.range(self._prefix + start, self._prefix + end, limit)
        return [(key[len(self._prefix) :], value) for key, value in found]

    def flush_writes(self) -> bool:
        return True


class ReclaimMachine(LogMachine):
    """`needs` says of each applied entry whether its body is needed; it is what the store's keys say."""

    def __init__(self, seed: int) -> None:
        self.pins: list[tuple[Pin, list[str]]] = []
        self.freed = 0
        self.carried = 0
        super().__init__(seed)
        self.open_reclaiming()

    def open_reclaiming(self) -> None:
        self.pins = []
        self.states = {shard: StoredState(self.store, shard) for shard in SHARDS}
        settings = ReclaimSettings(carry_share=self.random.choice((0.2, 0.6, 1.0)), kept_bytes=0)
        self.reclaiming = Reclaiming(self.log, self.store, self.states, settings, self.drop_prefix)

    def drop_prefix(self, shard: int, index: int) -> None:
        term = self.log.term_at(shard, index)
        assert term is not None
        self.log.drop_prefix(shard, index, term, b"members")

    def steps(self) -> Sequence[tuple[Callable[[], None], int]]:
        more = ((self.trim, 3), (self.reclaim, 8), (self.pin, 1), (self.unpin, 1), (self.flush_all, 2))
        return (*super().steps(), *more)

    def pairs(self, shard: int, index: int) -> list[Pair]:
        key = state_key(shard, 0, keys.body_key(index))
        return [*super().pairs(shard, index), (key, encode(BodyState(1)))]

    def trim(self) -> None:
        """Some bodies, mostly the oldest, are not needed any more."""
        shard = self.random.choice(SHARDS)
        needed = queries.needed_bodies(self.states[shard].view, 0, 1000)
        gone = needed[: self.random.randint(0, len(needed))] if self.random.random() < 0.7 else needed
        gone = [index for index in gone if self.random.random() < 0.9]
        assert self.store.write([(state_key(shard, 0, keys.body_key(index)), None) for index in gone])

    def reclaim(self) -> None:
        before = self.reclaiming.carried_bytes
        for _ in range(self.random.randint(1, 12)):
            if self.reclaiming.step() is not True:
                break
        self.carried += self.reclaiming.carried_bytes - before

    def flush_all(self) -> None:
        """What a node does now and then: write, sync, apply, flush, give files back."""
        self.write()
        self.sync()
        self.apply()
        assert self.store.write(self.log.flush_mark(self.applied))
        self.store.flush()
        self.log.flushes.completed()
        self.free()

    def free(self) -> None:
        names = self.log.flushes.detach()
        countdown = self.random.choice((0, 0, 1, 2, 3))

        def before(operation: str) -> None:
            nonlocal countdown
            countdown -= 1
            if countdown == 0:
                raise PowerCutError(operation)

        self.disk.before = before
        # Cut short, it leaves files behind, which the next start removes.
        with contextlib.suppress(PowerCutError):
            self.log.flushes.remove(names)
        self.disk.before = lambda operation: None
        self.freed += len(names)
        self.check()

    def pin(self) -> None:
        self.pins.append((self.log.flushes.pin(), [n for n in self.disk.names() if self.is_kept(n)]))

    def is_kept(self, name: str) -> bool:
        parsed = parse_segment_name(name)
        return parsed is not None and parsed[0] >= self.log.flushes._stated_first

    def unpin(self) -> None:
        if self.pins:
            pin, names = self.pins.pop(self.random.randrange(len(self.pins)))
            assert set(names) <= set(self.disk.names()), "a pinned file went"
            pin.release()

    def check(self) -> None:
        """Everything needed is there, byte for byte."""
        for shard in SHARDS:
            applied = decode_applied(self.store.get(applied_key(shard)))
            assert self.log.shard_state(shard).base_index <= applied
            for index in queries.needed_bodies(self.states[shard].view, 0, 10_000):
                payload = self.model[shard].entries[index - 1][1]
                assert self.log.read_slice(shard, index, 0, len(payload)) == payload

    def crash(self, *, power: bool) -> None:
        super().crash(power=power)
        self.open_reclaiming()
        self.check()
        numbers = self.log.segments.numbers()
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert numbers[0] >= self.log.flushes.first_segment

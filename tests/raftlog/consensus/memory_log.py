"""A node's log in memory, with rounds and power cuts: what consensus needs of `raftlog.log.NodeLog`, and no more."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tallymq.raftlog.errors import BodyDamaged


@dataclass
class ShardLogInMemory:
    """`entries` are all of the shard's, from index 1: those up to the base are for tests only, not for consensus."""

    term: int = 0
    voted_for: str = ""
    entries: list[tuple[int, bytes]] = field(default_factory=list)
    base_index: int = 0
    base_term: int = 0
    generation: int = 0
    configuration: bytes = b""

    def holds(self, index: int) -> bool:
        return self.base_index < index <= self.last_index

    @property
    def last_index(self) -> int:
        return len(self.entries)

    @property
    def last_term(self) -> int:
        return self.entries[-1][0] if self.entries else 0

    def _rebase(self, index: int, term: int, generation: int, configuration: bytes, history: list) -> None:
        """`history`: what the snapshot stands for; empty where a prefix is dropped."""
        if history and (len(self.entries) < index or self.entries[index - 1][0] != term):
            self.entries = list(history)
        assert self.entries[index - 1][0] == term, "the base is the entry that it was"
        self.base_index, self.base_term = index, term
        self.generation, self.configuration = generation, configuration

    def replay(self, record: tuple) -> None:
        kind = record[0]
        if kind == "entry":
            _, index, term, payload = record
            assert index == len(self.entries) + 1, "entries are appended without gaps"
            self.entries.append((term, payload))
        elif kind == "truncate":
            assert record[1] > self.base_index, "what lies below the base stays"
            del self.entries[record[1] - 1 :]
        elif kind == "base":
            self._rebase(*record[1:])
        else:
            self.term, self.voted_for = record[1:]


class MemoryLog:
    """`durable` is what a power cut leaves for sure; `cut` makes the log that is found after one."""

    def __init__(self, records: list[tuple[int, tuple]] | None = None) -> None:
        self.round_open = 1
        self.round_synced = 0
        self._records: list[tuple[int, int, tuple]] = []
        self._recovered = list(records or [])
        self._shards: dict[int, ShardLogInMemory] = {}
        self._durable: dict[int, ShardLogInMemory] = {}
        self._rounds: dict[int, list[int]] = {}
        for shard, record in self._recovered:
            self._replay(self._shards, shard, record)
            self._replay(self._durable, shard, record)
        for shard, state in self._shards.items():
            self._rounds[shard] = [0] * len(state.entries)
        self._replayed = 0

    @staticmethod
    def _replay(shards: dict[int, ShardLogInMemory], shard: int, record: tuple) -> None:
        shards.setdefault(shard, ShardLogInMemory()).replay(record)

    def _append(self, shard: int, record: tuple) -> None:
        self._records.append((self.round_open, shard, record))
        self._replay(self._shards, shard, record)
        rounds = self._rounds.setdefault(shard, [])
        if record[0] == "entry":
            rounds.append(self.round_open)
        elif record[0] == "truncate":
            del rounds[record[1] - 1 :]
        elif record[0] == "base":
            last = self._shards[shard].last_index
            rounds[:] = [*rounds, *[self.round_open] * last][:last]

    # What consensus calls

    def append_entry(self, shard, index, term, payload) -> None:
        self._append(shard, ("entry", index, term, b"".join(payload)))

    def append_truncate(self, shard, from_index) -> None:
        self._append(shard, ("truncate", from_index))

    def append_hard_state(self, shard, term, voted_for) -> None:
        self._append(shard, ("hard", term, voted_for))

    def append_base(self, shard, index, term, generation, configuration, history) -> None:
        """A snapshot's base: behind it stays what follows an entry of that term there."""
        assert index > self._shards[shard].base_index
        self._append(shard, ("base", index, term, generation, configuration, history))

    def drop_prefix(self, shard, index, term, configuration) -> None:
        """Forget what was applied long ago."""
        generation = self._shards[shard].generation
        self._append(shard, ("base", index, term, generation, configuration, []))

    def shard_state(self, shard) -> ShardLogInMemory:
        return self._shards.setdefault(shard, ShardLogInMemory())

    def term_at(self, shard, index):
        state = self._shards[shard]
        if index == state.base_index:
            return state.base_term
        return state.entries[index - 1][0] if state.holds(index) else None

    def round_of(self, shard, index):
        self._must_hold(shard, index)
        return self._rounds[shard][index - 1]

    def read_entry(self, shard, index):
        self._must_hold(shard, index)
        return self._shards[shard].entries[index - 1][1]

    def read_slice(self, shard, index, start, length):
        found = self.read_entry(shard, index)[start : start + length]
        if len(found) != length:
            raise BodyDamaged(f"entry {index} is shorter")
        return found

    def _must_hold(self, shard, index) -> None:
        if not self._shards[shard].holds(index):
            raise IndexError(f"shard {shard} has no entry {index}")

    def applied(self, shard, index) -> None:
        """Nothing to forget here."""

    def location_pair(self, shard, index):
        return b"\x03%d/%d" % (shard, index), b"somewhere"

    # What a host and a disk do

    def write_round(self) -> int | None:
        if not self._records or self._records[-1][0] != self.round_open:
            return None
        self.round_open += 1
        return self.round_open - 1

    def note_synced(self, round_number: int) -> None:
        self.round_synced = max(self.round_synced, round_number)
        while self._replayed < len(self._records) and self._records[self._replayed][0] <= self.round_synced:
            _, shard, record = self._records[self._replayed]
            self._replay(self._durable, shard, record)
            self._replayed += 1

    def sync_all(self) -> None:
        written = self.write_round()
        if written is not None:
            self.note_synced(written)

    def durable(self, shard: int) -> ShardLogInMemory:
        return self._durable.setdefault(shard, ShardLogInMemory())

    def cut(self, chance: random.Random | None = None) -> MemoryLog:
        """The log after a power cut: all that was synced, and of the rest, in order, as much as chance left."""
        unsynced = len(self._records) - self._replayed
        kept = self._replayed + (chance.randint(0, unsynced) if chance else 0)
        return MemoryLog([*self._recovered, *[(shard, record) for _, shard, record in self._records[:kept]]])

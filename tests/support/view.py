"""A shard in memory: a sorted dict, and the entries applied to it one after the other."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from tallymq.txn import machine
from tallymq.txn.commands import Command, Entry
from tallymq.txn.outcomes import Result
from tallymq.txn.types import Delete, Effect, Put


class SortedView:
    """What the rules read, kept in a dict and a sorted list of its keys."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def range(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        low, high = bisect_left(self._keys, start), bisect_left(self._keys, end)
        return [(key, self._values[key]) for key in self._keys[low : min(high, low + limit)]]

    def fold(self, effects: Sequence[Effect]) -> None:
        """Write what an entry changed."""
        for effect in effects:
            if isinstance(effect, Put):
                if effect.key not in self._values:
                    insort(self._keys, effect.key)
                self._values[effect.key] = effect.value
            elif isinstance(effect, Delete) and effect.key in self._values:
                del self._values[effect.key]
                del self._keys[bisect_left(self._keys, effect.key)]

    def items(self) -> list[tuple[bytes, bytes]]:
        """Return everything, by key: two shards are the same if these are."""
        return [(key, self._values[key]) for key in self._keys]


class Shard:
    """A view with a log of its own: each call applies one entry at the present time.

    `changed` collects the keys that were written or removed, until somebody empties it.
    """

    def __init__(self, now_ms: int = 1_000_000, *, metadata_shard: bool = True) -> None:
        self.view = SortedView()
        self.now_ms = now_ms
        self.index = 0
        self.notices: tuple[Effect, ...] = ()
        self.metadata_shard = metadata_shard
        self.changed: set[bytes] = set()

    def apply(self, *commands: Command) -> tuple[Result, ...]:
        """Apply one entry; return its results. What it announced is in `notices`."""
        self.index += 1
        entry = Entry(self.index, self.now_ms, commands)
        results, effects = machine.apply(self.view, entry, metadata_shard=self.metadata_shard)
        self.view.fold(effects)
        notices = []
        for effect in effects:
            if isinstance(effect, Put | Delete):
                self.changed.add(effect.key)
            else:
                notices.append(effect)
        self.notices = tuple(notices)
        return results

    def do(self, command: Command) -> Result:
        """Apply an entry of one command; return its result."""
        return self.apply(command)[0]

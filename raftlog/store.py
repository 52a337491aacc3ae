"""The store as this room sees it: sorted bytes, written in batches; and one in memory for tests and the simulator."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Protocol

Pair = tuple[bytes, bytes | None]
"""A key and its new value; None deletes the key."""


class StoreReader(Protocol):
    """The store as it was when the reader was made, whatever is written since."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""

    def range(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` pairs with start <= key < end, by ascending key."""

    def close(self) -> None:
        """Let the store forget what was written over since; idempotent."""


class Store(Protocol):
    """Sorted pairs of bytes.

    After any crash the content is that of a prefix of the accepted writes, at least up to the last completed `flush`.
    """

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""

    def range(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` pairs with start <= key < end, by ascending key."""

    def write(self, pairs: Iterable[Pair]) -> bool:
        """Write all pairs as one batch, later ones win. False: the store is stalled, nothing was written, try again."""

    def delete_range(self, start: bytes, end: bytes) -> bool:
        """Delete all keys with start <= key < end as one batch. False as for `write`."""

    def snapshot(self) -> StoreReader:
        """Return a reader of the store as it is now; whoever asks for it closes it."""

    def flush(self) -> None:
        """Block until everything written before the call is on stable storage; called from a thread."""

    def close(self) -> None:
        """Close; idempotent."""


class MemoryStore:
    """A store that forgets everything when the process ends."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._values: dict[bytes, bytes] = dict(pairs)
        self._keys: list[bytes] = sorted(self._values)

    def get(self, key: bytes) -> bytes | None:
        """Look the key up."""
        return self._values.get(key)

    def range(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Cut a slice out of the sorted keys."""
        first = bisect_left(self._keys, start)
        last = min(bisect_left(self._keys, end, first), first + max(limit, 0)) if start < end else first
        return [(key, self._values[key]) for key in self._keys[first:last]]

    def write(self, pairs: Iterable[Pair]) -> bool:
        """Write at once; never stalled."""
        for key, value in pairs:
            if value is None:
                self._delete(key)
            else:
                if key not in self._values:
                    insort(self._keys, key)
                self._values[key] = value
        return True

    def delete_range(self, start: bytes, end: bytes) -> bool:
        """Delete one by one, in one batch."""
        return self.write([(key, None) for key, _ in self.range(start, end, len(self._keys))])

    def snapshot(self) -> StoreReader:
        """Copy everything."""
        return MemoryStore(self.pairs())

    def _delete(self, key: bytes) -> None:
        if self._values.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def flush(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to give back."""

    def pairs(self) -> Sequence[tuple[bytes, bytes]]:
        """Return everything, by ascending key."""
        return [(key, self._values[key]) for key in self._keys]

"""A store in memory that, at a power cut, keeps a prefix of what was written since its last flush, as RocksDB does."""

from collections.abc import Iterable
from random import Random

from tallymq.raftlog.store import MemoryStore, Pair


class PowerCutStore(MemoryStore):
    """`stalled` makes every write be refused, as RocksDB does when it cannot keep up."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(pairs)
        self.stalled = False
        self._flushed = tuple(self.pairs())
        self._batches: list[tuple[Pair, ...]] = []

    def write(self, pairs: Iterable[Pair]) -> bool:
        if self.stalled:
            return False
        batch = tuple(pairs)
        self._batches.append(batch)
        return super().write(batch)

    def flush(self) -> None:
        self._flushed = tuple(self.pairs())
        self._batches.clear()

    def power_cut(self, random: Random) -> "PowerCutStore":
        """Return the store as it is found when the power is back."""
        return self.at_batch(random.randint(0, len(self._batches)))

    def at_batch(self, count: int) -> "PowerCutStore":
        """Return the store as it is found if only so many batches since the last flush survived."""
        found = MemoryStore(self._flushed)
        for batch in self._batches[:count]:
            found.write(batch)
        return PowerCutStore(found.pairs())

"""The state of one shard on one node: entries in, effects out to the store, a view for whoever reads.

Rule 1: the effects of an entry, the applied index and the place of the entry in the log are written as one, so a
restart neither repeats nor loses an effect.
Rule 2: a store that is stalled makes nobody wait: effects lie on top of it, readers see them, and they are written
together as soon as it takes them. How much may lie there is bounded; then nothing more is applied for now.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence

from tallymq.raftlog.codec import decode_entry
from tallymq.raftlog.keys import (
    INDEX_MAX,
    applied_key,
    configuration_index,
    configuration_key,
    decode_applied,
    decode_stamped,
    encode_applied,
    state_key,
)
from tallymq.raftlog.log import NodeLog
from tallymq.raftlog.membership import is_configuration
from tallymq.raftlog.messages import Payload
from tallymq.raftlog.settings import METADATA_SHARD
from tallymq.raftlog.store import Pair, Store
from tallymq.txn import machine
from tallymq.txn.outcomes import Result
from tallymq.txn.types import Delete, Effect, Put

PENDING_BYTES_MAX = 32 << 20
"""Of effects on top of a stalled store: some rounds, so that a stall of seconds is not felt."""

CONFIGURATIONS_PAGE = 100

_ROUGH_PAIR_BYTES = 200
"""What a pair takes in memory beside its bytes."""


class Overlay:
    """What is not yet in the store: newest value of each key, None for deleted ones."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._values: dict[bytes, bytes | None] = {}
        self._keys: list[bytes] = []
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def put(self, pairs: Sequence[Pair]) -> None:
        """Lay pairs on top; later ones win."""
        for key, value in pairs:
            known = key in self._values
            if not known:
                insort(self._keys, key)
                self.size_bytes += len(key) + _ROUGH_PAIR_BYTES
            self.size_bytes += len(value or b"") - len((self._values[key] if known else None) or b"")
            self._values[key] = value

    def write(self) -> bool:
        """Write everything as one batch; False if the store is stalled, then nothing changed."""
        if self._values:
            if not self._store.write(list(self._values.items())):
                return False
            self._values.clear()
            self._keys.clear()
            self.size_bytes = 0
        return True

    def get(self, key: bytes) -> bytes | None:
        """Return the newest value."""
        if key in self._values:
            return self._values[key]
        return self._store.get(key)

    def range(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` pairs with start <= key < end, by ascending key."""
        if start >= end or limit <= 0:
            return []
        low, high = bisect_left(self._keys, start), bisect_left(self._keys, end)
        if low == high:
            return self._store.range(start, end, limit)
        changed = {key: self._values[key] for key in self._keys[low:high]}
        deleted = sum(value is None for value in changed.values())
        merged: dict[bytes, bytes | None] = dict(self._store.range(start, end, limit + deleted))
        merged.update(changed)
        pairs = [(key, value) for key, value in sorted(merged.items()) if value is not None]
        return pairs[:limit]


class ShardView:
    """One shard's keys, without the shard's prefix."""

    def __init__(self, overlay: Overlay, shard: int, generation: int) -> None:
        self._overlay = overlay
        self._shard = shard
        self._prefix = state_key(shard, generation, b"")

    def switch(self, generation: int) -> None:
        """Show another generation from now on, also to whoever holds this view already."""
        self._prefix = state_key(self._shard, generation, b"")

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""
        return self._overlay.get(self._prefix + key)

    def range(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` pairs with start <= key < end, by ascending key."""
        cut = len(self._prefix)
        found = self._overlay.range(self._prefix + start, self._prefix + end, limit)
        return [(key[cut:], value) for key, value in found]


class Replica:
    """Applies entries of one shard. `on_notices` gets what others want to know, after it is readable.

    `applied_index` and `stamped_ms` (the newest time stamped up to it, 0 if none) are read from the store at start:
    a leader whose newest body is damaged must still know what time it may not go back behind.
    """

    def __init__(
        self,
        shard: int,
        store: Store,
        log: NodeLog,
        on_notices: Callable[[Sequence[Effect]], None] = lambda notices: None,
        *,
        generation: int = 0,
        pending_bytes_max: int = PENDING_BYTES_MAX,
    ) -> None:
        self.shard = shard
        self.generation = generation
        self._store = store
        self._log = log
        self._on_notices = on_notices
        self._pending_bytes_max = pending_bytes_max
        self._overlay = Overlay(store)
        self.view = ShardView(self._overlay, shard, generation)
        self.applied_index = self.stamped_ms = 0
        self._restore()

    def _restore(self) -> None:
        self._applied_key = applied_key(self.shard, self.generation)
        applied = self._store.get(self._applied_key)
        self.applied_index = decode_applied(applied)
        self.stamped_ms = max(self.stamped_ms, decode_stamped(applied))

    def switch(self, generation: int) -> None:
        """Go on from another generation, which a snapshot brought and the log's base names; nothing may be pending."""
        if len(self._overlay):
            raise ValueError(f"effects of shard {self.shard} are not in the store yet")
        self.generation = generation
        self._restore()
        self.view.switch(generation)

    def apply(self, index: int, term: int, payload: Payload) -> tuple[Result, ...]:
        """Apply the next entry; return one result for each of its commands. Whatever it raises stops the shard.

        `term` is for the record only: an entry means the same in whatever term it was appended.
        """
        if index != self.applied_index + 1:
            raise ValueError(f"entry {index} after {self.applied_index}")
        results: tuple[Result, ...] = ()
        effects: tuple[Effect, ...] = ()
        configuration: list[Pair] = []
        if is_configuration(payload):
            # Nothing for the rules: it is kept so that a restart knows who counted without reading the whole log.
            configuration = [(configuration_key(self.shard, self.generation, index), bytes(payload))]
        elif len(payload):
            entry = decode_entry(index, payload)
            results, effects = machine.apply(self.view, entry, metadata_shard=self.shard == METADATA_SHARD)
            self.stamped_ms = max(self.stamped_ms, entry.stamped_ms)
        notices = self._lay(index, effects, configuration)
        self.flush_writes()
        if notices:
            self._on_notices(notices)
        return results

    def configurations(self) -> list[tuple[int, bytes]]:
        """Return index and payload of each applied entry of this generation that said who the members are, in order."""
        start = configuration_key(self.shard, self.generation, 0)
        end = configuration_key(self.shard, self.generation, INDEX_MAX)
        found: list[tuple[int, bytes]] = []
        while page := self._overlay.range(start, end, CONFIGURATIONS_PAGE):
            found += [(configuration_index(key), value) for key, value in page]
            start = page[-1][0] + b"\x00"
        return found

    def _lay(self, index: int, effects: Sequence[Effect], more: list[Pair]) -> list[Effect]:
        """Put an entry's effects on top of the store, with the applied index; return the notices among them."""
        pairs: list[Pair] = more
        notices: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Put):
                pairs.append((state_key(self.shard, self.generation, effect.key), effect.value))
            elif isinstance(effect, Delete):
                pairs.append((state_key(self.shard, self.generation, effect.key), None))
            else:
                notices.append(effect)
        pairs.append(self._log.location_pair(self.shard, index))
        pairs.append((self._applied_key, encode_applied(index, self.stamped_ms)))
        self._overlay.put(pairs)
        self.applied_index = index
        return notices

    def flush_writes(self) -> bool:
        """Write what a stalled store did not take; True if nothing is left."""
        if len(self._overlay) == 0:
            return True
        if not self._overlay.write():
            return False
        # From here on the store knows where the entries are, and the log need not hold them in memory.
        self._log.applied(self.shard, self.applied_index)
        return True

    def may_apply(self) -> bool:
        """Return whether the next entry may be applied: not while too much lies on top of a stalled store."""
        return self._overlay.size_bytes < self._pending_bytes_max or self.flush_writes()

    @property
    def pending_bytes(self) -> int:
        """How much lies on top of the store."""
        return self._overlay.size_bytes

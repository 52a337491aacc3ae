"""What the states in a store hold, as a number; a store of an earlier one is brought up to date at start.

Format 1: nothing says so. Format 2: how often the bodies of each Raft entry are referred to is counted (txn, rule 10).
The counts follow from the rest of a state alone, so each node works them out for itself, at whatever index it stands:
they are what counting along would have left, and the same on every node that has applied as much.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from tallymq.raftlog.errors import DirectoryFormatUnknown, StoreFailed
from tallymq.raftlog.keys import applied_generation, applied_range, state_format_key, state_key
from tallymq.raftlog.store import Pair, Store
from tallymq.txn.body import count_all

STATE_FORMAT = 2
_FORMAT = struct.Struct("<I")
_BATCH_PAIRS = 1_000
_WRITES_MAX = 100


class _StateView:
    """One generation of a shard's state, read from the store, without the prefix of its keys."""

    def __init__(self, store: Store, prefix: bytes) -> None:
        self._store = store
        self._prefix = prefix

    def get(self, key: bytes) -> bytes | None:
        return self._store.get(self._prefix + key)

    def range(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        found = self._store.range(self._prefix + start, self._prefix + end, limit)
        return [(key[len(self._prefix) :], value) for key, value in found]


def bring_up_to_date(store: Store) -> None:
    """Make every state of a store of this version's format; blocking, reads all of an older one once.

    Killed at any moment it begins again: the number is written last. Raises DirectoryFormatUnknown where a later
    version wrote the store.
    """
    value = store.get(state_format_key())
    found = 1 if value is None else int(_FORMAT.unpack(value)[0])
    if found > STATE_FORMAT:
        raise DirectoryFormatUnknown(
            f"The store has states of format {found}, this version of TallyMQ reads {STATE_FORMAT}: start the version "
            "that wrote it."
        )
    if found == STATE_FORMAT:
        return
    for key, _ in store.range(*applied_range(), 1 << 20):
        prefix = state_key(*applied_generation(key), b"")
        counts = count_all(_StateView(store, prefix))
        for start in range(0, len(counts), _BATCH_PAIRS):
            _write(store, [(prefix + body, count) for body, count in counts[start : start + _BATCH_PAIRS]])
    _write(store, [(state_format_key(), _FORMAT.pack(STATE_FORMAT))])


def _write(store: Store, pairs: Sequence[Pair]) -> None:
    for _ in range(_WRITES_MAX):
        if store.write(pairs):
            return
        # A flush is what a stalled store waits for.
        store.flush()
    raise StoreFailed("The store takes no writes: it could not be brought up to this version's format.")

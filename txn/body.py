"""Bodies: which Raft entries are still needed for the record batches they carry.

Rule 10: the bodies of a Raft entry are needed exactly while a queue entry, delayed records, a half batch or a dead
letter refers to them. How many do is counted (`Draft.need_body`), once for each entry that changes it. A half batch
refers to its body until it is forgotten; what is leased or waits for an attempt has its queue entry, which trimming
leaves alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tallymq.txn import keys
from tallymq.txn.draft import S, decode, encode
from tallymq.txn.state import BodyState, DeadState, DelayedState, HalfState, QueueEntry
from tallymq.txn.types import View

_CHUNK = 1_000


def needed_bodies(view: View, after_index: int, limit: int) -> list[int]:
    """Return at most `limit` Raft indexes above `after_index` whose bodies are needed, ascending."""
    start = keys.body_key(after_index + 1)
    return [keys.number_at(key, 1) for key, _ in view.range(start, keys.end_of(keys.BODIES), limit)]


def is_body_needed(view: View, index: int) -> bool:
    """Return whether something refers to the bodies of a Raft entry."""
    return view.get(keys.body_key(index)) is not None


def count_all(view: View) -> list[tuple[bytes, bytes]]:
    """Return key and value of every count, worked out from all that refers to bodies: for a state that has none yet.

    It is what counting along would have left. Reads the whole state, so it is for a start only.
    """
    counts: Counter[int] = Counter()
    counts.update(entry.source.reference.index for entry in _all(view, keys.ENTRIES, QueueEntry))
    counts.update(delayed.source.reference.index for delayed in _all(view, keys.DELAYED, DelayedState))
    counts.update(half.source.reference.index for half in _all(view, keys.HALVES, HalfState))
    counts.update(dead.entry.source.reference.index for dead in _all(view, keys.DEAD_LETTERS, DeadState))
    return [(keys.body_key(index), encode(BodyState(count))) for index, count in sorted(counts.items())]


def _all(view: View, letter: bytes, kind: type[S]) -> Iterator[S]:
    start, end = letter, keys.end_of(letter)
    while pairs := view.range(start, end, _CHUNK):
        for _, value in pairs:
            yield decode(value, kind)
        start = pairs[-1][0] + b"\0"

"""The shard as the commands of one entry leave it: reads see what earlier commands of the entry wrote."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TypeVar, cast

import msgspec

from tallymq.txn import keys
from tallymq.txn.state import MARK, BodyState, Counts
from tallymq.txn.types import (
    ChecksDue,
    Delete,
    Effect,
    MetadataChanged,
    Put,
    QueueGrew,
    Struct,
    TimersDue,
    View,
)

S = TypeVar("S", bound=Struct)

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type[Struct], msgspec.msgpack.Decoder[Struct]] = {}


def decode(stored: bytes, kind: type[S]) -> S:
    """Return what `stored` holds; an exception if it is not a `kind`: then the store is not ours."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(cast("type[Struct]", kind))
    return cast("S", decoder.decode(stored))


def encode(value: Struct) -> bytes:
    """Return what `decode` reads."""
    return _encoder.encode(value)


class Draft:
    """A view with changes on top. Values are decoded at most once and encoded once, at the end of the entry.

    `visible` collects what decisions made visible, by half batch key, until it is appended as one queue entry each.
    """

    def __init__(self, view: View, index: int, stamped_ms: int, *, metadata_shard: bool) -> None:
        self.index = index
        self.stamped_ms = stamped_ms
        self._metadata_shard = metadata_shard
        self.visible: dict[bytes, int] = {}
        self._view = view
        self._values: dict[bytes, Struct | None] = {}
        self._written: set[bytes] = set()
        self._changed: list[bytes] = []
        self._bodies: dict[int, int] = {}
        self._grown: dict[QueueGrew, None] = {}
        self._metadata_changed = False
        self._check_ms = 0
        self._timer_ms = 0

    def get(self, key: bytes, kind: type[S]) -> S | None:
        """Return the value of `key`, or None."""
        if key in self._values:
            return cast("S | None", self._values[key])
        stored = self._view.get(key)
        value = None if stored is None else decode(stored, kind)
        self._values[key] = value
        return value

    def counts(self) -> Counts:
        """Return the numbers of the whole shard, also of one that has none yet."""
        return self.get(keys.COUNTS, Counts) or Counts()

    def put_counts(self, counts: Counts) -> None:
        """Set the numbers of the whole shard."""
        self.put(keys.COUNTS, counts)

    def put(self, key: bytes, value: Struct) -> None:
        """Set the value of `key`."""
        self._values[key] = value
        self._note(key)

    def delete(self, key: bytes) -> None:
        """Remove `key`, whether it is there or not."""
        self._values[key] = None
        self._note(key)

    def _note(self, key: bytes) -> None:
        if key not in self._written:
            self._written.add(key)
            insort(self._changed, key)

    def range(self, start: bytes, end: bytes, limit: int, kind: type[S]) -> list[tuple[bytes, S]]:
        """Return at most `limit` pairs with start <= key < end, by ascending key."""
        ours = self._changed[bisect_left(self._changed, start) : bisect_left(self._changed, end)]
        if not ours:
            return [(key, decode(value, kind)) for key, value in self._view.range(start, end, limit)]
        removed = sum(1 for key in ours if self._values[key] is None)
        found: dict[bytes, S] = {}
        for key, value in self._view.range(start, end, limit + removed):
            if key not in self._written:
                found[key] = decode(value, kind)
        for key in ours:
            known = self._values[key]
            if known is not None:
                found[key] = cast("S", known)
        return sorted(found.items())[:limit]

    def need_body(self, index: int) -> None:
        """Note that one more thing refers to the bodies of the Raft entry `index`."""
        self._bodies[index] = self._bodies.get(index, 0) + 1

    def release_body(self, index: int) -> None:
        """Note that one thing less refers to the bodies of the Raft entry `index`."""
        self._bodies[index] = self._bodies.get(index, 0) - 1

    def _count_bodies(self) -> None:
        """Bring the counts up to date: once for the entry, whatever happened to a body within it."""
        changes, self._bodies = self._bodies, {}
        for index, change in changes.items():
            if change == 0:
                continue
            key = keys.body_key(index)
            # Nothing can have referred to this very entry before it.
            known = None if index == self.index else self.get(key, BodyState)
            count = change + (known.count if known is not None else 0)
            assert count >= 0, "more went than had been there"
            if count:
                self.put(key, BodyState(count))
            else:
                self.delete(key)

    def grew(self, topic: str, queue: int, group: str = "") -> None:
        """Note that a queue has something new to deliver (to `group` only, if given)."""
        self._grown[QueueGrew(topic, queue, group)] = None

    def metadata_changed(self) -> None:
        """Note that topics or groups changed."""
        self._metadata_changed = self._metadata_changed or self._metadata_shard

    def check_set(self, due_ms: int) -> None:
        """Note that a check was set for `due_ms`."""
        self._check_ms = min(self._check_ms or due_ms, due_ms)

    def put_timer(self, due_ms: int, timer: keys.Timer, rest: bytes) -> None:
        """Let Expire look at `rest` once `due_ms` is reached."""
        self.put(keys.timer_key(due_ms, timer, rest), MARK)
        self._timer_ms = min(self._timer_ms or due_ms, due_ms)

    def effects(self) -> tuple[Effect, ...]:
        """Return all changes, by key, then the notices: of several due times only the earliest."""
        self._count_bodies()
        effects: list[Effect] = []
        for key in self._changed:
            value = self._values[key]
            effects.append(Delete(key) if value is None else Put(key, _encoder.encode(value)))
        effects.extend(self._grown)
        if self._metadata_changed:
            effects.append(MetadataChanged())
        if self._check_ms:
            effects.append(ChecksDue(self._check_ms))
        if self._timer_ms:
            effects.append(TimersDue(self._timer_ms))
        return tuple(effects)


def reading(view: View) -> Draft:
    """Return a draft for questions that change nothing."""
    return Draft(view, 0, 0, metadata_shard=False)

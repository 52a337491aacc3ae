"""How far a snapshot has come that is not installed: a record in the store, written with whatever it speaks of.

Since the store comes back as a prefix of its writes, the record never promises a pair or a body that is not there. What
no record speaks of, and what a switch left behind, is swept.
"""

from __future__ import annotations

import struct

import msgspec

from tallymq.raftlog.keys import (
    GENERATION_MAX,
    applied_key,
    location_range,
    stage_key,
    state_range,
)
from tallymq.raftlog.store import Pair, Store

_VERSION = 1
_HEAD = struct.Struct(">IQQIQqII")
_GENERATIONS_LOOKED_AT = 64


class Stage(msgspec.Struct, frozen=True):
    """A snapshot on its way in: of the state after entry `index`, into `generation`.

    All bodies up to `bodies_after` and all pairs up to `pairs_after` (none if empty) are there.
    """

    index: int
    term: int
    generation: int
    bodies_after: int
    stamped_ms: int
    configuration: bytes
    pairs_after: bytes = b""


def encode_stage(stage: Stage) -> bytes:
    """Return the value stored under `stage_key`."""
    head = _HEAD.pack(
        _VERSION,
        stage.index,
        stage.term,
        stage.generation,
        stage.bodies_after,
        stage.stamped_ms,
        len(stage.configuration),
        len(stage.pairs_after),
    )
    return head + stage.configuration + stage.pairs_after


def decode_stage(value: bytes) -> Stage | None:
    """Read what `encode_stage` made; None for what another version wrote: it is fetched again."""
    if len(value) < _HEAD.size:
        return None
    version, index, term, generation, bodies, stamped_ms, configuration, pairs = _HEAD.unpack_from(value)
    rest = value[_HEAD.size :]
    if version != _VERSION or len(rest) != configuration + pairs:
        return None
    return Stage(index, term, generation, bodies, stamped_ms, rest[:configuration], rest[configuration:])


def load_stage(store: Store, shard: int, generation: int, applied_index: int) -> Stage | None:
    """Return the stage that may be gone on with: it leads to the next generation, and further than what is applied."""
    value = store.get(stage_key(shard))
    stage = None if value is None else decode_stage(value)
    if stage is None or stage.generation != generation + 1 or stage.index <= applied_index:
        return None
    return stage


def sweep(
    store: Store,
    shard: int,
    generation: int,
    applied_index: int,
    stage: Stage | None = None,
    *,
    keep_bodies: bool = False,
) -> bool:
    """Delete what belongs neither to the present generation nor to `stage`. False: the store is stalled, try again.

    Each step is a write of its own and may be the last that a crash leaves: the record goes before what it speaks of.
    """
    if stage is None and store.get(stage_key(shard)) is not None and not store.write([(stage_key(shard), None)]):
        return False
    last = generation if stage is None else stage.generation
    ranges = [state_range(shard, last + 1, GENERATION_MAX)]
    if generation > 0:
        ranges.append(state_range(shard, 0, generation - 1))
    if stage is None and not keep_bodies:
        # Bodies of entries that this node has not applied: only a stage brings those.
        ranges.append(location_range(shard, applied_index + 1))
    for start, end in ranges:
        if store.range(start, end, 1) and not store.delete_range(start, end):
            return False
    return _sweep_applied(store, shard, generation)


def _sweep_applied(store: Store, shard: int, generation: int) -> bool:
    kept = applied_key(shard, generation)
    found = store.range(applied_key(shard, 0), applied_key(shard, GENERATION_MAX), _GENERATIONS_LOOKED_AT)
    surplus: list[Pair] = [(key, None) for key, _ in found if key != kept]
    return not surplus or store.write(surplus)

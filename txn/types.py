"""Words every file of this room uses: the shapes that commands, state and results share.

Shapes are `msgspec.Struct`: typed, immutable, cheap to make. Bit sets are Python integers, bit p for record p.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

import msgspec

RULES_VERSION = 2
"""Version of the rules; an entry stamped with a greater one stops the shard rather than being guessed at.

2: TrimQueue. An entry is stamped with the least version that can apply it (`commands.rules_version`).
"""


class Struct(msgspec.Struct, frozen=True, array_like=True):
    """Base of every value in this room: immutable; encoded as an array, so that fields may be added at the end."""


class Identity(Struct, frozen=True):
    """Who sent a frame. `instance` 64 bits, `sequence` 32 bits, `deadline_ms` Unix milliseconds."""

    instance: int
    sequence: int
    deadline_ms: int


class Batch(Struct, frozen=True):
    """What the rules know of a record batch; its bytes lie in the entry's body region.

    `start` and `length` are bytes within the payload of the Raft entry, `crc32c` is of exactly those bytes.
    `queue_count` is the count the client chose the queue by. `delivery_times_ms` is empty or one for each record.
    """

    topic: str
    queue: int
    queue_count: int
    count: int
    start: int
    length: int
    crc32c: int
    delivery_times_ms: tuple[int, ...] = ()


class Reference(Struct, frozen=True):
    """Where the bytes of a batch are, logically: only the log's index maps it to a place on disk."""

    index: int
    batch: int
    start: int
    length: int
    crc32c: int
    count: int


class TransactionState(IntEnum):
    """What became of a transaction."""

    IN_DOUBT = 1
    COMMITTED = 2
    ROLLED_BACK = 3


class View(Protocol):
    """What the rules may read: the shard's state with the effects not yet written on top."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""

    def range(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` pairs with start <= key < end, by ascending key."""


class Put(Struct, frozen=True):
    """Effect: `key` now has `value`."""

    key: bytes
    value: bytes


class Delete(Struct, frozen=True):
    """Effect: `key` is gone."""

    key: bytes


class QueueGrew(Struct, frozen=True):
    """Effect: a queue has something to deliver that it had not before (visible, or due again for `group`)."""

    topic: str
    queue: int
    group: str = ""


class MetadataChanged(Struct, frozen=True):
    """Effect: topics or groups of the metadata shard changed."""


class ChecksDue(Struct, frozen=True):
    """Effect: a half batch became in doubt, or its next check moved to `due_ms`."""

    due_ms: int


class TimersDue(Struct, frozen=True):
    """Effect: a timer was set for `due_ms`; an Expire command is wanted then."""

    due_ms: int


Effect = Put | Delete | QueueGrew | MetadataChanged | ChecksDue | TimersDue

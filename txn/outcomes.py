"""What the rules answer. A refusal is a value with a name; an exception in the rules is our bug."""

from __future__ import annotations

from enum import Enum

from tallymq.txn.types import Reference, Struct


class Refusal(Enum):
    """Why a command changed nothing. Every one is definite: it certainly did not happen."""

    UNKNOWN_TOPIC = "UNKNOWN_TOPIC"
    UNKNOWN_QUEUE = "UNKNOWN_QUEUE"
    UNKNOWN_GROUP = "UNKNOWN_GROUP"
    QUEUE_COUNT_CHANGED = "QUEUE_COUNT_CHANGED"
    QUEUE_TWICE = "QUEUE_TWICE"
    DEADLINE_PASSED = "DEADLINE_PASSED"
    DEADLINE_TOO_FAR = "DEADLINE_TOO_FAR"
    FRAME_DIFFERS = "FRAME_DIFFERS"
    """Another frame with the same instance and sequence is stored."""
    DELIVERY_TIME_TOO_FAR = "DELIVERY_TIME_TOO_FAR"
    HANDLE_EXPIRED = "HANDLE_EXPIRED"
    """Decided earlier and forgotten, or never prepared: this call changed nothing, the outcome is not known here."""
    WRONG_HANDLE = "WRONG_HANDLE"
    FOREIGN_HANDLE = "FOREIGN_HANDLE"
    CONTRADICTION = "CONTRADICTION"
    """One decision asks to commit and to roll back the same transaction."""
    LEASE_LOST = "LEASE_LOST"
    TOPIC_EXISTS = "TOPIC_EXISTS"
    TOPIC_DELETING = "TOPIC_DELETING"
    TOPIC_IN_DOUBT = "TOPIC_IN_DOUBT"
    NOT_METADATA_SHARD = "NOT_METADATA_SHARD"
    METADATA_BEHIND = "METADATA_BEHIND"
    """The proposer knew less of the metadata shard than whoever decided about this shard's queues before it."""


class Done(Struct, frozen=True):
    """It is so."""


class StoredBatch(Struct, frozen=True):
    """Where a published batch is: offsets [first_offset, first_offset + visible_count), the rest delayed."""

    queue: int
    first_offset: int
    visible_count: int


class Stored(Struct, frozen=True):
    """A publish frame is stored; `repeated` if an earlier entry had stored it."""

    batches: tuple[StoredBatch, ...]
    repeated: bool


class HalfBatchStored(Struct, frozen=True):
    """A half batch: with the shard's number this is the handle."""

    index: int
    batch: int
    queue: int
    first_position: int
    count: int


class Prepared(Struct, frozen=True):
    """A prepare frame is stored; `repeated` if an earlier entry had stored it."""

    batches: tuple[HalfBatchStored, ...]
    repeated: bool


class DecisionOutcome(Struct, frozen=True):
    """Bits that had been decided the other way, and changed nothing; or a refusal of the whole decision."""

    already_committed: int
    already_rolled_back: int
    refusal: Refusal | None = None


class Decided(Struct, frozen=True):
    """One outcome for each decision, in order."""

    outcomes: tuple[DecisionOutcome, ...]


class LeasedPiece(Struct, frozen=True):
    """Consecutive offsets leased together, all of one batch.

    `selected` has a bit for each record of the batch that is in the piece; position of the first record of the batch
    within its frame is `first_position`.
    """

    topic: str
    queue: int
    first_offset: int
    count: int
    attempt: int
    lease: int
    lease_until_ms: int
    reference: Reference
    selected: int
    instance: int
    sequence: int
    first_position: int
    visible_ms: int


class Leased(Struct, frozen=True):
    """What was leased; empty if there is nothing. `next_due_ms` (0: none) is when a redelivery becomes due."""

    pieces: tuple[LeasedPiece, ...]
    next_due_ms: int


class RangesDone(Struct, frozen=True):
    """One refusal (LEASE_LOST, UNKNOWN_QUEUE) or None for each range, in order."""

    results: tuple[Refusal | None, ...]


class Expired(Struct, frozen=True):
    """How many timers were handled, and when the next one is due (0: none)."""

    handled: int
    next_due_ms: int


class TopicMade(Struct, frozen=True):
    """The topic's number; `repeated` if it existed with the same queues."""

    topic_id: int
    repeated: bool


class QueueDropped(Struct, frozen=True):
    """Whether nothing of the queue is left."""

    complete: bool


class QueueTrimmed(Struct, frozen=True):
    """Where the queue begins now, and how many batches went.

    `held_offset`: the lowest offset that a group has not done with (the queue's next offset if there is none).
    """

    first_offset: int
    removed: int
    held_offset: int


Result = (
    Done
    | Stored
    | Prepared
    | Decided
    | Leased
    | RangesDone
    | Expired
    | TopicMade
    | QueueDropped
    | QueueTrimmed
    | Refusal
)

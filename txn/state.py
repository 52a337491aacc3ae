"""What a shard remembers, one shape for each kind of key. Bit sets are packed bytes (`bits.pack`)."""

from __future__ import annotations

from tallymq.txn.types import Reference, Struct


class Mark(Struct, frozen=True):
    """The key says all."""


MARK = Mark()


class Counts(Struct, frozen=True):
    """Numbers of the whole shard. The next numbers only grow: what they name is never confused with what was.

    `metadata_index`: the greatest index of the metadata shard that a command about owning queues was decided by.
    """

    in_doubt: int = 0
    topic_id_next: int = 1
    group_number_next: int = 1
    metadata_index: int = 0


class BodyState(Struct, frozen=True):
    """How many queue entries, delayed records, half batches and dead letters refer to the bodies of one Raft entry."""

    count: int


class TopicState(Struct, frozen=True):
    """Metadata shard: a topic. `deletion`: index at which the present deletion began; `confirmed`: it is final."""

    topic_id: int
    queue_shards: tuple[int, ...]
    retention_ms: int
    retention_bytes: int
    deleting: bool = False
    deletion: int = 0
    confirmed: bool = False


class GroupState(Struct, frozen=True):
    """A consumer group's settings and its number in this shard."""

    number: int
    attempts_max: int
    lease_ms: int
    backoff_ms_min: int
    backoff_ms_max: int


class QueueState(Struct, frozen=True):
    """A queue. Offsets [first_offset, next_offset) are visible.

    `dropping`: it takes nothing new; `removing`: part of what lay on it is gone, so it cannot be opened again.
    """

    topic_id: int
    queue_count: int
    retention_ms: int
    retention_bytes: int
    first_offset: int = 0
    next_offset: int = 0
    in_doubt: int = 0
    delayed: int = 0
    record_bytes: int = 0
    dropping: bool = False
    removing: bool = False


class Source(Struct, frozen=True):
    """Where a batch came from: its bytes, and who sent it as which part of which frame."""

    reference: Reference
    instance: int
    sequence: int
    first_position: int


class QueueEntry(Struct, frozen=True):
    """Offsets [first_offset, first_offset + count): the records `selected` of one batch. Empty `selected`: all."""

    first_offset: int
    count: int
    selected: bytes
    visible_ms: int
    source: Source


class DelayedState(Struct, frozen=True):
    """Records of one batch that wait for one delivery time."""

    topic: str
    selected: bytes
    source: Source


class HalfState(Struct, frozen=True):
    """A half batch: a transaction for each record. What is neither committed nor rolled back is in doubt.

    `decisions` counts the decision keys; `next_check_ms` is 0 once nothing is in doubt; `delayed`: it has times.
    """

    source: Source
    topic: str
    queue: int
    producer_group: str
    principal: str
    prepared_ms: int
    next_check_ms: int
    delayed: bool = False
    checks: int = 0
    committed: bytes = b""
    rolled_back: bytes = b""
    decisions: int = 0


class TimesState(Struct, frozen=True):
    """Delivery times of a half batch: eight bytes a record, big-endian, 0 = at once."""

    packed: bytes


class DecisionState(Struct, frozen=True):
    """Who decided what, when."""

    decided_by: str
    time_ms: int
    selected: bytes


class FrameBatch(Struct, frozen=True):
    """A batch of a stored frame: what tells it from another one, and what was answered."""

    topic: str
    queue: int
    times_crc32: int
    source: Source
    first_offset: int = 0
    visible_count: int = 0


class FrameState(Struct, frozen=True):
    """A stored frame. `halves_left` counts its half batches not yet forgotten (0 for a publish frame)."""

    prepared: bool
    deadline_ms: int
    producer_group: str
    principal: str
    batches: tuple[FrameBatch, ...]
    halves_left: int = 0


class CursorState(Struct, frozen=True):
    """A group on a queue: offsets from `next_offset` were never leased. Counts are of messages.

    Below `next_offset`, what is in no piece is acknowledged or a dead letter. `lease_last` is the newest token.
    """

    group: str
    topic: str
    next_offset: int
    lease_last: int = 0
    leased: int = 0
    waiting: int = 0
    dead_letters: int = 0


class PieceState(Struct, frozen=True):
    """Outstanding messages of a group that share attempt, lease and time; bit n is offset `first_offset` + n.

    Pieces of a group never overlap. `lease` 0: waiting until `due_ms`; otherwise leased until `due_ms`.
    """

    first_offset: int
    outstanding: bytes
    attempt: int
    lease: int
    due_ms: int
    consumer: int


class DeadState(Struct, frozen=True):
    """Dead letters out of one queue entry; bit n is offset `first_offset` + n."""

    first_offset: int
    outstanding: bytes
    attempts: int
    reason: str
    time_ms: int
    entry: QueueEntry

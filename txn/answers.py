"""What queries answer. Offsets, counts and times as everywhere; bit sets are integers."""

from __future__ import annotations

from tallymq.txn.types import Reference, Struct, TransactionState


class TopicInfo(Struct, frozen=True):
    """A topic, from the metadata shard. `deletion` names the present deletion (0: none), `confirmed`: it is final."""

    name: str
    topic_id: int
    queue_shards: tuple[int, ...]
    retention_ms: int
    retention_bytes: int
    deleting: bool
    deletion: int
    confirmed: bool


class GroupInfo(Struct, frozen=True):
    """A consumer group's settings."""

    name: str
    attempts_max: int
    lease_ms: int
    backoff_ms_min: int
    backoff_ms_max: int


class QueueInfo(Struct, frozen=True):
    """A queue of this shard. Offsets [first_offset, next_offset) are visible."""

    topic: str
    queue: int
    topic_id: int
    queue_count: int
    first_offset: int
    next_offset: int
    in_doubt: int
    delayed: int
    record_bytes: int
    retention_ms: int
    retention_bytes: int
    dropping: bool


class GroupQueueInfo(Struct, frozen=True):
    """A group on a queue: below `floor_offset` all is acknowledged or dead, from `next_offset` nothing was leased."""

    group: str
    topic: str
    queue: int
    floor_offset: int
    next_offset: int
    leased: int
    waiting: int
    dead_letters: int


class DeadLetterInfo(Struct, frozen=True):
    """A message given up. `record` is its number within the batch at `reference`, `position` within its frame."""

    topic: str
    queue: int
    offset: int
    attempts: int
    reason: str
    time_ms: int
    reference: Reference
    record: int
    instance: int
    sequence: int
    position: int


class DecisionInfo(Struct, frozen=True):
    """Who decided which transactions of a half batch, when."""

    decided_by: str
    time_ms: int
    bits: int


class HalfInfo(Struct, frozen=True):
    """A half batch. `next_check_ms` is 0 once nothing is in doubt. `decisions` is empty in `checks_due`."""

    index: int
    batch: int
    reference: Reference
    in_doubt: int
    committed: int
    rolled_back: int
    instance: int
    sequence: int
    first_position: int
    topic: str
    queue: int
    producer_group: str
    principal: str
    prepared_ms: int
    checks: int
    next_check_ms: int
    decisions: tuple[DecisionInfo, ...]

    def state(self, bit: int) -> TransactionState:
        """Return what became of one transaction of the batch."""
        if self.committed >> bit & 1:
            return TransactionState.COMMITTED
        if self.rolled_back >> bit & 1:
            return TransactionState.ROLLED_BACK
        return TransactionState.IN_DOUBT


class MessageInfo(Struct, frozen=True):
    """Where a message is: record `record` of the batch at `reference`; `half` if it was prepared."""

    topic: str
    queue: int
    reference: Reference
    record: int
    instance: int
    sequence: int
    position: int
    half: HalfInfo | None

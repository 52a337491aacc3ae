"""What can be asked of the rules. Every command is replicated before it is applied.

A command never fails: `machine.apply` answers it with a result or with a named refusal (`outcomes.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

from tallymq.txn.types import Batch, Identity, Struct


class Barrier(Struct, frozen=True, tag=0):
    """Changes nothing; its answer proves that the leader was still leader, so a read after it is linearizable."""


class Publish(Struct, frozen=True, tag=1):
    """A frame of messages visible at once (or at their delivery time)."""

    identity: Identity
    producer_group: str
    principal: str
    batches: tuple[Batch, ...]


class Prepare(Struct, frozen=True, tag=2):
    """A frame of half messages: every record is a transaction of its own."""

    identity: Identity
    producer_group: str
    principal: str
    batches: tuple[Batch, ...]
    check_after_ms: int


class Decision(Struct, frozen=True):
    """Bits of one half batch to commit and to roll back; instance and sequence must match what is stored."""

    index: int
    batch: int
    instance: int
    sequence: int
    commit: int
    roll_back: int


class Decide(Struct, frozen=True, tag=3):
    """Decisions for half batches of this shard.

    `producer_group` must be the one that prepared (empty: an operator). `decided_by` is "call", "check" or
    "operator NAME: REASON".
    """

    producer_group: str
    principal: str
    decided_by: str
    decisions: tuple[Decision, ...]


class CheckSent(Struct, frozen=True):
    """A half batch was asked about; ask again at `next_check_ms`."""

    index: int
    batch: int
    next_check_ms: int
    counted: bool = True


class RecordChecks(Struct, frozen=True, tag=4):
    """What the check scheduler did. `counted` false moves the time without counting (an operator's "check now")."""

    checks: tuple[CheckSent, ...]


class Lease(Struct, frozen=True, tag=5):
    """Lease messages of a queue to a consumer: first what is due again, then what was never delivered."""

    group: str
    topic: str
    queue: int
    consumer: int
    records_max: int
    record_bytes_max: int
    lease_ms: int
    start_at_latest: bool


class LeasedRange(Struct, frozen=True):
    """Consecutive offsets of one lease."""

    topic: str
    queue: int
    lease: int
    first_offset: int
    count: int


class Acknowledge(Struct, frozen=True, tag=6):
    """These are done."""

    group: str
    ranges: tuple[LeasedRange, ...]


class NegativeAcknowledge(Struct, frozen=True, tag=7):
    """These must come again after `delay_ms` (0: the group's back-off), or are dead letters."""

    group: str
    ranges: tuple[LeasedRange, ...]
    delay_ms: int
    reason: str
    dead_letter: bool


class Extend(Struct, frozen=True, tag=8):
    """These leases end `lease_ms` from now."""

    group: str
    ranges: tuple[LeasedRange, ...]
    lease_ms: int


class Expire(Struct, frozen=True, tag=9):
    """Handle at most `limit` timers that are due at the entry's stamped time."""

    limit: int


class CreateTopic(Struct, frozen=True, tag=10):
    """Metadata shard: a topic with one queue for each item of `queue_shards`."""

    name: str
    queue_shards: tuple[int, ...]
    retention_ms: int
    retention_bytes: int


class DeleteTopic(Struct, frozen=True, tag=11):
    """Metadata shard: the topic is being deleted. Its queues take nothing new; none goes before ConfirmDelete."""

    name: str


class UndeleteTopic(Struct, frozen=True, tag=12):
    """Metadata shard: a deletion that a shard refused is taken back; not once it is confirmed."""

    name: str
    topic_id: int


class RemoveTopic(Struct, frozen=True, tag=13):
    """Metadata shard: all queues are dropped, the name is free again."""

    name: str
    topic_id: int


class EnsureQueue(Struct, frozen=True, tag=14):
    """Any shard: it owns this queue from now on. Repeating it changes the settings, and opens a marked queue again.

    `metadata_index`: up to which index of the metadata shard the proposer had applied when it decided this.
    """

    topic: str
    topic_id: int
    queue: int
    queue_count: int
    retention_ms: int
    retention_bytes: int
    metadata_index: int = 0


class DropQueue(Struct, frozen=True, tag=15):
    """Any shard: the queue and all its state go; refused while a transaction on it is in doubt.

    Handles at most `limit` keys; the result says whether it is complete, otherwise ask again. With limit 0 the queue
    is only marked: it takes nothing new, and keeps all it has. `metadata_index` as in EnsureQueue.
    """

    topic: str
    topic_id: int
    queue: int
    limit: int
    metadata_index: int = 0


class PutGroup(Struct, frozen=True, tag=16):
    """Any shard: a consumer group with these settings. The metadata shard holds the true copy.

    `new_only`: a group that is there already keeps its settings, whoever gave it those meanwhile.
    """

    name: str
    attempts_max: int
    lease_ms: int
    backoff_ms_min: int
    backoff_ms_max: int
    new_only: bool = False


class ConfirmDelete(Struct, frozen=True, tag=17):
    """Metadata shard: every queue is marked, so nothing of the topic can be in doubt; from now on its queues go.

    `deletion` names the deletion that is confirmed: the index its DeleteTopic was applied at.
    """

    name: str
    topic_id: int
    deletion: int


class TrimQueue(Struct, frozen=True, tag=18):
    """Any shard: messages below `first_offset` may go; the only way a queue's first offset moves.

    At most `limit` batches go at once. What a group has not acknowledged stays, and all that lies behind it.
    """

    topic: str
    topic_id: int
    queue: int
    first_offset: int
    limit: int


Command = (
    Barrier
    | Publish
    | Prepare
    | Decide
    | RecordChecks
    | Lease
    | Acknowledge
    | NegativeAcknowledge
    | Extend
    | Expire
    | CreateTopic
    | DeleteTopic
    | UndeleteTopic
    | RemoveTopic
    | EnsureQueue
    | DropQueue
    | PutGroup
    | ConfirmDelete
    | TrimQueue
)


_SINCE: dict[type[Struct], int] = {TrimQueue: 2}
"""Rules version that brought a command; the others are of the first."""


def rules_version(kinds: Iterable[Command]) -> int:
    """Return the least version of the rules that can apply all of these commands."""
    return max((_SINCE.get(type(command), 1) for command in kinds), default=1)


class Entry(Struct, frozen=True):
    """What is applied as one: the commands of one round, at one stamped time, under one Raft index."""

    index: int
    stamped_ms: int
    commands: tuple[Command, ...]

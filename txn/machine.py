"""The machine: one entry in, results and effects out. The same everywhere, always."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tallymq.txn import acknowledgement, group, lease, ownership, publication, timer, topic, transaction, trimming
from tallymq.txn.commands import (
    Acknowledge,
    Barrier,
    ConfirmDelete,
    CreateTopic,
    Decide,
    DeleteTopic,
    DropQueue,
    EnsureQueue,
    Entry,
    Expire,
    Extend,
    Lease,
    NegativeAcknowledge,
    Prepare,
    Publish,
    PutGroup,
    RecordChecks,
    RemoveTopic,
    TrimQueue,
    UndeleteTopic,
)
from tallymq.txn.draft import Draft
from tallymq.txn.outcomes import Done, Refusal, Result
from tallymq.txn.types import Effect, View


def _barrier(draft: Draft, command: Barrier) -> Done:
    return Done()


def _refuse(draft: Draft, command: Any) -> Refusal:  # noqa: ANN401 - any command of the metadata shard
    return Refusal.NOT_METADATA_SHARD


_FRAMES: dict[type[Any], Callable[[Draft, Any, int], Result]] = {
    Publish: publication.publish,
    Prepare: transaction.prepare,
}

_COMMANDS: dict[type[Any], Callable[[Draft, Any], Result]] = {
    Barrier: _barrier,
    Decide: transaction.decide,
    RecordChecks: transaction.record_checks,
    Lease: lease.lease,
    Acknowledge: acknowledgement.acknowledge,
    NegativeAcknowledge: acknowledgement.negative_acknowledge,
    Extend: acknowledgement.extend,
    Expire: timer.expire,
    EnsureQueue: ownership.ensure,
    DropQueue: ownership.drop,
    PutGroup: group.put_group,
    TrimQueue: trimming.trim,
}

_METADATA_COMMANDS: dict[type[Any], Callable[[Draft, Any], Result]] = {
    CreateTopic: topic.create,
    DeleteTopic: topic.delete,
    UndeleteTopic: topic.undelete,
    ConfirmDelete: topic.confirm,
    RemoveTopic: topic.remove,
}


class UnknownCommandError(Exception):
    """The entry holds a command these rules do not know: the shard must stop, for skipping it would part replicas."""


def apply(view: View, entry: Entry, *, metadata_shard: bool = True) -> tuple[tuple[Result, ...], tuple[Effect, ...]]:
    """Return one result for each command of `entry`, in order, and what changes.

    Of effects on one key the later one wins. `metadata_shard` is false in shards that must not hold topics. Raises
    UnknownCommandError; any other exception is a bug of these rules, and nothing of the entry has happened.
    """
    draft = Draft(view, entry.index, entry.stamped_ms, metadata_shard=metadata_shard)
    results: list[Result] = []
    batch_next = 0
    for command in entry.commands:
        kind = type(command)
        if kind in _FRAMES:
            results.append(_FRAMES[kind](draft, command, batch_next))
            # Refused batches have their numbers too: they lie in the entry's bodies.
            batch_next += len(command.batches)  # type: ignore[union-attr]
        elif kind in _COMMANDS:
            results.append(_COMMANDS[kind](draft, command))
        elif kind in _METADATA_COMMANDS:
            rule = _METADATA_COMMANDS[kind] if metadata_shard else _refuse
            results.append(rule(draft, command))
        else:
            raise UnknownCommandError(f"no rule for {kind.__name__}")
    transaction.append_visible(draft)
    return tuple(results), draft.effects()

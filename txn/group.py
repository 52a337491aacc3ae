"""Consumer groups: their settings, and where each stands on a queue."""

from __future__ import annotations

from msgspec.structs import replace

from tallymq.txn import keys
from tallymq.txn.commands import PutGroup
from tallymq.txn.draft import Draft
from tallymq.txn.outcomes import Done
from tallymq.txn.state import GroupState


def put_group(draft: Draft, command: PutGroup) -> Done:
    """Make a group, or change its settings."""
    key = keys.group_key(command.name)
    known = draft.get(key, GroupState)
    if known is None:
        counts = draft.counts()
        number = counts.group_number_next
        draft.put_counts(replace(counts, group_number_next=number + 1))
    elif command.new_only:
        return Done()
    else:
        number = known.number
    wanted = GroupState(number, command.attempts_max, command.lease_ms, command.backoff_ms_min, command.backoff_ms_max)
    if wanted != known:
        draft.put(key, wanted)
        draft.metadata_changed()
    return Done()


def backoff_ms(group: GroupState, attempt: int) -> int:
    """Return how long messages wait after their `attempt`-th delivery failed: it doubles each time, to a maximum."""
    doublings = min(max(attempt - 1, 0), 40)
    return min(group.backoff_ms_min << doublings, max(group.backoff_ms_max, group.backoff_ms_min))

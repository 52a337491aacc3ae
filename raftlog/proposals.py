"""Proposals of one shard: many callers, one Raft entry. Pure: no clock, no loop.

Rule 1: what is waiting and what is in flight together stay within `queue_bytes_max`; more is refused.
Rule 2: an entry takes callers in the order they came until `entry_bytes_max` is reached; a command is never split, so
one that is larger makes an entry of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from tallymq.txn.commands import Command, Decide, Prepare, Publish

Body = bytes | memoryview

COMMANDS_MAX = 512
"""In one entry: applying them is one turn of the loop, and heartbeats must get their turn too."""

_COMMAND_BYTES = 96
_PART_BYTES = 64

W = TypeVar("W")


class Proposal(NamedTuple, Generic[W]):
    """One caller's command, the bodies of its batches, who waits for the answer, and about how many bytes it takes."""

    command: Command
    bodies: Sequence[Body]
    waiter: W
    size: int


class Proposals(Generic[W]):
    """The queue of one shard."""

    def __init__(self, entry_bytes_max: int, queue_bytes_max: int) -> None:
        self._entry_bytes_max = entry_bytes_max
        self._queue_bytes_max = queue_bytes_max
        self._waiting: deque[Proposal[W]] = deque()
        self.held_bytes = 0
        """Waiting and in flight."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, command: Command, bodies: Sequence[Body], waiter: W, size: int = 0) -> bool:
        """Queue a command; False if there is no room: nothing was queued. A queue that is empty takes any command.

        `size`: what `proposal_bytes` says, if the caller has asked already.
        """
        size = size or proposal_bytes(command, bodies)
        if self.held_bytes and self.held_bytes + size > self._queue_bytes_max:
            return False
        self.held_bytes += size
        self._waiting.append(Proposal(command, bodies, waiter, size))
        return True

    def take(self) -> list[Proposal[W]]:
        """Remove what makes one entry; its bytes stay counted until `release`."""
        taken: list[Proposal[W]] = []
        entry_bytes = 0
        while self._waiting and len(taken) < COMMANDS_MAX:
            entry_bytes += self._waiting[0].size
            if taken and entry_bytes > self._entry_bytes_max:
                break
            taken.append(self._waiting.popleft())
        return taken

    def release(self, proposals: Sequence[Proposal[W]]) -> None:
        """These are answered: their bytes count no more."""
        self.held_bytes -= sum(proposal.size for proposal in proposals)

    def withdraw(self) -> list[Proposal[W]]:
        """Remove and release everything that was not taken."""
        withdrawn = list(self._waiting)
        self._waiting.clear()
        self.release(withdrawn)
        return withdrawn


def proposal_bytes(command: Command, bodies: Sequence[Body]) -> int:
    """About how many bytes of an entry a command takes with its bodies."""
    return command_bytes(command) + sum(map(len, bodies))


def command_bytes(command: Command) -> int:
    """About how many bytes the command takes in an entry's header, rather too many than too few."""
    if isinstance(command, Publish | Prepare):
        return _COMMAND_BYTES + sum(
            _PART_BYTES + len(batch.topic) + 9 * len(batch.delivery_times_ms) for batch in command.batches
        )
    if isinstance(command, Decide):
        return _COMMAND_BYTES + sum(
            _PART_BYTES + (part.commit.bit_length() + part.roll_back.bit_length()) // 8 for part in command.decisions
        )
    parts = (getattr(command, name, ()) for name in ("ranges", "checks", "queue_shards"))
    names = sum(len(leased.topic) for leased in getattr(command, "ranges", ()))
    reason = getattr(command, "reason", "")
    return _COMMAND_BYTES + _PART_BYTES * sum(map(len, parts)) + names + len(reason.encode())

"""What the nodes of a shard say to each other. Values; how they look on a wire is `codec.py`'s business."""

from __future__ import annotations

import msgspec

Payload = bytes | memoryview
"""The bytes of an entry. Never changed by anyone who holds them."""


class Struct(msgspec.Struct, frozen=True):
    """Base of every message: immutable."""


class LogEntry(Struct, frozen=True):
    """One entry on its way to a follower; its index follows from its place in the message."""

    term: int
    payload: Payload


class AppendEntries(Struct, frozen=True):
    """Leader to follower: the entries after (previous_index, previous_term). Without entries: heartbeat or probe.

    `sequence` counts the leader's messages to this follower; the answer repeats it, so that an answer to what was sent
    before the last reset is known for one. `majority_index`: durable on a majority as far as the leader knows.
    """

    term: int
    sequence: int
    previous_index: int
    previous_term: int
    majority_index: int
    entries: tuple[LogEntry, ...] = ()


class AppendReply(Struct, frozen=True):
    """Follower to leader: its log is the leader's up to `proven_index`, and durably so up to `synced_index`.

    `reset_index` other than 0: the message did not fit, send from there. `clock_ms`: the follower's wall clock in Unix
    milliseconds, 0 if it does not say.
    """

    term: int
    sequence: int
    proven_index: int
    synced_index: int
    reset_index: int = 0
    clock_ms: int = 0


class RequestVote(Struct, frozen=True):
    """Asks for a vote in `term`; with `trial`, only whether one would be given (nobody's term changes)."""

    term: int
    last_index: int
    last_term: int
    trial: bool = False


class VoteReply(Struct, frozen=True):
    """Granted: `term` is the one asked for; otherwise it is the sender's own."""

    term: int
    granted: bool
    trial: bool = False
    clock_ms: int = 0


class TimeoutNow(Struct, frozen=True):
    """Leader to a voter that has all of its log: campaign at once, and without a trial."""

    term: int


class Farewell(Struct, frozen=True):
    """Leader to whoever is no member any more: the newest configuration, applied at `index`, does not name it."""

    term: int
    index: int


Message = AppendEntries | AppendReply | RequestVote | VoteReply | TimeoutNow | Farewell

"""What snapshots may take of a node, and what they ask of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tallymq.raftlog.log import NodeLog
from tallymq.raftlog.replica import Replica
from tallymq.raftlog.snapshot_messages import Envelope
from tallymq.raftlog.store import Store

NEVER_MS = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSettings:
    """Times in milliseconds, sizes in bytes.

    `bytes_per_s` bounds what a node sends of all snapshots together, `sends_max` how many it sends at once. A message
    carries about `message_bytes`, the work of a few milliseconds on either side; `window_bytes` may be on their way
    unanswered. Unanswered for `retry_ms`, an offer is made again; after `patience_ms` the snapshot is given up.
    """

    bytes_per_s: int = 64 << 20
    sends_max: int = 2
    message_bytes: int = 128 << 10
    window_bytes: int = 1 << 20
    retry_ms: int = 1_000
    patience_ms: int = 30_000

    def __post_init__(self) -> None:
        if min(self.bytes_per_s, self.sends_max, self.message_bytes, self.retry_ms) < 1:
            raise ValueError("limits of snapshots are at least 1")
        if self.window_bytes < self.message_bytes or self.patience_ms < self.retry_ms:
            raise ValueError("a window holds at least one message, and patience outlasts one retry")


class Place(Protocol):
    """What a snapshot asks of the shard's consensus."""

    @property
    def is_leader(self) -> bool:
        """Whether this node leads."""

    @property
    def term(self) -> int:
        """The present term."""

    def heard_leader(self, peer: str, term: int) -> bool:
        """Follow the leader of `term`, which is heard of; False: this node knows a later term."""

    def may_restore(self, index: int) -> bool:
        """Whether the base of a snapshot may be appended in this turn; nothing is taken or applied until `restored`."""

    def restored(self, applied_index: int) -> None:
        """Go on from a base that is durable, with the state at it."""

    def snapshot_done(self, peer: str, index: int) -> None:
        """The follower has what lies up to `index`; 0: it could not be brought there."""


class Flushes(Protocol):
    """Flushes of the store, done by whoever has a thread."""

    def request(self) -> int:
        """Ask for a flush that begins after this call; returns the ticket to ask with."""

    def done(self, ticket: int) -> bool:
        """Whether that flush is over, and all that was written before it on stable storage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One shard of a node, as its snapshots see it.

    `send(peer, envelope, urgent)` is False where nothing was sent. `configuration(index)` gives the shard's members as
    of an applied entry, encoded. `installed()` is called once the state is another one.
    `member()` is this node's member id, which a change of the members may give it anew; `peers()` gives the others'.
    """

    shard: int
    member: Callable[[], str]
    store: Store
    log: NodeLog
    replica: Replica
    place: Place
    flushes: Flushes
    configuration: Callable[[int], bytes]
    send: Callable[[str, Envelope, bool], bool]
    now_ms: Callable[[], int]
    installed: Callable[[], None]
    peers: Callable[[], Sequence[str]]


class Rate:
    """How many bytes a second all snapshots of a node may send, evened out over a tenth of one."""

    def __init__(self, bytes_per_s: int, now_ms: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at_ms = float(now_ms)

    def spend(self, size_bytes: int, now_ms: int) -> None:
        """Account for what was sent."""
        self._free_at_ms = max(self._free_at_ms, now_ms - 100.0) + 1000 * size_bytes / self._bytes_per_s

    def wait_ms(self, now_ms: int) -> int:
        """Return how long to wait before the next message; 0: it may leave."""
        return max(0, math.ceil(self._free_at_ms - now_ms))


class Slots:
    """How many snapshots a node sends at once."""

    def __init__(self, count: int) -> None:
        self._free = count

    def take(self) -> bool:
        """Take one, if there is one."""
        if self._free == 0:
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        """Give one back."""
        self._free += 1

"""Puts one shard together: its journal on the node's log, its state, its consensus, and what its callers hold."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from tallymq.raftlog.consensus import Consensus, ConsensusSettings
from tallymq.raftlog.errors import RaftLogError, StoreFailed, StoreFull
from tallymq.raftlog.host_opening import Opened
from tallymq.raftlog.host_shard import Caller, ShardHandle
from tallymq.raftlog.journal import Journal
from tallymq.raftlog.membership import Place
from tallymq.raftlog.messages import Message, Payload
from tallymq.raftlog.proposals import Proposals
from tallymq.raftlog.replica import Replica
from tallymq.raftlog.settings import HostSettings
from tallymq.raftlog.stamps import Stamps
from tallymq.txn.outcomes import Result
from tallymq.txn.types import Effect

IN_FLIGHT_BYTES_MAX = 8 * 1024 * 1024


class ShardHost(Protocol):
    """What a shard needs of its node."""

    @property
    def refusal(self) -> RaftLogError | None:
        """Why nothing is accepted now, or None."""

    def wake(self) -> None:
        """There is something for the next round."""

    def fail(self, reason: str) -> None:
        """The node cannot go on."""

    def send(self, shard: int, peer: str, message: Message) -> None:
        """Send to another member."""

    def notices(self, shard: int, effects: Sequence[Effect]) -> None:
        """An entry was applied."""

    def role(self, shard: int, is_leader: bool) -> None:
        """Leadership began or ended."""

    def behind(self, shard: int, peer: str) -> None:
        """A follower needs a snapshot."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The parts of one shard."""

    handle: ShardHandle
    consensus: Consensus
    replica: Replica


def now_ms() -> int:
    """Milliseconds of a clock that never goes back."""
    return time.monotonic_ns() // 1_000_000


def wall_ms() -> int:
    """Unix milliseconds by this machine's clock, which may jump."""
    return time.time_ns() // 1_000_000


def make_shard(number: int, settings: HostSettings, opened: Opened, host: ShardHost) -> Shard:
    """Make the shard as its log and its applied state left it."""
    generation = opened.log.shard_state(number).generation
    replica = Replica(number, opened.store, opened.log, partial(host.notices, number), generation=generation)
    stamps = Stamps(wall_ms, now_ms)

    def lead_or_follow(is_leader: bool) -> None:
        if is_leader:
            stamps.lead(replica.stamped_ms, consensus.clocks_ms())
        else:
            handle.lost_leadership()
        host.role(number, is_leader)

    # As much as this node would hold for callers of its own, in every shard.
    tail_bytes_max = 2 * settings.queue_bytes_max * settings.shard_count

    consensus = Consensus(
        shard=number,
        node=settings.node,
        members=_places(settings),
        journal=Journal(opened.log, number),
        apply=_Applier(replica, host).apply,
        send=partial(host.send, number),
        now_ms=now_ms,
        random=random.SystemRandom(),
        settings=_consensus_settings(settings),
        applied_index=replica.applied_index,
        on_role=lead_or_follow,
        may_apply=replica.may_apply,
        may_append=lambda: opened.log.tail_bytes < tail_bytes_max,
        clock_ms=wall_ms,
        on_behind=partial(host.behind, number),
        configurations=replica.configurations(),
    )
    proposals: Proposals[Caller] = Proposals(settings.entry_bytes_max, settings.queue_bytes_max)
    handle = ShardHandle(host, consensus, replica, opened.log, stamps, proposals)
    return Shard(handle, consensus, replica)


def _places(settings: HostSettings) -> tuple[Place, ...]:
    """The founding members: each under its node's name."""
    if not settings.members:
        return (Place(settings.node, settings.node, settings.listen_host, settings.listen_port),)
    return tuple(Place(member.node, member.node, member.host, member.port) for member in settings.members)


class _Applier:
    """Applies; a store that fails ends the node's part, not only the shard's."""

    def __init__(self, replica: Replica, host: ShardHost) -> None:
        self._replica = replica
        self._host = host

    def apply(self, index: int, term: int, payload: Payload) -> tuple[Result, ...]:
        try:
            return self._replica.apply(index, term, payload)
        except (StoreFailed, StoreFull) as error:
            # The store is the node's, not the shard's.
            self._host.fail(str(error))
            raise


def _consensus_settings(settings: HostSettings) -> ConsensusSettings:
    return ConsensusSettings(
        heartbeat_ms=settings.heartbeat_ms,
        election_ms_min=settings.election_ms_min,
        election_ms_max=settings.election_ms_max,
        append_bytes_max=settings.entry_bytes_max,
        in_flight_bytes_max=IN_FLIGHT_BYTES_MAX,
        # The queue of proposals is what bounds callers; entries take a little more than it counts.
        unapplied_bytes_max=2 * settings.queue_bytes_max,
    )

"""A member's role and term, and the ways from one to the other.

Rule 1: a term, once seen, is adopted before anything else is done with the message that carried it.
Rule 2: whoever stops leading tells its waiting callers at once that it does not know how their entries end.
Rule 3: what can only be a bug, here or in a peer, stops this shard on this node and says why; nothing is guessed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tallymq.raftlog.consensus_door import FOLLOWER, LEADER, Engine
from tallymq.raftlog.consensus_durability import Outbox
from tallymq.raftlog.consensus_progress import Progress
from tallymq.raftlog.consensus_waiting import Waiting
from tallymq.raftlog.journal import Journal
from tallymq.raftlog.membership import Configuration
from tallymq.raftlog.messages import Message

OK = "ok"
LONG_AGO_MS = -(1 << 62)
NEVER_MS = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusSettings:
    """Times in milliseconds, sizes in bytes.

    An election starts after a random time in [election_ms_min, election_ms_max] without a leader; a leader that has not
    heard from a majority for election_ms_max steps down. `append_bytes_max` bounds the entries of one message (a larger
    entry travels alone), `in_flight_bytes_max` what is on its way to one follower, `unapplied_bytes_max` what callers
    wait for, `apply_entries_max` what is applied in one go.
    """

    heartbeat_ms: int = 150
    election_ms_min: int = 1_000
    election_ms_max: int = 2_000
    append_bytes_max: int = 1 << 20
    in_flight_bytes_max: int = 8 << 20
    unapplied_bytes_max: int = 64 << 20
    apply_entries_max: int = 256

    def __post_init__(self) -> None:
        if not 0 < 2 * self.heartbeat_ms <= self.election_ms_min < self.election_ms_max:
            raise ValueError("heartbeat_ms at most half of election_ms_min, and that below election_ms_max")
        if min(self.append_bytes_max, self.in_flight_bytes_max, self.unapplied_bytes_max, self.apply_entries_max) < 1:
            raise ValueError("limits are at least 1")


class Member(Engine):
    """Role, term and health of one shard on one node."""

    def __init__(
        self,
        *,
        node: str,
        journal: Journal,
        apply: Callable[[int, int, bytes | memoryview], object],
        may_apply: Callable[[], bool],
        may_append: Callable[[], bool],
        send: Callable[[str, Message], None],
        now_ms: Callable[[], int],
        clock_ms: Callable[[], int],
        chance: random.Random,
        settings: ConsensusSettings,
        applied_index: int,
        on_role: Callable[[bool], None],
        on_behind: Callable[[str], None],
        on_configuration: Callable[[Configuration], None],
    ) -> None:
        if not journal.base_index <= applied_index <= journal.last_index:
            raise ValueError(
                f"applied up to {applied_index}, but the log has ({journal.base_index}, {journal.last_index}]"
            )
        self.health = OK
        self.settings = settings
        self.progress: dict[str, Progress] = {}
        self.waiting = Waiting()
        self.voters: frozenset[str] = frozenset()
        self.is_removed = False
        self.clock_ms = clock_ms
        self.heard_leader_ms = LONG_AGO_MS
        # How far this node's log is known to be the leader's, and how far it told that leader that it is durable.
        self.proven_index = 0
        self.announced_index = 0
        self.votes: set[str] = set()
        self.trial_votes: set[str] = set()
        self.heartbeat_due_ms = NEVER_MS
        self._apply = apply
        self._may_apply = may_apply
        self._may_append = may_append
        self._on_role = on_role
        self._on_behind = on_behind
        self._on_configuration = on_configuration
        self._told_leading = False
        super().__init__(
            node=node,
            journal=journal,
            send=send,
            now_ms=now_ms,
            chance=chance,
            election_ms_min=settings.election_ms_min,
            election_ms_max=settings.election_ms_max,
        )
        self.applied_index = applied_index
        self.majority_index = applied_index
        self.outbox = Outbox(journal, self.pass_on)

    def adopt(self, term: int) -> None:
        """Enter a later term as a follower of nobody yet."""
        self.set_hard_state(term, None)
        self.follow("")

    def set_hard_state(self, term: int, voted_for: str | None) -> None:
        """Note term and vote; what was said in an earlier term and has not left yet never will."""
        if term > self.term:
            self.outbox.forget()
            self.proven_index = self.announced_index = 0
        self.set_term(term, voted_for)

    def follow(self, leader: str) -> None:
        """Be a follower of `leader`, "" for nobody known."""
        led = self.role == LEADER
        self.set_role(FOLLOWER)
        self.set_leader(leader)
        self.votes.clear()
        self.trial_votes.clear()
        if led:
            self.progress.clear()
            self.heartbeat_due_ms = NEVER_MS
            self.first_own_index = None
            self.restart_election_timer()
            self.tell_role(leading=False)
            self.waiting.abandon()

    def tell_role(self, *, leading: bool) -> None:
        """Say that this node leads and has applied all that was stored before, or that it no longer does."""
        if leading != self._told_leading:
            self._told_leading = leading
            self._on_role(leading)

    def stop(self, reason: str) -> None:
        """Serve no more; what is stored stays as it is."""
        if self.health != OK:
            return
        self.health = reason
        self.follow("")
        self.outbox.forget()

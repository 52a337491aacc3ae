"""Handing leadership over, so that nobody has to wait for an election time-out.

Rule 1: while it hands over, a leader appends nothing new; so the one meant catches up, and every caller hears how its
entry ended before the leadership does.
Rule 2: who has all of the log, durably, is told to campaign at once and without a trial: the others need not have lost
sight of their leader first. It is an election like any other, so nothing here can make two leaders of a term.
Rule 3: what does not come about within an election time-out is given up, and the leader goes on.
Rule 4: a leader that a configuration leaves out goes once that entry is applied, and names the one to follow it.
"""

from __future__ import annotations

from collections.abc import Callable

from tallymq.raftlog.consensus_door import FOLLOWER, LEADER
from tallymq.raftlog.consensus_election import Electing
from tallymq.raftlog.consensus_member import OK
from tallymq.raftlog.membership import Refusal
from tallymq.raftlog.messages import TimeoutNow

TransferDone = Callable[[Refusal | None], None]


class Transferring(Electing):
    """Gives leadership to whom it is asked to, or takes it when told."""

    successor = ""
    _transfer_due_ms = 0
    _told_successor_ms = 0
    _transfer_done: TransferDone = staticmethod(lambda refusal: None)

    def transfer(self, to_member: str, done: TransferDone) -> None:
        """Begin to hand over; `done(None)` once this node leads no more, else `done` why not."""
        refusal = self._refused_transfer(to_member)
        if refusal is not None:
            self.waiting.tell(done, refusal)
            return
        self.successor = to_member
        self._transfer_done = done
        self._transfer_due_ms = self.now_ms() + self.settings.election_ms_max
        self._told_successor_ms = 0
        self.maybe_hand_over()

    def _refused_transfer(self, to_member: str) -> Refusal | None:
        if self.health != OK or self.role != LEADER:
            return Refusal.NOT_LEADER
        if self.successor:
            return Refusal.TRANSFER_IN_PROGRESS
        if to_member == self.node or to_member not in self.voters:
            return Refusal.NOT_A_VOTER
        return None

    def best_successor(self) -> str:
        """Return the voter that has most of the log durably among those that can be reached, "" if there is none."""
        found = [peer for peer in self.peers if peer in self.voters and self.is_connected(peer)]
        return max(found, key=lambda peer: self.progress[peer].synced_index, default="")

    def maybe_hand_over(self) -> None:
        """Tell the successor, if it has everything; say so again at each heartbeat, for messages get lost."""
        if not self.successor:
            return
        progress = self.progress.get(self.successor)
        now_ms = self.now_ms()
        if progress is None or now_ms >= self._transfer_due_ms:
            self._give_up_transfer()
        elif (
            progress.synced_index == self.journal.last_index == self.applied_index
            and now_ms >= self._told_successor_ms + self.settings.heartbeat_ms
        ):
            self._told_successor_ms = now_ms
            self.outbox.post(self.successor, TimeoutNow(self.term))

    def _give_up_transfer(self) -> None:
        self._end_transfer(Refusal.NOT_IN_TIME)

    def _end_transfer(self, refusal: Refusal | None) -> None:
        if self.successor:
            self.successor, done = "", self._transfer_done
            self.waiting.tell(done, refusal)

    def follow(self, leader: str) -> None:
        """Be a follower; a transfer under way has come about, as far as this node is concerned."""
        super().follow(leader)
        self._end_transfer(None)

    def take_timeout_now(self, peer: str, message: TimeoutNow) -> None:
        """Campaign at once, if it is this term's leader that says so."""
        is_of_leader = message.term == self.term and self.leader in ("", peer)
        if is_of_leader and self.role == FOLLOWER and self.is_voter and not self.journal.is_switching:
            self.campaign()

    def configuration_applied(self, index: int) -> None:
        """On the leader: tell those that are members no more; if this node is no voter any more, step down."""
        if self.role != LEADER:
            return
        self.tell_removed(index)
        if not self.is_voter:
            # With it the others learn that a majority has the entry.
            self.heartbeat()
            next_leader = self.best_successor()
            if next_leader:
                self.outbox.post(next_leader, TimeoutNow(self.term))
            self.follow("")

"""Who leads.

Rule 1: a voter is counted once, however many messages say the same.
Rule 2: before a node disturbs the others with a new term, it asks whether they would vote for it (a trial); who hears a
leader would not. So a node that was cut off comes back without deposing anyone.
Rule 3: a leader that does not hear from a majority within an election time-out steps down by itself.
Rule 4: a shard of one voter needs nobody's vote, but its term and vote are stored all the same.
"""

from __future__ import annotations

from tallymq.raftlog.consensus_door import CANDIDATE, LEADER
from tallymq.raftlog.consensus_progress import Progress
from tallymq.raftlog.consensus_restoring import Restoring
from tallymq.raftlog.messages import RequestVote, VoteReply


class Electing(Restoring):
    """Votes, campaigns, and gives up."""

    def maybe_campaign(self, now_ms: int) -> None:
        """Look for votes if no leader was heard of for long enough."""
        if self.journal.is_switching:
            # Leading means appending, and there is nothing yet to append to.
            self.restart_election_timer()
            return
        if not self.is_voter:
            self.restart_election_timer()
        elif self.is_alone:
            self.campaign()
        elif now_ms >= self.election_deadline_ms:
            self._try_campaign()

    def _try_campaign(self) -> None:
        self.follow("")
        self.restart_election_timer()
        self.trial_votes = {self.node}
        self._ask(self.term + 1, trial=True)

    def campaign(self) -> None:
        """Enter a new term and ask for votes in it."""
        self.follow("")
        self.set_hard_state(self.term + 1, self.node)
        self.set_role(CANDIDATE)
        self.restart_election_timer()
        self.votes = {self.node}
        if self.has_quorum(self.votes):
            self._lead()
        else:
            self._ask(self.term, trial=False)

    def _ask(self, term: int, *, trial: bool) -> None:
        for peer in sorted(self.voters - {self.node}):
            self.outbox.post(peer, RequestVote(term, self.journal.last_index, self.journal.last_term, trial))

    def take_request_vote(self, peer: str, request: RequestVote) -> None:
        """Vote, or say what this node's term is."""
        if request.trial:
            granted = request.term > self.term and self._is_up_to_date(request) and not self._hears_leader()
            term = request.term if granted else self.term
            self.outbox.post(peer, VoteReply(term, granted, True, self.clock_ms()))
            return
        if request.term > self.term:
            self.adopt(request.term)
        granted = (
            request.term == self.term
            and self.role != LEADER
            and self.voted_for in (None, peer)
            and self._is_up_to_date(request)
        )
        if granted:
            self.restart_election_timer()
            if self.voted_for is None:
                self.set_hard_state(self.term, peer)
        self.outbox.post(peer, VoteReply(self.term, granted, False, self.clock_ms()))

    def _is_up_to_date(self, request: RequestVote) -> bool:
        return (request.last_term, request.last_index) >= (self.journal.last_term, self.journal.last_index)

    def _hears_leader(self) -> bool:
        return self.role == LEADER or self.now_ms() - self.heard_leader_ms < self.settings.election_ms_min

    def take_vote_reply(self, peer: str, reply: VoteReply) -> None:
        """Count a voter, once."""
        if self.journal.is_switching:
            return
        if reply.trial:
            if reply.granted and reply.term == self.term + 1 and self.trial_votes:
                self.trial_votes.add(peer)
                if self.has_quorum(self.trial_votes):
                    self.campaign()
        elif reply.granted and reply.term == self.term and self.role == CANDIDATE:
            self.votes.add(peer)
            if self.has_quorum(self.votes):
                self._lead()

    def _lead(self) -> None:
        now_ms = self.now_ms()
        self.set_role(LEADER)
        self.set_leader(self.node)
        self.votes.clear()
        self.progress = {peer: Progress(self.journal.last_index + 1, now_ms) for peer in self.peers}
        # Only an entry of the own term may be counted; with it, all before it is known to be on a majority.
        self.first_own_index = self.append(self.term, b"")
        self.heartbeat()

    def check_quorum(self, now_ms: int) -> None:
        """Step down if most of the others are silent."""
        if not self.has_quorum(self.heard_lately(now_ms)):
            self.follow("")

    def heard_lately(self, now_ms: int) -> set[str]:
        """Return the members that this leader heard from within an election time-out, itself included."""
        patience_ms = self.settings.election_ms_max
        return {self.node, *[peer for peer, item in self.progress.items() if now_ms - item.heard_ms <= patience_ms]}

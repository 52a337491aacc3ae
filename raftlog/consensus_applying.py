"""What is durable on a majority, and what is made of it.

Rule 1: a member counts up to what is synced there, the leader itself included, alone or not.
Rule 2: only an entry of the leader's own term is counted; what lies before it follows (Raft, 5.4.2).
Rule 3: nothing is applied here before it is synced here, however many others have it.
Rule 4: an entry is noted as applied before its caller hears of it; an exception in the rules stops the shard.
"""

from __future__ import annotations

from tallymq.raftlog.consensus_door import LEADER
from tallymq.raftlog.consensus_member import OK
from tallymq.raftlog.consensus_reading import Reading
from tallymq.raftlog.membership import is_configuration


class Applying(Reading):
    """Counts, applies and tells."""

    _advancing = False

    def advance(self) -> None:
        """Do all that log and answers allow now. What a callback proposes meanwhile is seen to in this call."""
        if self._advancing:
            return
        self._advancing = True
        try:
            if self.role == LEADER:
                self._count()
            self._apply_entries()
            if self.role == LEADER:
                self.see_to_reads()
                self.replicate()
                self.spread_majority()
                self.maybe_hand_over()
        finally:
            self._advancing = False

    def _count(self) -> None:
        synced = sorted([self._synced_on(voter) for voter in self.voters])
        # With the voters sorted by what they have durably, the one in the middle has what a majority has.
        index = synced[(len(synced) - 1) // 2]
        if index > self.majority_index and self.journal.term_at(index) == self.term:
            self.majority_index = index

    def _synced_on(self, voter: str) -> int:
        return self.journal.synced_index() if voter == self.node else self.progress[voter].synced_index

    def may_be_applied(self) -> int:
        """Return the greatest index that may be applied here now."""
        if self.journal.is_switching:
            return self.applied_index
        return min(self.majority_index, self.journal.synced_index())

    def _apply_entries(self) -> None:
        end = min(self.may_be_applied(), self.applied_index + self.settings.apply_entries_max)
        while self.applied_index < end and self.health == OK and self._may_apply():
            self._apply_next(self.applied_index + 1)

    def _apply_next(self, index: int) -> None:
        term = self.journal.term_known(index)
        try:
            payload = self.journal.read(index)
            result = self._apply(index, term, payload)
        except Exception as error:  # noqa: BLE001 - whatever it is: the other shards of this node go on
            self.stop(f"entry {index} could not be applied: {type(error).__name__}: {error}")
            return
        self.applied_index = index
        self.waiting.applied(index, result)
        if index == self.first_own_index:
            self.tell_role(leading=True)
        if is_configuration(payload):
            self.configuration_applied(index)

"""A follower whose log begins anew: a snapshot took the place of what it lacked.

Rule 1: only a follower restores, and only what lies above what it has applied.
Rule 2: from the moment the snapshot's base is appended until it is switched to, this node takes no entries, applies
nothing and seeks no votes; what it said before stays true, for the base is on a majority.
Rule 3: what the base stands for is proven, durable and on a majority; what is behind it only by the rules of entries.
"""

from __future__ import annotations

from tallymq.raftlog.consensus_door import FOLLOWER
from tallymq.raftlog.consensus_member import OK
from tallymq.raftlog.consensus_replication import Replicating


class Restoring(Replicating):
    """Takes a snapshot's place in the log for its own."""

    def heard_leader(self, peer: str, term: int) -> bool:
        """Take a sign of life from the leader of `term`; False: it leads no longer, or is nobody to this node."""
        if self.health != OK or not self.hears(peer, "") or term < self.term:
            return False
        return self.accept_leader(peer, term)

    def may_restore(self, index: int) -> bool:
        """Return whether a snapshot up to `index` would be of use now."""
        return self.health == OK and self.role == FOLLOWER and index > self.applied_index

    def restored(self, applied_index: int) -> None:
        """Go on behind the base, which journal and state were switched to; all of it is durable."""
        if self.role != FOLLOWER:
            raise ValueError("only a follower is restored")
        self.rebase()
        if not max(self.applied_index, self.journal.base_index) <= applied_index <= self.journal.last_index:
            raise ValueError(f"restored up to {applied_index}, applied {self.applied_index} before")
        self.applied_index = applied_index
        self.majority_index = max(self.majority_index, applied_index)
        self.proven_index = min(max(self.proven_index, self.journal.base_index), self.journal.last_index)

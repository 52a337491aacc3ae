"""Changes of the members, asked of the leader.

Rule 1: one at a time: not before the last one is applied, nor before an entry of the leader's own term is (two leaders
could otherwise each believe their own change to be the only one).
Rule 2: a learner is made a voter only once it has nearly all of the log, durably: it must not be what others wait for.
Rule 3: what would leave the shard without a majority that can be heard is refused.
"""

from __future__ import annotations

from tallymq.raftlog.consensus_applying import Applying
from tallymq.raftlog.consensus_door import LEADER
from tallymq.raftlog.consensus_member import OK
from tallymq.raftlog.consensus_waiting import Done, ProposalKind, ProposalOutcome
from tallymq.raftlog.membership import (
    Change,
    Configuration,
    Promote,
    Refusal,
    changed,
    encode_configuration,
)

LAG_ENTRIES_MAX = 1024
"""How much of the log a learner may lack when it is made a voter: a moment's worth under load."""


class Changing(Applying):
    """Takes changes of the members."""

    def propose_configuration(self, change: Change, done: Done) -> None:
        """Append the configuration that `change` makes; `done` as with any entry, or REFUSED with a Refusal."""
        found = self._configuration_after(change)
        if isinstance(found, Refusal):
            self.waiting.tell(done, ProposalOutcome(ProposalKind.REFUSED, 0, found))
            return
        payload = encode_configuration(found)
        index = self.append(self.term, payload)
        self.waiting.add(index, len(payload), done)
        self.advance()

    def _configuration_after(self, change: Change) -> Configuration | Refusal:
        refusal = self._refused_now()
        if refusal is not None:
            return refusal
        found = changed(self.configurations.newest, change, self.journal.last_index + 1)
        if isinstance(found, Refusal):
            return found
        if isinstance(change, Promote) and not self.has_caught_up(change.member):
            return Refusal.NOT_CAUGHT_UP
        if found.voter_names != self.voters:
            heard = self.heard_lately(self.now_ms()) & found.voter_names
            if 2 * len(heard) <= len(found.voters):
                return Refusal.WOULD_LOSE_QUORUM
        return found

    def _refused_now(self) -> Refusal | None:
        first = self.first_own_index
        if self.health != OK or self.role != LEADER:
            return Refusal.NOT_LEADER
        if self.successor:
            return Refusal.TRANSFER_IN_PROGRESS
        if first is None or self.applied_index < first:
            return Refusal.NOT_READY
        if self.configurations.newest_index > self.applied_index:
            return Refusal.CHANGE_IN_PROGRESS
        return None

    def has_caught_up(self, member: str) -> bool:
        """Return, on the leader, whether a member could be counted without the others having to wait for it."""
        progress = self.progress.get(member)
        if progress is None or progress.probing or progress.waiting:
            return False
        return progress.synced_index + LAG_ENTRIES_MAX >= self.journal.last_index and progress.synced_index > 0

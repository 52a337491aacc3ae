"""Reads that see everything acknowledged before they were asked for, without an entry of their own (ReadIndex).

Rule 1: a leader may have been deposed without knowing: what it has applied counts only if, after the read was asked
for, a majority of the voters answered it in its own term.
Rule 2: not before an entry of the leader's own term is applied: until then it does not know what a majority has.
Rule 3: a round of heartbeats serves all reads that were asked for before it began; one round is under way at a time.
An answer repeats the sequence of the message it answers, so the rounds need no number of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from tallymq.raftlog.consensus_door import LEADER
from tallymq.raftlog.consensus_member import OK
from tallymq.raftlog.consensus_transfer import Transferring
from tallymq.raftlog.messages import AppendReply

READS_MAX = 65_536
"""Waiting at the same time, in one shard."""


class ReadKind(Enum):
    """How asking for a read ended."""

    READY = "ready"
    """The applied state holds everything that was acknowledged before the read was asked for."""
    NOT_LEADER = "not leader"
    OVERLOADED = "overloaded"


ReadDone = Callable[[ReadKind], None]


class Reading(Transferring):
    """Answers reads."""

    def begin_reading(self) -> None:
        """Have no reads."""
        self._asked: list[ReadDone] = []
        self._in_round: list[ReadDone] = []
        self._round_sequences: dict[str, int] = {}
        self._round_index = 0
        self._confirmed: list[tuple[int, list[ReadDone]]] = []
        self.reads = 0

    def read_index(self, done: ReadDone) -> None:
        """Call `done` once the applied state is good to read."""
        if self.health != OK or self.role != LEADER:
            self.waiting.tell(done, ReadKind.NOT_LEADER)
        elif self.reads >= READS_MAX:
            self.waiting.tell(done, ReadKind.OVERLOADED)
        else:
            self.reads += 1
            self._asked.append(done)

    def see_to_reads(self) -> None:
        """Begin a round if one is wanted and may begin; answer the reads whose index is applied."""
        first = self.first_own_index
        if self._asked and not self._in_round and first is not None and self.applied_index >= first:
            self._begin_round()
        while self._confirmed and self._confirmed[0][0] <= self.applied_index and self.role == LEADER:
            self._answer_reads(self._confirmed.pop(0)[1], ReadKind.READY)

    def _begin_round(self) -> None:
        self._in_round, self._asked = self._asked, []
        self._round_index = self.majority_index
        # Any answer to a message sent from now on tells that its sender knew of no later term.
        self._round_sequences = {peer: progress.sequence + 1 for peer, progress in self.progress.items()}
        for peer, progress in self.progress.items():
            if peer in self.voters:
                self.send_empty(peer, progress)
        self._maybe_confirm({self.node})

    def note_round(self, peer: str, reply: AppendReply) -> None:
        """Count a voter's answer to a message of the round."""
        if self._in_round and self.role == LEADER and reply.term == self.term:
            progress = self.progress.get(peer)
            if progress is not None:
                progress.answered_sequence = max(progress.answered_sequence, reply.sequence)
                self._maybe_confirm({self.node, *filter(self._has_answered, self.progress)})

    def _has_answered(self, peer: str) -> bool:
        # A peer that was added since the round began is asked in the next one.
        first = self._round_sequences.get(peer)
        return first is not None and self.progress[peer].answered_sequence >= first

    def _maybe_confirm(self, members: set[str]) -> None:
        if self.has_quorum(members):
            self._confirmed.append((self._round_index, self._in_round))
            self._in_round = []

    def _answer_reads(self, reads: list[ReadDone], kind: ReadKind) -> None:
        self.reads -= len(reads)
        for done in reads:
            self.waiting.tell(done, kind)

    def follow(self, leader: str) -> None:
        """Be a follower; who waits to read asks the next leader."""
        super().follow(leader)
        waiting = [*self._asked, *self._in_round, *[read for _, reads in self._confirmed for read in reads]]
        self._asked, self._in_round, self._confirmed = [], [], []
        self._answer_reads(waiting, ReadKind.NOT_LEADER)

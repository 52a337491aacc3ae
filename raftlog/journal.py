"""One shard's view of the node's log, in the shape pysyncobj expects of a journal, and with what it lacks.

Rule 1: the entry at the base (index 0, term 0 while no prefix was ever dropped) is the same on every node and written
on none: it is what the first real entry, index 1, comes after. pysyncobj would otherwise invent a first entry itself.
Rule 2: durable is what the log's rounds say, never an index once reached: a truncation takes it back.
Rule 3: where the log begins moves only in `rebase`; between a snapshot's base and that call the journal stands still.
Rule 4: nothing is kept here that the log does not hold; a majority index is not stored, so none can lie beyond the log.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.log import NodeLog
from tallymq.raftlog.log_shard import ShardLogState
from tallymq.raftlog.membership import MARK, is_configuration
from tallymq.raftlog.messages import Payload

EntryHead = tuple[bytes, int, int]
"""An entry as pysyncobj's stock methods look at it: command (never in it), index, term."""


class Journal:
    """The log of one shard. Appending hands bytes to the open round; `synced_index` tells what survives a power cut."""

    def __init__(self, log: NodeLog, shard: int) -> None:
        state = log.shard_state(shard)
        self._log = log
        self._shard = shard
        self._read_ends(state)
        self._term = state.term
        self._voted_for = state.voted_for
        self._hard_state_round = 0
        # What was there when the log was opened is durable; the walk in `synced_index` starts behind it.
        self._synced_index = state.last_index

    def _read_ends(self, state: ShardLogState) -> None:
        self.base_index = state.base_index
        self.base_term = state.base_term
        self.last_index = state.last_index
        self.last_term = state.last_term
        self.base_configuration = state.configuration
        self.generation = state.generation

    # Where it begins

    @property
    def is_switching(self) -> bool:
        """Whether the log begins elsewhere than this journal knows: a snapshot's base is appended, not yet switched to.

        Until `rebase` nothing is appended, truncated or counted as newly durable.
        """
        return self._log.shard_state(self._shard).base_index != self.base_index

    def rebase(self) -> None:
        """Read again where the log begins and ends: its base has moved (a snapshot's is synced, or a prefix went)."""
        self._read_ends(self._log.shard_state(self._shard))
        # What lies behind the base was durable before, or is walked over again; what the base stands for is.
        self._synced_index = max(min(self._synced_index, self.last_index), self.base_index)

    # What is durable

    def synced_index(self) -> int:
        """Return the greatest index up to which every entry's round is known to be synced."""
        if self._synced_index == self.last_index or self.is_switching:
            return self._synced_index
        synced_round = self._log.round_synced
        while self._synced_index < self.last_index:
            if self._log.round_of(self._shard, self._synced_index + 1) > synced_round:
                break
            self._synced_index += 1
        return self._synced_index

    def hard_state_synced(self) -> bool:
        """Return whether the present term and vote would survive a power cut."""
        return self._hard_state_round <= self._log.round_synced

    # Entries

    def append(self, term: int, payload: Sequence[Payload]) -> int:
        """Append an entry behind the last one; return its index."""
        self._refuse_while_switching()
        index = self.last_index + 1
        self._log.append_entry(self._shard, index, term, payload)
        self.last_index, self.last_term = index, term
        return index

    def truncate(self, from_index: int) -> None:
        """Drop `from_index` and all that follows; what takes its place is not durable before its own round is."""
        self._refuse_while_switching()
        if not self.base_index < from_index <= self.last_index:
            raise ValueError(f"cannot truncate at {from_index}: the log has ({self.base_index}, {self.last_index}]")
        self._log.append_truncate(self._shard, from_index)
        self.last_index = from_index - 1
        self.last_term = self.term_known(self.last_index)
        self._synced_index = min(self._synced_index, self.last_index)

    def _refuse_while_switching(self) -> None:
        if self.is_switching:
            raise RuntimeError(f"the log of shard {self._shard} begins anew and nobody has switched to it yet")

    def term_at(self, index: int) -> int | None:
        """Return the term of the entry at `index`, None where there is none."""
        if index == self.base_index:
            return self.base_term
        if not self.base_index < index <= self.last_index:
            return None
        return self._log.term_at(self._shard, index)

    def term_known(self, index: int) -> int:
        """Return the term of an entry that must be there."""
        term = self.term_at(index)
        if term is None:
            raise LookupError(f"no entry {index} in ({self.base_index}, {self.last_index}]")
        return term

    def first_of_term(self, index: int, from_index: int) -> int:
        """Return the first index at or above `from_index` of the run of equal terms that `index` belongs to."""
        term = self.term_known(index)
        # Terms never go down along a log, so the run's start can be halved for.
        return bisect_left(range(index), term, lo=min(from_index, index), key=self.term_known)

    def read(self, index: int) -> Payload:
        """Return the payload of the entry at `index`."""
        return self._log.read_entry(self._shard, index)

    def begins_as_configuration(self, index: int) -> bool:
        """Return whether the entry at `index` says who the members are; only its first bytes are read."""
        try:
            return is_configuration(self._log.read_slice(self._shard, index, 0, len(MARK)))
        except BodyDamaged:
            # Shorter than that, or damaged: reading all of it tells which.
            return is_configuration(self.read(index))

    # Term and vote

    def set_hard_state(self, term: int, voted_for: str) -> None:
        """Note term and vote in the open round; `hard_state_synced` is False until that round is durable."""
        self._hard_state_round = self._log.round_open
        self._log.append_hard_state(self._shard, term, voted_for)
        self._term, self._voted_for = term, voted_for

    # The shape pysyncobj asks for

    def __len__(self) -> int:
        return self.last_index - self.base_index + 1

    def __getitem__(self, position: int) -> EntryHead:
        if position == -1:
            return b"", self.last_index, self.last_term
        index = self.base_index + position
        return b"", index, self.term_known(index)

    def getCurrentTerm(self) -> int:  # noqa: N802 - pysyncobj's name
        """Return the term as restored or set."""
        return self._term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802 - pysyncobj's name
        """Return whom this node voted for in that term."""
        return self._voted_for or None

    def getRaftCommitIndex(self) -> int:  # noqa: N802 - pysyncobj's name
        """Return the base: a majority index is never stored, so it cannot lie beyond the log after a loss."""
        return self.base_index

    def setCurrentTerm(self, term: int, voted_for: str | None) -> None:  # noqa: N802 - pysyncobj's name
        """Note term and vote."""
        self.set_hard_state(term, voted_for or "")

    def deleteEntriesFrom(self, position: int) -> None:  # noqa: N802 - pysyncobj's name
        """Truncate at a position counted from the base."""
        self.truncate(self.base_index + position)

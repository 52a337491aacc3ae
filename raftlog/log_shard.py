"""What the log remembers of one shard: term, vote, base, and its newest entries.

Entries not yet applied, and the last few that were, are held as numbers in arrays (about fifty bytes each, so that a
long tail after a restart stays small); payloads only until they are applied, and only of entries appended since start.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import NamedTuple

from tallymq.raftlog.locations import Location
from tallymq.raftlog.payloads import Base, Position

# Applied entries whose place stays in memory: consumers read mostly what is new, and so need no look-up in the store.
_APPLIED_KEPT = 1024


@dataclass(frozen=True, slots=True)
class ShardLogState:
    """One shard's log: hard state, base (index and term before `first_index`) and last entry."""

    term: int
    voted_for: str
    base_index: int
    base_term: int
    first_index: int
    last_index: int
    last_term: int
    generation: int
    configuration: bytes


class Known(NamedTuple):
    """Term, vote and base of a shard."""

    term: int
    voted_for: str
    base: Base


class ShardLog:
    """The log of one shard, in memory. Indexes outside it raise IndexError; what it is told must be contiguous."""

    def __init__(self) -> None:
        self.term = 0
        self.voted_for = ""
        self.base = Base()
        self.applied = 0
        self.payload_bytes = 0
        self._first = 1
        self._term_before = 0
        self._terms = array("Q")
        self._segments = array("Q")
        self._offsets = array("Q")
        self._lengths = array("Q")
        self._rounds = array("Q")
        self._payloads: dict[int, tuple[bytes, ...]] = {}
        self._known = Known(0, "", Base())
        # What was known after each record of rounds that are not durable yet: (round, known).
        self._unsynced: list[tuple[int, Known]] = []

    @property
    def first(self) -> int:
        """The first entry held here; older ones are found through the store."""
        return self._first

    @property
    def last_index(self) -> int:
        """The last entry's index; the base's, or what was applied, if none is held."""
        return self._first + len(self._terms) - 1

    @property
    def last_term(self) -> int:
        """The last entry's term."""
        return self._terms[-1] if self._terms else self._term_before

    def state(self) -> ShardLogState:
        """Return what consensus wants to know."""
        return ShardLogState(
            term=self.term,
            voted_for=self.voted_for,
            base_index=self.base.index,
            base_term=self.base.term,
            first_index=self.base.index + 1,
            last_index=self.last_index,
            last_term=self.last_term,
            generation=self.base.generation,
            configuration=self.base.configuration,
        )

    def holds(self, index: int) -> bool:
        """Whether the entry is held here."""
        return self._first <= index <= self.last_index

    def start_after(self, index: int, term: int) -> None:
        """Forget all entries; the next one is index + 1."""
        self._first, self._term_before = index + 1, term
        for column in self._columns():
            del column[:]
        self._payloads.clear()
        self.payload_bytes = 0

    def set_term_before(self, term: int) -> None:
        """Note the term of the entry before the first one held."""
        self._term_before = term

    def append(self, term: int, location: Location | None, round_number: int, length: int) -> int:
        """Add an entry, whose place may not be known yet, and return its index."""
        self._terms.append(term)
        self._segments.append(location.segment if location else 0)
        self._offsets.append(location.offset if location else 0)
        self._lengths.append(length)
        self._rounds.append(round_number)
        return self.last_index

    def hold_payload(self, index: int, pieces: tuple[bytes, ...], length: int) -> None:
        """Keep the payload of an entry until it is applied."""
        self._payloads[index] = pieces
        self.payload_bytes += length

    def place(self, index: int, position: Position) -> None:
        """Note where an entry was written."""
        at = self._at(index)
        self._segments[at], self._offsets[at] = position

    def truncate(self, from_index: int) -> None:
        """Withdraw all entries from an index on."""
        at = self._at(from_index)
        for index in range(from_index, self.last_index + 1):
            self._drop_payload(index)
        for column in self._columns():
            del column[at:]

    def note_applied(self, index: int) -> None:
        """The entries up to `index`, and where they are, are in the store: their payloads may go."""
        for done in range(self.applied + 1, index + 1):
            self._drop_payload(done)
        self.applied = max(self.applied, index)
        surplus = self.applied - self._first + 1 - _APPLIED_KEPT
        if surplus > _APPLIED_KEPT:
            self._drop_first(surplus)

    def drop_through(self, index: int) -> None:
        """Forget the entries up to `index`, which must be held."""
        self._drop_first(self._at(index) + 1)

    def _drop_first(self, count: int) -> None:
        self._term_before = self._terms[count - 1]
        self._first += count
        for column in self._columns():
            del column[:count]

    def _drop_payload(self, index: int) -> None:
        pieces = self._payloads.pop(index, None)
        if pieces is not None:
            self.payload_bytes -= self._lengths[self._at(index)]

    def _columns(self) -> tuple[array[int], ...]:
        return (self._terms, self._segments, self._offsets, self._lengths, self._rounds)

    def term_of(self, index: int) -> int:
        """Return the term of an entry held here."""
        return self._terms[self._at(index)]

    def round_of(self, index: int) -> int:
        """Return the round of an entry held here."""
        return self._rounds[self._at(index)]

    def location_of(self, index: int) -> Location | None:
        """Return where an entry held here was written; None before it is."""
        at = self._at(index)
        if not self._segments[at]:
            return None
        return Location(self._segments[at], self._offsets[at], self._lengths[at], self._terms[at])

    def payload_of(self, index: int) -> tuple[bytes, ...] | None:
        """Return the pieces of a payload still in memory."""
        return self._payloads.get(index)

    def _at(self, index: int) -> int:
        if not self._first <= index <= self.last_index:
            raise IndexError(f"entry {index} is not among {self._first} to {self.last_index}")
        return index - self._first

    def set_hard_state(self, term: int, voted_for: str, round_number: int) -> None:
        """Take over a term and vote, said in a round, or durable already if that is 0."""
        self.term, self.voted_for = term, voted_for
        self._note_known(round_number)

    def set_base(self, base: Base, round_number: int) -> None:
        """Begin the log after `base`, said in a round, or durable already if that is 0.

        Entries after it stay only if the entry at the base has the base's term.
        """
        if self.holds(base.index) and self.term_of(base.index) == base.term:
            for index in range(self._first, base.index + 1):
                self._drop_payload(index)
            self.drop_through(base.index)
        else:
            self.start_after(base.index, base.term)
        self.base = base
        self.applied = max(self.applied, base.index)
        self._note_known(round_number)

    def raise_base(self, base: Base, round_number: int) -> None:
        """Begin the log later, after an entry it has or had; what follows stays. Said in a round, or durable if 0."""
        if self.holds(base.index):
            self.drop_through(base.index)
        self.base = base
        self._note_known(round_number)

    def _note_known(self, round_number: int) -> None:
        known = Known(self.term, self.voted_for, self.base)
        if round_number:
            self._unsynced.append((round_number, known))
        else:
            self._known = known

    def note_synced(self, round_number: int) -> None:
        """Every record up to that round is durable."""
        while self._unsynced and self._unsynced[0][0] <= round_number:
            self._known = self._unsynced.pop(0)[1]

    @property
    def durable(self) -> Known:
        """Term, vote and base as far as they are known to be durable."""
        return self._known

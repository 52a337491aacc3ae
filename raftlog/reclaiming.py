"""Gives room of the log back: what is still needed of its oldest files is carried forward, then they may go.

Rule 1. Nothing of Raft goes here: only files are touched of which every entry lies at or before its shard's durable
base.
Rule 2. The store's word on where bytes lie is changed only for a copy that is synced; and only deleted for an entry
that lies before the durable base and that nothing refers to in a state the store already has.
Rule 3. A file is given up (`Flushes.release`) only when no word points there any more. It goes with the flush after.
Rule 4. Carrying forward must pay: the oldest files go together while what they still hold is at most `carry_share` of
them. Otherwise nothing is copied: most of a file that is needed stays where it is.

Everything runs in small slices, driven by `step`; a slice that breaks off has changed nothing that the next cannot take
up, for all that is known is read again from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.keys import location_key
from tallymq.raftlog.locations import Location, decode_location
from tallymq.raftlog.log import NodeLog
from tallymq.raftlog.log_bodies import BodyCopy
from tallymq.raftlog.store import Pair, Store
from tallymq.txn import queries
from tallymq.txn.types import View

PAGE = 256
"""Locations looked at in one slice: about a millisecond."""
READ_BYTES = 256 * 1024
"""Of a body read in one slice."""
COPIES_BYTES_MAX = 8 << 20
COPIES_MAX = 1_024
"""Copied before their round is waited for and their places are written, in one slice."""
SEGMENTS_AT_ONCE = 16
"""Oldest files looked at in one pass."""
ENTRIES_MAX = 65_536
"""Needed entries remembered in one pass, some 20 MB: of more files than the oldest only if theirs are not more."""
_INDEX_MAX = (1 << 64) - 1


class State(Protocol):
    """The applied state of one shard (`replica.Replica`)."""

    @property
    def generation(self) -> int:
        """Which generation of the state is shown."""

    @property
    def view(self) -> View:
        """The state."""

    def flush_writes(self) -> bool:
        """Bring all of it into the store; False while that is stalled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimSettings:
    """`carry_share`: how much of the oldest files may be copied to give them up, 0 to 1. `kept_bytes`: so much of the
    log's end is kept whole for followers that are behind."""

    carry_share: float = 0.5
    kept_bytes: int = 0


@dataclass(slots=True)
class _Survey:
    """What the store says of all files: needed bytes, the needed entries of the oldest, and what Raft still needs."""

    window: frozenset[int]
    start_segment: int
    live_bytes: dict[int, int] = field(default_factory=dict)
    entries: list[tuple[int, int, Location]] = field(default_factory=list)
    raft_first: int = _INDEX_MAX
    raft_last: dict[tuple[int, int], int] = field(default_factory=dict)

    def keep(self, shard: int, index: int, location: Location) -> None:
        """An entry before the base whose bytes are needed."""
        segment = location.segment
        self.live_bytes[segment] = self.live_bytes.get(segment, 0) + location.length
        if segment in self.window:
            self.entries.append((shard, index, location))
            while len(self.entries) > ENTRIES_MAX and len(self.window) > 1:
                self.window -= {max(self.window)}
                self.entries = [entry for entry in self.entries if entry[2].segment in self.window]

    def keep_for_raft(self, shard: int, index: int, location: Location) -> None:
        """An entry behind the base."""
        self.raft_first = min(self.raft_first, location.segment)
        self.raft_last[shard, location.segment] = index


class _Stalled(Exception):
    """The store takes nothing now, or a shard is being switched: this pass ends."""


class Reclaiming:
    """One node's. `on_prefix(shard, index)` lets Raft forget a prefix; the log's base has moved when it returns."""

    def __init__(
        self,
        log: NodeLog,
        store: Store,
        states: Mapping[int, State],
        settings: ReclaimSettings,
        on_prefix: Callable[[int, int], None],
    ) -> None:
        self._log = log
        self._store = store
        self._states = states
        self._settings = settings
        self._on_prefix = on_prefix
        self._pass: Iterator[bool] | None = None
        self.is_pressed = False
        """Whether room is short: then files go even if almost all of them has to be copied."""
        self.carried_bytes = 0
        self.live_bytes: dict[int, int] = {}
        """Needed bytes in each file before the base, as of the last pass."""
        self.damaged_segment = 0
        """A file that cannot go because needed bytes in it are damaged; 0 if there is none."""

    def step(self) -> bool | None:
        """Do one slice. True: more at once; False: more after a round; None: this pass is over."""
        if self._pass is None:
            self._pass = self._run()
        try:
            return next(self._pass)
        except (_Stalled, StopIteration):
            self._pass = None
            return None

    def _run(self) -> Iterator[bool]:
        # The scan's start as it is now: what is applied after this look at the store may lie before a later one.
        window = frozenset(self._log.segments.numbers()[:SEGMENTS_AT_ONCE])
        survey = _Survey(window, self._log.flushes.start_segment)
        for shard in sorted(self._states):
            yield from self._look_at(shard, survey)
        self.live_bytes = dict(survey.live_bytes)
        # Files that were given up before may have gone meanwhile.
        numbers = self._log.segments.numbers()
        self._drop_prefixes(numbers, survey)
        chosen = self._choose(numbers, survey)
        if chosen == 0:
            return
        yield from self._carry([entry for entry in survey.entries if entry[2].segment <= chosen])
        if self.damaged_segment:
            chosen = self.damaged_segment - 1
        self._log.flushes.release(chosen)

    # What is there

    def _look_at(self, shard: int, survey: _Survey) -> Iterator[bool]:
        """Sort a shard's locations: needed by Raft, needed by the state, or by nobody, then they go."""
        after = 0
        while True:
            state = self._state(shard)
            base_index = self._log.durable_base(shard).index
            start, end = location_key(shard, after + 1), location_key(shard, _INDEX_MAX)
            page = self._store.range(start, end, PAGE)
            needed = queries.needed_bodies(state.view, after, PAGE)
            # A needed body may have no place here (a snapshot whose sender could not read it): then these reach less
            # far than the places do, and of what lies behind the last of them it is not known whether it is needed.
            known_until = needed[-1] if len(needed) == PAGE else _INDEX_MAX
            is_needed = frozenset(needed).__contains__
            gone: list[Pair] = []
            for key, value in page:
                index, location = int.from_bytes(key[-8:], "big"), decode_location(value)
                if index > known_until:
                    after = known_until
                    break
                if index > base_index:
                    survey.keep_for_raft(shard, index, location)
                elif is_needed(index):
                    survey.keep(shard, index, location)
                else:
                    gone.append((key, None))
                after = index
            if gone and not self._store.write(gone):
                raise _Stalled
            yield True
            if len(page) < PAGE and after != known_until:
                return

    def _state(self, shard: int) -> State:
        """Return a shard's state, all of which the store has: what it does not need now it will not after a crash."""
        state = self._states[shard]
        if state.generation != self._log.shard_state(shard).generation or not state.flush_writes():
            raise _Stalled
        return state

    # What may go

    def _drop_prefixes(self, numbers: list[int], survey: _Survey) -> None:
        """Let Raft forget what lies in files that neither a start nor a follower within bounds will read again."""
        until = self._kept_from(numbers)
        for shard in sorted(self._states):
            applied = self._log.flushes.applied(shard)
            ends = [last for (owner, segment), last in survey.raft_last.items() if owner == shard and segment < until]
            index = min(max(ends, default=0), applied)
            if index > self._log.shard_state(shard).base_index:
                self._on_prefix(shard, index)

    def _kept_from(self, numbers: list[int]) -> int:
        """Return the oldest file that is kept whole for Raft."""
        kept, until = 0, self._log.flushes.start_segment
        for number in reversed(numbers):
            if kept >= self._settings.kept_bytes:
                return min(until, number + 1)
            kept += self._log.segments.length(number)
        return min(until, numbers[0] if numbers else until)

    def _choose(self, numbers: list[int], survey: _Survey) -> int:
        """Return up to which file all may go, 0 if none."""
        limit = min(survey.start_segment, survey.raft_first)
        share = max(self._settings.carry_share, 0.9) if self.is_pressed else self._settings.carry_share
        chosen = size = live = 0
        for number in numbers:
            if number >= limit or number not in survey.window:
                break
            size += self._log.segments.length(number)
            live += survey.live_bytes.get(number, 0)
            if live <= share * size:
                chosen = number
        return chosen

    # Carrying forward

    def _carry(self, entries: list[tuple[int, int, Location]]) -> Iterator[bool]:
        """Copy what is needed; each batch of copies is synced before the store is told."""
        self.damaged_segment = 0
        copies: list[tuple[BodyCopy, Location]] = []
        copied_bytes = 0
        for shard, index, location in entries:
            state = self._state(shard)
            if not queries.is_body_needed(state.view, index):
                # Since the look at it; the store has the state that says so.
                if self._is_at(shard, index, location) and not self._store.write([(location_key(shard, index), None)]):
                    raise _Stalled
                continue
            if not self._is_at(shard, index, location):
                continue
            try:
                body = bytearray()
                reader = self._log.open_body(shard, index, location)
                while not reader.is_done:
                    body += reader.read(READ_BYTES)
                    yield True
            except BodyDamaged:
                self.damaged_segment = min(self.damaged_segment or location.segment, location.segment)
                continue
            copies.append(
                (self._log.append_body_copy(shard, index, location.term, reader.start, bytes(body)), location)
            )
            self.carried_bytes += len(body)
            copied_bytes += len(body)
            if copied_bytes >= COPIES_BYTES_MAX or len(copies) >= COPIES_MAX:
                yield from self._point_at(copies)
                copies, copied_bytes = [], 0
        yield from self._point_at(copies)

    def _point_at(self, copies: list[tuple[BodyCopy, Location]]) -> Iterator[bool]:
        """Wait for the copies to be durable, then tell the store where the bytes are now."""
        while any(copy.round > self._log.round_synced for copy, _ in copies):
            yield False
        pairs: list[Pair] = [copy.pair() for copy, location in copies if self._is_at(copy.shard, copy.index, location)]
        while pairs and not self._store.write(pairs):
            yield False

    def _is_at(self, shard: int, index: int, location: Location) -> bool:
        """Whether the store still says that an entry's bytes are there: a repair, or another snapshot, may differ."""
        value = self._store.get(location_key(shard, index))
        return value is not None and decode_location(value) == location

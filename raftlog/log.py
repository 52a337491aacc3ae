"""The node's log: one sequence of records for all shards, written and synced a round at a time.

Rule 1. What is appended counts for nothing until its round is synced; callers ask by round, never by index.
Rule 2. The log is never rewritten: a truncation is a record.
Rule 3. A failed sync is final.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tallymq.raftlog.disk import Disk
from tallymq.raftlog.errors import BodyDamaged, LogFull
from tallymq.raftlog.keys import location_key
from tallymq.raftlog.locations import Location, decode_location, encode_location
from tallymq.raftlog.log_bodies import BodyCopy, BodyReader, copy_pieces
from tallymq.raftlog.log_flushes import Flushes
from tallymq.raftlog.log_mark import ShardMark
from tallymq.raftlog.log_shard import ShardLog, ShardLogState
from tallymq.raftlog.log_writer import Draft, RoundWriter
from tallymq.raftlog.payloads import Base, Position, encode_base
from tallymq.raftlog.records import BLOCK_BYTES, HEADER_BYTES, PAYLOAD_BYTES_MAX, Kind
from tallymq.raftlog.recovery import recover
from tallymq.raftlog.segments import Segments
from tallymq.raftlog.store import Store


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """`draw_salt` gives 64 random bits; `segment_bytes` is a file's size, which only a single larger round exceeds."""

    draw_salt: Callable[[], int]
    segment_bytes: int = 64 << 20
    open_files_max: int = 64

    def __post_init__(self) -> None:
        if self.segment_bytes < 2 * BLOCK_BYTES or self.open_files_max < 1:
            raise ValueError("segment_bytes must be at least 8192, open_files_max at least 1")


class NodeLog:
    """One log per node. Everything but `sync` is called on one thread and returns quickly."""

    def __init__(
        self, segments: Segments, store: Store, writer: RoundWriter, flushes: Flushes, shards: dict[int, ShardLog]
    ) -> None:
        """Use `open`."""
        self._segments = segments
        self._store = store
        self._writer = writer
        self._shards = shards
        self._recovered_round = writer.round_open - 1
        self._round_synced = self._recovered_round
        self._drafts: list[Draft] = []
        # Copies in the open round, by their place among its drafts.
        self._copies: dict[int, BodyCopy] = {}
        self._sealed = True
        self._flushes = flushes
        # Oldest place of entries withdrawn by records that are not durable yet: (round of the record, place of the
        # entry's round). Until they are, a crash brings those entries back, so the scan must still meet them.
        self._withdrawn: list[tuple[int, int]] = []

    @classmethod
    def open(cls, disk: Disk, store: Store, settings: LogSettings) -> NodeLog:
        """Recover the log and open it for appending; all that it then holds is durable.

        Raises LogDamaged if something that had been synced is missing, LogFull if there is no room for a segment,
        DirectoryFormatUnknown if a later version wrote it.
        """
        segments = Segments(disk, settings.open_files_max)
        recovered = recover(disk, segments, store, settings.segment_bytes, settings.draw_salt)
        writer = RoundWriter(disk, segments, recovered, settings.segment_bytes, settings.draw_salt)
        flushes = Flushes(disk, segments, writer, recovered.rounds, recovered)
        return cls(segments, store, writer, flushes, recovered.shards)

    # --- Appending -----------------------------------------------------------------------------------------------

    def append_entry(self, shard: int, index: int, term: int, payload: Sequence[bytes | memoryview]) -> None:
        """Append the next entry of a shard to the open round; `index` must be its last index + 1, else ValueError.

        `payload` is joined on reading. `bytes` are kept as they are, anything else is copied.
        """
        self._writer.refuse_if_failed()
        log = self._shard(shard)
        if index != log.last_index + 1:
            raise ValueError(f"shard {shard} is at entry {log.last_index}, {index} cannot follow")
        pieces = tuple(piece if type(piece) is bytes else bytes(piece) for piece in payload)
        length = sum(map(len, pieces))
        if length > PAYLOAD_BYTES_MAX:
            raise ValueError(f"an entry of {length} bytes is too large")
        log.append(term, None, self.round_open, length)
        log.hold_payload(index, pieces, length)
        self._drafts.append(Draft(Kind.ENTRY, shard, term, index, pieces, length))
        self._flushes.note_entry()

    def append_truncate(self, shard: int, from_index: int) -> None:
        """Withdraw the entries of a shard from an index on; ValueError if one of them was applied or none is there."""
        self._writer.refuse_if_failed()
        log = self._shard(shard)
        if not log.applied < from_index <= log.last_index:
            raise ValueError(f"shard {shard} holds {log.applied + 1} to {log.last_index}, not {from_index}")
        self._note_withdrawn(log, from_index)
        log.truncate(from_index)
        self._drafts.append(Draft(Kind.TRUNCATE, shard, 0, from_index, (), 0))

    def append_hard_state(self, shard: int, term: int, voted_for: str) -> None:
        """Set term and vote ("" for none) of a shard; ValueError if the term goes back."""
        self._writer.refuse_if_failed()
        log = self._shard(shard)
        if term < log.term:
            raise ValueError(f"shard {shard} is in term {log.term}, which cannot become {term}")
        log.set_hard_state(term, voted_for, self.round_open)
        voter = voted_for.encode()
        self._drafts.append(Draft(Kind.HARD_STATE, shard, term, 0, (voter,), len(voter)))

    def append_base(self, shard: int, base: Base) -> None:
        """Begin the shard's log after `base`: a snapshot of that generation, already in the store, holds what was.

        Entries after the base stay if the entry at the base has its term. ValueError if the base goes back.
        """
        self._writer.refuse_if_failed()
        log = self._shard(shard)
        if base.index <= log.applied:
            raise ValueError(f"shard {shard} was applied up to {log.applied}, its log cannot begin after {base.index}")
        if log.last_index > log.applied:
            self._note_withdrawn(log, log.applied + 1)
        if log.holds(base.index) and log.term_of(base.index) != base.term:
            # What goes with it needs a record: a scan whose mark states the base already passes the base's over.
            self.append_truncate(shard, base.index)
        log.set_base(base, self.round_open)
        payload = encode_base(base)
        self._drafts.append(Draft(Kind.BASE, shard, base.term, base.index, (payload,), len(payload)))

    def drop_prefix(self, shard: int, index: int, term: int, configuration: bytes) -> None:
        """Let Raft forget the entries of a shard up to `index`, of `term`; their bytes stay as long as they are needed.

        `configuration` is the membership at that index. ValueError unless a completed flush of the store has all of
        them, or if the entry is another.
        """
        self._writer.refuse_if_failed()
        log = self._shard(shard)
        if not log.base.index < index <= min(log.applied, self._flushes.applied(shard)):
            raise ValueError(f"shard {shard} begins after {log.base.index}, it cannot begin after {index}")
        if self.term_at(shard, index) != term:
            raise ValueError(f"entry {index} of shard {shard} is not of term {term}")
        base = Base(index, term, log.base.generation, configuration)
        log.raise_base(base, self.round_open)
        payload = encode_base(base)
        self._drafts.append(Draft(Kind.BASE, shard, term, index, (payload,), len(payload)))

    def append_body_copy(self, shard: int, index: int, term: int, start: int, body: bytes) -> BodyCopy:
        """Write the bytes that lie at `start` of an entry's payload again, or as another node has them.

        Raft never sees them. They may be referred to under the entry's `location_key` once the copy's round is synced.
        """
        self._writer.refuse_if_failed()
        copy = BodyCopy(shard, index, term, start, len(body), self.round_open)
        pieces = copy_pieces(start, body)
        self._copies[len(self._drafts)] = copy
        self._drafts.append(Draft(Kind.BODY_COPY, shard, term, index, pieces, sum(map(len, pieces))))
        return copy

    def seal(self) -> None:
        """Append a seal if the last round is durable and no record says so yet; write and sync it like any round."""
        if not self._sealed and not self._drafts and self._writer.all_synced:
            self._drafts.append(Draft(Kind.SEAL, 0, 0, 0, (), 0))

    def _note_withdrawn(self, log: ShardLog, index: int) -> None:
        if log.location_of(index) is not None:
            self._withdrawn.append((self.round_open, log.round_of(index)))

    # --- Rounds --------------------------------------------------------------------------------------------------

    @property
    def round_open(self) -> int:
        """The round in which what is appended now will be."""
        return self._writer.round_open

    @property
    def round_synced(self) -> int:
        """The greatest round known to be durable."""
        return self._round_synced

    def write_round(self) -> int | None:
        """Hand the open round to the disk and open the next; returns its number, None if nothing was appended.

        Raises LogFull where there is no room: the round stays open, and this may be called again. Raises
        LogWriteFailed for any other fault, after which the log refuses everything.
        """
        self._writer.refuse_if_failed()
        if not self._drafts:
            return None
        written = self.round_open
        places = self._writer.write(self._drafts)
        for draft, place in zip(self._drafts, places, strict=True):
            if draft.kind == Kind.ENTRY:
                self._place(draft, place)
        for number, copy in self._copies.items():
            copy.placed(places[number])
        self._sealed = self._drafts[-1].kind == Kind.SEAL
        self._drafts, self._copies = [], {}
        return written

    def _place(self, draft: Draft, place: Position) -> None:
        log = self._shards[draft.shard]
        # It may have been withdrawn within its own round; then one with its index may follow, and be placed last.
        if log.holds(draft.index):
            log.place(draft.index, place)

    def sync(self) -> None:
        """Make every written round durable. Blocking: the host calls it in a thread, and `note_synced` after it.

        Raises SyncFailed, after which the log refuses everything: the node must stop.
        """
        self._writer.sync()

    def note_synced(self, round: int) -> None:  # noqa: A002 - the field's own word
        """Take note that `sync` returned, having been called after `round` was written."""
        self._writer.note_synced(round)
        self._round_synced = max(self._round_synced, round)
        self._withdrawn = [item for item in self._withdrawn if item[0] > round]
        for log in self._shards.values():
            log.note_synced(round)

    # --- Asking --------------------------------------------------------------------------------------------------

    def shard_state(self, shard: int) -> ShardLogState:
        """Return term, vote, base and last entry of a shard, what is not yet synced included."""
        return self._shard(shard).state()

    def term_at(self, shard: int, index: int) -> int | None:
        """Return the term of an entry, or of the base; None where the log has neither."""
        log = self._shard(shard)
        if index == log.base.index:
            return log.base.term
        if not log.base.index < index <= log.last_index:
            return None
        return log.term_of(index) if log.holds(index) else self._stored_location(shard, index).term

    def round_of(self, shard: int, index: int) -> int:
        """Return the round an entry was appended in; 0 if it was durable before this start or long ago."""
        log = self._shard(shard)
        if not log.base.index < index <= log.last_index:
            raise IndexError(f"shard {shard} has no entry {index}")
        found = log.round_of(index) if log.holds(index) else 0
        return found if found > self._recovered_round else 0

    def read_entry(self, shard: int, index: int) -> bytes:
        """Return the payload of an entry, its checksum verified; IndexError if there is none, else BodyDamaged."""
        pieces = self._shard(shard).payload_of(index)
        if pieces is not None:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        body = self.open_body(shard, index, self._location(shard, index))
        return body.read(body.length)

    def read_slice(self, shard: int, index: int, start: int, length: int) -> bytes:
        """Return part of a payload without reading the rest, so without its checksum: the caller has the batch's own.

        Also of entries that Raft has no more, as long as their bytes are needed. BodyDamaged if the payload does not
        reach so far or cannot be read.
        """
        pieces = self._shard(shard).payload_of(index)
        if pieces is not None:
            found = _cut(pieces, start, length)
        else:
            location = self._body_location(shard, index)
            begin = start - location.start
            inside = 0 <= begin <= begin + length <= location.length and location.segment in self._segments
            place = location.offset + HEADER_BYTES + location.prefix_bytes + begin
            found = self._segments.read(location.segment, place, length) if inside else b""
        if start < 0 or length < 0 or len(found) != length:
            raise BodyDamaged(f"bytes {start} to {start + length} of entry {index} of shard {shard} are not there")
        return found

    def open_body(self, shard: int, index: int, location: Location | None = None) -> BodyReader:
        """Read what is held of an entry's payload bit by bit, verified once all of it was; see `BodyReader`.

        `location` is given where an older state of the store is read. BodyDamaged, IndexError as `read_slice`.
        """
        found = self._body_location(shard, index) if location is None else location
        return BodyReader(self._segments, shard, index, found)

    def location_pair(self, shard: int, index: int) -> tuple[bytes, bytes]:
        """Return the store's key and value for an entry that is written; belongs into one batch with its effects."""
        return location_key(shard, index), encode_location(self._location(shard, index))

    @property
    def tail_bytes(self) -> int:
        """Payload bytes held in memory because they are not applied yet."""
        return sum(log.payload_bytes for log in self._shards.values())

    def _shard(self, shard: int) -> ShardLog:
        log = self._shards.get(shard)
        if log is None:
            log = self._shards[shard] = ShardLog()
        return log

    def _location(self, shard: int, index: int) -> Location:
        log = self._shard(shard)
        if not log.base.index < index <= log.last_index:
            raise IndexError(f"shard {shard} has no entry {index}")
        if not log.holds(index):
            return self._stored_location(shard, index)
        location = log.location_of(index)
        if location is None:
            raise ValueError(f"entry {index} of shard {shard} is not written yet")
        return location

    def _body_location(self, shard: int, index: int) -> Location:
        """Return where the bytes of an entry are, also of one that came to the state by a snapshot."""
        if index <= self._shard(shard).base.index:
            return self._stored_location(shard, index)
        return self._location(shard, index)

    def _stored_location(self, shard: int, index: int) -> Location:
        value = self._store.get(location_key(shard, index))
        if value is None:
            raise BodyDamaged(f"the store does not know where entry {index} of shard {shard} is")
        return decode_location(value)

    def repaired(self, shard: int, index: int) -> None:
        """The store has another place for the bytes of an applied entry: look there from now on."""
        log = self._shard(shard)
        if log.holds(index) and index <= log.applied:
            log.drop_through(index)

    # --- Applied, flushed, closed --------------------------------------------------------------------------------

    def applied(self, shard: int, index: int) -> None:
        """Take note that the store accepted the batches of all entries up to `index`: payloads leave memory."""
        self._shard(shard).note_applied(index)

    @property
    def flushes(self) -> Flushes:
        """What flushes of the store let the log forget."""
        return self._flushes

    def flush_mark(self, applied: Mapping[int, int]) -> list[tuple[bytes, bytes]]:
        """Return the pairs to write right before `store.flush()`; after it, call `flushes.completed()`.

        `applied` says for each shard up to which index its batches were accepted by the store; a shard left out counts
        as told by `applied()`.
        """
        start_round = self._writer.synced_end.round + 1
        for shard, log in self._shards.items():
            # While a base is on its way to the disk, the store's index may still be the one from before it.
            index = max(applied.get(shard, log.applied), log.base.index) + 1
            if index <= log.last_index:
                start_round = min(start_round, log.round_of(index))
        start_round = min([start_round, *(place for _, place in self._withdrawn)])
        marks = {shard: _shard_mark(log, applied.get(shard, log.applied)) for shard, log in self._shards.items()}
        return self._flushes.ask(start_round, marks)

    @property
    def segments(self) -> Segments:
        """The files there are."""
        return self._segments

    def durable_base(self, shard: int) -> Base:
        """Return where the shard's log begins, as far as that is durable: no crash brings back what was before."""
        return self._shard(shard).durable.base

    def close(self) -> None:
        """Write and sync what is open, and a seal, then close; after a failure, or on a full disk, only close."""
        try:
            if not self._writer.failed:
                self._finish_round()
                self.seal()
                self._finish_round()
        except LogFull:
            # Nothing of the open round was promised to anyone; all older rounds are durable already.
            pass
        finally:
            self._writer.close()
            self._segments.close()

    def _finish_round(self) -> None:
        self.write_round()
        self.sync()
        self.note_synced(self.round_open - 1)


def _shard_mark(log: ShardLog, applied: int) -> ShardMark:
    return ShardMark(applied, *log.durable)


def _cut(pieces: Sequence[bytes], start: int, length: int) -> bytes:
    """Return `length` bytes from `start` of the joined pieces without joining them all."""
    parts = []
    for piece in pieces:
        if start < len(piece) and length > 0:
            part = piece[max(start, 0) : start + length]
            parts.append(part)
            length -= len(part)
            start = 0
        else:
            start -= len(piece)
    return b"".join(parts)

"""What flushes of the store let the log forget: the place its next scan begins, and whole files at its old end.

Rule 1. Nothing counts before the flush that was asked for it has completed (`completed`): a mark that a stalled store
refused, or a flush that failed, has changed nothing.
Rule 2. A file goes only when the mark of a completed flush says that the log begins after it. That mark restates, for
every shard, applied index, term, vote, base and configuration as far as they are durable, and the store's writes before
it include the new place of every body that was in the file. Oldest first, and never past what a pin holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tallymq.raftlog.disk import Disk
from tallymq.raftlog.keys import log_mark_key
from tallymq.raftlog.log_mark import LogMark, ShardMark, encode_mark
from tallymq.raftlog.log_rounds import RoundPlace, Rounds
from tallymq.raftlog.log_writer import RoundWriter
from tallymq.raftlog.payloads import Position
from tallymq.raftlog.records import round_up
from tallymq.raftlog.recovery import Recovered
from tallymq.raftlog.segments import Segments


class Pin:
    """While it is held, no file goes that was there when it was taken. `release` is idempotent."""

    def __init__(self, pins: dict[Pin, int], first_segment: int) -> None:
        self._pins = pins
        pins[self] = first_segment

    def release(self) -> None:
        """Let files go again."""
        self._pins.pop(self, None)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A mark on its way, and how much had been logged when it was made."""

    mark: LogMark
    bytes_written: int
    entries: int


class Flushes:
    """Marks, completed flushes, pins, and files that may go. Everything but `remove` is called on one thread."""

    def __init__(
        self, disk: Disk, segments: Segments, writer: RoundWriter, rounds: Rounds, recovered: Recovered
    ) -> None:
        self._disk = disk
        self._segments = segments
        self._writer = writer
        self._rounds = rounds
        self._asked: _Asked | None = None
        # What the store had when it was opened is as good as flushed: it was read from there.
        self._mark = recovered.mark
        self._released = self._mark.first_segment - 1
        self._stated_first = self._mark.first_segment
        self._bytes_until = -recovered.bytes_read
        self._entries_until = -recovered.entries_read
        self._entries = 0
        self._pins: dict[Pin, int] = {}
        self.freed_bytes = 0

    # What was logged since

    @property
    def bytes_since(self) -> int:
        """Bytes of log written since the last completed flush was asked for; what a start had to read counts too."""
        return self._writer.bytes_written - self._bytes_until

    @property
    def entries_since(self) -> int:
        """Entries appended since the last completed flush was asked for; what a start had to read counts too."""
        return self._entries - self._entries_until

    def note_entry(self) -> None:
        """Count an entry."""
        self._entries += 1

    # Marks

    def ask(self, start_round: int, shards: Mapping[int, ShardMark]) -> list[tuple[bytes, bytes]]:
        """Return the pairs to write right before the store is flushed."""
        place = self._round_place(start_round)
        start = place.position
        held = min(self._pins.values(), default=start.segment)
        first = max(self._stated_first, min(self._released + 1, start.segment, held))
        mark = LogMark(start, start_round, place.previous, self._writer.synced_end.position, shards, first)
        # A pin taken from now on need not hold what this mark gives up: no location points there any more.
        self._stated_first = first
        self._asked = _Asked(mark, self._writer.bytes_written, self._entries)
        return [(log_mark_key(), encode_mark(mark))]

    def completed(self) -> None:
        """Take note that the flush completed which was begun after the last mark's pairs were written."""
        if self._asked is None:
            return
        asked, self._asked = self._asked, None
        self._mark = asked.mark
        self._bytes_until, self._entries_until = asked.bytes_written, asked.entries
        self._rounds.forget_before(asked.mark.start_round)

    def _round_place(self, number: int) -> RoundPlace:
        end = self._writer.synced_end
        if number > end.round:
            return RoundPlace(Position(end.position.segment, round_up(end.position.offset)), end.crc)
        return self._rounds.place(number)

    # Files

    @property
    def start_segment(self) -> int:
        """The file in which the next start would begin to scan: those before it are kept for bodies alone."""
        return self._mark.start.segment

    @property
    def first_segment(self) -> int:
        """The oldest file that the last completed flush says is needed."""
        return self._mark.first_segment

    @property
    def released(self) -> int:
        """Up to which file nothing in the store points any more."""
        return self._released

    def applied(self, shard: int) -> int:
        """Return up to which entry of a shard the store is certain to have been flushed."""
        known = self._mark.shards.get(shard)
        return known.applied if known is not None else 0

    def pin(self) -> Pin:
        """Hold every file there is."""
        return Pin(self._pins, self._stated_first)

    @property
    def pins(self) -> int:
        """How many pins are held."""
        return len(self._pins)

    def release(self, number: int) -> None:
        """Give up the files up to `number`: nothing in the store points there any more.

        ValueError where the next start might still have to read them.
        """
        if number >= self.start_segment:
            raise ValueError(f"segment {number} is not before the scan's start in segment {self.start_segment}")
        self._released = max(self._released, number)

    def detach(self) -> list[str]:
        """Return the names of files that may be removed now, oldest first; they cannot be read any more."""
        names = []
        for number in self._segments.numbers():
            if number >= self.first_segment:
                break
            self.freed_bytes += self._segments.length(number)
            names.append(self._segments.detach(number))
        return names

    def remove(self, names: list[str]) -> None:
        """Remove detached files. Blocking, for a thread; one that is left over goes at the next start."""
        for name in names:
            self._disk.remove(name)
        if names:
            self._disk.synchronize_names()

"""Where the log's rounds begin: needed to say, at a flush, from where the next start must scan."""

from __future__ import annotations

from array import array
from typing import NamedTuple

from tallymq.raftlog.payloads import Position


class RoundPlace(NamedTuple):
    """Where a round's first record is, and the crc of the record before it."""

    position: Position
    previous: int


class Rounds:
    """The places of consecutive rounds, from the first that may still be asked for; twenty bytes each."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._segments = array("Q")
        self._offsets = array("Q")
        self._previous = array("I")

    @property
    def next(self) -> int:
        """Number of the round that is added next."""
        return self._first + len(self._segments)

    def add(self, place: RoundPlace) -> None:
        """Add the next round."""
        self._segments.append(place.position.segment)
        self._offsets.append(place.position.offset)
        self._previous.append(place.previous)

    def place(self, round_number: int) -> RoundPlace:
        """Return where a round begins; IndexError if it was forgotten or is not written."""
        at = round_number - self._first
        if not 0 <= at < len(self._segments):
            raise IndexError(f"round {round_number} is not known")
        return RoundPlace(Position(self._segments[at], self._offsets[at]), self._previous[at])

    def forget_before(self, round_number: int) -> None:
        """Forget the rounds before this one."""
        count = min(max(round_number - self._first, 0), len(self._segments))
        del self._segments[:count]
        del self._offsets[:count]
        del self._previous[:count]
        self._first += count

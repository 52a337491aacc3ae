"""The time a leader stamps into entries. Pure: every clock is passed in.

Rule 1: stamped time never goes back, also across leaders.
Rule 2: within a leadership it follows the wall clock, but never strays more than a bound from the elapsed monotonic
time: a clock set an hour ahead expires no lease early, one set an hour back does not keep leases from expiring.
Rule 3: once, at its start, a leadership may go forward to the median clock of a majority: where time had stood still
(nobody led for an hour) it catches up, and one wrong clock cannot move it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

STRAY_MS_MAX = 500
"""How far stamped time may stray from the monotonic clock over a leadership: what clock slewing amounts to."""


def median_ms(clocks_ms: Sequence[int]) -> int:
    """Return the lower median: at least half of the clocks have reached it."""
    return sorted(clocks_ms)[(len(clocks_ms) - 1) // 2]


class Stamps:
    """Stamped time of one shard, in Unix milliseconds; call `lead` whenever a leadership begins.

    `wall_ms`: this node's clock, which may jump. `monotonic_ms`: its clock that never goes back.
    """

    def __init__(self, wall_ms: Callable[[], int], monotonic_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._monotonic_ms = monotonic_ms
        self.lead(0, ())

    def lead(self, stamped_ms: int, clocks_ms: Sequence[int]) -> None:
        """Begin a leadership behind an entry stamped `stamped_ms` (0: none has a stamp).

        `clocks_ms`: wall clocks of a majority with the leader's among them; empty: only the leader's own.
        """
        self.last_ms = max(stamped_ms, median_ms(clocks_ms or (self._wall_ms(),)))
        self._start_ms = self.last_ms
        self._monotonic_start_ms = self._monotonic_ms()

    def next_ms(self) -> int:
        """Return the time of an entry appended now."""
        steady_ms = self._start_ms + max(0, self._monotonic_ms() - self._monotonic_start_ms)
        near_ms = min(max(self._wall_ms(), steady_ms - STRAY_MS_MAX), steady_ms + STRAY_MS_MAX)
        self.last_ms = max(self.last_ms, near_ms)
        return self.last_ms

    def ahead_ms(self, clocks_ms: Sequence[int]) -> int:
        """Return how far stamped time is ahead of the median of these clocks (negative: behind)."""
        return self.last_ms - median_ms(clocks_ms)

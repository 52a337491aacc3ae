"""The service's time, told with its answers and carried on by a steady clock: this machine's own time may be wrong."""

from __future__ import annotations

import time

DIFFERENT_MS = 1_000
"""What is less is the time an answer took."""


class ServiceClock:
    """Unix milliseconds as the service has them; until it has told them, as this machine has them.

    The leader of a shard, which compares deadlines, tells its time when it refuses one; any node tells its own with a
    route. Once a leader had to correct it, what other nodes tell is no longer believed.
    """

    def __init__(self) -> None:
        self._told_ahead_ms: int | None = None
        self._by_leader = False

    @property
    def ahead_ms(self) -> int:
        """How far it is ahead of the steady clock, whose beginning is arbitrary."""
        if self._told_ahead_ms is not None:
            return self._told_ahead_ms
        return time.time_ns() // 1_000_000 - _steady_ms()

    def told(self, time_ms: int, *, by_leader: bool) -> None:
        """The service told its time just now; 0 where its version does not tell it."""
        if time_ms and (by_leader or not self._by_leader):
            self._told_ahead_ms = time_ms - _steady_ms()
            self._by_leader = self._by_leader or by_leader

    def deadline_ms(self, ahead_ms: int, in_s: float) -> int:
        """Return the time in `in_s` seconds, where the clock is ahead by `ahead_ms`."""
        return ahead_ms + _steady_ms() + round(in_s * 1000)

    def differs(self, ahead_ms: int) -> bool:
        """Return whether the clock was set since it was `ahead_ms` ahead."""
        return abs(self.ahead_ms - ahead_ms) > DIFFERENT_MS


def _steady_ms() -> int:
    return time.monotonic_ns() // 1_000_000

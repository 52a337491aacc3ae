"""Says in the log why connections fail: at once when the reason is new, then once a minute; never a flood of lines."""

from __future__ import annotations

import logging
from collections.abc import Callable

LOG = logging.getLogger("tallymq.raftlog.links")

REPEATED_S = 60.0
STRANGERS_MAX = 256
"""Addresses remembered with what they were told."""
STRANGERS_PER_S = 5
"""Lines about strangers: they must not be able to fill the disk."""


class Refusals:
    """Belongs to one node's links. `now_s` is a steady clock."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._members: dict[str, tuple[str, float]] = {}
        self._strangers: dict[tuple[str, str], float] = {}
        self._second = 0
        self._said_in_second = 0

    def member(self, node: str, address: str, reason: str, *, expected: bool) -> None:
        """A dialled node was not reached, or not accepted; `expected`: as when it is merely down."""
        said = self._members.get(node)
        now_s = self._now_s()
        if said is not None and said[0] == reason and now_s - said[1] < REPEATED_S:
            return
        self._members[node] = (reason, now_s)
        level = logging.INFO if expected else logging.WARNING
        LOG.log(level, "no connection with node %s at %s: %s", node, address, reason)

    def well(self, node: str) -> None:
        """A node was accepted: its next trouble is news."""
        self._members.pop(node, None)

    def stranger(self, address: str, reason: str) -> None:
        """A connection that came in ended before it was accepted."""
        now_s = self._now_s()
        key = (address.rpartition(":")[0], reason)
        if now_s - self._strangers.get(key, -REPEATED_S) < REPEATED_S or not self._may_speak(now_s):
            return
        self._strangers.pop(key, None)
        if len(self._strangers) >= STRANGERS_MAX:
            del self._strangers[next(iter(self._strangers))]
        self._strangers[key] = now_s
        LOG.warning("closed a connection with %s before it was accepted: %s", address, reason)

    def _may_speak(self, now_s: float) -> bool:
        if int(now_s) != self._second:
            self._second, self._said_in_second = int(now_s), 0
        self._said_in_second += 1
        return self._said_in_second <= STRANGERS_PER_S

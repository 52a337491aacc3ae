"""Rule: no message of a term leaves before that term, and the vote given in it, are durable.

Only what goes out is held. What comes in is used at once: held answers were how a first trial came to trust an index
that a truncation had taken back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tallymq.raftlog.journal import Journal
from tallymq.raftlog.messages import Message

HELD_MAX = 1024
"""Held messages of one shard; the oldest is dropped for a newer one, as a network might. Windows bound their bytes."""


class Outbox:
    """Messages on their way out, held while the hard state they speak of is not synced."""

    def __init__(self, journal: Journal, pass_on: Callable[[str, Message], None]) -> None:
        self._journal = journal
        self._pass_on = pass_on
        self._held: deque[tuple[str, Message]] = deque(maxlen=HELD_MAX)

    def post(self, peer: str, message: Message) -> None:
        """Send now, or once term and vote are synced."""
        if self._held or not self._journal.hard_state_synced():
            self._held.append((peer, message))
        else:
            self._pass_on(peer, message)

    def release(self) -> None:
        """Send what was held, if what it waited for is synced."""
        while self._held and self._journal.hard_state_synced():
            self._pass_on(*self._held.popleft())

    def forget(self) -> None:
        """Drop what is held: it speaks for a term that is over."""
        self._held.clear()

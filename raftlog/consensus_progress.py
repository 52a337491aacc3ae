"""What a leader knows of one follower, and how much it may send.

Three states. *Probing*: it is not known where the logs agree; only empty messages are sent, one at each heartbeat, so
a conflict costs a round trip and no bytes. *Streaming*: the logs agree up to `proven_index`; entries are sent ahead of
the answers, within a window in bytes. *Waiting for a snapshot*: what it lacks lies at or below the base of the leader's
log; only heartbeats are sent, which refer to nothing but the beginning of all logs. A reset goes back to probing;
answers to anything sent before it are stale, told by their sequence, so that the last of several resets cannot undo
what the first one brought about.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MESSAGES_IN_FLIGHT_MAX = 256


@dataclass(frozen=True, slots=True)
class PeerCopy:
    """What a leader knows of another member's copy: up to where it is durable, and how long nothing was heard, ms."""

    member: str
    synced_index: int
    silent_ms: int
    waits_for_snapshot: bool


class Progress:
    """One follower within one leadership. Times in milliseconds of the node's own clock."""

    def __init__(self, next_index: int, now_ms: int) -> None:
        self.next_index = next_index
        self.proven_index = 0
        self.synced_index = 0
        self.probing = True
        self.sequence = 0
        self.told_index = 0
        self.heard_ms = now_ms
        self.moved_ms = now_ms
        self.clock_ahead_ms: int | None = None
        self.waiting = False
        self.answered_sequence = 0
        self._snapshot_wanted_ms: int | None = None
        self.in_flight_bytes = 0
        self._in_flight: deque[tuple[int, int]] = deque()
        self._valid_sequence = 1

    def may_send(self, window_bytes: int) -> bool:
        """Return whether another message with entries may leave."""
        return (
            not self.probing
            and not self.waiting
            and self.in_flight_bytes < window_bytes
            and len(self._in_flight) < MESSAGES_IN_FLIGHT_MAX
        )

    def next_sequence(self) -> int:
        """Number a message."""
        self.sequence += 1
        return self.sequence

    def sent(self, last_index: int, size_bytes: int, now_ms: int) -> None:
        """Note entries up to `last_index` as on their way."""
        if not self._in_flight:
            self.moved_ms = now_ms
        self._in_flight.append((last_index, size_bytes))
        self.in_flight_bytes += size_bytes
        self.next_index = last_index + 1

    def answered(self, sequence: int, proven_index: int, synced_index: int, now_ms: int) -> None:
        """Take a follower's word for what of the leader's log it has, and has durably."""
        self.synced_index = max(self.synced_index, synced_index)
        if self.probing:
            if sequence < self._valid_sequence:
                return
            self.probing = False
            self.next_index = proven_index + 1
        if proven_index > self.proven_index:
            self.proven_index = proven_index
            self.next_index = max(self.next_index, proven_index + 1)
            self.moved_ms = now_ms
        while self._in_flight and self._in_flight[0][0] <= self.proven_index:
            self.in_flight_bytes -= self._in_flight.popleft()[1]

    def refused(self, sequence: int, reset_index: int) -> bool:
        """Go back to probing at `reset_index`; False if the refusal is of something sent before the last reset."""
        if sequence < self._valid_sequence:
            return False
        self.probe(reset_index)
        return True

    def probe(self, next_index: int) -> None:
        """Forget what is on its way and find anew where the logs agree, from `next_index`.

        Never below what the follower has durably: that cannot be lost. What it merely has, a power cut may take.
        """
        self.probing = True
        self.waiting = False
        self.next_index = max(next_index, self.synced_index + 1)
        self.proven_index = min(self.proven_index, self.next_index - 1)
        self.told_index = 0
        self._valid_sequence = self.sequence + 1
        self._in_flight.clear()
        self.in_flight_bytes = 0

    def certain_index(self, base_index: int) -> int:
        """Return the entry to refer to: the leader's log has it and, unless it is a probe, the follower's too."""
        if self.waiting:
            return 0
        if self.probing:
            # Below the base nothing can be probed: the base is the last chance before a snapshot.
            self.next_index = max(self.next_index, base_index + 1)
            return self.next_index - 1
        return self.proven_index if self.proven_index >= base_index else 0

    def wait_for_snapshot(self, now_ms: int) -> None:
        """Send nothing but heartbeats from now on; a snapshot is wanted at once."""
        self.probe(self.next_index)
        self.waiting = True
        self._snapshot_wanted_ms = now_ms

    def snapshot_failed(self, wanted_ms: int) -> None:
        """Want another snapshot, not before that time."""
        self._snapshot_wanted_ms = wanted_ms

    def takes_snapshot(self, now_ms: int) -> bool:
        """Return, once, that a snapshot is wanted by now."""
        if not self.waiting or self._snapshot_wanted_ms is None or now_ms < self._snapshot_wanted_ms:
            return False
        self._snapshot_wanted_ms = None
        return True

    def is_stuck(self, now_ms: int, patience_ms: int) -> bool:
        """Return whether what is on its way has gone unanswered for longer than messages take."""
        return bool(self._in_flight) and now_ms - self.moved_ms > patience_ms

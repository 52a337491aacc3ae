"""The sending end of snapshots of one shard: from a leader to followers that need what its log no longer has.

Rule 1: the loop is never held: one call reads and sends one message, the work of a few milliseconds.
Rule 2: what is on its way unanswered fits a window; what is sent a second fits the node's rate; one follower at a time.
Rule 3: a link that breaks costs what was on its way: the offer is made again and the follower says what it has. Who is
silent for too long is given up, so that no reader of the store stays open for it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tallymq.raftlog.snapshot_messages import (
    Ack,
    Ending,
    Envelope,
    Installed,
    Offer,
    Pieces,
    Refused,
    SnapshotMessage,
    Want,
)
from tallymq.raftlog.snapshot_receiver import size_bytes
from tallymq.raftlog.snapshot_settings import NEVER_MS, Parts, Rate, Slots, SnapshotSettings
from tallymq.raftlog.snapshot_source import Source

NOT_SENT_RETRY_MS = 20
PEERS_MAX = 16


@dataclass(slots=True)
class _Sending:
    """One follower's snapshot on its way."""

    peer: str
    source: Source
    base_term: int
    attempt: int
    heard_ms: int
    offered_ms: int = 0
    streaming: bool = False
    ended: bool = False
    number: int = 0
    unsent: Pieces | Ending | None = None
    in_flight: deque[tuple[int, int]] = field(default_factory=deque)
    in_flight_bytes: int = 0


class Sender:
    """One shard's sending end. Driven by messages and ticks."""

    def __init__(self, parts: Parts, settings: SnapshotSettings, rate: Rate, slots: Slots) -> None:
        self._parts = parts
        self._settings = settings
        self._rate = rate
        self._slots = slots
        self._behind: deque[str] = deque()
        self._sending: _Sending | None = None
        self._term = 0
        self._attempts = 0
        self._ticked_ms = 0
        self.sent_bytes = 0
        self.damaged_bodies = 0

    # What happens

    def behind(self, peer: str) -> None:
        """A follower needs what the log has no more; called by the leader's consensus."""
        if peer not in self._behind and len(self._behind) < PEERS_MAX and not self._is_sending_to(peer):
            self._behind.append(peer)

    def take(self, peer: str, envelope: Envelope) -> None:
        """Take a follower's word about the snapshot it is sent."""
        sending, message = self._sending, envelope.message
        if sending is None or sending.peer != peer or envelope.term != self._parts.place.term:
            return
        if getattr(message, "attempt", 0) != sending.attempt or not self._is_leading():
            return
        sending.heard_ms = self._parts.now_ms()
        if isinstance(message, Want):
            self._stream(sending, message)
        elif isinstance(message, Ack):
            _answered(sending, message.number)
        elif isinstance(message, Installed):
            self._end(message.index)
        elif isinstance(message, Refused):
            self._end(0)

    def connected(self, peer: str) -> None:
        """What was on its way to this follower may be lost: offer again, at once."""
        if self._is_sending_to(peer) and self._sending is not None:
            self._offer(self._sending)

    def floor(self) -> int:
        """The entry after which the leader's log must keep everything for whom it sends to; 0: nobody."""
        return self._sending.source.index if self._sending is not None else 0

    def stop(self) -> None:
        """Send nothing more; called also where leadership is lost."""
        self._behind.clear()
        self._release()

    # What is due

    def tick(self) -> None:
        """Do the next slice."""
        self._ticked_ms = self._parts.now_ms()
        if not self._is_leading():
            self.stop()
            return
        if self._sending is None:
            self._begin()
        sending = self._sending
        if sending is None:
            return
        now_ms = self._parts.now_ms()
        if now_ms - sending.heard_ms >= self._settings.patience_ms:
            self._end(0)
        elif self._is_unanswered(sending, now_ms):
            self._offer(sending)
        elif self._may_send(sending, now_ms):
            self._send_next(sending, now_ms)

    @property
    def next_deadline_ms(self) -> int:
        """When `tick` has something to do at the latest."""
        now_ms, sending = self._parts.now_ms(), self._sending
        if sending is None:
            # There may be no slot, or a stalled store.
            return self._ticked_ms + NOT_SENT_RETRY_MS if self._behind else NEVER_MS
        if sending.unsent is not None:
            return self._ticked_ms + NOT_SENT_RETRY_MS
        if sending.streaming and not sending.ended and self._has_window(sending):
            return now_ms + self._rate.wait_ms(now_ms)
        return max(sending.heard_ms, sending.offered_ms) + self._settings.retry_ms

    # Inside

    def _is_leading(self) -> bool:
        place = self._parts.place
        if place.is_leader and self._term != place.term:
            # A later leadership of this node: what was begun in an earlier one is void.
            self._release()
            self._term = place.term
        return place.is_leader

    def _is_sending_to(self, peer: str) -> bool:
        return self._sending is not None and self._sending.peer == peer

    def _begin(self) -> None:
        """Take the next follower, a slot, and a reader of the store as it is now."""
        parts = self._parts
        # What lies on top of a stalled store would be missing.
        if not self._behind or not parts.replica.flush_writes() or not self._slots.take():
            return
        peer = self._behind.popleft()
        reader = parts.store.snapshot()
        source = Source(reader, parts.log, parts.shard, parts.replica.generation)
        base_term = parts.log.term_at(parts.shard, source.index)
        if source.index == 0 or base_term is None:
            source.close()
            self._slots.give_back()
            parts.place.snapshot_done(peer, 0)
            return
        self._sending = _Sending(peer, source, base_term, 0, parts.now_ms())
        self._offer(self._sending)

    def _offer(self, sending: _Sending) -> None:
        self._attempts += 1
        sending.attempt = self._attempts
        sending.offered_ms = self._parts.now_ms()
        sending.streaming = False
        _forget_flight(sending)
        source = sending.source
        configuration = self._parts.configuration(source.index)
        self._say(
            sending, Offer(sending.attempt, source.index, sending.base_term, configuration, source.stamped_ms), True
        )

    def _stream(self, sending: _Sending, want: Want) -> None:
        sending.source.seek(want.bodies_after, want.pairs_after)
        sending.streaming, sending.ended, sending.number = True, False, 0
        _forget_flight(sending)

    def _is_unanswered(self, sending: _Sending, now_ms: int) -> bool:
        waits = not sending.streaming or bool(sending.in_flight)
        return waits and now_ms - max(sending.heard_ms, sending.offered_ms) >= self._settings.retry_ms

    def _has_window(self, sending: _Sending) -> bool:
        return sending.in_flight_bytes < self._settings.window_bytes

    def _may_send(self, sending: _Sending, now_ms: int) -> bool:
        if not sending.streaming or (sending.ended and sending.unsent is None):
            return False
        return self._has_window(sending) and self._rate.wait_ms(now_ms) == 0

    def _send_next(self, sending: _Sending, now_ms: int) -> None:
        message = sending.unsent or self._next(sending)
        if message is None:
            # A slice was read that the follower has already.
            self._rate.spend(self._settings.message_bytes, now_ms)
            return
        sending.ended = isinstance(message, Ending)
        if not self._say(sending, message, urgent=False):
            sending.unsent = message
            return
        sending.unsent = None
        size = size_bytes(message)
        self._rate.spend(size, now_ms)
        self.sent_bytes += size
        sending.in_flight.append((message.number, size))
        sending.in_flight_bytes += size

    def _next(self, sending: _Sending) -> Pieces | Ending | None:
        source, size = sending.source, self._settings.message_bytes
        number = sending.number + 1
        bodies = source.bodies(size)
        pairs = () if bodies else source.pairs(size)
        if bodies or pairs:
            sending.number = number
            return Pieces(sending.attempt, number, bodies, pairs)
        if not source.is_done:
            return None
        sending.number = number
        return Ending(sending.attempt, number, source.digest.pairs, source.digest.value())

    def _end(self, index: int) -> None:
        sending = self._sending
        if sending is None:
            return
        last = self._parts.log.shard_state(self._parts.shard).last_index
        self._release()
        self._parts.place.snapshot_done(sending.peer, min(index, last))

    def _release(self) -> None:
        if self._sending is not None:
            self.damaged_bodies += self._sending.source.damaged_bodies
            self._sending.source.close()
            self._sending = None
            self._slots.give_back()

    def _say(self, sending: _Sending, message: SnapshotMessage, urgent: bool) -> bool:
        parts = self._parts
        envelope = Envelope(parts.shard, parts.member(), sending.peer, parts.place.term, message)
        return parts.send(sending.peer, envelope, urgent)


def _answered(sending: _Sending, number: int) -> None:
    while sending.in_flight and sending.in_flight[0][0] <= number:
        sending.in_flight_bytes -= sending.in_flight.popleft()[1]


def _forget_flight(sending: _Sending) -> None:
    sending.in_flight.clear()
    sending.in_flight_bytes = 0
    sending.unsent = None

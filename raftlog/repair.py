"""Damaged bodies: what a node cannot read of its own log it asks of the others, one after the other.

Rule 1: only bytes of entries that are applied here: what Raft still has to agree on is not repaired by asking.
Rule 2: what comes is believed if it has the checksum that the state states, and covers exactly what was damaged.
Rule 3: a repair is a body copy: synced first, then the store is told where the bytes are now. No vote depends on it.
Rule 4: few at a time, each node asked once until someone wants to read the body again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import google_crc32c

from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.keys import location_key
from tallymq.raftlog.locations import Location, decode_location
from tallymq.raftlog.log_bodies import BodyCopy
from tallymq.raftlog.snapshot_messages import BodyFound, BodyWanted, Envelope, SnapshotMessage
from tallymq.raftlog.snapshot_settings import NEVER_MS, Parts, Rate, SnapshotSettings
from tallymq.txn.types import Reference

WANTED_MAX = 256
READ_BYTES = 1 << 20
UNSYNCED_RETRY_MS = 20


@dataclass(slots=True)
class _Repairing:
    """A body that is asked for."""

    reference: Reference
    to_ask: deque[str]
    asked: str = ""
    asked_ms: int = 0
    copies: list[BodyCopy] = field(default_factory=list)


class Repair:
    """One shard's damaged bodies. Driven by messages, ticks and syncs."""

    def __init__(self, parts: Parts, settings: SnapshotSettings, rate: Rate) -> None:
        self._parts = parts
        self._settings = settings
        self._rate = rate
        self._wanted: dict[int, _Repairing] = {}
        self._ticked_ms = 0
        self.repaired_count = 0
        self.unrepaired_count = 0

    def damaged(self, reference: Reference) -> None:
        """Somebody wanted to read these bytes, and they are not what was stored."""
        applied = self._parts.replica.applied_index
        known = reference.index in self._wanted
        if known or len(self._wanted) >= WANTED_MAX or reference.index > applied:
            return
        self._wanted[reference.index] = _Repairing(reference, deque(self._parts.peers()))
        self._ask_next(self._wanted[reference.index])

    def take(self, peer: str, envelope: Envelope) -> None:
        """Take a question, or an answer."""
        message = envelope.message
        if isinstance(message, BodyWanted):
            self._answer(peer, envelope.term, message.index)
        elif isinstance(message, BodyFound):
            self._take_body(peer, message)

    def tick(self) -> None:
        """Ask the next node where one did not answer."""
        self._ticked_ms = now_ms = self._parts.now_ms()
        for repairing in list(self._wanted.values()):
            if not repairing.copies and now_ms - repairing.asked_ms >= self._settings.retry_ms:
                self._ask_next(repairing)
        self.synced()

    def synced(self) -> None:
        """Tell the store of the copies that are durable."""
        for index, repairing in list(self._wanted.items()):
            if repairing.copies and all(copy.round <= self._parts.log.round_synced for copy in repairing.copies):
                if not self._parts.store.write([copy.pair() for copy in repairing.copies]):
                    return
                self._parts.log.repaired(self._parts.shard, index)
                # The damaged record may lie where the next start would scan; after a flush it does not.
                self._parts.flushes.request()
                self.repaired_count += 1
                del self._wanted[index]

    @property
    def next_deadline_ms(self) -> int:
        """When `tick` has something to do at the latest."""
        if not self._wanted:
            return NEVER_MS
        if any(repairing.copies for repairing in self._wanted.values()):
            return self._ticked_ms + UNSYNCED_RETRY_MS
        return min(repairing.asked_ms for repairing in self._wanted.values()) + self._settings.retry_ms

    # Asking

    def _ask_next(self, repairing: _Repairing) -> None:
        index = repairing.reference.index
        if not repairing.to_ask:
            # Whoever wants to read it again starts anew.
            self.unrepaired_count += 1
            del self._wanted[index]
            return
        repairing.asked = repairing.to_ask.popleft()
        repairing.asked_ms = self._parts.now_ms()
        self._say(repairing.asked, BodyWanted(index), urgent=True)

    def _take_body(self, peer: str, found: BodyFound) -> None:
        repairing = self._wanted.get(found.index)
        if repairing is None or repairing.copies or repairing.asked != peer:
            return
        body = self._fitting(repairing.reference, found) if found.found else None
        if body is None:
            self._ask_next(repairing)
            return
        start, data = body
        copy = self._parts.log.append_body_copy(self._parts.shard, found.index, found.entry_term, start, data)
        repairing.copies.append(copy)

    def _fitting(self, reference: Reference, found: BodyFound) -> tuple[int, bytes] | None:
        """Return the part that takes the place of what is damaged; None if what came does not cover it or is wrong."""
        begin = reference.start - found.start
        batch = found.data[begin : begin + reference.length] if begin >= 0 else b""
        if len(batch) != reference.length or google_crc32c.value(batch) != reference.crc32c:
            return None
        own = self._location(reference.index)
        if own is None:
            return found.start, found.data
        # Raft may still read the entry from here: it must be all that was there.
        cut = own.start - found.start
        data = found.data[cut : cut + own.length] if cut >= 0 else b""
        return (own.start, data) if len(data) == own.length and own.term == found.entry_term else None

    def _location(self, index: int) -> Location | None:
        value = self._parts.store.get(location_key(self._parts.shard, index))
        return None if value is None else decode_location(value)

    # Answering

    def _answer(self, peer: str, term: int, index: int) -> None:
        now_ms = self._parts.now_ms()
        if self._rate.wait_ms(now_ms) > self._settings.retry_ms:
            # It will ask somebody else, or again.
            return
        try:
            body = self._parts.log.open_body(self._parts.shard, index)
            data = bytearray()
            while not body.is_done:
                data += body.read(READ_BYTES)
            answer = BodyFound(index, body.term, body.start, bytes(data), found=len(data) > 0)
        except (BodyDamaged, LookupError, ValueError):
            answer = BodyFound(index)
        self._rate.spend(len(answer.data), now_ms)
        self._say(peer, answer, urgent=False)

    def _say(self, peer: str, message: SnapshotMessage, *, urgent: bool) -> None:
        parts = self._parts
        parts.send(peer, Envelope(parts.shard, parts.member(), peer, parts.place.term, message), urgent)

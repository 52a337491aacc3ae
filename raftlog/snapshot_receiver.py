"""The receiving end of a snapshot: collects it beside the state in use, checks it, and switches by one synced record.

Rule 1: until the base is durable the old state is the state; from then on the new one is. There is no time between.
Rule 2: nothing is acknowledged to the sender that a crash would leave half done: bodies are synced before the store
refers to them, and the record of how far it came is written with what came.
Rule 3: a snapshot not above what is applied here is not needed; term and vote are never touched by one.
Rule 4: what comes is believed only as far as it was checked: order, bounds, checksums, and at the end the digest of
what the store gives back.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

import msgspec

from tallymq.raftlog.keys import applied_key, encode_applied, stage_key, state_key
from tallymq.raftlog.log_bodies import BodyCopy
from tallymq.raftlog.payloads import Base
from tallymq.raftlog.snapshot_bodies import Assembly, VoidSnapshot
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
from tallymq.raftlog.snapshot_settings import NEVER_MS, Parts, SnapshotSettings
from tallymq.raftlog.snapshot_source import PAIRS_MAX, PAIRS_READ, Digest, SnapshotView
from tallymq.raftlog.snapshot_stage import Stage, encode_stage, load_stage, sweep
from tallymq.raftlog.state_format import STATE_FORMAT
from tallymq.raftlog.store import Pair

STALLED_RETRY_MS = 20
WAITING_MAX = 64
"""Messages that came and wait for the disk or the store; the sender's window allows fewer."""


class Phase(Enum):
    """What a receiver does."""

    IDLE = "idle"
    COLLECTING = "collecting"
    CHECKING = "checking"
    FLUSHING = "flushing"
    SWITCHING = "switching"


class _Synced(msgspec.Struct, frozen=True):
    """Bodies on their way to the disk: once `round` is synced, the store may refer to them."""

    round: int
    number: int
    copies: tuple[BodyCopy, ...]
    bodies_after: int

    @property
    def size_bytes(self) -> int:
        """Of the bodies."""
        return sum(copy.length for copy in self.copies)


def size_bytes(message: Pieces | Ending) -> int:
    """Return the raw bytes of a message."""
    if isinstance(message, Ending):
        return 0
    bodies = sum(len(body.data) for body in message.bodies)
    return bodies + sum(len(key) + len(value) for key, value in message.pairs)


class Receiver:
    """One shard's receiving end. Driven by messages, ticks and syncs."""

    def __init__(self, parts: Parts, settings: SnapshotSettings) -> None:
        self._parts = parts
        self._settings = settings
        self.phase = Phase.IDLE
        self.stage = load_stage(parts.store, parts.shard, parts.replica.generation, parts.replica.applied_index)
        self.installed_count = 0
        self._swept = False
        self._from = ("", 0, 0)
        self._expected = 0
        self._stored = 0
        self._waiting: deque[Pieces | Ending] = deque()
        self._unsynced: deque[_Synced] = deque()
        self._assembly = Assembly()
        self._ending: Ending | None = None
        self._digest = Digest()
        self._ticket = 0
        self._round = 0
        self._said_ms = 0
        self._ticked_ms = 0

    # What comes in

    def take(self, peer: str, envelope: Envelope) -> None:
        """Take a leader's word."""
        message = envelope.message
        if isinstance(message, Offer):
            self._take_offer(peer, envelope.term, message)
        elif isinstance(message, Pieces | Ending):
            self._take_part(peer, envelope.term, message)

    def _take_offer(self, peer: str, term: int, offer: Offer) -> None:
        parts = self._parts
        if self.phase is Phase.SWITCHING or not parts.place.heard_leader(peer, term):
            return
        self._from = (peer, term, offer.attempt)
        if self.phase in (Phase.CHECKING, Phase.FLUSHING):
            # Nearly there. Whoever leads now hears of it.
            return
        if offer.state_format != STATE_FORMAT:
            self._say(Refused(offer.attempt))
            return
        if offer.index <= parts.replica.applied_index:
            self._drop_stage()
            self._say(Installed(offer.attempt, parts.replica.applied_index))
            return
        if not self._begin(offer):
            # Stalled: the offer is made again.
            return
        stage = self.stage
        assert stage is not None
        self._say(Want(offer.attempt, stage.bodies_after, stage.pairs_after))

    def _begin(self, offer: Offer) -> bool:
        """Go on with what is there of this snapshot, or begin it; False: the store is stalled."""
        stage, parts = self.stage, self._parts
        if stage is None or (stage.index, stage.term) != (offer.index, offer.base_term):
            applied = parts.replica.applied_index
            # Bodies never change, and what a later state needs of them an earlier one needed too.
            had = stage.bodies_after if stage is not None and stage.index <= offer.index else 0
            generation = parts.replica.generation + 1
            begun = Stage(
                offer.index,
                offer.base_term,
                generation,
                max(had, applied),
                offer.stamped_ms,
                offer.configuration,
            )
            self.phase, self.stage = Phase.IDLE, None
            if not self._make_way(begun, keep_bodies=had > 0):
                return False
            self.stage = begun
        self._reset()
        self.phase = Phase.COLLECTING
        self._expected = 1
        return True

    def _make_way(self, begun: Stage, *, keep_bodies: bool) -> bool:
        """Sweep what an earlier stage left, then write the record of the one that begins."""
        parts, replica = self._parts, self._parts.replica
        self._swept = sweep(
            parts.store, parts.shard, replica.generation, replica.applied_index, keep_bodies=keep_bodies
        )
        return self._swept and parts.store.write([(stage_key(parts.shard), encode_stage(begun))])

    def _reset(self) -> None:
        """Forget what came and is not stored."""
        self._waiting.clear()
        self._unsynced.clear()
        self._ending = None
        self._digest = Digest()
        self._expected = self._stored = 0
        self._assembly = Assembly(self.stage.bodies_after if self.stage is not None else 0)

    def _take_part(self, peer: str, term: int, message: Pieces | Ending) -> None:
        if self.phase is not Phase.COLLECTING or (peer, term, message.attempt) != self._from:
            return
        if message.number != self._expected or not self._has_room():
            # Something before it was lost: the sender hears nothing, and offers again.
            return
        if not self._parts.place.heard_leader(peer, term):
            return
        self._expected += 1
        self._waiting.append(message)
        self._advance()

    def _has_room(self) -> bool:
        """Whether what waits for disk and store is no more than a sender's window, or what a hostile one gets."""
        held = sum(size_bytes(message) for message in self._waiting) + sum(item.size_bytes for item in self._unsynced)
        return len(self._waiting) < WAITING_MAX and held <= 2 * self._settings.window_bytes

    # What is made of it

    def tick(self) -> None:
        """Do the next slice of what there is to do."""
        self._ticked_ms = self._parts.now_ms()
        if not self._swept and self.phase is Phase.IDLE:
            replica = self._parts.replica
            self._swept = sweep(
                self._parts.store, self._parts.shard, replica.generation, replica.applied_index, self.stage
            )
        if self.phase in (Phase.IDLE, Phase.COLLECTING) and self._is_overtaken():
            self._drop_stage()
        if self.phase is Phase.COLLECTING:
            self.synced()
        elif self.phase is Phase.CHECKING:
            self._check()
        elif self.phase is Phase.FLUSHING and self._parts.flushes.done(self._ticket):
            self._switch()
        if self.phase in (Phase.CHECKING, Phase.FLUSHING):
            self._keep_talking()

    @property
    def next_deadline_ms(self) -> int:
        """When `tick` has something to do at the latest."""
        if self.phase is Phase.CHECKING:
            return self._ticked_ms
        if not self._swept or self.phase is Phase.FLUSHING or self._waiting or self._has_synced():
            return self._ticked_ms + STALLED_RETRY_MS
        return self._ticked_ms + self._settings.retry_ms if self.stage is not None else NEVER_MS

    def _is_overtaken(self) -> bool:
        """Whether this node came as far without the snapshot."""
        return self.stage is not None and self.stage.index <= self._parts.replica.applied_index

    @property
    def is_busy(self) -> bool:
        """Whether a snapshot is coming in."""
        return self.phase is not Phase.IDLE

    def synced(self) -> None:
        """Make use of what has become durable."""
        if self.phase is Phase.SWITCHING:
            if self._parts.log.round_synced >= self._round:
                self._switched()
            return
        while self._has_synced():
            done = self._unsynced[0]
            applied = self._parts.replica.applied_index
            pairs: list[Pair] = [copy.pair() for copy in done.copies if copy.index > applied]
            if not self._store(pairs, bodies_after=done.bodies_after):
                return
            self._unsynced.popleft()
            self._acknowledge(done.number)
        if self.phase is Phase.COLLECTING:
            self._advance()

    def _has_synced(self) -> bool:
        return bool(self._unsynced) and self._unsynced[0].round <= self._parts.log.round_synced

    def _advance(self) -> None:
        """Take what waits, in order, as far as disk and store allow."""
        try:
            while self._waiting and self._take_next(self._waiting[0]):
                self._waiting.popleft()
        except VoidSnapshot:
            self._void()

    def _take_next(self, message: Pieces | Ending) -> bool:
        """Take one message; False: not yet."""
        if isinstance(message, Pieces) and message.bodies:
            self._take_bodies(message)
            return True
        if self._unsynced:
            return False
        if self._assembly.is_open:
            raise VoidSnapshot
        if isinstance(message, Ending):
            self._ending = message
            self.phase = Phase.CHECKING
            return True
        return self._take_pairs(message)

    def _take_bodies(self, message: Pieces) -> None:
        stage = self.stage
        assert stage is not None
        if stage.pairs_after:
            raise VoidSnapshot
        log, copies = self._parts.log, []
        for piece in message.bodies:
            body = self._assembly.take(piece, stage)
            if body is not None:
                copies.append(log.append_body_copy(self._parts.shard, piece.index, piece.term, piece.start, body))
        # Whatever came before is synced no later than this.
        round_number = log.round_open if copies else (self._unsynced[-1].round if self._unsynced else 0)
        self._unsynced.append(_Synced(round_number, message.number, tuple(copies), self._assembly.last_index))

    def _take_pairs(self, message: Pieces) -> bool:
        stage = self.stage
        assert stage is not None
        if message.pairs[0][0] <= stage.pairs_after:
            raise VoidSnapshot
        shard = self._parts.shard
        pairs: list[Pair] = [(state_key(shard, stage.generation, key), value) for key, value in message.pairs]
        if not self._store(pairs, bodies_after=stage.index, pairs_after=message.pairs[-1][0]):
            return False
        self._acknowledge(message.number)
        return True

    def _store(self, pairs: list[Pair], **changes: object) -> bool:
        """Write pairs and how far that brings the stage, as one."""
        stage = self.stage
        assert stage is not None
        further = msgspec.structs.replace(stage, **changes)
        if not self._parts.store.write([*pairs, (stage_key(self._parts.shard), encode_stage(further))]):
            return False
        self.stage = further
        return True

    # The end

    def _check(self) -> None:
        """Read a slice of what was stored; at the end it must be what was sent."""
        stage, ending = self.stage, self._ending
        assert stage is not None
        assert ending is not None
        view = SnapshotView(self._parts.store, self._parts.shard, stage.generation)
        for _ in range(PAIRS_MAX // PAIRS_READ):
            found = view.after(self._digest.last_key, PAIRS_READ)
            for key, value in found:
                self._digest.add(key, value)
            if len(found) < PAIRS_READ:
                break
        else:
            return
        if (self._digest.pairs, self._digest.value()) != (ending.pairs, ending.digest):
            self._void()
            return
        applied = (applied_key(self._parts.shard, stage.generation), encode_applied(stage.index, stage.stamped_ms))
        if self._parts.store.write([applied]):
            self._ticket = self._parts.flushes.request()
            self.phase = Phase.FLUSHING

    def _switch(self) -> None:
        """Everything is on the disk: append the base that makes it the state."""
        parts, stage = self._parts, self.stage
        assert stage is not None
        if self._is_overtaken():
            self._drop_stage()
            self._say(Installed(self._from[2], parts.replica.applied_index))
            return
        if not parts.replica.flush_writes() or not parts.place.may_restore(stage.index):
            return
        self._round = parts.log.round_open
        parts.log.append_base(parts.shard, Base(stage.index, stage.term, stage.generation, stage.configuration))
        self.phase = Phase.SWITCHING

    def _switched(self) -> None:
        """The base is durable: from here on the new state is the state."""
        parts, stage = self._parts, self.stage
        assert stage is not None
        parts.replica.switch(stage.generation)
        self.phase, self.stage, self._swept = Phase.IDLE, None, False
        self._reset()
        self.installed_count += 1
        parts.place.restored(stage.index)
        parts.installed()
        self._say(Installed(self._from[2], stage.index))

    def _void(self) -> None:
        """What came is not what it should be: keep nothing of it, not even what was stored before."""
        self._drop_stage()
        self._say(Refused(self._from[2]))

    def _drop_stage(self) -> None:
        if self.stage is not None or self.phase is not Phase.IDLE:
            self.phase, self.stage, self._swept = Phase.IDLE, None, False
            self._reset()

    # What goes out

    def _acknowledge(self, number: int) -> None:
        self._stored = number
        self._say(Ack(self._from[2], number))

    def _keep_talking(self) -> None:
        """The sender should know that there is work going on."""
        if self._parts.now_ms() - self._said_ms >= self._settings.retry_ms // 2:
            self._say(Ack(self._from[2], self._stored))

    def _say(self, message: SnapshotMessage) -> None:
        peer, term, _ = self._from
        self._said_ms = self._parts.now_ms()
        envelope = Envelope(self._parts.shard, self._parts.member(), peer, term, message)
        self._parts.send(peer, envelope, True)

"""Snapshots of one shard: how a follower behind the leader's log, a new or a wiped one, gets the state and its bodies.

Nothing here knows a clock, a thread or a socket. It is driven like everything else in this room: `received`, `tick` at
`next_deadline_ms`, `synced` after the log's `note_synced`. The ideas, a file each:
- `snapshot_source`    what is sent, read from one consistent view of the store;
- `snapshot_sender`    one follower at a time, within a window and a rate;
- `snapshot_receiver`  collected beside the state in use, checked, switched by one synced record;
- `snapshot_stage`     how far it came, and what is swept away;
- `repair`             a single damaged body, asked of the others;
- `snapshot_codec`     the bytes.
docs/decisions/0009-snapshots.md tells why each step stands a crash.
"""

from __future__ import annotations

from tallymq.raftlog.repair import Repair
from tallymq.raftlog.snapshot_messages import BodyFound, BodyWanted, Ending, Envelope, Offer, Pieces
from tallymq.raftlog.snapshot_receiver import Phase, Receiver
from tallymq.raftlog.snapshot_sender import Sender
from tallymq.raftlog.snapshot_settings import NEVER_MS, Parts, Rate, Slots, SnapshotSettings
from tallymq.txn.types import Reference

__all__ = ["Parts", "Rate", "Slots", "SnapshotSettings", "Snapshots"]


class Snapshots:
    """Both ends of one shard on one node. `rate` and `slots` are shared by all shards of the node."""

    def __init__(self, parts: Parts, settings: SnapshotSettings, rate: Rate, slots: Slots) -> None:
        self._member = parts.member
        self._shard = parts.shard
        self.sender = Sender(parts, settings, rate, slots)
        self.receiver = Receiver(parts, settings)
        self.repair = Repair(parts, settings, rate)

    def behind(self, peer: str) -> None:
        """A follower needs a snapshot; called where this node leads."""
        self.sender.behind(peer)

    def received(self, peer: str, envelope: Envelope) -> None:
        """Take a word of a peer; what is said to or by another member, or about another shard, is dropped."""
        if (envelope.shard, envelope.from_member, envelope.to_member) != (self._shard, peer, self._member()):
            return
        if isinstance(envelope.message, Offer | Pieces | Ending):
            self.receiver.take(peer, envelope)
        elif isinstance(envelope.message, BodyWanted | BodyFound):
            self.repair.take(peer, envelope)
        else:
            self.sender.take(peer, envelope)

    def connected(self, peer: str) -> None:
        """A link came up: what was on its way over it may be lost."""
        self.sender.connected(peer)

    def tick(self) -> None:
        """Do what is due: one slice at most of each end."""
        self.sender.tick()
        self.receiver.tick()
        self.repair.tick()

    def synced(self) -> None:
        """Call after the log's `note_synced`, before the shard's consensus is told."""
        self.receiver.synced()
        self.repair.synced()

    def damaged(self, reference: Reference) -> None:
        """Somebody read these bytes, and they are not what was stored: have them repaired."""
        self.repair.damaged(reference)

    @property
    def waits_for_sync(self) -> bool:
        """Whether `synced` may have something to do."""
        return self.receiver.is_busy or self.repair.next_deadline_ms < NEVER_MS

    @property
    def next_deadline_ms(self) -> int:
        """When `tick` has something to do at the latest."""
        return min(self.sender.next_deadline_ms, self.receiver.next_deadline_ms, self.repair.next_deadline_ms)

    @property
    def is_switching(self) -> bool:
        """Whether the shard's base is on its way to the disk: its consensus is suspended until it is there."""
        return self.receiver.phase is Phase.SWITCHING

    def stop(self) -> None:
        """Close readers of the store."""
        self.sender.stop()

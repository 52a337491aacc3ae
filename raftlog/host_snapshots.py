"""Snapshots of all shards of a node: gives them the loop's time, the links, and the flushes of the store.

Rule 1: one slice at a time, a few milliseconds; then the loop is everybody else's for at least as long.
Rule 2: what fails here is the store or the log, and so the node's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from tallymq.raftlog.codec import DecodeError
from tallymq.raftlog.framing import KIND_SNAPSHOT, Bytes, Frame
from tallymq.raftlog.host_opening import Opened
from tallymq.raftlog.host_shards import Shard, now_ms
from tallymq.raftlog.membership import node_of
from tallymq.raftlog.settings import HostSettings
from tallymq.raftlog.snapshot import Parts, Rate, Slots, Snapshots, SnapshotSettings
from tallymq.raftlog.snapshot_codec import decode_snapshot, encode_snapshot
from tallymq.raftlog.snapshot_messages import Envelope
from tallymq.raftlog.snapshot_settings import Flushes
from tallymq.txn.types import Effect, MetadataChanged, Reference

LOG = logging.getLogger(__name__)

PAUSE_S_MAX = 0.005
IDLE_S_MAX = 60.0


class SnapshotHost(Protocol):
    """What the snapshots need of their node."""

    def wake(self) -> None:
        """There may be something for the next round."""

    def fail(self, reason: str) -> None:
        """The node cannot go on."""

    def notices(self, shard: int, effects: Sequence[Effect]) -> None:
        """The state of a shard is another one."""


class Carrier(Protocol):
    """The links, as far as snapshots use them."""

    def send(self, peer: str, shard: int, payload: Sequence[Bytes], urgent: bool, kind: int) -> bool:
        """Send a frame; False if it was dropped."""


class HostSnapshots:
    """Drives the snapshots of all shards. Everything runs on the loop."""

    def __init__(
        self,
        settings: HostSettings,
        opened: Opened,
        shards: Sequence[Shard],
        links: Carrier,
        flushes: Flushes,
        host: SnapshotHost,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._links = links
        self._host = host
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        wanted = SnapshotSettings(bytes_per_s=settings.snapshot_bytes_per_second)
        rate, slots = Rate(wanted.bytes_per_s, now_ms()), Slots(wanted.sends_max)
        self.shards = {
            shard.handle.number: Snapshots(self._parts(opened, shard, flushes), wanted, rate, slots) for shard in shards
        }
        for shard in shards:
            shard.handle.on_damaged = partial(self._damaged, shard.handle.number)

    def _parts(self, opened: Opened, shard: Shard, flushes: Flushes) -> Parts:
        number = shard.handle.number
        return Parts(
            shard=number,
            member=lambda: shard.consensus.member,
            store=opened.store,
            log=opened.log,
            replica=shard.replica,
            place=shard.consensus,
            flushes=flushes,
            configuration=shard.consensus.configuration_at,
            send=self._send,
            now_ms=now_ms,
            installed=partial(self._installed, number),
            peers=lambda: sorted(shard.consensus.configuration.names - {shard.consensus.member}),
        )

    @property
    def installed(self) -> int:
        """How many snapshots were installed here since the start."""
        return sum(shard.receiver.installed_count for shard in self.shards.values())

    def floor(self, shard: int) -> int:
        """After which entry the log must keep everything for whom this node sends a snapshot to; 0: nobody."""
        return self.shards[shard].sender.floor()

    @property
    def repaired_bodies(self) -> int:
        """How many damaged bodies were repaired since the start."""
        return sum(shard.repair.repaired_count for shard in self.shards.values())

    @property
    def sent_bytes(self) -> int:
        """How many bytes of snapshots were sent since the start."""
        return sum(shard.sender.sent_bytes for shard in self.shards.values())

    def start(self) -> None:
        """Look after what an earlier process left."""
        self._look()

    def stop(self) -> None:
        """Do nothing more; readers of the store are closed."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        for shard in self.shards.values():
            shard.stop()

    # What happens

    def behind(self, shard: int, peer: str) -> None:
        """A follower needs what the log of this leader has no more."""
        LOG.info("node %s needs a snapshot of shard %d", peer, shard)
        self._do(partial(self.shards[shard].behind, peer))

    def connected(self, peer: str) -> None:
        """A peer can be reached."""
        for shard in self.shards.values():
            self._do(partial(shard.connected, peer))

    def received(self, peer: str, frame: Frame) -> None:
        """Take a frame of a peer. Raises DecodeError: the link should be closed."""
        envelope = decode_snapshot(frame.payload)
        if envelope.shard != frame.shard or envelope.shard not in self.shards:
            raise DecodeError(f"a snapshot of shard {envelope.shard} in a frame for shard {frame.shard}")
        # A node speaks for the member that lives on it, and for no other.
        member = envelope.from_member if node_of(envelope.from_member) == peer else peer
        self._do(partial(self.shards[envelope.shard].received, member, envelope))

    def _damaged(self, shard: int, reference: Reference) -> None:
        LOG.warning("entry %d of shard %d is damaged here; the other nodes are asked for it", reference.index, shard)
        self._do(partial(self.shards[shard].damaged, reference))

    def synced(self) -> None:
        """A round is durable."""
        for shard in self.shards.values():
            if shard.waits_for_sync:
                self._do(shard.synced)

    # Inside

    def _do(self, action: Callable[[], None]) -> None:
        if self._stopped:
            return
        try:
            action()
        except Exception as error:
            LOG.exception("snapshots of this node broke")
            self._stopped = True
            self._host.fail(f"a snapshot could not be taken or sent: {error}")
            return
        self._look()

    def _look(self, pause_s: float = 0.0) -> None:
        """See to it that there is a turn when one is due."""
        if self._stopped:
            return
        due_ms = min(shard.next_deadline_ms for shard in self.shards.values()) - now_ms()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(min(max(due_ms / 1000, pause_s), IDLE_S_MAX), self._turn)

    def _turn(self) -> None:
        begun, now = self._loop.time(), now_ms()
        for shard in self.shards.values():
            if shard.next_deadline_ms <= now:
                self._do(shard.tick)
        self._host.wake()
        # As long as it took, the others may have.
        self._look(min(self._loop.time() - begun, PAUSE_S_MAX))

    def _send(self, peer: str, envelope: Envelope, urgent: bool) -> bool:
        return self._links.send(node_of(peer), envelope.shard, encode_snapshot(envelope), urgent, KIND_SNAPSHOT)

    def _installed(self, shard: int) -> None:
        LOG.info("shard %d of this node was rebuilt from a snapshot", shard)
        self._host.notices(shard, (MetadataChanged(),))

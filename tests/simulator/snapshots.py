"""Snapshots and the log's oldest files on one node: what the host gives them time, messages and flushes for."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tallymq.raftlog.reclaiming import Reclaiming, ReclaimSettings
from tallymq.raftlog.snapshot import Parts, Rate, Slots, Snapshots, SnapshotSettings
from tallymq.raftlog.snapshot_codec import decode_snapshot, encode_snapshot
from tallymq.raftlog.snapshot_messages import Envelope

if TYPE_CHECKING:
    from tests.simulator.node import Node

SETTINGS = SnapshotSettings(
    bytes_per_s=4 << 20, message_bytes=4 << 10, window_bytes=16 << 10, retry_ms=500, patience_ms=5_000
)
TURN_US_MIN = 1_000
IDLE_US_MAX = 60_000_000
RECLAIM_US = (1_000_000, 5_000_000)
KEPT_BYTES = 64 << 10


class NodeSnapshots:
    """Of one process."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._world = node.world
        self._due_us = -1
        rate, slots = Rate(SETTINGS.bytes_per_s, node.now_ms()), Slots(SETTINGS.sends_max)
        self.shards = {shard: Snapshots(self._parts(shard), SETTINGS, rate, slots) for shard in node.members}
        settings = ReclaimSettings(carry_share=node.chance.choice((0.2, 0.6, 1.0)), kept_bytes=KEPT_BYTES)
        for shard, snapshots in self.shards.items():
            node.handles[shard].on_damaged = snapshots.damaged
        self._reclaiming = Reclaiming(node.log, node.store, node.replicas, settings, self._drop_prefix)

    def _parts(self, shard: int) -> Parts:
        node = self._node
        return Parts(
            shard=shard,
            member=lambda: node.name,
            store=node.store,
            log=node.log,
            replica=node.replicas[shard],
            place=node.members[shard],
            flushes=node.duties,
            configuration=lambda index: node.members[shard].configuration_at(index),
            send=self._send,
            now_ms=node.now_ms,
            installed=partial(self._installed, shard),
            peers=lambda: [name for name in node.world.names if name != node.name],
        )

    def start(self) -> None:
        """Look after what an earlier process left."""
        self.look()
        self._plan_reclaim()

    def stop(self) -> None:
        """Close readers of the store: the process is over."""
        for shard in self.shards.values():
            shard.stop()

    # What happens

    def behind(self, shard: int, peer: str) -> None:
        self._world.note("behind", self._node.name, peer, shard)
        self.shards[shard].behind(peer)
        self.look()

    def connected(self, peer: str) -> None:
        for shard in self.shards.values():
            shard.connected(peer)

    def received(self, peer: str, shard: int, frame: bytes) -> None:
        self.shards[shard].received(peer, decode_snapshot(frame))
        self.look()

    def synced(self) -> None:
        for shard in self.shards.values():
            if shard.waits_for_sync:
                shard.synced()

    def _send(self, peer: str, envelope: Envelope, urgent: bool) -> bool:
        node = self._node
        node.point("before send")
        self._world.network.send(node.name, peer, envelope.shard, b"".join(encode_snapshot(envelope)))
        node.point("after send")
        return True

    def _installed(self, shard: int) -> None:
        self._world.installed += 1
        self._world.note("installed", self._node.name, shard, self._node.replicas[shard].applied_index)

    # Time

    def look(self) -> None:
        """See to it that there is a turn when one is due."""
        node, world = self._node, self._world
        wait_ms = min(shard.next_deadline_ms for shard in self.shards.values()) - node.now_ms()
        due_us = world.now_us + min(max(int(wait_ms * 1_000 / node.rate), TURN_US_MIN), IDLE_US_MAX)
        if self._due_us < 0 or due_us < self._due_us:
            self._due_us = due_us
            world.at(due_us, self._timed, node.life, due_us)

    def _timed(self, life: int, due_us: int) -> None:
        if life == self._node.life and due_us == self._due_us:
            self._due_us = -1
            self._node.do(life, self._tick)

    def _tick(self) -> None:
        now_ms = self._node.now_ms()
        for shard in self.shards.values():
            if shard.next_deadline_ms <= now_ms:
                shard.tick()

    # Files

    def _plan_reclaim(self) -> None:
        self._after(self._node.chance.randrange(*RECLAIM_US), self._reclaim)

    def _after(self, delay_us: int, action: Callable[[], None]) -> None:
        self._world.after(delay_us, self._node.do, self._node.life, action)

    def _reclaim(self) -> None:
        """One slice; more at once, after a round, or with the next pass."""
        node = self._node
        more = self._reclaiming.step()
        if more is None:
            node.log.flushes.remove(node.log.flushes.detach())
            self._plan_reclaim()
        else:
            self._after(1_000 if more else 50_000, self._reclaim)

    def _drop_prefix(self, shard: int, index: int) -> None:
        log = self._node.log
        term = log.term_at(shard, index)
        assert term is not None
        self._world.note("prefix", self._node.name, shard, index)
        log.drop_prefix(shard, index, term, self._node.members[shard].configuration_at(index))
        self._node.members[shard].rebase()

"""The host of a node: opens what is on the disk, starts every shard, and ties loop, threads, peers and log together.

Rule 1: one loop owns everything; threads only sync the log and flush the store, and speak through the loop.
Rule 2: a node whose disk failed answers nobody from that moment on: links closed, callers told "unknown".
Rule 3: what is wrong with one shard stays with that shard.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from tallymq.raftlog.codec import DecodeError, decode_addressed, encode_message
from tallymq.raftlog.errors import DiskFull, RaftLogError, ShardStopped
from tallymq.raftlog.framing import KIND_SNAPSHOT, Frame
from tallymq.raftlog.host_opening import Opened, close, open_node
from tallymq.raftlog.host_reclaiming import HostReclaiming
from tallymq.raftlog.host_rounds import Rounds
from tallymq.raftlog.host_shard import ShardHandle
from tallymq.raftlog.host_shards import make_shard, now_ms
from tallymq.raftlog.host_snapshots import HostSnapshots
from tallymq.raftlog.host_space import Room
from tallymq.raftlog.host_upkeep import Upkeep
from tallymq.raftlog.host_worker import Worker
from tallymq.raftlog.links import Links
from tallymq.raftlog.links_hello import Identity
from tallymq.raftlog.membership import node_of
from tallymq.raftlog.messages import AppendEntries, Message
from tallymq.raftlog.settings import HostSettings
from tallymq.txn.types import Effect

__all__ = ["Host", "HostListener", "HostSettings", "ShardHandle"]

LOG = logging.getLogger(__name__)

TRANSFER_SHARE = 0.2
"""Of the time a clean stop may take, for handing leaderships over."""
DRAIN_SHARE = 0.5
"""Of the time a clean stop may take, for rounds under way; the rest is for the last flush."""


class HostListener(Protocol):
    """Who is told what happens; called on the loop, must return quickly."""

    def effects(self, shard: int, effects: Sequence[Effect]) -> None:
        """Notices of an applied entry (no Put, no Delete)."""

    def leadership(self, shard: int, is_leader: bool) -> None:
        """This node now leads the shard, with a state that lacks nothing acknowledged; or no longer does."""

    def stopped(self, reason: str) -> None:
        """The node must exit: it answers nobody any more."""


class Host:
    """A running node. Make it with `start`."""

    def __init__(self, settings: HostSettings, listener: HostListener, opened: Opened, software_version: str) -> None:
        """Use `start`."""
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._listener = listener
        self._opened = opened
        self._loop = loop
        self._failure: ShardStopped | None = None
        self._full: DiskFull | None = None
        self._room = Room(settings)
        self._free_bytes = 0
        self._stopping: asyncio.Task[None] | None = None
        self._upkeep_task: asyncio.Task[None] | None = None
        self._reclaim_task: asyncio.Task[None] | None = None
        self._syncer = Worker("tallymq-sync", loop)
        self._keeper = Worker("tallymq-upkeep", loop)
        self._links = Links(settings, _identity(settings, software_version), self)
        made = [make_shard(number, settings, opened, self) for number in range(settings.shard_count)]
        self._members = {shard.handle.number: shard.consensus for shard in made}
        self.shards: Mapping[int, ShardHandle] = {shard.handle.number: shard.handle for shard in made}
        self._upkeep = Upkeep(
            settings,
            opened.disk,
            opened.store,
            opened.log,
            {shard.handle.number: shard.replica for shard in made},
            self._keeper,
            self._space,
            self.fail,
        )
        self.reclaiming = HostReclaiming(
            settings,
            opened.log,
            opened.store,
            {shard.handle.number: shard.replica for shard in made},
            self._members,
            self._upkeep,
            self.wake,
            self.fail,
        )
        self.snapshots = HostSnapshots(settings, opened, made, self._links, self._upkeep, self)
        self.reclaiming.prefix_floor = self.snapshots.floor
        self._rounds = Rounds(
            opened.log,
            self._syncer,
            self._members,
            self.shards,
            now_ms=now_ms,
            tick_grid_ms=settings.heartbeat_ms // 5,
            seal_idle_ms=settings.seal_idle_ms,
            after_round=self._after_round,
            on_full=self._log_full,
            on_failed=self.fail,
        )

    @classmethod
    async def start(cls, settings: HostSettings, listener: HostListener, software_version: str = "") -> Host:
        """Open the data directory, recover, listen, dial.

        Raises SettingsRefused, DirectoryRefused, LogDamaged, LogFull, StoreFailed, StoreFull, OSError (the port):
        nothing runs then.
        """
        opened = await asyncio.to_thread(open_node, settings)
        host: Host | None = None
        try:
            host = cls(settings, listener, opened, software_version)
            if not settings.alone:
                await host._links.start()
        except BaseException:
            if host is not None:
                host._shut(ShardStopped("this node did not start"))
                host._end_threads()
            await asyncio.to_thread(close, opened)
            raise
        host._upkeep_task = asyncio.create_task(host._upkeep.run())
        host._reclaim_task = asyncio.create_task(host.reclaiming.run())
        host._rounds.wake()
        host.snapshots.start()
        return host

    # What service asks

    @property
    def refusal(self) -> RaftLogError | None:
        """Why no proposal is accepted now, on whatever shard; None if they are."""
        return self._failure or self._full

    @property
    def rounds(self) -> int:
        """How many rounds were synced since the start."""
        return self._rounds.count

    @property
    def flushes(self) -> int:
        """How many times the store was flushed since the start."""
        return self._upkeep.flushes

    @property
    def free_bytes(self) -> int:
        """Free space on the disk of the data directory, as last looked at; 0: not yet, or the store found none."""
        return self._free_bytes

    @property
    def log_bytes(self) -> int:
        """Room that the files of the log take on the disk."""
        return self.reclaiming.log_bytes

    def connected_peers(self) -> frozenset[str]:
        """Names of the members that can be reached now."""
        return self._links.connected

    async def stop(self) -> None:
        """Take no more proposals, finish those under way, flush, close; bounded by `stop_ms_max`. Idempotent."""
        if self._stopping is None:
            failed = self._failure is not None
            if self._failure is None:
                self._failure = ShardStopped("this node is stopping")
            self._stopping = asyncio.create_task(self._stop(self._failure, clean=not failed))
        await asyncio.shield(self._stopping)

    # What shards, rounds and links ask

    def wake(self) -> None:
        """There may be something for the next round."""
        self._rounds.wake()

    def fail(self, reason: str) -> None:
        """End this node's part in everything, at once; the process should exit."""
        if self._failure is not None:
            return
        self._shut(ShardStopped(f"this node stopped: {reason}"))
        LOG.error("this node stops: %s", reason)
        self._listener.stopped(reason)

    def send(self, shard: int, peer: str, message: Message) -> None:
        """Give a message of one shard to the links; entries may be dropped, what is small and urgent goes first."""
        carries_entries = isinstance(message, AppendEntries) and bool(message.entries)
        frame = encode_message(shard, message, self._members[shard].member, peer)
        self._links.send(node_of(peer), shard, frame, urgent=not carries_entries)

    def behind(self, shard: int, peer: str) -> None:
        """A follower of this leader needs a snapshot."""
        self.snapshots.behind(shard, peer)

    def notices(self, shard: int, effects: Sequence[Effect]) -> None:
        """Pass on what an applied entry brought about."""
        try:
            self._listener.effects(shard, effects)
        except Exception:
            # The entry is applied; whoever listens must not make it look otherwise.
            LOG.exception("a listener to the effects of shard %d failed", shard)

    def role(self, shard: int, is_leader: bool) -> None:
        """Pass on who leads."""
        LOG.info("node %s %s shard %d", self._settings.node, "leads" if is_leader else "no longer leads", shard)
        try:
            self._listener.leadership(shard, is_leader)
        except Exception:
            LOG.exception("a listener to the leadership of shard %d failed", shard)

    def peer_connected(self, peer: str) -> None:
        """A peer can be reached."""
        for member in self._members.values():
            member.connected(peer)
        self.snapshots.connected(peer)
        self.wake()

    def peer_disconnected(self, peer: str) -> None:
        """A peer cannot be reached."""
        for member in self._members.values():
            member.disconnected(peer)
        self.wake()

    def peer_frames(self, peer: str, frames: list[Frame]) -> None:
        """Messages came: each to its shard."""
        for frame in frames:
            try:
                if frame.kind == KIND_SNAPSHOT:
                    self.snapshots.received(peer, frame)
                    continue
                shard, message, member, to_member = decode_addressed(frame.payload)
                if member and node_of(member) != peer:
                    raise DecodeError(f"a message of {member!r}, which does not live there")
                if shard != frame.shard or shard not in self._members:
                    raise DecodeError(f"a message for shard {shard} in a frame for shard {frame.shard}")
            except DecodeError as error:
                self._links.drop(peer, f"it sent what is no message: {error}")
                break
            try:
                self._members[shard].received(member or peer, message, to_member)
            except Exception as error:
                LOG.exception("a message of %s for shard %d could not be taken", peer, shard)
                self.fail(f"shard {shard}: {error}")
                return
        self.wake()

    # Inside

    def _after_round(self) -> None:
        self.snapshots.synced()
        self._upkeep.maybe_poke()

    def _log_full(self) -> None:
        self._upkeep.log_full()
        self._space(0)

    def _space(self, free_bytes: int) -> None:
        self._free_bytes = free_bytes
        before, self._full = self._full, self._room.refusal(free_bytes, has_reserve=self._upkeep.has_ballast)
        self.reclaiming.press(self._full is not None)
        if (before is None) == (self._full is None):
            return
        LOG.warning("the disk is nearly full: writes are refused" if self._full else "the disk has room again")
        if self._full is not None:
            for shard in self.shards.values():
                shard.refuse_waiting(self._full)

    def _shut(self, refusal: ShardStopped) -> None:
        self._failure = refusal
        self._rounds.stop()
        self.snapshots.stop()
        self._links.abort()
        for shard in self.shards.values():
            shard.abandon(str(refusal))

    async def _stop(self, refusal: ShardStopped, *, clean: bool) -> None:
        if clean:
            await self._hand_over()
            await self._drain()
            self._shut(refusal)
        await self._links.stop()
        tasks = [task for task in (self._upkeep_task, self._reclaim_task) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(self._settings.stop_ms_max * DRAIN_SHARE / 1000):
                await self._close(clean=clean)
        except TimeoutError:
            LOG.error("closing took too long; what was acknowledged is on the disk all the same")
        self._end_threads()

    def _end_threads(self) -> None:
        self._keeper.stop()
        self._syncer.stop()

    async def _close(self, *, clean: bool) -> None:
        if clean:
            try:
                await self._upkeep.flush()
            except RaftLogError as error:
                LOG.warning("the last flush failed, the next start reads more of the log: %s", error)
        # After what the threads may still be at: neither files nor store must go away under a sync or a flush.
        await self._keeper.call(lambda: None)
        await self._syncer.call(partial(close, self._opened))

    async def _hand_over(self) -> None:
        """Let others lead what this node leads, so that nobody has to miss it first; bounded."""
        leading = [shard for shard in self.shards.values() if shard.is_leader]
        transfers = [shard.transfer() for shard in leading]
        if transfers:
            await asyncio.wait(transfers, timeout=self._settings.stop_ms_max * TRANSFER_SHARE / 1000)

    async def _drain(self) -> None:
        end = self._loop.time() + self._settings.stop_ms_max * DRAIN_SHARE / 1000
        while self._loop.time() < end:
            busy = any(shard.waiting_bytes for shard in self.shards.values()) or self._rounds.is_syncing
            if not busy or self._rounds.is_stopped:
                return
            await asyncio.sleep(0.005)


def _identity(settings: HostSettings, software_version: str) -> Identity:
    return Identity(
        cluster=settings.cluster,
        node=settings.node,
        shard_count=settings.shard_count,
        software_version=software_version,
        peers=frozenset(member.node for member in settings.peers),
    )

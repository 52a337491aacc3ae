"""One node: the real log, replica, consensus and queue of proposals, put together as the host does, without a loop.

What the host's loop, threads and timers do there, events of the world do here: `do` is a turn of the loop.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from zlib import crc32

from tallymq.raftlog.consensus import Consensus
from tallymq.raftlog.errors import (
    DiskFull,
    LogDamaged,
    LogFull,
    LogWriteFailed,
    RaftLogError,
    ShardStopped,
    SyncFailed,
)
from tallymq.raftlog.host_shard import ShardHandle, is_taken
from tallymq.raftlog.journal import Journal
from tallymq.raftlog.log import LogSettings
from tallymq.raftlog.messages import Message, VoteReply
from tallymq.raftlog.proposals import Body, Proposals, proposal_bytes
from tallymq.raftlog.replica import Replica
from tallymq.raftlog.stamps import Stamps
from tallymq.txn.commands import Command
from tallymq.txn.outcomes import Result
from tallymq.txn.types import Effect
from tests.simulator.disk import SimulatedDisk, SimulatedStore
from tests.simulator.duties import Duties
from tests.simulator.snapshots import NodeSnapshots
from tests.simulator.watch import Shadow, Violation, WatchedLog

if TYPE_CHECKING:
    from tests.simulator.world import World

FULL_RETRY_US = 250_000
SEAL_IDLE_US = 100_000
QUEUE_BYTES_MAX = 1 << 20
ENTRY_BYTES_MAX = 64 << 10
TIMER_US_MIN = 500
EPOCH_MS = 1_800_000_000_000
"""Unix time at which every world begins."""


class Crash(BaseException):
    """The process ends right here. Not an Exception: nothing in the product may go on."""


class Caller:
    """What the shard takes for its caller's future."""

    def __init__(self, answered: Callable[[Result | None, Exception | None], None]) -> None:
        self._answered = answered
        self._is_done = False

    def done(self) -> bool:
        return self._is_done

    def set_result(self, result: Result) -> None:
        self._is_done = True
        self._answered(result, None)

    def set_exception(self, error: Exception) -> None:
        self._is_done = True
        self._answered(None, error)


class Handle(ShardHandle):
    """The real shard, but for making a future."""

    def propose_for(self, caller: Caller, command: Command, bodies: Sequence[Body] = ()) -> None:
        """Do as `propose` does."""
        refusal = self._refusal()
        if isinstance(refusal, DiskFull) and is_taken(command, refusal.taken):
            refusal = None
        if refusal is None and not self._proposals.add(command, bodies, caller, proposal_bytes(command, bodies)):  # type: ignore[arg-type]
            refusal = DiskFull("too much waits")
        if refusal is not None:
            caller.set_exception(refusal)


class Node:
    """A machine: its disk survives, its process may not. `life` counts processes."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.chance = world.random(f"node {name}")
        self.disk = SimulatedDisk(self.chance)
        self.store = SimulatedStore()
        self.shadow = Shadow(world.shape.shards)
        self.disk.point = self.store.point = self.point
        self.life = 0
        self.alive = False
        self.is_lost = False
        self.damaged = False
        self.paused = False
        self.slow_sync_us = 0
        self.points = 0
        self.crash_at = 0
        self.crash_after_vote = False
        self.wall_ahead_ms = 0
        self.rate = 1.0
        self._clock = (0, 0)
        self.backlog: list[tuple[int, Callable[..., None], tuple[Any, ...]]] = []
        self.snapshots: NodeSnapshots | None = None
        self.members: dict[int, Consensus] = {}
        self.handles: dict[int, Handle] = {}
        self.replicas: dict[int, Replica] = {}

    # Clocks

    def local_us(self) -> int:
        """Return this machine's clock that never goes back."""
        world_us, local_us = self._clock
        return local_us + int((self.world.now_us - world_us) * self.rate)

    def now_ms(self) -> int:
        return self.local_us() // 1000

    def wall_ms(self) -> int:
        return EPOCH_MS + self.local_us() // 1000 + self.wall_ahead_ms

    def set_rate(self, rate: float) -> None:
        """Let the clock go faster or slower from now on."""
        self._clock = (self.world.now_us, self.local_us())
        self.rate = rate

    # The process

    def start(self) -> None:
        """Start a process on what the disk holds."""
        self.life += 1
        self.alive = True
        self.paused = False
        self.syncing: int | None = None
        self.full_since_us = -1
        self.timer_due_us = -1
        self.backlog.clear()
        self._touched: int | None = None
        self._deadlines_ms: dict[int, int] = {}
        settings = LogSettings(
            draw_salt=lambda: self.chance.getrandbits(64),
            segment_bytes=self.world.shape.segment_bytes,
            open_files_max=4,
        )
        try:
            self.log: WatchedLog = WatchedLog.open(self.disk, self.store, settings)  # type: ignore[assignment]
        except Crash as crash:
            self.world.crashed(self, str(crash))
            return
        except LogFull:
            self.world.crashed(self, "no room to start")
            return
        except LogDamaged as error:
            if not self.damaged:
                raise Violation(f"{self.name} does not start: {error}") from error
            self.alive = False
            self.is_lost = True
            self.world.note("lost", self.name, "damage found")
            return
        except OSError as error:
            self.world.crashed(self, f"cannot start: {error}")
            return
        self.log.shadow, self.log.node = self.shadow, self
        self.world.watch.started(self)
        for shard in range(self.world.shape.shards):
            self._make_shard(shard)
        self.duties = Duties(self)
        self.snapshots = NodeSnapshots(self)
        self.do(self.life, self.duties.start)
        self.do(self.life, self.snapshots.start)
        if self.alive:
            self.world.note("start", self.name)
            self.world.network.refresh()

    def _make_shard(self, shard: int) -> None:
        generation = self.log.shard_state(shard).generation
        replica = Replica(shard, self.store, self.log, partial(self._notices, shard), generation=generation)
        stamps = Stamps(self.wall_ms, self.now_ms)

        def lead_or_follow(is_leader: bool) -> None:
            self.world.note("role", self.name, shard, is_leader, consensus.term)
            if is_leader:
                self.world.watch.led(self, shard)
                stamps.lead(replica.stamped_ms, consensus.clocks_ms())
            else:
                handle.lost_leadership()
            self.duties.role(shard, is_leader)

        consensus = Consensus(
            shard=shard,
            node=self.name,
            members=self.world.names,
            journal=Journal(self.log, shard),
            apply=partial(self._apply, shard),
            send=partial(self.send, shard),
            now_ms=self.now_ms,
            random=self.chance,
            settings=self.world.shape.consensus,
            applied_index=replica.applied_index,
            on_role=lead_or_follow,
            may_apply=replica.may_apply,
            may_append=lambda: self.log.tail_bytes < 2 * QUEUE_BYTES_MAX * self.world.shape.shards,
            clock_ms=self.wall_ms,
            on_behind=lambda peer: self.snapshots.behind(shard, peer),
            configurations=replica.configurations(),
        )
        handle = Handle(self, consensus, replica, self.log, stamps, Proposals(ENTRY_BYTES_MAX, QUEUE_BYTES_MAX))
        self.members[shard], self.replicas[shard], self.handles[shard] = consensus, replica, handle

    def do(self, life: int, action: Callable[..., None], *arguments: Any) -> None:
        """One turn of the loop: something happens, and all that follows from it."""
        if life != self.life or not self.alive:
            return
        if self.paused:
            self.backlog.append((life, action, arguments))
            return
        try:
            self._touched = None
            action(*arguments)
            self._turn()
        except Crash as crash:
            self.world.crashed(self, str(crash))
        except (SyncFailed, LogWriteFailed, OSError) as error:
            self.exit(f"{type(error).__name__}: {error}")
        except Exception as error:
            raise Violation(f"{self.name}: {type(error).__name__}: {error}") from error

    def exit(self, reason: str) -> None:
        """Stop as the host does when it cannot go on: callers do not know, peers see the connection go."""
        refusal = ShardStopped(reason)
        for handle in self.handles.values():
            handle.abandon(str(refusal))
        self.world.crashed(self, f"exits: {reason}", with_power=False)

    def ended(self) -> None:
        """The process is no more; the machine goes on."""
        if self.snapshots is not None:
            self.snapshots.stop()
            self.snapshots = None

    def resume(self) -> None:
        """Go on after a pause with all that came meanwhile."""
        self.paused = False
        backlog, self.backlog = self.backlog, []
        for life, action, arguments in backlog:
            self.do(life, action, *arguments)

    def point(self, what: str) -> None:
        """One of the places where a process may end."""
        self.points += 1
        if self.points == self.crash_at:
            self.crash_at = 0
            raise Crash(what)

    # What the host gives to its shards

    @property
    def refusal(self) -> RaftLogError | None:
        """Why nothing is accepted now."""
        return DiskFull("the disk is full") if self.full_since_us >= 0 else None

    def wake(self) -> None:
        """Every turn looks at everything."""

    def send(self, shard: int, peer: str, message: Message) -> None:
        """Let a message leave."""
        world = self.world
        world.watch.sent(self, shard, peer, message)
        self.point("before send")
        world.network.send(self.name, peer, shard, message)
        self.point("after send")
        if self.crash_after_vote and type(message) is VoteReply and message.granted and not message.trial:
            self.crash_after_vote = False
            world.voted(self, peer)

    def receive(self, shard: int, peer: str, message: Message | bytes) -> None:
        if isinstance(message, bytes):
            self.world.note("snapshot", self.name, peer, shard, len(message))
            self.snapshots.received(peer, shard, message)
            return
        self.world.note("receive", self.name, peer, shard, type(message).__name__, message.term)
        self._touched = shard
        self.members[shard].received(peer, message)

    def peer_connected(self, peer: str) -> None:
        for member in self.members.values():
            member.connected(peer)
        self.snapshots.connected(peer)

    def peer_disconnected(self, peer: str) -> None:
        for member in self.members.values():
            member.disconnected(peer)

    def _apply(self, shard: int, index: int, term: int, payload: bytes) -> object:
        watch = self.world.watch
        watch.applies(self, shard, index, term)
        try:
            results = self.replicas[shard].apply(index, term, payload)
        except Exception as error:
            raise Violation(f"{self.name} cannot apply {index} of shard {shard}: {error!r}") from error
        watch.applied_one(self, shard, index, (term, crc32(payload), crc32(repr(results).encode())))
        return results

    def _notices(self, shard: int, effects: Sequence[Effect]) -> None:
        self.duties.notices(shard, effects)

    # Rounds

    def _turn(self) -> None:
        now_ms = self.now_ms()
        # A message is of one shard, and the others stay as they were; anything else may be of all.
        touched = self.members if self._touched is None else (self._touched,)
        for shard in touched:
            member = self.members[shard]
            if member.next_deadline_ms <= now_ms:
                member.tick()
        if self.syncing is None:
            for shard in touched:
                self.handles[shard].gather()
            self._write()
        for shard in touched:
            member = self.members[shard]
            self._deadlines_ms[shard] = member.next_deadline_ms
            if member.health != "ok" and not self.damaged:
                raise Violation(f"{self.name} stopped shard {shard}: {member.health}")
        self._set_timer(now_ms)
        if self._touched is None:
            self.snapshots.look()

    def _write(self) -> None:
        try:
            written = self.log.write_round()
        except LogFull:
            self._no_room()
            self.world.after(FULL_RETRY_US, self.do, self.life, lambda: None)
            return
        if written is None:
            return
        self.full_since_us = -1
        self.syncing = written
        self.world.after(self.world.sync_us(self), self.do, self.life, self._synced, written)

    def _no_room(self) -> None:
        if self.full_since_us < 0:
            self.full_since_us = self.world.now_us
            for handle in self.handles.values():
                handle.refuse_waiting(DiskFull("the disk is full"))

    def _synced(self, written: int) -> None:
        self.syncing = None
        self.log.sync()
        self.log.reached_disk(written)
        self.log.note_synced(written)
        for member in self.members.values():
            member.synced()
        self.snapshots.synced()
        self.world.after(SEAL_IDLE_US, self.do, self.life, self._seal, self.log.round_open)

    def _seal(self, round_open: int) -> None:
        if self.log.round_open == round_open and self.syncing is None:
            self.log.seal()

    def _set_timer(self, now_ms: int) -> None:
        world = self.world
        wait_ms = min(self._deadlines_ms.values()) - now_ms
        grid_ms = world.shape.consensus.heartbeat_ms // 5
        if wait_ms > grid_ms:
            # On a grid, as the host does, so that the heartbeats of all shards leave together.
            wait_ms += -(now_ms + wait_ms) % grid_ms
        wait_us = max(int(min(wait_ms, 60_000) * 1000 / self.rate), TIMER_US_MIN)
        due_us = world.now_us + wait_us
        if self.timer_due_us < 0 or due_us < self.timer_due_us:
            self.timer_due_us = due_us
            world.at(due_us, self._timed, self.life, due_us)

    def _timed(self, life: int, due_us: int) -> None:
        if life == self.life and due_us == self.timer_due_us:
            self.timer_due_us = -1
            self.do(life, lambda: None)

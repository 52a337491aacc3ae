"""What a node does by itself beside its rounds: flushes, due timers, checks, and queues that ought to be there.

In a real node the host's upkeep and the service's loops do this; here they propose the same commands at the same
occasions, so that the log sees them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tallymq.raftlog.settings import METADATA_SHARD
from tallymq.txn import queries
from tallymq.txn.commands import CheckSent, Command, EnsureQueue, Expire, RecordChecks
from tallymq.txn.types import ChecksDue, Effect, MetadataChanged, TimersDue

if TYPE_CHECKING:
    from tests.simulator.node import Node

TOPICS_MAX = 100
CHECK_AGAIN_MS = 2_000
RETRY_US = 500_000
EXPIRE_LIMIT = 50
CHECKS_AT_ONCE = 10
SWEEP_US = 2_000_000


class Duties:
    """Of one process."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._world = node.world
        self._flushing = False
        self._begun = self._requested = self._completed = 0
        self._awaited: set[tuple[int, str]] = set()
        self._due_us: dict[tuple[int, str], int] = {}

    def start(self) -> None:
        self._plan_flush()
        self._after(SWEEP_US, self._sweep)

    def _after(self, delay_us: int, action: object, *arguments: object) -> None:
        self._world.after(delay_us, self._node.do, self._node.life, action, *arguments)

    # Flushes

    def _plan_flush(self) -> None:
        low, high = self._world.shape.flush_us
        self._after(self._node.chance.randrange(low, high), self._flush_sometimes)

    def request(self) -> int:
        """Ask for a flush that begins after this call; returns the ticket to ask `done` with."""
        self._requested = self._begun + 1
        self._after(10_000, self._flush_wanted)
        return self._requested

    def done(self, ticket: int) -> bool:
        """Whether the flush that was asked for is over."""
        return self._completed >= ticket

    def _flush_wanted(self) -> None:
        if self._completed < self._requested:
            self._flush()
            self._after(100_000, self._flush_wanted)

    def _flush_sometimes(self) -> None:
        self._plan_flush()
        self._flush()

    def _flush(self) -> None:
        """As the host's upkeep does: retry what the store did not take, write the mark, flush what is there now."""
        node = self._node
        # Each of them, whatever the ones before it could do.
        stalled = [shard for shard, replica in node.replicas.items() if not replica.flush_writes()]
        if stalled or self._flushing:
            return
        applied = {shard: replica.applied_index for shard, replica in node.replicas.items()}
        for shard, index in applied.items():
            node.log.applied(shard, index)
        if node.store.write(node.log.flush_mark(applied)):
            self._flushing = True
            self._begun += 1
            self._after(self._world.sync_us(node) * 3, self._flushed, node.store.unflushed, self._begun)

    def _flushed(self, batches: int, begun: int) -> None:
        self._flushing = False
        self._completed = begun
        self._node.store.flushed(batches)
        self._node.log.flushes.completed()

    # What led shards want

    def notices(self, shard: int, effects: Sequence[Effect]) -> None:
        """Note when something becomes due."""
        for effect in effects:
            if isinstance(effect, TimersDue):
                self._at(shard, "timers", effect.due_ms)
            elif isinstance(effect, ChecksDue):
                self._at(shard, "checks", effect.due_ms)
            elif isinstance(effect, MetadataChanged):
                self._after(1_000, self._ensure_all)

    def role(self, shard: int, is_leader: bool) -> None:
        if is_leader:
            self._awaited = {item for item in self._awaited if item[0] != shard}
            for what in ("timers", "checks"):
                self._at(shard, what, 1)
            self._after(1_000, self._ensure_all)

    def _at(self, shard: int, what: str, due_ms: int) -> None:
        handle = self._node.handles.get(shard)
        if due_ms <= 0 or handle is None or not handle.is_leader:
            return
        wait_us = max(due_ms - handle.clock_ms, 1) * 1_000
        due_us = self._world.now_us + min(wait_us, 60_000_000)
        if due_us < self._due_us.get((shard, what), 1 << 62):
            self._due_us[shard, what] = due_us
            self._after(due_us - self._world.now_us, self._look, shard, what, due_us)

    def _look(self, shard: int, what: str, due_us: int) -> None:
        if self._due_us.get((shard, what)) != due_us:
            return
        del self._due_us[shard, what]
        handle = self._node.handles[shard]
        if not handle.is_leader:
            return
        ask_next = queries.next_timer_ms if what == "timers" else queries.next_check_ms
        next_ms = ask_next(handle.view)
        if next_ms > handle.clock_ms or next_ms == 0:
            self._at(shard, what, next_ms)
        elif (shard, what) not in self._awaited:
            command = Expire(EXPIRE_LIMIT) if what == "timers" else self._checks(shard)
            self._propose(shard, command, what)

    def _checks(self, shard: int) -> Command:
        """Ask a producer about each transaction whose check is due."""
        handle = self._node.handles[shard]
        due = queries.checks_due(handle.view, handle.clock_ms, CHECKS_AT_ONCE)
        for half in due:
            self._world.ask_producer(self._node, shard, half)
        next_ms = handle.clock_ms + CHECK_AGAIN_MS
        return RecordChecks(tuple(CheckSent(half.index, half.batch, next_ms) for half in due))

    def _propose(self, shard: int, command: Command, what: str) -> None:
        from tests.simulator.node import Caller

        self._awaited.add((shard, what))

        def answered(result: object, error: Exception | None) -> None:
            self._awaited.discard((shard, what))
            self._after(RETRY_US if error else 10_000, self._again, shard, what)

        self._node.handles[shard].propose_for(Caller(answered), command)

    def _again(self, shard: int, what: str) -> None:
        if what in ("timers", "checks"):
            self._at(shard, what, 1)
        else:
            self._ensure_all()

    def _sweep(self) -> None:
        self._after(SWEEP_US, self._sweep)
        self._ensure_all()

    def _ensure_all(self) -> None:
        """Make the queues that this node's copy of the metadata names, on the shards it leads."""
        metadata = self._node.handles[METADATA_SHARD]
        index = metadata.applied_index
        for topic in queries.topics(metadata.view, "", TOPICS_MAX):
            for queue, shard in enumerate(topic.queue_shards):
                handle = self._node.handles[shard]
                what = f"{topic.name}/{queue}"
                if not handle.is_leader or (shard, what) in self._awaited:
                    continue
                if queries.queue(handle.view, topic.name, queue) is None:
                    count = len(topic.queue_shards)
                    self._propose(shard, EnsureQueue(topic.name, topic.topic_id, queue, count, 0, 0, index), what)

"""A world: nodes, network, clients and faults under one clock. One seed is one history, to the last message."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from zlib import crc32

from tallymq.raftlog.keys import state_key, state_range_end
from tallymq.txn.answers import HalfInfo
from tests.simulator.consumers import GROUPS, Consumer, Operator
from tests.simulator.faults import RESTART_US_MIN, Faults
from tests.simulator.network import Network
from tests.simulator.node import Node
from tests.simulator.producers import PRODUCER_GROUP, Answerer, Bank, Open, Producer
from tests.simulator.shape import SECOND_US, Fault, Shape, names_of
from tests.simulator.watch import Violation, Watch
from tests.workloads.checker import check
from tests.workloads.history import Calm, History, Outcome

SERVES_US_MAX = 40 * SECOND_US
"""After healing, within this every shard takes a command again."""
DRAINS_US_MAX = 600 * SECOND_US
CHECK_GAP_US_MAX = 10 * SECOND_US
TRACE_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run amounted to."""

    simulated_us: int
    faults: int
    acknowledged: int
    messages: int
    applied: int
    trace_hash: int


class World:
    """Run it with `run`; a broken promise is a Violation."""

    def __init__(self, seed: int, shape: Shape, faults: Sequence[Fault], trace: list[str] | None = None) -> None:
        self.seed = seed
        self.shape = shape
        self.names = names_of(shape.nodes)
        self.now_us = 0
        self.trace = trace
        self.trace_hash = 0
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._ticket = 0
        self.history: list[History] = []
        self.watch = Watch(self)
        self.bank = Bank(self)
        self.opens: list[Open] = []
        self.point_crash: dict[str, tuple[bool, int]] = {}
        self.client_loss = self.random("clients").choice((0.0, 0.0, 0.02, 0.1))
        self.topics = 1
        self.is_made = self.winding_down = self.is_drained = self.is_read = False
        self.nodes = {name: Node(self, name) for name in self.names}
        self.network = Network(self)
        self.faults = Faults(self)
        self._plan = list(faults)
        self._answerers = 0
        self.installed = 0

    def random(self, what: str) -> Random:
        """Return a stream of chance of its own."""
        return Random(f"{self.seed} {what}")

    # Time

    def at(self, due_us: int, action: Callable[..., None], *arguments: Any) -> None:
        """Let something happen then."""
        self._ticket += 1
        heapq.heappush(self._queue, (due_us, self._ticket, action, arguments))

    def after(self, delay_us: int, action: Callable[..., None], *arguments: Any) -> None:
        """Let something happen so much later."""
        self.at(self.now_us + delay_us, action, *arguments)

    def sync_us(self, node: Node) -> int:
        """Return how long a sync takes now."""
        low, high = self.shape.sync_us
        return node.chance.randrange(low, high) + node.slow_sync_us

    def pass_time(self, duration_us: int, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass, from one event to the next; True as soon as `until` is."""
        end_us = self.now_us + duration_us
        queue = self._queue
        while queue and queue[0][0] <= end_us:
            due_us, _, action, arguments = heapq.heappop(queue)
            self.now_us = max(self.now_us, due_us)
            action(*arguments)
            if until():
                return True
        self.now_us = end_us
        return until()

    def note(self, *what: object) -> None:
        """Take something into the run's hash, and into its trace if there is one."""
        text = " ".join(map(str, what))
        self.trace_hash = crc32(b"%d %s" % (self.now_us, text.encode()), self.trace_hash)
        if self.trace is not None and len(self.trace) < TRACE_MAX:
            self.trace.append(f"{self.now_us / SECOND_US:11.6f} {text}")

    def record(self, event: History) -> None:
        """Add to what clients did and saw."""
        self.history.append(event)
        self.note("client", event)

    # What nodes ask

    def crashed(self, node: Node, reason: str, *, with_power: bool | None = None, down_us: int = 0) -> None:
        """A process ended, and perhaps the power of its machine with it; it comes back after a while."""
        if with_power is None:
            with_power, down_us = self.point_crash.pop(node.name, (False, down_us))
        self.note("end", node.name, reason, "power cut" if with_power else "process")
        node.ended()
        was_alive, node.alive = node.alive, False
        if with_power:
            node.disk.power_cut()
        node.store.crash(node.chance)
        node.crash_at = 0
        if was_alive:
            self.network.gone(node.name, noticed=not with_power)
        self.after(max(down_us, RESTART_US_MIN), self._restart, node, node.life)

    def _restart(self, node: Node, life: int) -> None:
        if node.life == life and not node.alive and not node.is_lost:
            node.start()

    def voted(self, node: Node, candidate: str) -> None:
        """A vote left a node that is aimed at: what follows must not let it vote again in that term."""
        self.after(1, self._voted, node, node.life, candidate)

    def _voted(self, node: Node, life: int, candidate: str) -> None:
        if node.alive and node.life == life:
            self.faults.second_candidate(node, candidate)

    def ask_producer(self, node: Node, shard: int, half: HalfInfo) -> None:
        """Send a check to whoever of the producer group is there."""
        if node.chance.random() < self.client_loss:
            return
        self._answerers += 1
        answerer = Answerer(self, f"answerer-{self._answerers % 16}", self._answerers)
        answerer.start(answerer.answer(shard, half))

    # The run

    def run(self) -> Figures:
        """Chaos, then calm: everything must have been kept, and everything must go on."""
        self.start_nodes()
        self._start_clients()
        for fault in self._plan:
            self.at(fault.at_us, self.faults.happen, fault)
        self.pass_time(self.shape.chaos_us)
        self.heal()
        self._close()
        self._compare()
        verdict = check(self.history)
        if verdict.anomalies:
            first = verdict.anomalies[0]
            raise Violation(f"{first.kind}: {first.text} ({len(verdict.anomalies)} anomalies)")
        return self.figures()

    def start_nodes(self) -> None:
        """Start all of them."""
        for name in self.names:
            self.nodes[name].disk.is_lying = self.shape.lies
            self.nodes[name].start()

    def leader(self, shard: int) -> Node | None:
        """Return who leads a shard and may be asked, the latest if two think so."""
        leading = [node for node in self.nodes.values() if node.alive and node.handles[shard].is_leader]
        return max(leading, key=lambda node: node.members[shard].term, default=None)

    def figures(self) -> Figures:
        """Return what has happened so far."""
        acknowledged = sum(getattr(event, "outcome", None) is Outcome.OK for event in self.history)
        return Figures(
            self.now_us,
            self.faults.happened,
            acknowledged,
            self.network.carried,
            self.watch.applied_count,
            self.trace_hash,
        )

    def _start_clients(self) -> None:
        self._operator = Operator(self, "operator", 0)
        self._operator.start(self._operator.run())
        self._producers = [Producer(self, f"producer-{n}", n) for n in range(1, self.shape.producers + 1)]
        for producer in self._producers:
            producer.start(producer.run())
        for number in range(self.shape.consumers):
            consumer = Consumer(self, f"consumer-{number}", 1_000 + number)
            consumer.group = GROUPS[number % len(GROUPS)]
            consumer.start(consumer.run())

    def heal(self) -> None:
        """Take all faults back; from here on every shard must serve within a bound."""
        self.note("heal")
        self.faults.heal()
        self.client_loss = 0.0
        begin_us = self.now_us
        served: set[int] = set()
        for shard in range(self.shape.shards):
            prober = Prober(self, f"prober-{shard}", 5_000 + shard)
            prober.start(prober.probe(shard, served))
        if not self.pass_time(SERVES_US_MAX, lambda: len(served) == self.shape.shards):
            missing = sorted(set(range(self.shape.shards)) - served)
            raise Violation(f"liveness: shards {missing} take nothing {SERVES_US_MAX // SECOND_US} s after healing")
        self.note("served", self.now_us - begin_us)

    def _close(self) -> None:
        begin_us = self.now_us
        self.winding_down = True
        done = [self._operator, *self._producers]
        if not self.pass_time(DRAINS_US_MAX, lambda: all(client.finished for client in done)):
            raise Violation("liveness: a client waits for ever")
        closer = Operator(self, "closer", 9_000)
        closer.start(closer.close())
        if not self.pass_time(DRAINS_US_MAX, lambda: self.is_read):
            raise Violation("liveness: not everything was decided, delivered and acknowledged")
        self.record(Calm("closer", begin_us, self.now_us, PRODUCER_GROUP, CHECK_GAP_US_MAX))

    def _compare(self) -> None:
        """All replicas that are left must come to one state."""
        nodes = [node for node in self.nodes.values() if node.alive]
        for shard in range(self.shape.shards):

            def is_level(shard: int = shard) -> bool:
                return len({(n.members[shard].applied_index, n.members[shard].last_index) for n in nodes}) == 1

            if not self.pass_time(SERVES_US_MAX, is_level):
                raise Violation(f"liveness: the replicas of shard {shard} do not come level")
            states = []
            for node in nodes:
                node.replicas[shard].flush_writes()
                generation = node.replicas[shard].generation
                begin, end = state_key(shard, generation, b""), state_range_end(shard, generation)
                pairs = node.store.range(begin, end, 1 << 30)
                states.append([(key[len(begin) :], value) for key, value in pairs])
            if any(state != states[0] for state in states):
                raise Violation(f"state machine safety: the states of shard {shard} differ")


class Prober(Operator):
    """Asks for the least there is, until it gets it."""

    def probe(self, shard: int, served: set[int]) -> Any:
        from tallymq.txn.commands import Barrier

        yield from self._insist(shard, Barrier())
        served.add(shard)

"""A few nodes, a network and disks under virtual time. One seed is one history, to the last message."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from tallymq.raftlog.codec import decode_addressed, encode_message
from tallymq.raftlog.consensus import Consensus, ConsensusSettings, ProposalKind, ProposalOutcome
from tallymq.raftlog.journal import Journal
from tallymq.raftlog.membership import MARK, node_of
from tallymq.raftlog.messages import Message
from tests.raftlog.consensus.checks import SHARD, Checks, Violation
from tests.raftlog.consensus.memory_log import MemoryLog

SETTINGS = ConsensusSettings(heartbeat_ms=100, election_ms_min=400, election_ms_max=800)


class Node:
    """One machine: a disk that survives, a process that may not."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.log = MemoryLog()
        self.state: list[tuple[int, bytes]] = []
        self.flushed = 0
        # States of snapshots that are stored, by generation; the log says which one counts.
        self.staged: dict[int, list[tuple[int, bytes]]] = {}
        self.generation = 0
        # What a store does not have: configurations that are known from a snapshot's base only.
        self.based_anew = 0
        self.behind: list[str] = []
        self.alive = False
        self.life = 0
        self.syncing = False
        self.roles: list[bool] = []
        self.may_append = True
        self.start()

    def start(self) -> None:
        self.life += 1
        self.alive = True
        self.syncing = False
        self._switch_state()
        self.consensus = Consensus(
            shard=SHARD,
            node=self.name,
            members=self.world.names if self.name in self.world.names else [],
            journal=Journal(self.log, SHARD),
            apply=self.apply,
            send=self.send,
            now_ms=lambda: self.world.now,
            random=random.Random(f"{self.world.seed} {self.name} {self.life}"),
            settings=self.world.settings,
            applied_index=len(self.state),
            on_role=self.roles.append,
            may_append=lambda: self.may_append,
            on_behind=self.on_behind,
            configurations=[
                (index, payload)
                for index, (_, payload) in enumerate(self.state, 1)
                if payload.startswith(MARK) and index > self.based_anew
            ],
        )
        for peer in [*self.world.names, *self.world.late]:
            if peer != self.name:
                self.consensus.connected(peer)

    def crash(self, *, chance: random.Random | None = None) -> None:
        """Power cut: what was not synced is gone, but for what `chance` leaves of it."""
        self.alive = False
        self.log = self.log.cut(chance)
        kept = chance.randint(self.flushed, len(self.state)) if chance else self.flushed
        # A flush never gets ahead of the log that it came from: entries are applied only once synced.
        del self.state[kept:]

    def _switch_state(self) -> bool:
        """Take over the state of the generation that the log names; whether that is another one than before."""
        generation = self.log.shard_state(SHARD).generation
        if generation == self.generation:
            return False
        self.generation, self.state = generation, self.staged.pop(generation)
        self.flushed = self.based_anew = len(self.state)
        return True

    # Snapshots and prefixes

    def on_behind(self, peer: str) -> None:
        self.behind.append(peer)
        self.world.wanted_snapshot(self, peer)

    def install(self, source: str, term: int, history: list[tuple[int, bytes]], base: tuple[int, bytes]) -> bool:
        """A whole snapshot has come: stage it and begin the log behind it; `_synced` switches."""
        if not self.consensus.heard_leader(source, term) or not self.consensus.may_restore(len(history)):
            return False
        if self.log.shard_state(SHARD).generation != self.generation:
            return False
        self.staged[self.generation + 1] = list(history)
        self.log.append_base(SHARD, len(history), base[0], self.generation + 1, base[1], history)
        return True

    def drop_prefix(self, index: int, configuration: bytes = b"") -> None:
        """Forget the entries up to `index`, which must be flushed."""
        assert index <= self.flushed
        self.log.drop_prefix(SHARD, index, self.state[index - 1][0], configuration)
        self.consensus.rebase()

    def apply(self, index: int, term: int, payload: bytes) -> object:
        if index != len(self.state) + 1:
            raise Violation(f"{self.name} applied {index} after {len(self.state)}")
        self.world.check_applied(self, index, term, bytes(payload))
        self.state.append((term, bytes(payload)))
        return index

    def send(self, peer: str, message: Message) -> None:
        self.world.check_sent(self, peer, message)
        self.world.carry(self.consensus.member, peer, message)

    def turn(self) -> None:
        """What a host does after each event: hand the round to the disk, unless a sync is under way."""
        if not self.alive or self.syncing or self.world.manual_sync:
            return
        written = self.log.write_round()
        if written is not None:
            self.syncing = True
            self.world.after(self.world.sync_ms(), self._synced, self.life, written)

    def _synced(self, life: int, written: int) -> None:
        if life == self.life and self.alive:
            self.syncing = False
            self.log.note_synced(written)
            self._use_synced()

    def sync(self) -> None:
        """Make all that was appended durable, at once."""
        self.log.sync_all()
        self._use_synced()

    def _use_synced(self) -> None:
        if self.log.durable(SHARD).generation != self.generation and self._switch_state():
            self.consensus.restored(len(self.state))
        self.consensus.synced()


class World(Checks):
    """Nodes by name, messages as bytes on their way, and what must always hold."""

    def __init__(
        self,
        names: str | list[str] = "abc",
        seed: int = 0,
        settings: ConsensusSettings = SETTINGS,
        manual: bool = False,
    ) -> None:
        self.names = list(names)
        # Nodes that are there and no members from the start.
        self.late: list[str] = []
        self.seed = seed
        self.settings = settings
        self.manual_sync = manual
        self.manual_network = manual
        # Off where a test plays the part of peers that are not there.
        self.majority_checked = True
        self.now = 1_000
        self.chance = random.Random(seed)
        self.queue: list[tuple[int, int, Callable[..., None], tuple]] = []
        self.in_flight: list[tuple[str, str, Message]] = []
        self.sent: list[tuple[str, str, Message]] = []
        self.blocked: set[tuple[str, str]] = set()
        self.loss = self.duplicates = 0.0
        self.delay_ms = (1, 5)
        self.slow_sync = 0.0
        self._ticket = 0
        self.applied: dict[int, tuple[int, bytes]] = {}
        self.acknowledged: dict[int, bytes] = {}
        self.leaders: dict[int, str] = {}
        self.voted: dict[tuple[str, int], str] = {}
        self.outcomes: dict[bytes, list[ProposalOutcome]] = {}
        self.nodes = {name: Node(self, name) for name in self.names}

    # Time

    def after(self, delay_ms: int, action: Callable[..., None], *arguments: object) -> None:
        self._ticket += 1
        heapq.heappush(self.queue, (self.now + delay_ms, self._ticket, action, arguments))

    def sync_ms(self) -> int:
        return 400 if self.chance.random() < self.slow_sync else self.chance.randint(1, 15)

    def run(self, duration_ms: int, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass, from one event to the next; True as soon as `until` is."""
        end = self.now + duration_ms
        while not until():
            deadline = min((n.consensus.next_deadline_ms for n in self.nodes.values() if n.alive), default=end)
            event = self.queue[0][0] if self.queue else end
            due = max(self.now, min(deadline, event))
            if due >= end:
                self.now = end
                return until()
            self.now = due
            while self.queue and self.queue[0][0] <= self.now:
                _, _, action, arguments = heapq.heappop(self.queue)
                action(*arguments)
                self._turn()
            for node in self.nodes.values():
                if node.alive and node.consensus.next_deadline_ms <= self.now:
                    node.consensus.tick()
            self._turn()
        return True

    def _turn(self) -> None:
        for node in self.nodes.values():
            node.turn()
            if node.alive and node.consensus.is_leader:
                self._check_leader(node)

    def add_node(self, name: str) -> Node:
        """A machine that is no member yet."""
        self.late.append(name)
        node = self.nodes[name] = Node(self, name)
        for other in self.nodes.values():
            if other is not node and other.alive:
                other.consensus.connected(name)
        return node

    # Network

    def carry(self, source: str, target: str, message: Message) -> None:
        self.sent.append((source, target, message))
        if len(self.sent) > 4_000:
            del self.sent[:2_000]
        if self.manual_network:
            self.in_flight.append((source, target, message))
            return
        if (node_of(source), node_of(target)) in self.blocked or self.chance.random() < self.loss:
            return
        for _ in range(2 if self.chance.random() < self.duplicates else 1):
            frame = b"".join(encode_message(SHARD, message, source, target))
            self.after(self.chance.randint(*self.delay_ms), self._arrive, frame)

    def _arrive(self, frame: bytes) -> None:
        _, message, source, target = decode_addressed(frame)
        if self.nodes[node_of(target)].alive and (node_of(source), node_of(target)) not in self.blocked:
            self._give(source, target, message)

    def _give(self, source: str, target: str, message: Message) -> None:
        self.nodes[node_of(target)].consensus.received(source, message, target)

    def deliver(self, wanted: Callable[[str, str, Message], bool] = lambda s, t, m: True, rounds: int = 50) -> None:
        """Manual network: deliver what is wanted, and what comes of it, in order; leave the rest on its way."""
        for _ in range(rounds):
            now, self.in_flight = self.in_flight, []
            kept = [item for item in now if not wanted(*item)]
            for source, target, message in now:
                if wanted(source, target, message) and self.nodes[node_of(target)].alive:
                    _, decoded, *_ = decode_addressed(b"".join(encode_message(SHARD, message, source, target)))
                    self._give(source, target, decoded)
            self.in_flight = kept + self.in_flight
            if not any(wanted(*item) for item in self.in_flight):
                return

    def block(self, names: str, *, one_way: bool = False) -> None:
        """Cut these nodes off from the others."""
        for inside in names:
            for outside in self.nodes:
                if outside not in names:
                    self.blocked.add((outside, inside))
                    if not one_way:
                        self.blocked.add((inside, outside))

    def heal(self, *, reconnect: bool = True) -> None:
        self.blocked.clear()
        if reconnect:
            for node in self.nodes.values():
                for peer in self.nodes:
                    if node.alive and peer != node.name:
                        node.consensus.disconnected(peer)
                        node.consensus.connected(peer)

    def wanted_snapshot(self, leader: Node, peer: str) -> None:
        """A leader is told that a peer is behind its log: carry its state there, as slowly as such things are."""
        if not self.manual_network:
            delay_ms = self.chance.randint(20, 200)
            self.after(delay_ms, self.give_snapshot, leader.name, leader.life, peer, list(leader.state))

    def give_snapshot(self, source: str, life: int, target: str, history: list[tuple[int, bytes]]) -> None:
        leader, node = self.nodes[source], self.nodes[target]
        if leader.life != life or not leader.alive or not leader.consensus.is_leader:
            return
        reached = node.alive and not {(source, target), (target, source)} & self.blocked
        if reached and self.chance.random() >= self.loss:
            node.install(source, leader.consensus.term, history, (history[-1][0], b""))
            self.after(100, self._snapshot_done, source, life, target, len(history), node.life)
        else:
            leader.consensus.snapshot_done(target, 0)

    def _snapshot_done(self, source: str, life: int, target: str, index: int, target_life: int) -> None:
        leader, node = self.nodes[source], self.nodes[target]
        if leader.life == life and leader.alive:
            installed = node.life == target_life and node.alive and node.consensus.applied_index >= index
            leader.consensus.snapshot_done(target, index if installed else 0)

    # Work

    def leader(self) -> Node | None:
        leading = [n for n in self.nodes.values() if n.alive and n.consensus.is_ready]
        return max(leading, key=lambda n: n.consensus.term, default=None)

    def elect(self, name: str) -> Node:
        """Manual world: make this node the leader, whatever it takes."""
        node = self.nodes[name]
        for _ in range(20):
            self.now += self.settings.election_ms_max + 1
            node.consensus.tick()
            for _ in range(12):
                self.deliver()
                for other in self.nodes.values():
                    if other.alive:
                        other.sync()
                self.deliver()
            if node.consensus.is_ready:
                return node
        raise AssertionError(f"{name} does not become leader")

    def propose(self, node: Node, payload: bytes) -> list[ProposalOutcome]:
        outcomes = self.outcomes.setdefault(payload, [])

        def done(outcome: ProposalOutcome) -> None:
            outcomes.append(outcome)
            if outcome.kind is ProposalKind.APPLIED:
                self.acknowledged[outcome.index] = payload

        node.consensus.propose([payload], done)
        return outcomes

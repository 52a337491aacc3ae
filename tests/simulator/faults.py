"""Makes faults happen, and takes them back. A minority of the nodes may be lost for good, not more."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from tallymq.raftlog.segments import parse_segment_name
from tests.simulator.shape import Fault

if TYPE_CHECKING:
    from tests.simulator.node import Node
    from tests.simulator.world import World

RESTART_US_MIN = 1_000


class Faults:
    """The faults of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._blocks: list[list[tuple[str, str]]] = []
        self.happened = 0
        self._makers: dict[str, Callable[[Fault, Node], None]] = {
            "kill": lambda fault, node: self._end(node, fault, with_power=False),
            "power cut": lambda fault, node: self._end(node, fault, with_power=True),
            "kill at point": self._at_point,
            "power cut at point": self._at_point,
            "power cut of all": self._end_all,
            "vote, then a second candidate": self._after_vote,
            "pause": self._pause,
            "clock rate": self._clock_rate,
            "wall clock": self._wall_clock,
            "disconnect": self._disconnect,
            "loss": self._loss,
            "duplicates": self._duplicates,
            "slow network": self._slow_network,
            "failed sync": self._failed_sync,
            "slow sync": self._slow_sync,
            "full disk": self._full_disk,
            "stalled store": self._stalled_store,
            "bit flip": self._damage,
            "misdirected write": self._damage,
            "truncated file": self._damage,
            "lost disk": self._lost_disk,
            "term ends": self._term_ends,
        }
        for kind in ("isolate", "one way", "half", "bridge", "ring"):
            self._makers[kind] = self._cut

    def happen(self, fault: Fault) -> None:
        """Let it go wrong."""
        self.happened += 1
        self._world.note("fault", fault.kind, " ".join(fault.nodes), fault.for_us, fault.size)
        self._makers[fault.kind](fault, self._world.nodes[fault.nodes[0]])

    def heal(self) -> None:
        """Take everything back that can be."""
        world = self._world
        for block in list(self._blocks):
            self._unblock(block)
        world.network.loss = world.network.duplicates = 0.0
        world.network.delay_us = world.shape.delay_us
        for node in world.nodes.values():
            self._heal_node(node)
        for node in world.nodes.values():
            if node.is_lost and node.alive:
                world.crashed(node, "taken away", with_power=True)
            elif not node.alive and not node.is_lost:
                node.start()
        world.network.refresh()

    def _heal_node(self, node: "Node") -> None:
        node.crash_at = node.slow_sync_us = node.wall_ahead_ms = 0
        node.crash_after_vote = False
        node.disk.failing_syncs = 0
        node.disk.capacity = 1 << 40
        node.store.stalled = False
        node.set_rate(1.0)
        if node.damaged:
            # What is damaged, and was not noticed at a start, is replaced by its operators.
            node.is_lost = True
        if node.paused:
            node.resume()

    def _later(self, fault: Fault, action: Callable[..., None], *arguments: object) -> None:
        self._world.after(max(fault.for_us, RESTART_US_MIN), action, *arguments)

    # Processes

    def _end(self, node: "Node", fault: Fault, *, with_power: bool) -> None:
        if node.alive:
            self._world.crashed(node, fault.kind, with_power=with_power, down_us=fault.for_us)

    def _end_all(self, fault: Fault, node: "Node") -> None:
        for one in self._world.nodes.values():
            self._end(one, fault, with_power=True)

    def _at_point(self, fault: Fault, node: "Node") -> None:
        node.crash_at = node.points + fault.size
        self._world.point_crash[node.name] = (fault.kind.startswith("power"), fault.for_us)

    def _after_vote(self, fault: Fault, node: "Node") -> None:
        node.crash_after_vote = True

    def second_candidate(self, voter: "Node", candidate: str) -> None:
        """The voter loses its power right after its vote left; whoever got it is cut off, so that another one asks.

        The candidate's request for votes must not have reached the others, or they know of the term.
        """
        names = self._world.names
        block = [(candidate, other) for other in names if other != candidate]
        block += [(other, candidate) for other in names if other not in (candidate, voter.name)]
        self._block(block, 5 * self._world.shape.consensus.election_ms_max * 1_000)
        self._world.crashed(voter, f"voted for {candidate}", with_power=True, down_us=RESTART_US_MIN)

    def _pause(self, fault: Fault, node: "Node") -> None:
        if node.alive and not node.paused:
            node.paused = True
            self._later(fault, self._resume, node, node.life)

    def _resume(self, node: "Node", life: int) -> None:
        if node.life == life and node.paused:
            node.resume()

    def _term_ends(self, fault: Fault, node: "Node") -> None:
        """Cut off whoever leads some shard."""
        leaders = [one for one in self._world.nodes.values() if any(m.is_leader for m in one.members.values())]
        leaders = [one for one in leaders if one.alive]
        if leaders:
            chosen = leaders[fault.seed % len(leaders)].name
            others = [name for name in self._world.names if name != chosen]
            self._block([(chosen, name) for name in others] + [(name, chosen) for name in others], fault.for_us)

    # Clocks

    def _clock_rate(self, fault: Fault, node: "Node") -> None:
        node.set_rate((0.2, 0.5, 2.0, 5.0)[fault.size % 4])
        self._later(fault, node.set_rate, 1.0)

    def _wall_clock(self, fault: Fault, node: "Node") -> None:
        node.wall_ahead_ms = (-3_600_000, -30_000, 30_000, 3_600_000)[fault.size % 4]

    # Network

    def _cut(self, fault: Fault, node: "Node") -> None:
        order = list(fault.nodes)
        inside = order[:1] if fault.kind in ("isolate", "one way") else order[: len(order) // 2]
        if fault.kind == "bridge":
            # Two halves that see one node in the middle, and not each other.
            rest = order[1:]
            left, right = rest[: len(rest) // 2], rest[len(rest) // 2 :]
            block = [(a, b) for a in left for b in right] + [(b, a) for a in left for b in right]
        elif fault.kind == "ring":
            # Each sees the next one only.
            block = [(a, b) for a in order for b in order if a != b and order[(order.index(a) + 1) % len(order)] != b]
        else:
            outside = [name for name in order if name not in inside]
            block = [(a, b) for a in outside for b in inside]
            if fault.kind != "one way":
                block += [(b, a) for a in outside for b in inside]
        self._block(block, fault.for_us)

    def _block(self, block: list[tuple[str, str]], for_us: int) -> None:
        self._blocks.append(block)
        self._world.network.block(block)
        self._world.after(for_us, self._unblock, block)

    def _unblock(self, block: list[tuple[str, str]]) -> None:
        if any(block is one for one in self._blocks):
            self._blocks = [one for one in self._blocks if one is not block]
            self._world.network.unblock(block)

    def _disconnect(self, fault: Fault, node: "Node") -> None:
        self._world.network.drop(fault.nodes[0], fault.nodes[1])

    def _loss(self, fault: Fault, node: "Node") -> None:
        self._world.network.loss = fault.size / 200
        self._later(fault, setattr, self._world.network, "loss", 0.0)

    def _duplicates(self, fault: Fault, node: "Node") -> None:
        self._world.network.duplicates = fault.size / 120
        self._later(fault, setattr, self._world.network, "duplicates", 0.0)

    def _slow_network(self, fault: Fault, node: "Node") -> None:
        self._world.network.delay_us = (1_000, fault.size * 10_000)
        self._later(fault, setattr, self._world.network, "delay_us", self._world.shape.delay_us)

    # Disks

    def _failed_sync(self, fault: Fault, node: "Node") -> None:
        node.disk.failing_syncs = 1

    def _slow_sync(self, fault: Fault, node: "Node") -> None:
        node.slow_sync_us = fault.size * 20_000
        self._later(fault, setattr, node, "slow_sync_us", 0)

    def _full_disk(self, fault: Fault, node: "Node") -> None:
        node.disk.capacity = node.disk.used_bytes() + 4096 * (fault.size % 4)
        self._later(fault, setattr, node.disk, "capacity", 1 << 40)

    def _stalled_store(self, fault: Fault, node: "Node") -> None:
        node.store.stalled = True
        self._later(fault, setattr, node.store, "stalled", False)

    def _may_lose(self, node: "Node") -> bool:
        """Return whether this node may be lost for good with all that are lost already."""
        lost = [one for one in self._world.nodes.values() if one.is_lost or one.damaged or one is node]
        return 2 * len(lost) < len(self._world.names)

    def _lost_disk(self, fault: Fault, node: "Node") -> None:
        if self._may_lose(node) and not node.is_lost:
            if node.alive:
                self._world.crashed(node, "lost disk", with_power=True, down_us=1 << 50)
            node.is_lost = True
            node.disk.wipe()
            node.store.wipe()

    def _damage(self, fault: Fault, node: "Node") -> None:
        """Damage what had been synced, and is stated to be, while the node is down."""
        if not self._may_lose(node) or node.is_lost:
            return
        if node.alive:
            self._world.crashed(node, fault.kind, with_power=True, down_us=fault.for_us)
        chance = Random(fault.seed)
        stated = node.shadow.stated
        files = []
        # Nothing can tell that the newest file lost its end, with all that said there was more.
        last = stated.segment - (fault.kind == "truncated file")
        for name, content in sorted(node.disk.files.items()):
            parsed = parse_segment_name(name)
            if parsed is not None and parsed[0] <= last:
                files.append((content, stated.offset if parsed[0] == stated.segment else len(content.synced)))
        if not files or files[-1][1] < 4096:
            return
        node.damaged = True
        content, end = files[chance.randrange(len(files))] if chance.random() < 0.5 else files[-1]
        content.damage(lambda data: _damaged(data, fault.kind, end, chance))


def _damaged(data: bytearray, kind: str, end: int, chance: Random) -> None:
    place = chance.randrange(max(end, 1))
    if kind == "bit flip":
        if place < len(data):
            data[place] ^= 1 << chance.randrange(8)
    elif kind == "truncated file":
        del data[place:]
    else:
        block = data[place // 4096 * 4096 : place // 4096 * 4096 + 4096]
        other = chance.randrange(max(end // 4096, 1)) * 4096
        if other + len(block) <= end:
            data[other : other + len(block)] = block

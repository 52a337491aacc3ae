"""What lies between the nodes: one link for each pair, in both directions.

As datagrams, messages are delayed, lost, doubled and overtake each other, and outlive the connection they were sent
on. As streams (FIFO), they arrive in order or not at all: what is sent into a cut is held until it heals, or gone with
the connection. A cut lasts some time before anyone notices that the connection is gone, if it lasts that long.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tallymq.raftlog.codec import decode_message, encode_message
from tallymq.raftlog.messages import Message

if TYPE_CHECKING:
    from tests.simulator.world import World

HELD_MAX = 256
"""Messages in a stream that is cut: then the sender's buffers are full, and it drops."""


@dataclass(slots=True)
class Link:
    """One direction between two nodes."""

    source: str
    target: str
    epoch: int = 0
    arrival_us: int = 0
    held: list[tuple[int, Message | bytes]] | None = None


class Network:
    """All links. `blocked` counts the reasons why a direction passes nothing."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.chance = world.random("network")
        shape = world.shape
        self.is_fifo = shape.is_fifo
        self.loss = self.duplicates = 0.0
        self.delay_us = shape.delay_us
        self.blocked: Counter[tuple[str, str]] = Counter()
        self.links = {(a, b): Link(a, b) for a in world.names for b in world.names if a != b}
        self.up: set[tuple[str, str]] = set()
        self._told: set[tuple[str, str]] = set()
        self._pairs = [(a, b) for a in world.names for b in world.names if a < b]
        self.carried = 0

    # Messages

    def send(self, source: str, target: str, shard: int, message: Message | bytes) -> None:
        """Carry a message, or lose it; bytes are a frame of a snapshot."""
        link = self.links[source, target]
        if _pair(source, target) not in self.up:
            return
        if self._world.shape.is_encoded and not isinstance(message, bytes):
            shard, message = decode_message(b"".join(encode_message(shard, message)))
        if self.blocked[source, target]:
            if self.is_fifo and len(link.held or ()) < HELD_MAX:
                link.held = [*(link.held or []), (shard, message)]
            return
        if self.is_fifo:
            self._carry(link, shard, message)
            return
        chance = self.chance.random
        if chance() < self.loss:
            return
        self._carry(link, shard, message)
        if self.duplicates and chance() < self.duplicates:
            self._carry(link, shard, message)

    def _carry(self, link: Link, shard: int, message: Message | bytes) -> None:
        low, high = self.delay_us
        chance = self.chance.random
        delay_us = low + int((high - low) * chance())
        if chance() < 0.01:
            delay_us *= 20
        arrival_us = self._world.now_us + delay_us
        if self.is_fifo:
            arrival_us = link.arrival_us = max(arrival_us, link.arrival_us + 1)
        self.carried += 1
        self._world.at(arrival_us, self._arrive, link, link.epoch, shard, message)

    def _arrive(self, link: Link, epoch: int, shard: int, message: Message | bytes) -> None:
        if self.is_fifo and epoch != link.epoch:
            return
        if self.blocked[link.source, link.target]:
            if self.is_fifo:
                link.held = [*(link.held or []), (shard, message)]
            return
        node = self._world.nodes[link.target]
        if node.alive:
            node.do(node.life, node.receive, shard, link.source, message)

    # Connections

    def block(self, directions: list[tuple[str, str]]) -> None:
        """Let nothing pass in these directions."""
        self.blocked.update(directions)
        self.refresh()

    def unblock(self, directions: list[tuple[str, str]]) -> None:
        """Take a block back."""
        self.blocked.subtract(directions)
        for direction in directions:
            link = self.links[direction]
            if self.blocked[direction] <= 0:
                del self.blocked[direction]
                held, link.held = link.held or [], None
                for shard, message in held:
                    self._carry(link, shard, message)
        self.refresh()

    def refresh(self) -> None:
        """Let connections come and go as the world now allows, each after a while."""
        for a, b in self._pairs:
            wanted = self._wanted(a, b)
            if wanted and (a, b) not in self.up:
                self._world.after(self.chance.randrange(1_000, 50_000), self._connect, a, b)
            elif not wanted and (a, b) in self.up:
                self._world.after(self.chance.randrange(500_000, 5_000_000), self._disconnect, a, b)

    def _wanted(self, a: str, b: str) -> bool:
        nodes = self._world.nodes
        return nodes[a].alive and nodes[b].alive and not self.blocked[a, b] and not self.blocked[b, a]

    def _connect(self, a: str, b: str) -> None:
        if self._wanted(a, b) and (a, b) not in self.up:
            self.up.add((a, b))
            self._tell(a, b, up=True)
            self._tell(b, a, up=True)

    def _disconnect(self, a: str, b: str) -> None:
        if not self._wanted(a, b):
            self.drop(a, b)

    def drop(self, a: str, b: str) -> None:
        """End a connection; what was on its way in a stream is gone."""
        pair = _pair(a, b)
        if pair not in self.up:
            return
        self.up.discard(pair)
        for link in (self.links[a, b], self.links[b, a]):
            link.epoch += 1
            link.held = None
        self._tell(a, b, up=False)
        self._tell(b, a, up=False)
        self.refresh()

    def gone(self, name: str, *, noticed: bool) -> None:
        """A process ended: its peers notice at once, or (power cut) when nothing comes for long."""
        for peer in self._world.names:
            if peer == name:
                continue
            self._told.discard((name, peer))
            pair = _pair(name, peer)
            if pair in self.up:
                self.up.discard(pair)
                self.links[name, peer].epoch += 1
                self.links[peer, name].epoch += 1
                self.links[name, peer].held = self.links[peer, name].held = None
                delay_us = self.chance.randrange(*((100, 10_000) if noticed else (1_000_000, 5_000_000)))
                self._world.after(delay_us, self._notice, peer, name)

    def _notice(self, name: str, peer: str) -> None:
        if _pair(name, peer) not in self.up:
            self._tell(name, peer, up=False)

    def _tell(self, name: str, peer: str, *, up: bool) -> None:
        node = self._world.nodes[name]
        if not node.alive:
            return
        if (name, peer) in self._told:
            self._told.discard((name, peer))
            node.do(node.life, node.peer_disconnected, peer)
        if up:
            self._told.add((name, peer))
            node.do(node.life, node.peer_connected, peer)


def _pair(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)

"""pysyncobj as it is shipped, under virtual time: what our cures are compared with.

Its own extension point for transports carries the messages; its module's clock is replaced while a test runs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pysyncobj.syncobj
from pysyncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.node import Node
from pysyncobj.transport import Transport

Wanted = Callable[[str, str, dict], bool]


def everything(source: str, target: str, message: dict) -> bool:
    return True


def among(names: str) -> Wanted:
    return lambda source, target, message: source in names and target in names


class QueueTransport(Transport):
    def __init__(self, world: StockWorld, name: str) -> None:
        super().__init__(None, None, None)
        self.world = world
        self.name = name

    @property
    def ready(self) -> bool:
        return True

    def send(self, node, message) -> bool:
        # A copy, as a wire would make one.
        self.world.queue.append((self.name, node.id, copy.deepcopy(message)))
        return True


class StockCounter(SyncObj):
    """Remembers what it was told to."""

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.seen: list[object] = []

    @replicated
    def put(self, value):
        self.seen.append(value)
        return value


class StockWorld:
    def __init__(self, monkeypatch, names: str, journals=None, **settings) -> None:
        self.now = 1000.0
        monkeypatch.setattr(pysyncobj.syncobj, "monotonicTime", lambda: self.now)
        self.names = names
        self.queue: list[tuple[str, str, dict]] = []
        self.transports = {name: QueueTransport(self, name) for name in names}
        self.nodes = {name: self._node(name, journals, settings) for name in names}
        for name in names:
            for peer in names:
                if peer != name:
                    self.transports[name]._onNodeConnected(Node(peer))

    def _node(self, name, journals, settings) -> StockCounter:
        options = {"autoTick": False, "appendEntriesUseBatch": False, **settings}
        if journals is not None:
            options["journalFile"] = str(journals / name)
        peers = [Node(peer) for peer in self.names if peer != name]
        return StockCounter(Node(name), peers, SyncObjConf(**options), nodeClass=Node, transport=self.transports[name])

    def candidate_next(self, name: str) -> None:
        """The others wait much longer than this one before they want to lead."""
        for other, node in self.nodes.items():
            node._SyncObj__raftElectionDeadline = self.now + (0.01 if other == name else 50)

    def give(self, source: str, target: str, message: dict) -> None:
        self.transports[target]._onMessageReceived(Node(source), message)

    def deliver(self, wanted: Wanted = everything, *, drop_rest: bool = False) -> None:
        while True:
            now, self.queue = self.queue, []
            if not any(wanted(*item) for item in now):
                self.queue = [] if drop_rest else now
                return
            kept = []
            for item in now:
                if wanted(*item):
                    self.give(*item)
                else:
                    kept.append(item)
            self.queue = kept + self.queue

    def run(self, seconds: float, wanted: Wanted = everything, ticking: str = "", *, drop_rest: bool = True) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.05
            for name in ticking or self.names:
                self.nodes[name].doTick(0)
            self.deliver(wanted, drop_rest=drop_rest)

    def elect(self, name: str, wanted: Wanted = everything, ticking: str = "") -> StockCounter:
        self.candidate_next(name)
        self.run(0.5, wanted, ticking)
        assert self.nodes[name]._isLeader()
        return self.nodes[name]

    def log(self, name: str) -> list[tuple[int, int]]:
        return [(index, term) for _, index, term in self.nodes[name]._SyncObj__raftLog[:]]

"""The only door to pysyncobj. Everything that touches its private names is in this file.

pysyncobj 0.3.17 is not safe as shipped, and we override its private methods. So exactly that version, with exactly that
source, is accepted: in any other one an override may no longer be called, and nothing would say so.

How the stock class is entered, without changing anything in its module:
- `__raftLog` is a data descriptor here, which drops the journal that `__init__` creates and gives ours, so that term
  and vote are restored from it;
- it has no poller to wait in, no pipe, no thread, no file and no socket: batches on (no pipe is made), autoTick off,
  a transport that only passes messages on;
- every stock method that reads the clock, draws a random number, pickles or writes a file is overridden: time and
  chance come from outside. `OVERRIDDEN` is compared with the stock class by a test.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection
from importlib import metadata, util
from operator import attrgetter
from pathlib import Path
from typing import Any

from tallymq.raftlog.journal import Journal
from tallymq.raftlog.membership import node_of
from tallymq.raftlog.messages import Message

VERSION = "0.3.17"
SOURCE_SHA256 = "e8bdf06797085d734df86e24ab4802fe87893dff77268565ec036f7ad4a1cfe4"


class EngineRefused(RuntimeError):
    """The installed pysyncobj is not the one this room repairs. Nothing was started."""


def check_engine(version: str, source: bytes) -> None:
    """Raise EngineRefused unless this is the release, and the source, that the overrides were written for."""
    advice = (
        f'install the exact release ("python -m pip install --force-reinstall pysyncobj=={VERSION}"); for another one '
        "the overrides must be reviewed first, see docs/decisions/0003-pysyncobj-overrides.md"
    )
    if version != VERSION:
        raise EngineRefused(f"pysyncobj {version} is installed, TallyMQ runs with {VERSION} only: {advice}")
    if hashlib.sha256(source).hexdigest() != SOURCE_SHA256:
        raise EngineRefused(f"pysyncobj {version} has been changed after its release: {advice}")


def _installed_source() -> bytes:
    package = util.find_spec("pysyncobj")
    if package is None or package.origin is None:
        raise EngineRefused(
            f"pysyncobj is not installed: python -m pip install 'tallymq[server]' (it brings {VERSION})"
        )
    return Path(package.origin).with_name("syncobj.py").read_bytes()


# Looked at before it is imported: importing it would run it.
_source = _installed_source()
check_engine(metadata.version("pysyncobj"), _source)

from pysyncobj import SyncObj, SyncObjConf  # noqa: E402
from pysyncobj.node import Node  # noqa: E402
from pysyncobj.transport import Transport  # noqa: E402

FOLLOWER, CANDIDATE, LEADER = 0, 1, 2
"""pysyncobj's own numbers for the roles."""

SHUT = (
    "_SyncObj__applyLogEntries",
    "_SyncObj__changeCluster",
    "_SyncObj__deleteEntriesTo",
    "_SyncObj__doApplyCommand",
    "_SyncObj__doChangeCluster",
    "_SyncObj__loadDumpFile",
    "_SyncObj__onBecomeLeader",
    "_SyncObj__onReadonlyNodeConnected",
    "_SyncObj__onReadonlyNodeDisconnected",
    "_SyncObj__parseChangeClusterRequest",
    "_SyncObj__sendAppendEntries",
    "_SyncObj__sendNextNodeIdx",
    "_SyncObj__tryLogCompaction",
    "_SyncObj__updateClusterConfiguration",
    "_addNodeToCluster",
    "_applyCommand",
    "_autoTickThread",
    "_checkCommandsToApply",
    "_removeNodeFromCluster",
    "_setCodeVersion",
    "addNodeToCluster",
    "getStatus",
    "removeNodeFromCluster",
    "setCodeVersion",
    "transferLeadership",
)
"""Stock methods that read the clock, draw, pickle, write files, or hold a fault: our cures are called instead of them.

`OPEN` and `REPLACED` are the others that would; a test reads the stock source and finds none outside these lists.
"""

REPLACED = ("_SyncObj__generateRaftTimeout", "_SyncObj__onMessageReceived", "_onTick")
OPEN = ("__init__",)
"""Reads the clock for three values; the two of them that anyone looks at are set again by ours."""


class StockMethodCalled(AssertionError):
    """A stock method with a known fault was reached: a mistake of ours, caught before it could do harm."""


def _shut(name: str) -> Callable[..., None]:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise StockMethodCalled(f"pysyncobj's {name} has a cure in this room and must not run")

    return refuse


class _Passage(Transport):  # type: ignore[misc]
    """Where pysyncobj expects sockets: passes messages on to whoever carries them."""

    def __init__(self, send: Callable[[str, Message], None]) -> None:
        super().__init__(None, None, None)
        self._send = send

    @property
    def ready(self) -> bool:
        """Whoever carries messages drops what it cannot carry; there is nothing to wait for."""
        return True

    def send(self, node: Any, message: Message) -> bool:  # noqa: ANN401 - pysyncobj's Node has no types
        """Pass one message on."""
        self._send(node.id, message)
        return True

    def setOnUtilityMessageCallback(self, message: str, callback: object) -> None:  # noqa: N802 - pysyncobj's name
        """Leave out the commands that stock accepts from anyone who connects: nobody can send them here."""


def _stock(name: str) -> Any:  # noqa: ANN401 - whatever the stock class keeps under that name
    """Return a property for one private attribute of the stock class."""
    private = "_SyncObj__" + name

    def write(engine: Any, value: object) -> None:  # noqa: ANN401 - any subclass
        setattr(engine, private, value)

    return property(attrgetter(private), write)


class _OwnJournal:
    """Data descriptor in the place of `__raftLog`: gives our journal and drops the one `__init__` makes."""

    def __get__(self, engine: Engine, _owner: type[Engine]) -> Journal:
        return engine.journal

    def __set__(self, engine: Engine, _value: object) -> None:
        return


class Engine(SyncObj):  # type: ignore[misc]
    """The stock class, entered: its state under readable names, its private methods turned into ours.

    What the stock class still does: it restores and keeps role, term, vote, leader, majority index and applied index,
    knows the members and who is connected, and reads and truncates the log through the journal.
    """

    _SyncObj__raftLog = _OwnJournal()

    role: int = _stock("raftState")
    term: int = _stock("raftCurrentTerm")
    voted_for: str | None = _stock("votedForNodeId")
    leader_node: Any = _stock("raftLeader")
    majority_index: int = _stock("raftCommitIndex")
    applied_index: int = _stock("raftLastApplied")
    election_deadline_ms: int = _stock("raftElectionDeadline")
    first_own_index: int | None = _stock("noopIDx")
    _other_nodes: Any = _stock("otherNodes")
    _connected_nodes: Any = _stock("connectedNodes")
    _self_node: Any = _stock("selfNode")

    def __init__(
        self,
        *,
        node: str,
        journal: Journal,
        send: Callable[[str, Message], None],
        now_ms: Callable[[], int],
        chance: random.Random,
        election_ms_min: int,
        election_ms_max: int,
    ) -> None:
        self.journal = journal
        self.now_ms = now_ms
        self._chance = chance
        self._election_ms = (election_ms_min, election_ms_max)
        self.name = node_of(node)
        self.peers: tuple[str, ...] = ()
        configuration = SyncObjConf(
            autoTick=False,
            appendEntriesUseBatch=True,
            pollerType="select",
            useFork=False,
            journalFile=None,
            fullDumpFile=None,
            dynamicMembershipChange=False,
            commandsQueueSize=0,
        )
        super().__init__(Node(node), [], configuration, nodeClass=Node, transport=_Passage(send))
        # Stock counts its first entry, which every node invents, as applied; ours starts at the base.
        self.restart_election_timer()

    # What other files use

    @property
    def node(self) -> str:
        """This node's member id, "" while it is not known."""
        member: str = self.selfNode.id
        return member

    def rename(self, member: str) -> None:
        """Go under another member id from now on."""
        self._self_node = Node(member)

    def set_peers(self, peers: Collection[str]) -> None:
        """Note who the other members are; in the same order on every node."""
        self.peers = tuple(sorted(peers))
        self._other_nodes = {Node(peer) for peer in self.peers}

    @property
    def leader(self) -> str:
        """The leader's name as far as known, else ""."""
        return self.leader_node.id if self.leader_node is not None else ""

    def set_leader(self, peer: str) -> None:
        """Note who leads; "" for nobody, or nobody known."""
        self.leader_node = None if not peer else self.selfNode if peer == self.node else Node(peer)

    def set_role(self, role: int) -> None:
        """Change the role."""
        self._SyncObj__setState(role)

    def set_term(self, term: int, voted_for: str | None) -> None:
        """Note term and vote, in the journal too."""
        self._SyncObj__setCurrentTerm(term, voted_for)

    def truncate(self, from_index: int) -> None:
        """Drop `from_index` and what follows."""
        self._SyncObj__deleteEntriesFrom(from_index)

    def is_connected(self, peer: str) -> bool:
        """Return whether messages to `peer` have a chance to arrive; that is a matter of the node it lives on."""
        return Node(node_of(peer)) in self._connected_nodes

    def note_connected(self, peer: str) -> None:
        """Note that the node of `peer` can be reached."""
        self._SyncObj__onNodeConnected(Node(node_of(peer)))

    def note_disconnected(self, peer: str) -> None:
        """Note that the node of `peer` cannot be reached."""
        self._SyncObj__onNodeDisconnected(Node(node_of(peer)))

    def restart_election_timer(self) -> None:
        """Give a leader another while to be heard from."""
        self.election_deadline_ms = self.now_ms() + self._SyncObj__generateRaftTimeout()

    def pass_on(self, peer: str, message: Message) -> None:
        """Hand a message to whoever carries it, now."""
        self._SyncObj__transport.send(Node(peer), message)

    # What the stock class calls, and ours does

    def tick(self) -> None:
        """Do what is due; the last class of the chain says what that is."""

    def received(self, peer: str, message: Message) -> None:
        """Take a message; the last class of the chain says how."""

    def _onTick(self, timeToWait: float = 0.0) -> None:  # noqa: N802, N803 - pysyncobj's names
        self.tick()

    def _SyncObj__onMessageReceived(self, node: Any, message: Message) -> None:  # noqa: ANN401, N802
        self.received(node.id, message)

    def _SyncObj__generateRaftTimeout(self) -> int:  # noqa: N802
        low, high = self._election_ms
        return self._chance.randint(low, high)


for _name in SHUT:
    setattr(Engine, _name, _shut(_name))

"""What the service knows of where things are: shards of this node, their leaders, the other nodes, the topics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tallymq.raftlog import errors as raftlog_errors
from tallymq.raftlog.consensus_progress import PeerCopy
from tallymq.raftlog.settings import METADATA_SHARD
from tallymq.service.errors import Refused, from_exception, from_outcome
from tallymq.txn import outcomes, queries
from tallymq.txn.answers import TopicInfo
from tallymq.txn.commands import Command
from tallymq.txn.outcomes import Result
from tallymq.txn.types import Reference, View

TOPIC_WAIT_S = 1.0
"""How long a follower of the metadata shard waits for a topic it has not heard of: it may just have been made."""
TOPICS_CACHED_MAX = 10_000


class Shard(Protocol):
    """One shard's copy on this node, as `raftlog.host.ShardHandle` offers it."""

    @property
    def number(self) -> int:
        """Its number."""

    @property
    def is_leader(self) -> bool:
        """Whether this node leads it."""

    @property
    def leader(self) -> str:
        """Name of the node that leads it, "" if unknown."""

    @property
    def term(self) -> int:
        """Raft term."""

    @property
    def majority_index(self) -> int:
        """Highest index known to be on a majority."""

    @property
    def applied_index(self) -> int:
        """Highest index applied here."""

    @property
    def last_index(self) -> int:
        """Last index in the log here."""

    @property
    def base_index(self) -> int:
        """Highest index no longer in the log here; 0 if none was dropped."""

    @property
    def voters(self) -> Sequence[str]:
        """Nodes whose copies count for a majority, by name."""

    @property
    def learners(self) -> Sequence[str]:
        """Nodes that are brought up to date and do not count, by name."""

    @property
    def waiting_bytes(self) -> int:
        """Proposals not yet answered."""

    @property
    def health(self) -> str:
        """ "ok", or why it does not serve."""

    def peer_copies(self) -> Sequence[PeerCopy]:
        """On the leader: what it knows of the other nodes' copies, by name; elsewhere nothing."""

    @property
    def clock_ms(self) -> int:
        """Unix milliseconds as this shard would stamp an entry now: steady, whatever this machine's clock does."""

    @property
    def view(self) -> View:
        """Applied state."""

    def propose(self, command: Command, bodies: Sequence[bytes] = ()) -> asyncio.Future[Result]:
        """Replicate and apply `command`; raises at once what certainly did not happen."""

    def read(self, reference: Reference) -> bytes:
        """Return the bytes of a stored batch, checked."""


class Host(Protocol):
    """What the service needs of `raftlog.host.Host`."""

    @property
    def shards(self) -> Mapping[int, Shard]:
        """All shards of this node."""

    @property
    def refusal(self) -> Exception | None:
        """Why no proposal is accepted now, on whatever shard; None if they are."""

    @property
    def free_bytes(self) -> int:
        """Free space on the disk of the data directory; 0: not looked yet, or there is none."""

    @property
    def log_bytes(self) -> int:
        """Room that the files of the log take on the disk."""

    def connected_peers(self) -> frozenset[str]:
        """Names of the nodes this one has a connection to."""


@dataclass(frozen=True)
class NodeAddress:
    """A node of the cluster and where it is reached, host:port."""

    node: str
    client_address: str
    peer_address: str


class Cluster:
    """Shards, nodes and topics as this node knows them."""

    def __init__(
        self, *, node: str, name: str, host: Host, nodes: Sequence[NodeAddress], now_ms: Callable[[], int]
    ) -> None:
        self.node = node
        self.name = name
        self.host = host
        self.nodes = tuple(nodes)
        self.now_ms = now_ms
        self._client_addresses = {address.node: address.client_address for address in nodes}
        self._topics: dict[str, TopicInfo] = {}
        self._metadata_changed = asyncio.Event()
        self._growth: dict[tuple[str, int], asyncio.Event] = {}

    @property
    def shards(self) -> Mapping[int, Shard]:
        """All shards of this node."""
        return self.host.shards

    @property
    def metadata(self) -> Shard:
        """The shard that keeps topics and groups."""
        return self.host.shards[METADATA_SHARD]

    def led(self) -> list[Shard]:
        """Return the shards that this node leads."""
        return [shard for shard in self.host.shards.values() if shard.is_leader]

    def shard_of_handle(self, number: int) -> Shard:
        """Return the shard a handle names; raises Refused WRONG_HANDLE if there is none of this number."""
        shard = self.host.shards.get(number)
        if shard is None:
            raise Refused("WRONG_HANDLE", f"there is no shard {number}")
        return shard

    def not_leader(self, shard: Shard) -> Refused:
        """Return the refusal that leads the caller to the leader of `shard`."""
        leader = shard.leader
        detail = f"shard {shard.number}"
        if leader == self.node:
            return Refused("NOT_LEADER", detail)
        return Refused("NOT_LEADER", detail, self._client_addresses.get(leader, ""))

    def client_address(self, node: str) -> str:
        """Return where clients reach `node`, "" if unknown."""
        return self._client_addresses.get(node, "")

    def propose(self, shard: Shard, command: Command, bodies: Sequence[bytes] = ()) -> asyncio.Future[Result]:
        """Propose, or raise Refused for what certainly did not happen. The future may raise errors of raftlog."""
        if not shard.is_leader:
            raise self.not_leader(shard)
        try:
            return shard.propose(command, bodies)
        except raftlog_errors.NotLeader:
            raise self.not_leader(shard) from None
        except raftlog_errors.RaftLogError as error:
            raise from_exception(error) from error

    def refusal_of(self, shard: Shard, error: BaseException) -> Refused:
        """Return what a caller is told when a proposal to `shard` failed with `error`."""
        if isinstance(error, raftlog_errors.NotLeader):
            return self.not_leader(shard)
        return from_exception(error)

    async def ask(self, shard: Shard, command: Command) -> Result:
        """Return what the rules answered to `command`, a refusal among others; raises Refused if it was not applied."""
        future = self.propose(shard, command)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(look_at_error)
            raise
        except Exception as error:
            raise self.refusal_of(shard, error) from error

    async def require(self, shard: Shard, command: Command) -> Result:
        """Return the result of `command`; raises Refused for refusals of the rules too."""
        result = await self.ask(shard, command)
        if isinstance(result, outcomes.Refusal):
            raise from_outcome(result)
        return result

    def metadata_changed(self) -> None:
        """Forget what was remembered of topics; wake who waits for news of them."""
        self._topics.clear()
        self._metadata_changed.set()
        self._metadata_changed = asyncio.Event()

    def queue_grew(self, topic: str, queue: int) -> None:
        """Wake who waits for messages of a queue without being a consumer."""
        grown = self._growth.pop((topic, queue), None)
        if grown is not None:
            grown.set()

    async def wait_for_growth(self, topic: str, queue: int) -> None:
        """Return when a queue has something new."""
        await self._growth.setdefault((topic, queue), asyncio.Event()).wait()

    def find_topic(self, name: str) -> TopicInfo | None:
        """Return the topic as this node's copy of the metadata shard has it."""
        found = self._topics.get(name)
        if found is None:
            found = queries.topic(self.metadata.view, name)
            if found is not None:
                if len(self._topics) >= TOPICS_CACHED_MAX:
                    self._topics.clear()
                self._topics[name] = found
        return found

    def topic(self, name: str) -> TopicInfo:
        """Return a topic; raises Refused UNKNOWN_TOPIC."""
        found = self.find_topic(name)
        if found is None:
            raise Refused("UNKNOWN_TOPIC", name)
        return found

    def may_be_behind(self, name: str) -> bool:
        """Return whether the topic is unknown here, but may exist: this node only follows the metadata shard."""
        return not self.metadata.is_leader and self.find_topic(name) is None

    async def wait_for_topic(self, name: str) -> None:
        """Give a topic that may just have been made a moment to become known here."""
        deadline = asyncio.get_running_loop().time() + TOPIC_WAIT_S
        while self.may_be_behind(name):
            changed = self._metadata_changed
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(changed.wait(), left)
            except TimeoutError:
                return

    def shard_of_queue(self, topic: TopicInfo, queue: int) -> Shard:
        """Return the shard that owns a queue; raises Refused UNKNOWN_QUEUE."""
        if queue >= len(topic.queue_shards):
            raise Refused("UNKNOWN_QUEUE", f"{topic.name} has {len(topic.queue_shards)} queues")
        return self.host.shards[topic.queue_shards[queue]]


def look_at_error(future: asyncio.Future[Result]) -> None:
    """Retrieve the error of a proposal nobody waits for any more, so that it is not reported as forgotten."""
    if not future.cancelled():
        future.exception()

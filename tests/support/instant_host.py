"""A host without log, disk or peers: every proposal is applied at once, by the real rules, over a sorted dict.

The test double of the seam `Log.propose`. It can be told to follow instead of lead, to be overloaded, or to answer
that the outcome is unknown; nothing else of a host is imitated.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence

import google_crc32c

from tallymq.raftlog import errors
from tallymq.txn import machine
from tallymq.txn.commands import Command, Entry, Prepare, Publish
from tallymq.txn.outcomes import Result
from tallymq.txn.types import Delete, Effect, Put, Reference
from tests.support.view import SortedView


class InstantShard:
    """One shard; answers a proposal in the next turn of the loop."""

    def __init__(self, number: int, node: str, host: "InstantHost") -> None:
        self.number = number
        self.leader = node
        self.term = 1
        self.view = SortedView()
        self.health = "ok"
        self.applied_index = 0
        self.stamped_ms = 0
        self.commands: list[Command] = []
        self.fail_next: list[Exception] = []
        self._bodies: dict[tuple[int, int], bytes] = {}
        self._host = host
        self.base_index = 0
        self.waiting_bytes = 0
        self.voters = (node,)
        self.learners = ()

    def peer_copies(self) -> tuple[()]:
        return ()

    @property
    def is_leader(self) -> bool:
        return self.leader == self._host.node

    @property
    def clock_ms(self) -> int:
        return max(self.stamped_ms, self._host.now_ms())

    @property
    def majority_index(self) -> int:
        return self.applied_index

    @property
    def last_index(self) -> int:
        return self.applied_index

    def propose(self, command: Command, bodies: Sequence[bytes] = ()) -> asyncio.Future[Result]:
        if not self.is_leader:
            raise errors.NotLeader(self.leader)
        if self.fail_next and not isinstance(self.fail_next[0], errors.OutcomeUnknown):
            raise self.fail_next.pop(0)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        result = self._apply(command, bodies)
        failure = self.fail_next.pop(0) if self.fail_next else None
        asyncio.get_running_loop().call_soon(self._settle, future, result, failure)
        return future

    def read(self, reference: Reference) -> bytes:
        body = self._bodies[reference.index, reference.batch]
        assert google_crc32c.value(body) == reference.crc32c
        return body

    def digest(self) -> str:
        """Return a hash of the whole state, to show that nothing changed."""
        digest = hashlib.sha256()
        for key, value in self.view.items():
            digest.update(b"%d %d " % (len(key), len(value)) + key + value)
        return digest.hexdigest()

    def _apply(self, command: Command, bodies: Sequence[bytes]) -> Result:
        self.applied_index += 1
        self.stamped_ms = max(self.stamped_ms, self._host.now_ms())
        self.commands.append(command)
        if isinstance(command, Publish | Prepare):
            assert len(bodies) == len(command.batches)
            for number, (batch, body) in enumerate(zip(command.batches, bodies, strict=True)):
                assert batch.length == len(body)
                self._bodies[self.applied_index, number] = bytes(body)
        entry = Entry(self.applied_index, self.stamped_ms, (command,))
        results, effects = machine.apply(self.view, entry, metadata_shard=self.number == 0)
        self.view.fold(effects)
        notices = [effect for effect in effects if not isinstance(effect, Put | Delete)]
        if notices:
            asyncio.get_running_loop().call_soon(self._host.tell, self.number, notices)
        return results[0]

    def _settle(self, future: asyncio.Future[Result], result: Result, failure: Exception | None) -> None:
        if future.done():
            return
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)


class NoLog:
    """What a host says of its log, where there is none."""

    log_bytes = freed_bytes = carried_bytes = damaged_segment = 0


class InstantHost:
    """All shards of one node."""

    reclaiming = NoLog()

    def __init__(self, node: str = "node-1", shard_count: int = 4, now_ms: Callable[[], int] | None = None) -> None:
        self.node = node
        self.now_ms = now_ms or _wall_clock_ms
        self.shards = {number: InstantShard(number, node, self) for number in range(shard_count)}
        self.listener = None
        self.stopped = False
        self.refusal = None
        self.free_bytes = 1 << 30
        self.log_bytes = 0

    def connected_peers(self) -> frozenset[str]:
        return frozenset()

    def tell(self, shard: int, notices: Sequence[Effect]) -> None:
        if self.listener is not None and not self.stopped:
            self.listener.effects(shard, notices)

    def lead(self, shard: int, leader: str) -> None:
        """Let another node, or this one, lead a shard from now on."""
        was_leader = self.shards[shard].is_leader
        self.shards[shard].leader = leader
        self.shards[shard].term += 1
        if self.listener is not None and self.shards[shard].is_leader != was_leader:
            self.listener.leadership(shard, not was_leader)

    def digest(self) -> tuple[str, ...]:
        """Return a hash of the state of each shard."""
        return tuple(shard.digest() for shard in self.shards.values())

    async def stop(self) -> None:
        self.stopped = True


def _wall_clock_ms() -> int:
    import time

    return time.time_ns() // 1_000_000

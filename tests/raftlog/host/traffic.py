"""Hosts for tests, and traffic whose every message can be recomputed from its number."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import google_crc32c

from tallymq.raftlog.host import Host, HostSettings, ShardHandle
from tallymq.raftlog.settings import Member, TlsFiles
from tallymq.txn import queries
from tallymq.txn.commands import Decide, Decision, EnsureQueue, Prepare, Publish
from tallymq.txn.outcomes import Decided, Done, Prepared, Stored
from tallymq.txn.types import Batch, Effect, Identity
from tests.support.waiting import until

TOPIC = "ledger"
QUEUES = 4
END = b"\xff" * 64
# Quick elections, yet slow enough for a machine that is ten times busier than planned.
TIMES: Mapping[str, int] = {"heartbeat_ms": 50, "election_ms_min": 400, "election_ms_max": 900}


class Ear:
    """Remembers what a host told."""

    def __init__(self) -> None:
        self.notices: list[tuple[int, Effect]] = []
        self.leads: dict[int, bool] = {}
        self.reasons: list[str] = []

    def effects(self, shard: int, effects: Sequence[Effect]) -> None:
        self.notices += [(shard, effect) for effect in effects]

    def leadership(self, shard: int, is_leader: bool) -> None:
        self.leads[shard] = is_leader

    def stopped(self, reason: str) -> None:
        self.reasons.append(reason)


def settings_for(
    folder: Path, node: str = "n1", members: Sequence[Member] = (), tls: TlsFiles | None = None, **more: object
) -> HostSettings:
    """Settings of a node whose data lies in `folder`/`node`."""
    port = next((member.port for member in members if member.node == node), 0)
    wanted = {**TIMES, "free_bytes_min": 0, "segment_bytes": 8 << 20, "listen_port": port, **more}
    return HostSettings(
        node=node, cluster="tests", data_directory=folder / node, members=tuple(members), tls=tls, **wanted
    )


@asynccontextmanager
async def running(settings: HostSettings, ear: Ear | None = None) -> AsyncIterator[Host]:
    """A host that leads every shard if it is alone."""
    host = await Host.start(settings, ear or Ear(), "test")
    try:
        if settings.alone:
            await until(lambda: all(shard.is_leader for shard in host.shards.values()))
        yield host
    finally:
        await host.stop()


def body_of(number: int, size: int = 0) -> bytes:
    """The bytes of message `number`, the same everywhere."""
    seed = hashlib.sha256(number.to_bytes(8, "big")).digest()
    size = size or 40 + number % 3000
    return (seed * (size // len(seed) + 1))[:size]


def batch_of(shard: int, body: bytes, count: int = 1) -> Batch:
    return Batch(TOPIC, shard, QUEUES, count, 0, len(body), google_crc32c.value(body))


def identity_of(number: int) -> Identity:
    return Identity(7 + (number >> 32), number & 0xFFFFFFFF, time.time_ns() // 1_000_000 + 600_000)


async def ensure_queue(shard: ShardHandle) -> None:
    """Let the shard own its queue of the test's topic."""
    command = EnsureQueue(TOPIC, 1, shard.number, QUEUES, 0, 0)
    assert await shard.propose(command) == Done()


def publish(shard: ShardHandle, number: int, size: int = 0) -> asyncio.Future[object]:
    """Propose message `number`."""
    body = body_of(number, size)
    return shard.propose(Publish(identity_of(number), "producers", "", (batch_of(shard.number, body),)), (body,))


async def publish_all(shard: ShardHandle, numbers: Sequence[int]) -> list[int]:
    """Publish these at once; return their offsets."""
    results = await asyncio.gather(*[publish(shard, number) for number in numbers])
    assert all(isinstance(result, Stored) for result in results), results
    return [result.batches[0].first_offset for result in results]


async def transfer(shard: ShardHandle, number: int, count: int = 8, commit: int = 0b01010101) -> Prepared:
    """Prepare a frame of `count` transactions and decide all of them."""
    body = body_of(number)
    prepare = Prepare(identity_of(number), "producers", "", (batch_of(shard.number, body, count),), 60_000)
    prepared = await shard.propose(prepare, (body,))
    assert isinstance(prepared, Prepared)
    half = prepared.batches[0]
    everything = (1 << count) - 1
    decision = Decision(
        half.index, half.batch, prepare.identity.instance, prepare.identity.sequence, commit, everything ^ commit
    )
    decided = await shard.propose(Decide("producers", "", "call", (decision,)))
    assert isinstance(decided, Decided)
    assert decided.outcomes[0].refusal is None
    return prepared


def stored(shard: ShardHandle) -> dict[int, bytes]:
    """Every visible message of the shard's queue: offset to the bytes of its batch, read from the log."""
    found: dict[int, bytes] = {}
    offset = 0
    while True:
        pieces = queries.browse(shard.view, TOPIC, shard.number, offset, 500)
        if not pieces:
            return found
        for piece in pieces:
            for place in range(piece.count):
                found[piece.first_offset + place] = shard.read(piece.reference)
            offset = piece.first_offset + piece.count


def digest(shard: ShardHandle) -> str:
    """A digest of the whole applied state."""
    state = hashlib.sha256()
    start = b""
    while True:
        pairs = shard.view.range(start, END, 1000)
        if not pairs:
            return state.hexdigest()
        for key, value in pairs:
            state.update(len(key).to_bytes(4, "big") + key + len(value).to_bytes(4, "big") + value)
        start = pairs[-1][0] + b"\0"

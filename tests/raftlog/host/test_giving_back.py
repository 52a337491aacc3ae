"""A running node gives the room of its log back, and loses nothing that is still needed by doing so."""

import contextlib
from pathlib import Path

from tallymq.raftlog.host import Host
from tallymq.raftlog.host_shard import ShardHandle
from tallymq.txn import queries
from tallymq.txn.commands import TrimQueue
from tallymq.txn.outcomes import QueueTrimmed
from tests.raftlog.host.traffic import TOPIC, body_of, ensure_queue, publish, running, settings_for, transfer
from tests.support.waiting import until

MIB = 1 << 20
BODY_BYTES = 300_000
KEPT = 5


async def trim(shard: ShardHandle, first_offset: int) -> int:
    result = await shard.propose(TrimQueue(TOPIC, 1, shard.number, first_offset, 1_000))
    assert isinstance(result, QueueTrimmed)
    return result.first_offset


async def fill(shard: ShardHandle, count: int) -> None:
    """Publish so many messages; keep the last few."""
    for number in range(count):
        await publish(shard, number, BODY_BYTES)
        if number >= KEPT:
            assert await trim(shard, number + 1 - KEPT) == number + 1 - KEPT


def check(shard: ShardHandle, count: int) -> None:
    pieces = queries.browse(shard.view, TOPIC, shard.number, 0, 100)
    assert [piece.first_offset for piece in pieces] == list(range(count - KEPT, count))
    for piece in pieces:
        assert shard.read(piece.reference) == body_of(piece.first_offset, BODY_BYTES)


def files_bytes(host: Host) -> int:
    sizes = []
    for path in host._opened.directory.log_folder.iterdir():
        # A file may go while we look.
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sum(sizes)


async def test_the_log_takes_no_more_room_than_what_is_kept_needs(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, segment_bytes=MIB, flush_interval_ms=50, carry_bytes_per_second=1 << 40)
    count = 60
    async with running(settings) as host:
        shard = host.shards[1]
        await ensure_queue(shard)
        half = await transfer(shard, 5_000, commit=0)
        await fill(shard, count)
        # 18 MB were written; kept are 1.5 MB, and a half batch that was prepared before all of it.
        await until(lambda: files_bytes(host) <= 6 * MIB)
        await until(lambda: host.reclaiming.log_bytes == files_bytes(host))
        assert host.reclaiming.freed_bytes >= 12 * MIB
        assert host.reclaiming.carried_bytes < 2 * MIB
        check(shard, count)
        kept = queries.half(shard.view, half.batches[0].index, 0)
        assert kept is not None
        assert shard.read(kept.reference) == body_of(5_000)
    async with running(settings) as host:
        check(host.shards[1], count)
        assert host.shards[1].read(kept.reference) == body_of(5_000)
        await publish(host.shards[1], count, BODY_BYTES)


async def test_a_quiet_node_gives_back_what_was_given_up_last(tmp_path: Path) -> None:
    """Files go with a flush, and nobody but the pass itself would ask for one now."""
    settings = settings_for(tmp_path, segment_bytes=MIB, flush_interval_ms=86_400_000, flush_log_bytes=4 * MIB)
    async with running(settings) as host:
        shard = host.shards[0]
        await ensure_queue(shard)
        await fill(shard, 30)
        await until(lambda: host.reclaiming.freed_bytes >= 2 * MIB)
        check(shard, 30)

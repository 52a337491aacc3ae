"""Three real hosts on loopback: one comes with an empty disk, the others have forgotten the beginning of their logs."""

import asyncio
import itertools
from pathlib import Path

import pytest

from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.host import Host
from tallymq.raftlog.keys import location_key
from tallymq.raftlog.locations import decode_location
from tallymq.raftlog.records import HEADER_BYTES
from tallymq.txn import queries
from tallymq.txn.types import Reference
from tests.raftlog.host.test_three_nodes import NAMES, Cluster, a_cluster
from tests.raftlog.host.traffic import TOPIC, digest, ensure_queue, publish_all, stored, transfer
from tests.support.waiting import until


async def filled(cluster: Cluster, count: int) -> None:
    for shard in range(4):
        handle = await cluster.led(shard)
        await ensure_queue(handle)
        await publish_all(handle, range(shard * 10_000, shard * 10_000 + count))
        await transfer(handle, 5_000 + shard)
    await cluster.agree()


async def forget(host: Host) -> None:
    """Let Raft forget what every shard of a node has applied."""
    await host._upkeep.flush()
    log = host._opened.log
    for number in host.shards:
        index = log.flushes.applied(number)
        term = log.term_at(number, index)
        assert term is not None
        log.drop_prefix(number, index, term, b"")
        host._members[number].rebase()
    host.wake()


async def test_an_empty_node_is_built_under_load_and_serves_every_body(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, ("n1", "n2")) as cluster:
        await filled(cluster, 60)
        for host in cluster.hosts.values():
            await forget(host)
        loading = True
        acknowledged: list[tuple[int, int]] = []

        async def load() -> None:
            for number in itertools.count(100_000):
                if not loading:
                    return
                shard = number % 4
                acknowledged.append((shard, await cluster.publish(shard, number)))

        running = [asyncio.create_task(load())]
        await cluster.start("n3")
        rebuilt = cluster.hosts["n3"]
        await until(lambda: rebuilt.snapshots.installed == 4, "four snapshots", 60)
        loading = False
        await asyncio.gather(*running)
        await cluster.agree()
        assert len(acknowledged) > 0
        handles = [host.shards[0] for host in cluster.hosts.values()]
        assert len({digest(handle) for handle in handles}) == 1
        assert len(stored(rebuilt.shards[1])) >= 60
        # And it is all there once more, from its own disk.
        await cluster.stop("n3")
        await cluster.start("n3")
        await cluster.agree()
        assert cluster.hosts["n3"].snapshots.installed == 0


async def test_a_node_built_from_snapshots_is_as_good_as_any_other(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, ("n1", "n3")) as cluster:
        await filled(cluster, 10)
        for host in cluster.hosts.values():
            await forget(host)
        await cluster.start("n2")
        await until(lambda: cluster.hosts["n2"].snapshots.installed == 4, "four snapshots", 60)
        await cluster.stop("n1")
        for shard in range(4):
            assert await cluster.publish(shard, 200_000 + shard) > 0
        await cluster.start("n1")
        await cluster.agree()


def flip(host: Host, folder: Path, reference: Reference, shard: int) -> None:
    """Flip a bit of a body in a node's file."""
    value = host._opened.store.get(location_key(shard, reference.index))
    assert value is not None
    place = decode_location(value)
    (path,) = (folder / "log").glob(f"log-{place.segment:016x}-*.segment")
    with path.open("r+b") as file:
        file.seek(place.offset + HEADER_BYTES + place.prefix_bytes + reference.start - place.start)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


async def test_damaged_bodies_on_every_node_are_repaired_and_stop_nothing(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        await filled(cluster, 1)
        for number in range(400_000, 400_009):
            await cluster.publish(1, number)
        await cluster.agree()
        for host in cluster.hosts.values():
            await host._upkeep.flush()
        places = [piece.reference for piece in queries.browse(cluster.hosts["n1"].shards[1].view, TOPIC, 1, 0, 100)]
        whole = stored(cluster.hosts["n1"].shards[1])
        assert len({reference.index for reference in places}) >= 10
        for place, reference in enumerate(places):
            name = NAMES[place % 3]
            host = cluster.hosts[name]
            flip(host, tmp_path / name, reference, 1)
            with pytest.raises(BodyDamaged):
                host.shards[1].read(reference)
        await until(lambda: sum(host.snapshots.repaired_bodies for host in cluster.hosts.values()) == len(places))
        for host in cluster.hosts.values():
            assert stored(host.shards[1]) == whole
            assert host.shards[1].health == "ok"
        assert await cluster.publish(1, 300_000) > 0
        await cluster.stop("n2")
        await cluster.start("n2")
        await cluster.agree()


async def test_nothing_is_forgotten_that_comes_after_a_snapshot_on_its_way(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        await filled(cluster, 30)
        for number in range(500_000, 500_010):
            await cluster.publish(0, number)
        host = next(host for host in cluster.hosts.values() if host.shards[0].is_leader)
        await host._upkeep.flush()
        applied, sender = host._opened.log.flushes.applied(0), host.snapshots.shards[0].sender
        assert applied > 5
        sender.floor = lambda: 5  # type: ignore[method-assign]
        host.reclaiming._drop_prefix(0, applied)
        assert host._opened.log.shard_state(0).base_index == 5
        sender.floor = lambda: 0  # type: ignore[method-assign]
        host.reclaiming._drop_prefix(0, applied)
        assert host._opened.log.shard_state(0).base_index == applied
        host.wake()
        await cluster.agree()

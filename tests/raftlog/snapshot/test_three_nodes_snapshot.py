"""Three real hosts on loopback: one comes with an empty disk, the others have forgotten the beginning of their logs."""

import asyncio
import itertools
from pathlib import Path

from tallymq.raftlog.host import Host
from tests.raftlog.host.test_three_nodes import Cluster, a_cluster
from tests.raftlog.host.traffic import digest, ensure_queue, publish_all, stored, transfer
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

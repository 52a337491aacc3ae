"""What was acknowledged survives kill -9 and power cuts of real nodes."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.load import Options, produce
from tests.support.filesystem import LoopFileSystem
from tests.support.nodes import Cluster, Node
from tests.support.waiting import wait_for
from tests.workloads.publishing import Publishing, browse_all, longest_silence

pytestmark = pytest.mark.long

TOPIC = "faults"
CALLERS = 64
# Acknowledged before each fault and after it: enough that some are always on their way.
MESSAGES = 2_000
RESUME_S_MAX = 5.0
STORED_MESSAGES = 1_000_000
START_S_MAX = 5.0
START_RSS_BYTES_MAX = 300_000_000


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes, with a topic."""
    with Cluster.create(tmp_path / "cluster") as nodes:
        nodes.start()
        nodes.create_topic(TOPIC)
        yield nodes


def begin(cluster: Cluster) -> Publishing:
    return Publishing([node.client_address for node in cluster.nodes], TOPIC, CALLERS)


@dataclass
class Stored:
    """What is found in the topic, beside what was acknowledged."""

    messages: int
    twice: int
    """Messages stored a second time."""
    lost: int
    """Messages acknowledged, and not there."""
    unknown: int
    """Messages there, and not acknowledged: at most one of each caller, which does not know of it."""

    @property
    def is_whole(self) -> bool:
        """True if every acknowledged message is there, once, and no message is there that nobody sent."""
        return (self.twice, self.lost) == (0, 0) and self.unknown <= CALLERS


def stored(cluster: Cluster, load: Publishing) -> Stored:
    """Reads the whole topic from the leaders of its queues."""
    cluster.wait_leaders()
    bodies: list[bytes] = []
    topic = cluster.create_topic(TOPIC)
    leaders = cluster.leaders()
    for queue, shard in enumerate(topic.queue_shards):
        bodies += browse_all(cluster.node(leaders[shard]).client_address, TOPIC, queue)
    there, acknowledged = set(bodies), {one.body for one in load.acknowledged}
    found = Stored(len(bodies), len(bodies) - len(there), len(acknowledged - there), len(there - acknowledged))
    print(f"\n{len(acknowledged)} acknowledged; {found}")
    return found


async def test_killing_the_leader_under_load_loses_nothing_and_writes_resume(cluster: Cluster) -> None:
    load = begin(cluster)
    await load.start()
    await load.until(MESSAGES)
    leader = cluster.node(cluster.leaders()[1])
    killed = time.monotonic()
    leader.kill()
    await load.until(MESSAGES)
    wait_queues = {0, 1, 2, 3}
    while {one.queue for one in load.acknowledged if one.at > killed} != wait_queues:
        await load.until(1)
    await load.until(MESSAGES)
    leader.start()
    await load.until(MESSAGES)
    await load.stop()
    silence = longest_silence(load.acknowledged, killed - 1)
    print(f"\nwrites resumed after {silence:.2f} s")
    assert stored(cluster, load).is_whole
    assert silence < RESUME_S_MAX


async def test_killing_all_nodes_at_once_loses_nothing(cluster: Cluster) -> None:
    load = begin(cluster)
    await load.start()
    for _ in range(2):
        await load.until(MESSAGES)
        for node in cluster.nodes:
            assert node.process is not None
            node.process.kill()
        for node in cluster.nodes:
            node.kill()
        for node in cluster.nodes:
            node.start()
    await load.until(MESSAGES)
    await load.stop()
    assert stored(cluster, load).is_whole


@pytest.mark.needs_root
async def test_a_power_cut_of_the_only_node_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with LoopFileSystem(tmp_path / "disk") as disk, Cluster.create(tmp_path / "cluster", 1) as cluster:
        async with power_cut_under_load(cluster, disk) as load:
            assert stored(cluster, load).is_whole
            assert len(load.acknowledged) >= 2 * MESSAGES


@pytest.mark.needs_root
async def test_a_power_cut_of_one_of_three_nodes_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with LoopFileSystem(tmp_path / "disk") as disk, Cluster.create(tmp_path / "cluster") as cluster:
        async with power_cut_under_load(cluster, disk) as load:
            assert stored(cluster, load).is_whole
            # The node that lost its power must now carry the majority with one other.
            cluster.nodes[1].kill()
            assert stored(cluster, load).is_whole
            assert len(load.acknowledged) >= 2 * MESSAGES


@pytest.mark.needs_root
@pytest.mark.needs_eatmydata
async def test_without_its_syncs_a_power_cut_loses_what_was_acknowledged(tmp_path: Path) -> None:
    """The control of the two above: they would see a loss."""
    with LoopFileSystem(tmp_path / "disk") as disk, Cluster.create(tmp_path / "cluster", 1) as cluster:
        victim = cluster.nodes[0]
        move_data(victim, disk)
        victim.environment = {"LD_PRELOAD": "libeatmydata.so"}
        cluster.start()
        cluster.create_topic(TOPIC)
        load = begin(cluster)
        await load.start()
        try:
            await load.until(MESSAGES)
            disk.cut_power()
            wait_for("the node to notice that its disk is gone", lambda: not victim.is_running)
            await load.stop()
            disk.unmount()
            disk.mount()
            victim.start()
            # It says that something is missing, or serves without it.
            if refuses_to_start(victim):
                assert "tallymqd: " in victim.tail(1)
            else:
                assert stored(cluster, load).lost > 0
        finally:
            victim.kill()


def refuses_to_start(node: Node) -> bool:
    """Whether a node that was started ends by itself."""
    try:
        node.wait_ready()
    except RuntimeError:
        print(f"\nthe node refused: {node.tail(1)}")
        return True
    return False


def move_data(node: Node, disk: LoopFileSystem) -> None:
    """Puts the data of a node that was not started yet on this disk."""
    configuration = node.folder / "node.toml"
    text = configuration.read_text(encoding="utf-8").replace(str(node.data), str(disk.folder / "data"))
    configuration.write_text(text, encoding="utf-8")


@asynccontextmanager
async def power_cut_under_load(cluster: Cluster, disk: LoopFileSystem) -> AsyncIterator[Publishing]:
    """The power of the first node, whose data lies on this disk, was cut and is back; the load has ended."""
    victim = cluster.nodes[0]
    move_data(victim, disk)
    cluster.start()
    cluster.create_topic(TOPIC)
    load = begin(cluster)
    await load.start()
    try:
        await load.until(MESSAGES)
        disk.cut_power()
        wait_for("the node to notice that its disk is gone", lambda: not victim.is_running)
        disk.unmount()
        disk.mount()
        victim.start()
        victim.wait_ready()
        await load.until(MESSAGES)
        await load.stop()
        yield load
    finally:
        # Before the disk is taken away from under it.
        victim.kill()


async def test_a_node_with_a_million_messages_starts_quickly(tmp_path: Path) -> None:
    with Cluster.create(tmp_path / "cluster", 1) as cluster:
        cluster.start()
        cluster.create_topic(TOPIC)
        node = cluster.nodes[0]
        stored = 0
        while stored < STORED_MESSAGES:
            options = Options("publish", node.client_address, TOPIC, 1024, 256, 6, seconds=2.0, warm_up_s=0.0, rate=0.0)
            stored += int((await produce(options))["operations"])
        for stop in (node.stop, node.kill):
            stop()
            began = time.monotonic()
            node.start()
            await asyncio.to_thread(cluster.wait_leaders)
            taken, memory = time.monotonic() - began, node.rss_bytes()
            print(f"\n{stored} messages, after {stop.__name__}: ready in {taken:.2f} s with {memory / 1e6:.0f} MB")
            assert taken < START_S_MAX
            assert memory < START_RSS_BYTES_MAX
        leaders = cluster.leaders()
        assert set(leaders.values()) == {node.name}

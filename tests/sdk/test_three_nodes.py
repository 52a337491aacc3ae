"""Three real nodes: the client follows the leaders, whoever dies."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tallymq import Message, Tally
from tallymq._records import queue_of_key
from tests.support.nodes import Cluster, Node
from tests.support.waiting import wait_for

TOPIC = "followed"
QUEUES = 4
CALLERS = 8
EACH = 40
# A call waits for the next leader, however slow the machine is.
PATIENCE_S = 300.0


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes that ask soon, with a topic."""
    settings = {"check_after_ms": 1_000, "orphan_after_ms": 500}
    with Cluster.create(tmp_path / "cluster", settings=settings) as cluster:
        cluster.start()
        cluster.create_topic(TOPIC, QUEUES)
        yield cluster


def key_of_queue(queue: int) -> str:
    """A key whose messages go to this queue."""
    return next(str(number) for number in range(1_000) if queue_of_key(str(number).encode(), QUEUES) == queue)


def leader_of_queue(cluster: Cluster, queue: int) -> Node:
    """The node that leads the shard of this queue."""
    shard = cluster.create_topic(TOPIC, QUEUES).queue_shards[queue]
    return cluster.node(cluster.wait_leaders()[shard])


def test_a_publish_under_way_while_the_leader_of_its_queue_dies_is_stored_once_and_consumed(three: Cluster) -> None:
    key = key_of_queue(2)
    seen: list[Message] = []
    with Tally(three.url, timeout_s=PATIENCE_S) as tally:

        @tally.consumer(TOPIC, group="followers", lease_s=5)
        def handle(message: Message) -> None:
            seen.append(message)

        tally.start()
        tally.publish(TOPIC, "before", key=key)
        wait_for("the first message", lambda: seen)
        victim = leader_of_queue(three, 2)
        half_way = threading.Semaphore(0)
        killed = threading.Event()

        def publish(caller: int) -> list[str]:
            ids = []
            for number in range(EACH):
                if number == EACH // 2:
                    half_way.release()
                if number > EACH // 2 and caller % 2:
                    # Half of the callers begin their next one when the leader is gone; the others do not look.
                    assert killed.wait(PATIENCE_S)
                ids.append(tally.publish(TOPIC, f"{caller}-{number}", key=key).id)
            return ids

        with ThreadPoolExecutor(CALLERS) as threads:
            running = [threads.submit(publish, caller) for caller in range(CALLERS)]
            for _ in range(CALLERS):
                assert half_way.acquire(timeout=PATIENCE_S)
            victim.kill()
            killed.set()
            ids = {each for future in running for each in future.result(PATIENCE_S)}
        assert not victim.is_running
        assert leader_of_queue(three, 2) is not victim
        wanted = {"before", *(f"{caller}-{number}" for caller in range(CALLERS) for number in range(EACH))}
        wait_for("all consumed", lambda: {message.text() for message in seen} >= wanted, PATIENCE_S)
    assert len(ids) == CALLERS * EACH
    # A message may be delivered twice where its acknowledgement died with the leader, but it is stored once.
    places = {(message.queue, message.offset): message.text() for message in seen}
    assert sorted(places.values()) == sorted(wanted)
    assert {queue for queue, _offset in places} == {2}


def test_a_half_prepared_with_one_leader_is_decided_with_the_next_and_after_the_first_is_back(three: Cluster) -> None:
    key = key_of_queue(1)
    seen: list[str] = []
    with Tally(three.url, group="hand", timeout_s=PATIENCE_S) as tally:
        kept, dropped = tally.prepare(TOPIC, "kept", key=key), tally.prepare(TOPIC, "dropped", key=key)
        victim = leader_of_queue(three, 1)
        victim.kill()
        kept.commit()
        dropped.rollback()
        victim.start()
        victim.wait_ready()
        three.wait_leaders()
        tally.publish(TOPIC, "after", key=key)

    with Tally(three.url) as reader:

        @reader.consumer(TOPIC, group="readers", concurrency=1)
        def handle(message: Message) -> None:
            seen.append(message.text())

        reader.start()
        wait_for("both", lambda: len(seen) >= 2, PATIENCE_S)
    assert seen == ["kept", "after"]


def test_a_client_that_was_told_one_node_finds_the_others(three: Cluster) -> None:
    only = three.nodes[0]
    with Tally(f"tally://{only.client_address}", timeout_s=PATIENCE_S) as tally:
        tally.publish(TOPIC, "before")
        only.kill()
        three.wait_leaders()
        for queue in range(QUEUES):
            receipt = tally.publish(TOPIC, "after", key=key_of_queue(queue))
            assert receipt.queue == queue

"""Callers who share a frame and have different patience are each told the truth."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tallymq import AsyncTally, Decision, OutcomeUnknown, TallyError, Unavailable
from tests.support.nodes import Cluster, Node
from tests.support.waiting import until
from tests.workloads.publishing import browse_all

TOPIC = "late"
Absent = tuple[AsyncTally, Node]


@pytest.fixture
async def absent(tmp_path: Path) -> AsyncIterator[Absent]:
    """A client that has noticed that its only node is gone, so that nothing more is on its way there."""
    with Cluster.create(tmp_path / "node", node_count=1) as cluster:
        cluster.start()
        cluster.create_topic(TOPIC, 1)
        async with AsyncTally(cluster.url) as tally:
            await tally.publish(TOPIC, b"first")
            cluster.nodes[0].kill()
            with pytest.raises(TallyError):
                await tally.publish(TOPIC, b"perhaps", timeout_s=1)
            yield tally, cluster.nodes[0]


async def stored(node: Node) -> list[bytes]:
    """What is on the queue, but for what perhaps went out before the node was gone."""
    return [body for body in await asyncio.to_thread(browse_all, node.client_address, TOPIC, 0) if body != b"perhaps"]


async def test_whoever_is_late_in_a_frame_that_goes_on_does_not_know_whether_it_is_stored(absent: Absent) -> None:
    tally, node = absent
    impatient = asyncio.create_task(tally.publish(TOPIC, b"impatient", timeout_s=0.5))
    patient = asyncio.create_task(tally.publish(TOPIC, b"patient", timeout_s=120))
    with pytest.raises(OutcomeUnknown):
        await impatient
    node.start()
    await asyncio.to_thread(node.wait_ready)
    await patient
    assert await stored(node) == [b"first", b"impatient", b"patient"]


async def test_whoever_is_late_with_all_of_its_frame_knows_that_nothing_is_stored(absent: Absent) -> None:
    tally, node = absent
    with pytest.raises(Unavailable) as caught:
        await tally.publish(TOPIC, b"impatient", timeout_s=0.5)
    assert caught.value.definite
    node.start()
    await asyncio.to_thread(node.wait_ready)
    await tally.publish(TOPIC, b"last")
    assert await stored(node) == [b"first", b"last"]


async def test_a_half_given_up_while_its_node_was_gone_is_left_to_the_check(tmp_path: Path) -> None:
    with Cluster.create(tmp_path / "node", node_count=1) as cluster:
        cluster.start()
        cluster.create_topic(TOPIC, 1)
        async with AsyncTally(cluster.url, group="givers-up") as tally:
            tally.check(TOPIC)(lambda half: Decision.COMMIT)
            half = await tally.prepare(TOPIC, b"given up")
            identity = half.id
            assert tally._runtime is not None
            engine = tally._runtime.engine
            # A program that waits makes no garbage, so nothing is collected in it.
            gc.disable()
            try:
                cluster.nodes[0].kill()
                for _ in range(2):
                    with contextlib.suppress(TallyError):
                        await half.commit(timeout_s=1)
                assert engine.is_open(identity)
                del half
                await until(lambda: not engine.is_open(identity), "the half to be nobody's", 10)
            finally:
                gc.enable()

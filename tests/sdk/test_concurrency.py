"""Many callers, forks, loops, restarts: the client is one thing to all of them."""

import asyncio
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tallymq import AsyncTally, ForkedHandleError, Receipt, Tally, Unavailable
from tests.sdk.conftest import Bank
from tests.sdk.test_transactions import received
from tests.support.nodes import Cluster
from tests.support.ports import free_port


def test_threads_share_frames_without_doing_anything(cluster: Cluster, topic: str) -> None:
    with Tally(cluster.url) as tally:
        tally.publish(topic, b"first")
        runtime = tally._host._runtime
        assert runtime is not None
        before = runtime.engine.frames_sent
        start = threading.Barrier(64)

        def publish(number: int) -> list[Receipt]:
            start.wait(60)
            return [tally.publish(topic, f"{number}-{each}") for each in range(25)]

        with ThreadPoolExecutor(64) as threads:
            receipts = [receipt for some in threads.map(publish, range(64)) for receipt in some]
        frames = runtime.engine.frames_sent - before
    assert len({receipt.id for receipt in receipts}) == 1_600
    assert len({(receipt.queue, receipt.offset) for receipt in receipts}) == 1_600
    assert frames < 800


def test_what_is_published_while_the_service_restarts_is_stored_once(tmp_path: Path) -> None:
    with Cluster.create(tmp_path / "node", node_count=1) as cluster:
        cluster.start()
        cluster.create_topic("restarts")
        node = cluster.nodes[0]
        with Tally(cluster.url, timeout_s=120) as tally:
            half_way = threading.Barrier(9)

            def publish(number: int) -> list[str]:
                ids = []
                for each in range(30):
                    if each == 10:
                        half_way.wait(60)
                    ids.append(tally.publish("restarts", f"{number}-{each}").id)
                return ids

            with ThreadPoolExecutor(8) as threads:
                running = [threads.submit(publish, number) for number in range(8)]
                half_way.wait(60)
                node.kill()
                node.start()
                node.wait_ready()
                ids = [each for future in running for each in future.result(180)]
        messages = received(cluster, "restarts", 240)
    assert sorted(message.id for message in messages) == sorted(ids)
    assert len({message.text() for message in messages}) == 240


def test_a_service_that_is_not_there_is_said_in_time_and_is_definite() -> None:
    with Tally(f"tally://127.0.0.1:{free_port()}", timeout_s=0.5) as tally, pytest.raises(Unavailable) as caught:
        tally.publish("t", b"")
    assert caught.value.definite
    assert caught.value.retryable


def publish_in_child(tally: Tally, topic: str, answers: object) -> None:
    answers.put([tally.publish(topic, f"child {os.getpid()}").id for _ in range(3)])
    tally.close()


@pytest.mark.needs_fork
def test_after_a_fork_a_tally_reconnects_by_itself_in_both_processes(cluster: Cluster, topic: str) -> None:
    context = multiprocessing.get_context("fork")
    with Tally(cluster.url) as tally:
        stop = threading.Event()
        ids: list[str] = []

        def keep_publishing() -> None:
            while not stop.is_set():
                ids.append(tally.publish(topic, "parent").id)

        busy = [threading.Thread(target=keep_publishing) for _ in range(4)]
        for thread in busy:
            thread.start()
        children = []
        for _ in range(4):
            answers = context.SimpleQueue()
            child = context.Process(target=publish_in_child, args=(tally, topic, answers))
            child.start()
            children.append((child, answers))
        from_children = [answers.get() for _child, answers in children]
        for child, _answers in children:
            child.join(60)
            assert child.exitcode == 0
        stop.set()
        for thread in busy:
            thread.join()
        ids.append(tally.publish(topic, "parent, after").id)
    every = [*ids, *(each for some in from_children for each in some)]
    assert len(set(every)) == len(every)
    # Each process has an instance of its own, or frames of one would be taken for repetitions of another's.
    assert len({each[:16] for each in every}) == 5


def in_forked_child(work: object) -> int:
    """Run it in a forked child; 0 if it returned."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - the exit code says it
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.needs_fork
def test_a_handle_made_before_a_fork_is_a_clear_error_after_it(cluster: Cluster, topic: str, bank: Bank) -> None:
    import sqlite3

    path = bank("lilei")
    with Tally(cluster.url, group="bank", checker=f"sqlite:///{path}") as tally:
        half = tally.prepare(topic, b"")
        connection = sqlite3.connect(path, check_same_thread=False)
        transaction = tally.transaction(connection)

        def use_them() -> None:
            with pytest.raises(ForkedHandleError):
                half.commit()
            with pytest.raises(ForkedHandleError), transaction:
                pass

        assert in_forked_child(use_them) == 0
        half.commit()
        connection.close()


@pytest.mark.needs_fork
async def test_an_async_tally_made_before_a_fork_is_a_clear_error_after_it(cluster: Cluster, topic: str) -> None:
    async with AsyncTally(cluster.url) as tally:
        await tally.publish(topic, b"")

        def use_it() -> None:
            with pytest.raises(ForkedHandleError):
                asyncio.new_event_loop().run_until_complete(tally.publish(topic, b""))

        # The child must not think that the parent's loop runs in it.
        assert await asyncio.to_thread(in_forked_child, use_it) == 0
        await tally.publish(topic, b"the parent's connection still works")


def test_a_blocking_client_works_on_a_running_loop(cluster: Cluster, topic: str) -> None:
    async def on_a_loop() -> Receipt:
        # A blocking call there must not need that loop.
        with Tally(cluster.url) as tally:
            return tally.publish(topic, b"from a loop")

    assert asyncio.run(on_a_loop()).topic == topic


async def test_an_async_tally_belongs_to_one_loop(cluster: Cluster, topic: str) -> None:
    async with AsyncTally(cluster.url) as tally:
        await tally.publish(topic, b"")

        def elsewhere() -> str:
            try:
                asyncio.run(tally.publish(topic, b""))
            except Exception as error:  # noqa: BLE001 - its name is what is asked for
                return type(error).__name__
            return "nothing"

        assert await asyncio.to_thread(elsewhere) == "ConfigurationError"


def test_a_closed_client_says_so(cluster: Cluster, topic: str) -> None:
    from tallymq import ClosedError

    tally = Tally(cluster.url)
    tally.publish(topic, b"")
    tally.close()
    tally.close()
    with pytest.raises(ClosedError):
        tally.publish(topic, b"")

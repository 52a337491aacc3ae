"""The end of a client: handlers get their time and no more, and what they did not finish comes again."""

import asyncio
import contextlib
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tallymq import AsyncTally, Message, Tally
from tests.sdk.test_consuming import all_acknowledged
from tests.support.nodes import Cluster
from tests.support.waiting import until, wait_for

SIGNALLED = Path(__file__).with_name("signalled_program.py")
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
GIVEN_UP = "did not finish within shutdown_timeout_s"
# Far longer than any test waits: a message that comes again before this was released.
LONG_LEASE_S = 3_600


@contextmanager
def signalled(cluster: Cluster, topic: str, folder: Path, shutdown_timeout_s: float) -> Iterator[subprocess.Popen[str]]:
    """The program, its handler under way."""
    with Tally(cluster.url) as tally:
        tally.publish(topic, b"")
    command = [sys.executable, "-P", str(SIGNALLED), cluster.url, topic, str(folder), str(shutdown_timeout_s)]
    ran = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_for("the handler", (folder / "started").exists)
        yield ran
    finally:
        ran.kill()
        ran.communicate()


def attempts_seen(cluster: Cluster, topic: str, group: str, count: int) -> list[int]:
    """The attempts as which a further consumer of the group is given so many messages."""
    attempts: list[int] = []
    with Tally(cluster.url) as tally:

        @tally.consumer(topic, group=group, concurrency=1)
        def handle(message: Message) -> None:
            attempts.append(message.attempt)

        tally.start()
        wait_for("delivered again", lambda: len(attempts) >= count and all_acknowledged(cluster, group, topic))
    return attempts


@SIGNALS
def test_a_signal_lets_the_handler_finish(cluster: Cluster, topic: str, tmp_path: Path, number: int) -> None:
    with signalled(cluster, topic, tmp_path, shutdown_timeout_s=60) as ran:
        ran.send_signal(number)
        wait_for("closing", (tmp_path / "closing").exists)
        (tmp_path / "finish").touch()
        assert ran.wait(60) == 0
    assert (tmp_path / "finished").exists()
    assert all_acknowledged(cluster, "signalled", topic)


@SIGNALS
def test_a_signal_ends_a_program_whose_handler_never_does(
    cluster: Cluster, topic: str, tmp_path: Path, number: int
) -> None:
    with signalled(cluster, topic, tmp_path, shutdown_timeout_s=0.5) as ran:
        ran.send_signal(number)
        _out, said = ran.communicate(timeout=60)
        assert ran.returncode == 0
    assert (tmp_path / "returned").exists()
    assert not (tmp_path / "finished").exists()
    assert GIVEN_UP in said
    assert "Traceback" not in said
    assert attempts_seen(cluster, topic, "signalled", 1) == [2]


def test_closing_lets_handlers_finish_and_says_so(cluster: Cluster, topic: str) -> None:
    started, finish, done = threading.Event(), threading.Event(), []
    tally = Tally(cluster.url)

    @tally.consumer(topic, group="closing", concurrency=1)
    def handle(message: Message) -> None:
        started.set()
        finish.wait(60)
        done.append(message.id)

    receipt = tally.publish(topic, b"")
    tally.start()
    assert started.wait(60)
    closing = threading.Thread(target=tally.close)
    closing.start()
    finish.set()
    closing.join(60)
    assert done == [receipt.id]
    assert all_acknowledged(cluster, "closing", topic)


def test_closing_gives_up_a_handler_that_outlasts_its_time(
    cluster: Cluster, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    started, finish, finished = threading.Event(), threading.Event(), threading.Event()
    tally = Tally(cluster.url, shutdown_timeout_s=0.5)

    @tally.consumer(topic, group="outlasting", concurrency=1, lease_s=1)
    def handle(message: Message) -> None:
        started.set()
        finish.wait(300)
        finished.set()

    tally.publish(topic, b"")
    tally.start()
    assert started.wait(60)
    with caplog.at_level(logging.WARNING, "tallymq"):
        closing = threading.Thread(target=tally.close, daemon=True)
        closing.start()
        closing.join(60)
    assert not closing.is_alive()
    assert not finished.is_set()
    (line,) = [record for record in caplog.records if GIVEN_UP in record.message]
    assert line.message == (
        f"Handlers of {topic}, group outlasting, that did not finish within shutdown_timeout_s (0.5 s): 1. "
        "They are given up, their messages are delivered again"
    )
    assert attempts_seen(cluster, topic, "outlasting", 1) == [2]
    finish.set()
    assert finished.wait(60)


async def test_an_async_handler_that_outlasts_its_time_is_cancelled_and_its_message_released(
    cluster: Cluster, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()
    tally = AsyncTally(cluster.url, shutdown_timeout_s=0.5)

    @tally.consumer(topic, group="cancelled", concurrency=1, lease_s=LONG_LEASE_S)
    async def handle(message: Message) -> None:
        started.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    await tally.publish(topic, b"")
    await tally.start()
    async with asyncio.timeout(60):
        await started.wait()
        await tally.close()
    assert cancelled.is_set()
    assert GIVEN_UP in caplog.text
    assert await asyncio.to_thread(attempts_seen, cluster, topic, "cancelled", 1) == [2]


async def test_an_async_handler_that_refuses_to_be_cancelled_is_not_waited_for(cluster: Cluster, topic: str) -> None:
    started, finish, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()
    tally = AsyncTally(cluster.url, shutdown_timeout_s=0.5)

    @tally.consumer(topic, group="stubborn", concurrency=1)
    async def handle(message: Message) -> None:
        started.set()
        while not finish.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await finish.wait()
        finished.set()

    await tally.publish(topic, b"")
    await tally.start()
    async with asyncio.timeout(60):
        await started.wait()
        await tally.close()
        assert not finished.is_set()
        finish.set()
        await finished.wait()


async def test_what_an_async_handler_goes_on_with_is_not_released_to_another(cluster: Cluster, topic: str) -> None:
    started, finish = asyncio.Event(), asyncio.Event()
    tally = AsyncTally(cluster.url, shutdown_timeout_s=0.5)

    @tally.consumer(topic, group="goes-on", concurrency=1, lease_s=LONG_LEASE_S)
    async def handle(message: Message) -> None:
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await finish.wait()
        await finish.wait()

    await tally.publish(topic, b"gone on with", key="one queue")
    await tally.publish(topic, b"waiting", key="one queue")
    await tally.start()
    async with asyncio.timeout(60):
        await started.wait()
        assert tally._runtime is not None
        (consumer,) = tally._runtime._started.values()
        await until(lambda: len(consumer._held) == 2)
        await tally.close()
    bodies: list[bytes] = []
    async with AsyncTally(cluster.url) as other:

        @other.consumer(topic, group="goes-on", concurrency=1)
        async def take(message: Message) -> None:
            bodies.append(message.body)

        await other.start()
        await until(lambda: b"waiting" in bodies)
        await other.publish(topic, b"after", key="one queue")
        await until(lambda: b"after" in bodies)
    finish.set()
    assert bodies == [b"waiting", b"after"]


def test_what_waited_behind_a_handler_is_released_when_the_client_closes(cluster: Cluster, topic: str) -> None:
    started, finish, handled = threading.Event(), threading.Event(), []
    tally = Tally(cluster.url)

    @tally.consumer(topic, group="waiting", concurrency=1, lease_s=LONG_LEASE_S)
    def handle(message: Message) -> None:
        started.set()
        finish.wait(60)
        handled.append(message.id)

    for number in range(5):
        tally.publish(topic, number, key="one queue")
    tally.start()
    assert started.wait(60)
    runtime = tally._host._runtime
    assert runtime is not None
    (consumer,) = runtime._started.values()
    wait_for("all five held", lambda: len(consumer._held) == 5)
    closing = threading.Thread(target=tally.close)
    closing.start()
    assert tally._end.wait(60)
    wait_for("closing", lambda: consumer._closing)
    finish.set()
    closing.join(60)
    assert len(handled) == 1
    assert attempts_seen(cluster, topic, "waiting", 4) == [2, 2, 2, 2]

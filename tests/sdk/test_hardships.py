"""What users' programs do to a client: handlers that leave, signals, closing in the middle, wrong ideas of the map."""

import asyncio
import contextlib
import sqlite3
import sys
import threading
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from tallymq import (
    AsyncTally,
    ClosedError,
    ConfigurationError,
    Decision,
    Message,
    Receipt,
    Retry,
    Tally,
    TallyError,
    Tls,
)
from tallymq._channel import ADMIN
from tallymq._runtime import Runtime
from tallymq.proto import admin_pb2
from tests.sdk.conftest import Bank, ask, balance
from tests.sdk.test_consuming import all_acknowledged
from tests.sdk.test_transactions import received
from tests.support.certificates import Authority
from tests.support.nodes import Cluster
from tests.support.waiting import wait_for


def test_a_handler_that_exits_ends_neither_the_client_nor_its_worker(cluster: Cluster, topic: str) -> None:
    attempts: list[int] = []
    with Tally(cluster.url) as tally:

        @tally.consumer(topic, group="exits", concurrency=1, retry=Retry(5, "10ms"))
        def handle(message: Message) -> None:
            attempts.append(message.attempt)
            if message.attempt == 1:
                sys.exit("enough")
            if message.attempt == 2:
                raise KeyboardInterrupt

        tally.publish(topic, b"")
        tally.start()
        wait_for("acknowledged", lambda: len(attempts) >= 3 and all_acknowledged(cluster, "exits", topic))
        tally.publish(topic, b"the engine lives")
    assert attempts[:3] == [1, 2, 3]


async def test_an_async_handler_that_cancels_itself_is_tried_again(cluster: Cluster, topic: str) -> None:
    attempts: list[int] = []
    done = asyncio.Event()
    async with AsyncTally(cluster.url) as tally:

        @tally.consumer(topic, group="cancels", concurrency=1, retry=Retry(5, "10ms"))
        async def handle(message: Message) -> None:
            attempts.append(message.attempt)
            if message.attempt == 1:
                raise asyncio.CancelledError
            if message.attempt == 2:
                raise SystemExit
            done.set()

        await tally.publish(topic, b"")
        await tally.start()
        async with asyncio.timeout(60):
            await done.wait()
    assert attempts == [1, 2, 3]


def test_as_many_handlers_run_at_once_as_was_asked_and_no_more(cluster: Cluster, topic: str) -> None:
    together = threading.Barrier(4)
    lock, running, most, done = threading.Lock(), 0, 0, 0
    with Tally(cluster.url) as tally:

        @tally.consumer(topic, group="four", concurrency=4)
        def handle(message: Message) -> None:
            nonlocal running, most, done
            with lock:
                running += 1
                most = max(most, running)
            together.wait(60)
            with lock:
                running -= 1
                done += 1

        for number in range(16):
            tally.publish(topic, number)
        tally.start()
        wait_for("acknowledged", lambda: done == 16 and all_acknowledged(cluster, "four", topic))
    assert most == 4


def test_closing_while_32_threads_publish_leaves_nobody_waiting_and_no_thread(cluster: Cluster, topic: str) -> None:
    tally = Tally(cluster.url)
    tally.publish(topic, b"first")
    enough = threading.Semaphore(0)
    receipts: list[Receipt] = []

    def publish() -> None:
        while True:
            try:
                receipts.append(tally.publish(topic, b"x" * 100))
            except TallyError:
                return
            enough.release()

    with ThreadPoolExecutor(32) as threads:
        running = [threads.submit(publish) for _ in range(32)]
        for _ in range(200):
            assert enough.acquire(timeout=60)
        tally.close()
        for future in running:
            future.result(60)
    assert len({receipt.id for receipt in receipts}) == len(receipts)
    assert [thread.name for thread in threading.enumerate() if thread.name == "tallymq"] == []
    with pytest.raises(ClosedError):
        tally.publish(topic, b"")


def test_a_wrong_queue_count_is_refused_and_put_right_unseen(cluster: Cluster, topic: str) -> None:
    with Tally(cluster.url) as tally:
        tally.publish(topic, b"first")
        runtime = tally._host._runtime
        assert runtime is not None
        topics = runtime.engine.routes.topics
        true = topics[topic]
        topics[topic] = true[:2]
        ids = {tally.publish(topic, str(number), key=str(number)).id for number in range(8)}
        assert topics[topic] == true
    assert len(ids) == 8
    assert len(received(cluster, topic, 9)) == 9


def test_the_largest_body_and_a_key_of_any_script_arrive_as_sent(cluster: Cluster, topic: str) -> None:
    body = bytes(range(256)) * 16_000
    with Tally(cluster.url) as tally:
        tally.publish(topic, body, key="李雷🙂", tag="é", keys=["韩梅梅"], headers={"ключ": "значение"})
    (message,) = received(cluster, topic, 1)
    assert (message.body, message.key, message.tag, message.keys) == (body, "李雷🙂", "é", ("韩梅梅",))
    assert message.headers["ключ"] == "значение".encode()


def test_a_session_maker_is_an_inbox(cluster: Cluster, topic: str, bank: Bank) -> None:
    path = bank("hanmeimei")
    engine = create_engine(f"sqlite:///{path}")
    attempts: list[int] = []
    with Tally(cluster.url, inbox=sessionmaker(engine)) as tally:

        @tally.consumer(topic, group="sessions", concurrency=1, retry=Retry(3, "10ms"))
        def credit(message: Message, db: Session) -> None:
            db.execute(text("UPDATE account SET balance = balance + 100"))
            attempts.append(message.attempt)
            if message.attempt == 1:
                raise LookupError

        receipt = tally.publish(topic, b"")
        tally.start()
        wait_for("acknowledged", lambda: len(attempts) == 2 and all_acknowledged(cluster, "sessions", topic))
    engine.dispose()
    assert balance(path) == 1_100
    assert ask(path, "SELECT message_id FROM tallymq_inbox") == [(receipt.id,)]


def test_over_tls_with_a_certificate_of_ones_own_and_never_without(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    server, client = authority.issue("node-1"), authority.issue("a client")
    stranger = Authority(tmp_path / "other").path
    settings = {
        "server_certificate": str(server.certificate),
        "server_key": str(server.key),
        "client_ca": str(authority.path),
        "client_certificate_required": True,
    }
    with Cluster.create(tmp_path / "node", node_count=1, settings=settings) as cluster:
        cluster.nodes[0].start()
        cluster.nodes[0].wait_ready()
        tls = Tls(authority.path, client.certificate, client.key)
        with Tally(cluster.url, tls=tls) as tally:
            request = admin_pb2.CreateTopicRequest(name="t", queue_count=1)
            tally._host.run(
                lambda runtime: runtime.engine.call_any(
                    ADMIN + "CreateTopic", request, admin_pb2.CreateTopicReply, 30.0
                )
            )
            assert tally.publish("t", b"over TLS").offset == 0
        for wrong in (None, Tls(authority.path), Tls(stranger, client.certificate, client.key)):
            with Tally(cluster.url, tls=wrong, timeout_s=2.0) as tally, pytest.raises(TallyError) as caught:
                tally.publish("t", b"")
            assert caught.value.definite
    with pytest.raises(ConfigurationError, match="TLS files"), Tally(tls=Tls(tmp_path / "none.pem")) as tally:
        tally.publish("t", b"")


async def test_closing_leaves_no_task_of_ours_behind(cluster: Cluster, topic: str) -> None:
    before = asyncio.all_tasks()
    async with AsyncTally(cluster.url, group="leaves") as tally:
        tally.check(topic)(lambda half: Decision.UNKNOWN)
        await tally.publish(topic, b"")
        half = await tally.prepare(topic, b"")
        await half.commit()
        await tally.start()
        assert tally._runtime is not None
        # Asked and not answered when the client is closed.
        tally._runtime.engine.routes.refresh_soon()
    assert asyncio.all_tasks() == before


def test_two_clients_of_one_process_do_not_disturb_each_other(cluster: Cluster, topic: str) -> None:
    with contextlib.ExitStack() as open_clients:
        first = open_clients.enter_context(Tally(cluster.url))
        second = open_clients.enter_context(Tally(cluster.url))
        ids = [first.publish(topic, b"").id, second.publish(topic, b"").id]
        first.close()
        ids.append(second.publish(topic, b"").id)
    assert len(set(ids)) == 3
    assert ids[0][:16] != ids[1][:16] == ids[2][:16]


def test_a_database_away_at_the_start_is_no_reason_not_to_start(cluster: Cluster, topic: str) -> None:
    def away() -> sqlite3.Connection:
        raise sqlite3.OperationalError("connection refused")

    with Tally(cluster.url, group="away", checker=away) as tally:
        tally.start()
        assert tally.publish(topic, b"").id


def test_a_call_that_comes_just_after_the_end_is_told_so(cluster: Cluster, topic: str) -> None:
    tally = Tally(cluster.url)
    tally.publish(topic, b"")
    asked = threading.Event()
    answers: list[str] = []

    async def nothing() -> None:
        pass

    def close_first(_runtime: Runtime) -> Awaitable[None]:
        # The caller has seen a client that runs; before its call is handed over, the loop ends.
        tally.close()
        return nothing()

    async def never() -> None:
        asked.set()
        await asyncio.get_running_loop().create_future()

    def ask_in_vain() -> None:
        try:
            tally._host.run(lambda _runtime: never())
        except ClosedError:
            answers.append("closed")

    def call_late() -> None:
        try:
            tally._host.run(close_first)
        except ClosedError:
            answers.append("closed")

    waiting = threading.Thread(target=ask_in_vain, daemon=True)
    waiting.start()
    assert asked.wait(60)
    late = threading.Thread(target=call_late, daemon=True)
    late.start()
    for thread in (late, waiting):
        thread.join(20)
        assert not thread.is_alive()
    assert answers == ["closed", "closed"]


def test_a_blocking_call_on_the_clients_own_loop_is_an_error_and_no_standstill(cluster: Cluster) -> None:
    with Tally(cluster.url) as tally:

        async def block(_runtime: Runtime) -> list[str]:
            said = []
            for call in (lambda: tally.publish("t", b""), tally.close):
                with pytest.raises(ConfigurationError) as caught:
                    call()
                said.append(caught.value.message)
            return said

        for message in tally._host.run(block):
            assert "own loop" in message


def test_a_close_that_fails_ends_the_thread_all_the_same(cluster: Cluster, topic: str) -> None:
    tally = Tally(cluster.url)
    tally.publish(topic, b"")
    runtime, thread = tally._host._runtime, tally._host._thread
    assert runtime is not None
    assert thread is not None
    close = runtime.close

    async def fail() -> None:
        await close()
        raise LookupError

    runtime.close = fail
    with pytest.raises(LookupError):
        tally.close()
    assert not thread.is_alive()
    tally.close()

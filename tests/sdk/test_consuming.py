"""Each message's effect happens once, however often it is delivered."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest

from tallymq import AsyncTally, ConfigurationError, Message, Reject, Retry, Tally
from tallymq.proto import admin_pb2, admin_pb2_grpc
from tests.sdk.conftest import Bank, ask, balance
from tests.support.nodes import Cluster
from tests.support.waiting import wait_for

CONSUMER = Path(__file__).with_name("consumer_program.py")


def group_queues(cluster: Cluster, group: str) -> list[admin_pb2.GroupQueue]:
    with grpc.insecure_channel(cluster.nodes[0].client_address) as channel:
        reply = admin_pb2_grpc.AdminStub(channel).GetGroup(admin_pb2.GetGroupRequest(name=group), timeout=30)
    return list(reply.group.queues)


def all_acknowledged(cluster: Cluster, group: str, topic: str) -> bool:
    queues = [queue for queue in group_queues(cluster, group) if queue.topic == topic]
    return bool(queues) and all(queue.floor_offset == queue.end_offset for queue in queues)


def test_a_consumer_killed_after_its_effect_and_before_it_acknowledges_does_it_once(
    cluster: Cluster, topic: str, bank: Bank
) -> None:
    path = bank("hanmeimei")
    command = [sys.executable, "-P", str(CONSUMER), cluster.url, topic, str(path)]
    first = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        with Tally(cluster.url) as tally:
            message = tally.publish(topic, {"amount": 100}, key="it")
        assert first.wait(120) == -signal.SIGKILL
    finally:
        first.kill()
        first.wait()
    assert balance(path) == 1_100
    deliveries: list[int] = []
    with Tally(cluster.url, inbox=f"sqlite:///{path}") as tally:

        @tally.consumer(topic, group="bank-b")
        def credit(message: Message, db: object) -> None:
            deliveries.append(message.attempt)

        tally.start()
        wait_for("acknowledged", lambda: all_acknowledged(cluster, "bank-b", topic))
    assert deliveries == []
    assert balance(path) == 1_100
    assert ask(path, "SELECT consumer_group, message_id, topic FROM tallymq_inbox") == [("bank-b", message.id, topic)]


def test_a_handler_that_raises_leaves_no_effect_and_is_tried_again(cluster: Cluster, topic: str, bank: Bank) -> None:
    path = bank("hanmeimei")
    attempts: list[int] = []
    with Tally(cluster.url, inbox=f"sqlite:///{path}") as tally:

        @tally.consumer(topic, group="retrying", retry=Retry(5, "10ms..20ms"))
        def credit(message: Message, db: object) -> None:
            db.execute("UPDATE account SET balance = balance + 100")
            attempts.append(message.attempt)
            if message.attempt < 3:
                raise ValueError("not yet")

        tally.publish(topic, b"")
        tally.start()
        wait_for("acknowledged", lambda: all_acknowledged(cluster, "retrying", topic) and len(attempts) >= 3)
    assert attempts == [1, 2, 3]
    assert balance(path) == 1_100


def test_a_poison_message_goes_to_the_dead_letters_with_the_reason(cluster: Cluster, topic: str) -> None:
    with Tally(cluster.url) as tally:

        @tally.consumer(topic, group="poisoned", retry=Retry(2, "10ms"))
        def handle(message: Message) -> None:
            if message.text() == "rejected":
                raise Reject("will never do")
            raise ValueError("broken")

        for text in ("rejected", "raising"):
            tally.publish(topic, text)
        tally.start()

        def dead() -> dict[str, int] | None:
            with grpc.insecure_channel(cluster.nodes[0].client_address) as channel:
                request = admin_pb2.ListDeadLettersRequest(group="poisoned", topic=topic)
                letters = admin_pb2_grpc.AdminStub(channel).ListDeadLetters(request, timeout=30).dead_letters
            return {letter.reason: letter.attempts for letter in letters} if len(letters) == 2 else None

        assert wait_for("dead letters", dead) == {"will never do": 1, "ValueError: broken": 2}


def test_a_long_handler_keeps_its_lease(cluster: Cluster, topic: str) -> None:
    started, attempts = threading.Event(), []
    enough = threading.Event()
    with Tally(cluster.url) as tally:

        @tally.consumer(topic, group="slow", lease_s=1, concurrency=2)
        def handle(message: Message) -> None:
            attempts.append(message.attempt)
            started.set()
            enough.wait(60)

        tally.publish(topic, b"")
        tally.start()
        assert started.wait(60)
        # Several times the lease: were it not extended, the message would be delivered again meanwhile.
        assert not enough.wait(5)
        enough.set()
        wait_for("acknowledged", lambda: all_acknowledged(cluster, "slow", topic))
    assert attempts == [1]


def test_messages_of_one_key_are_handled_in_order_where_asked(cluster: Cluster, topic: str) -> None:
    seen: dict[str, list[int]] = {}
    with Tally(cluster.url) as tally:

        @tally.consumer(topic, group="ordered", ordered="key", concurrency=8)
        def handle(message: Message) -> None:
            seen.setdefault(message.key, []).append(message.json())

        for number in range(60):
            tally.publish(topic, number, key=f"key-{number % 6}")
        tally.start()
        wait_for("all", lambda: sum(map(len, seen.values())) == 60)
    assert all(numbers == sorted(numbers) for numbers in seen.values())
    assert len(seen) == 6


async def test_async_handlers_with_an_async_inbox(cluster: Cluster, topic: str, bank: Bank) -> None:
    import asyncio

    import aiosqlite

    path = bank("hanmeimei")
    async with AsyncTally(cluster.url, inbox=lambda: aiosqlite.connect(path, timeout=30)) as tally:

        @tally.consumer(topic, group="async")
        async def credit(message: Message, db: aiosqlite.Connection) -> None:
            await db.execute("UPDATE account SET balance = balance + ?", (message.json(),))

        await asyncio.gather(*(tally.publish(topic, 10) for _ in range(20)))
        await tally.start()
        await asyncio.to_thread(wait_for, "all", lambda: balance(path) == 1_200)
        await asyncio.to_thread(wait_for, "acknowledged", lambda: all_acknowledged(cluster, "async", topic))
    assert ask(path, "SELECT count(*) FROM tallymq_inbox") == [(20,)]


def test_a_handler_that_cannot_be_called_is_refused_when_registered() -> None:
    tally = Tally("tally://localhost:1")

    def wants_inbox(message: Message, db: object) -> None:
        pass

    def wants_more(message: Message, db: object, more: object) -> None:
        pass

    async def is_async(message: Message) -> None:
        pass

    for handler in (wants_inbox, wants_more, is_async):
        with pytest.raises(ConfigurationError):
            tally.consumer("t", group="g")(handler)

"""A transaction between a database and the service: both or neither, whatever dies in between."""

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tallymq import (
    AlreadyCommitted,
    AlreadyRolledBack,
    AsyncTally,
    ConfigurationError,
    Decision,
    HalfMessage,
    Message,
    Tally,
    UnknownTopic,
)
from tallymq.proto import admin_pb2, admin_pb2_grpc
from tests.sdk.conftest import Bank, ask, balance
from tests.support.nodes import Cluster
from tests.support.waiting import wait_for

PRODUCER = Path(__file__).with_name("producer_program.py")


@pytest.fixture
def lilei(bank: Bank) -> Path:
    return bank("lilei")


@pytest.fixture
def tally(cluster: Cluster, lilei: Path) -> Iterator[Tally]:
    with Tally(cluster.url, group="bank-a", checker=f"sqlite:///{lilei}") as made:
        yield made


@pytest.fixture
def connection(lilei: Path) -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(lilei, timeout=30)
    yield made
    made.close()


def transactions(cluster: Cluster, topic: str) -> list[admin_pb2.Transaction]:
    """What the service knows of the topic's transactions, oldest first."""
    with grpc.insecure_channel(cluster.nodes[0].client_address) as channel:
        found = admin_pb2_grpc.AdminStub(channel).ListTransactions(
            admin_pb2.ListTransactionsRequest(limit=1_000), timeout=30
        )
    return [each for each in found.transactions if each.topic == topic]


def wait_decided(cluster: Cluster, topic: str) -> admin_pb2.Transaction:
    def look() -> admin_pb2.Transaction | None:
        found = transactions(cluster, topic)
        return found[0] if found and found[0].state != admin_pb2.TRANSACTION_STATE_IN_DOUBT else None

    return wait_for("a decision", look)


def received(cluster: Cluster, topic: str, count: int) -> list[Message]:
    """The first messages of the topic, as a consumer gets them."""
    got: list[Message] = []
    with Tally(cluster.url) as reader:
        reader.consumer(topic, group="reader", concurrency=1)(got.append)
        reader.start()
        wait_for(f"{count} messages", lambda: len(got) >= count)
    return got


def test_a_commit_makes_the_change_and_all_its_messages(
    cluster: Cluster, topic: str, tally: Tally, connection: sqlite3.Connection, lilei: Path
) -> None:
    with tally.transaction(connection) as tx:
        connection.execute("UPDATE account SET balance = balance - 300")
        for name in ("a", "b", "c"):
            tx.publish(topic, {"amount": 100}, key=name, headers={"x": "y"}, tag="t")
    assert balance(lilei) == 700
    messages = received(cluster, topic, 3)
    assert {message.id for message in messages} == set(tx.message_ids)
    assert {message.key for message in messages} == {"a", "b", "c"}
    first = messages[0]
    assert (first.json(), first.tag, first.headers["x"], first.attempt) == ({"amount": 100}, "t", b"y", 1)
    assert first.born_time is not None
    assert first.born_time.utcoffset() is not None
    wait_for("markers deleted once confirmed", lambda: not ask(lilei, "SELECT * FROM tallymq_txn"))


def test_an_exception_rolls_back_and_sends_nothing(
    cluster: Cluster, topic: str, tally: Tally, connection: sqlite3.Connection, lilei: Path
) -> None:
    with pytest.raises(KeyError), tally.transaction(connection) as tx:  # noqa: PT012
        connection.execute("UPDATE account SET balance = 0")
        tx.publish(topic, {"amount": 100})
        raise KeyError("changed my mind")
    assert balance(lilei) == 1_000
    assert transactions(cluster, topic) == []


def test_a_half_that_cannot_be_stored_rolls_the_database_back(
    topic: str, tally: Tally, connection: sqlite3.Connection, lilei: Path
) -> None:
    with pytest.raises(UnknownTopic), tally.transaction(connection) as tx:  # noqa: PT012
        connection.execute("UPDATE account SET balance = 0")
        tx.publish(topic, b"goes")
        tx.publish("no-such-topic", b"does not")
    assert balance(lilei) == 1_000
    assert ask(lilei, "SELECT * FROM tallymq_txn") == []


def test_a_connection_in_a_transaction_is_refused(tally: Tally, connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE account SET balance = 5")
    with pytest.raises(ConfigurationError, match="in a transaction"), tally.transaction(connection):
        pytest.fail("must not be entered")
    connection.rollback()


def test_without_the_tables_it_is_an_error_at_start(cluster: Cluster, tmp_path: Path) -> None:
    with Tally(cluster.url, group="g", checker=f"sqlite:///{tmp_path / 'empty.db'}") as tally:
        with pytest.raises(ConfigurationError, match="tallymq_txn") as caught:
            tally.start()
        assert "tallymq migrate" in str(caught.value)


@pytest.mark.parametrize(
    ("point", "state", "left"),
    [("after", admin_pb2.TRANSACTION_STATE_COMMITTED, 900), ("before", admin_pb2.TRANSACTION_STATE_ROLLED_BACK, 1_000)],
)
def test_a_killed_producer_is_answered_for_by_another_of_its_group(
    cluster: Cluster, topic: str, tally: Tally, lilei: Path, point: str, state: int, left: int
) -> None:
    command = [sys.executable, "-P", str(PRODUCER), cluster.url, topic, str(lilei), point]
    ran = subprocess.run(command, timeout=120, check=False, capture_output=True, text=True)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    assert [each.state for each in transactions(cluster, topic)] == [admin_pb2.TRANSACTION_STATE_IN_DOUBT]
    tally.start()
    decided = wait_decided(cluster, topic)
    assert (decided.state, decided.decided_by) == (state, "check")
    assert balance(lilei) == left
    if point == "after":
        assert [message.id for message in received(cluster, topic, 1)] == [decided.transaction_id.hex()]
        wait_for("the marker deleted once confirmed", lambda: not ask(lilei, "SELECT * FROM tallymq_txn"))
    else:
        # The fence stays, so that the dead producer's commit would fail if it came after all.
        assert ask(lilei, "SELECT txn_id, state FROM tallymq_txn") == [(decided.transaction_id.hex(), 2)]


def test_a_transaction_still_open_here_is_not_fenced(cluster: Cluster, topic: str, tally: Tally, lilei: Path) -> None:
    class Slow(sqlite3.Connection):
        def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
            if sql == "COMMIT":
                # Longer than the service waits before it asks.
                wait_for("two checks", lambda: transactions(cluster, topic)[0].checks >= 2)
            return super().execute(sql, *parameters)

    with contextlib.closing(sqlite3.connect(lilei, timeout=30, factory=Slow, isolation_level=None)) as connection:  # noqa: SIM117
        with tally.transaction(connection) as tx:
            connection.execute("UPDATE account SET balance = balance - 100")
            tx.publish(topic, b"")
    decided = wait_decided(cluster, topic)
    assert (decided.state, decided.decided_by) == (admin_pb2.TRANSACTION_STATE_COMMITTED, "call")
    assert balance(lilei) == 900


def test_a_half_by_hand_is_decided_once(topic: str, tally: Tally) -> None:
    half = tally.prepare(topic, b"work", key="k")
    half.commit()
    half.commit()
    with pytest.raises(AlreadyCommitted) as caught:
        half.rollback()
    assert caught.value.definite
    other = tally.prepare(topic, b"work")
    other.rollback()
    with pytest.raises(AlreadyRolledBack):
        other.commit()


def test_check_code_by_hand_sees_its_message_and_decides(cluster: Cluster, topic: str) -> None:
    seen: list[HalfMessage] = []
    with Tally(cluster.url, group="by-hand") as tally:

        @tally.check(topic)
        def check(half: HalfMessage) -> Decision:
            seen.append(half)
            if half.json()["number"] == 2:
                return Decision.ROLLBACK
            return Decision.COMMIT if half.attempt >= 2 else Decision.UNKNOWN

        ids = [tally.prepare(topic, {"number": number}, key=str(number)).id for number in (1, 2)]
        wait_for(
            "both decided",
            lambda: all(each.decided_by == "check" for each in transactions(cluster, topic)) and len(seen) >= 3,
        )
    states = {each.transaction_id.hex(): each.state for each in transactions(cluster, topic)}
    assert [states[each] for each in ids] == [
        admin_pb2.TRANSACTION_STATE_COMMITTED,
        admin_pb2.TRANSACTION_STATE_ROLLED_BACK,
    ]
    assert {half.id for half in seen} == set(ids)
    assert {half.key for half in seen} == {"1", "2"}


async def test_asyncio_does_the_same(cluster: Cluster, topic: str, lilei: Path) -> None:
    import aiosqlite

    async with AsyncTally(cluster.url, group="bank-a", checker=lambda: aiosqlite.connect(lilei)) as tally:
        async with aiosqlite.connect(lilei, timeout=30) as connection:
            async with tally.transaction(connection) as tx:
                await connection.execute("UPDATE account SET balance = balance - 100")
                tx.publish(topic, "kept")
            with pytest.raises(KeyError):  # noqa: PT012
                async with tally.transaction(connection) as tx:
                    await connection.execute("UPDATE account SET balance = 0")
                    tx.publish(topic, "dropped")
                    raise KeyError
        half = await tally.prepare(topic, "by hand")
        await half.commit()
        receipts = await asyncio.gather(*(tally.publish(topic, str(number)) for number in range(20)))
        assert len({receipt.id for receipt in receipts}) == 20
    assert balance(lilei) == 900
    texts = {message.text() for message in await asyncio.to_thread(received, cluster, topic, 22)}
    assert texts == {"kept", "by hand", *map(str, range(20))}

"""What is not known is not taken for a no: lost answers, commits in doubt, decisions queued at a close."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from tallymq import (
    AsyncTally,
    Decision,
    HalfMessage,
    OutcomeUnknown,
    Receipt,
    Tally,
    TallyError,
    Unavailable,
    _dispatch,
)
from tallymq._batcher import Frame
from tallymq._dispatch import Dispatcher
from tallymq.proto import admin_pb2, messaging_pb2
from tests.sdk.conftest import Bank, ask, balance
from tests.sdk.test_transactions import received, transactions, wait_decided
from tests.support.nodes import Cluster
from tests.support.waiting import wait_for

COMMITTED = admin_pb2.TRANSACTION_STATE_COMMITTED


def dispatcher_of(tally: Tally | AsyncTally) -> Dispatcher:
    runtime = tally._runtime if isinstance(tally, AsyncTally) else tally._host._runtime
    assert runtime is not None
    return runtime.engine._dispatcher


def lose_first_answers(dispatcher: Dispatcher) -> list[Frame]:
    """From now on the first answer to each frame is lost, as if the connection broke after the service stored it."""
    answered = dispatcher._answered
    lost: list[Frame] = []

    def answer(reply: messaging_pb2.ProduceReply) -> None:
        frame = dispatcher._frames[reply.correlation]
        if frame in lost:
            answered(reply)
        else:
            lost.append(frame)
            dispatcher._failed(frame, Unavailable("The connection broke."))

    dispatcher._answered = answer
    return lost


async def test_what_is_sent_again_is_stored_once(cluster: Cluster, topic: str) -> None:
    async with AsyncTally(cluster.url) as tally:
        await tally.start()
        lost = lose_first_answers(dispatcher_of(tally))
        receipts = [await tally.publish(topic, str(number), key="one queue") for number in range(5)]
    assert len(lost) == 5
    # A second copy would have taken an offset.
    assert [receipt.offset for receipt in receipts] == list(range(5))
    messages = await asyncio.to_thread(received, cluster, topic, 5)
    assert [message.id for message in messages] == [receipt.id for receipt in receipts]


async def test_what_was_sent_and_never_answered_is_not_said_to_have_failed(cluster: Cluster, topic: str) -> None:
    async with AsyncTally(cluster.url) as tally:
        await tally.start()
        dispatcher = dispatcher_of(tally)
        lost = lose_first_answers(dispatcher)
        dispatch = dispatcher._dispatch

        def only_once(frame: Frame) -> None:
            if frame not in lost:
                dispatch(frame)

        dispatcher._dispatch = only_once
        with pytest.raises(OutcomeUnknown) as caught:
            await tally.publish(topic, b"stored", timeout_s=2.0)
        assert not caught.value.definite
        assert len(lost) == 1
    assert [message.body for message in await asyncio.to_thread(received, cluster, topic, 1)] == [b"stored"]


async def test_what_was_not_sent_when_the_client_closed_is_not_sent_after(cluster: Cluster, topic: str) -> None:
    async with AsyncTally(cluster.url) as tally:
        await tally.publish(topic, b"finds the way", key="one queue")
        dispatcher = dispatcher_of(tally)
        engine = tally._runtime.engine if tally._runtime is not None else None
        assert engine is not None
        publishing = asyncio.create_task(tally.publish(topic, b"", key="one queue"))
        while not dispatcher._frames:  # noqa: ASYNC110 - the very turn in which it is given to the link
            await asyncio.sleep(0)
        (frame,) = dispatcher._frames.values()
        assert frame.address
        assert not frame.sent
        await engine.close()
        with pytest.raises(TallyError) as caught:
            await publishing
        assert caught.value.definite
    async with AsyncTally(cluster.url) as other:
        assert (await other.publish(topic, b"", key="one queue")).offset == 1


async def test_what_is_placed_anew_leaves_out_who_gave_up(cluster: Cluster, topic: str) -> None:
    async with AsyncTally(cluster.url) as tally:
        await tally.publish(topic, b"finds the way", key="one queue")
        dispatcher = dispatcher_of(tally)
        place_anew = dispatcher._place_anew
        tasks: list[asyncio.Task[Receipt]] = []

        def give_up_first(frame: Frame, name: str, error: TallyError) -> None:
            tasks[0].cancel()
            place_anew(frame, name, error)

        dispatcher._place_anew = give_up_first
        # Far behind: the first frame is refused as late, and its callers' messages are sent in another.
        dispatcher._routes.clock._told_ahead_ms = 0
        tasks += [asyncio.create_task(tally.publish(topic, b"", key="one queue")) for _ in range(2)]
        assert (await tasks[1]).offset == 1
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]


def test_a_commit_in_doubt_is_left_to_the_check_and_not_rolled_back(cluster: Cluster, topic: str, bank: Bank) -> None:
    path = bank("lilei")

    class AnswerLost(sqlite3.Connection):
        def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
            done = super().execute(sql, *parameters)
            if sql == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return done

    with Tally(cluster.url, group="doubt", checker=f"sqlite:///{path}") as tally:
        tally.start()
        connection = sqlite3.connect(path, timeout=30, factory=AnswerLost, isolation_level=None)
        with contextlib.closing(connection):  # noqa: SIM117
            with pytest.raises(sqlite3.OperationalError), tally.transaction(connection) as tx:  # noqa: PT012
                connection.execute("UPDATE account SET balance = balance - 100")
                tx.publish(topic, "it committed")
        decided = wait_decided(cluster, topic)
    assert (decided.state, decided.decided_by, balance(path)) == (COMMITTED, "check", 900)


def test_closing_sends_the_decisions_that_wait(
    cluster: Cluster, topic: str, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bank("lilei")
    monkeypatch.setattr(_dispatch, "RETRY_S_MIN", 1.0)

    class LeaderForgotten(sqlite3.Connection):
        def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
            if sql == "COMMIT":
                # The decision cannot leave at once: it waits for half a second and more.
                dispatcher_of(tally)._routes.leaders.clear()
            return super().execute(sql, *parameters)

    with Tally(cluster.url, group="drains", checker=f"sqlite:///{path}") as tally:
        connection = sqlite3.connect(path, timeout=30, factory=LeaderForgotten, isolation_level=None)
        with contextlib.closing(connection), tally.transaction(connection) as tx:
            connection.execute("UPDATE account SET balance = balance - 100")
            tx.publish(topic, b"")
    assert [(each.state, each.decided_by) for each in transactions(cluster, topic)] == [(COMMITTED, "call")]
    assert ask(path, "SELECT * FROM tallymq_txn") == []


def test_check_code_is_not_asked_while_the_database_transaction_is_open(
    cluster: Cluster, topic: str, bank: Bank
) -> None:
    asked: list[str] = []

    class Slow(sqlite3.Connection):
        def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
            if sql == "COMMIT":
                wait_for("two checks", lambda: transactions(cluster, topic)[0].checks >= 2)
            return super().execute(sql, *parameters)

    path = bank("lilei")
    with Tally(cluster.url, group="open", checker=f"sqlite:///{path}") as tally:

        @tally.check(topic)
        def check(half: HalfMessage) -> Decision:
            asked.append(half.id)
            return Decision.ROLLBACK

        connection = sqlite3.connect(path, timeout=30, factory=Slow, isolation_level=None)
        with contextlib.closing(connection), tally.transaction(connection) as tx:
            connection.execute("UPDATE account SET balance = balance - 100")
            tx.publish(topic, b"")
        assert wait_decided(cluster, topic).state == COMMITTED
    assert asked == []


def test_the_markers_are_the_last_statement_before_the_commit(cluster: Cluster, topic: str, bank: Bank) -> None:
    path: Path = bank("lilei")
    said: list[str] = []
    with Tally(cluster.url, group="last", checker=f"sqlite:///{path}") as tally:  # noqa: SIM117
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.set_trace_callback(said.append)
            with tally.transaction(connection) as tx:
                tx.publish(topic, b"published first")
                connection.execute("UPDATE account SET balance = balance - 100")
    assert [sql.split()[0] for sql in said] == ["BEGIN", "UPDATE", "INSERT", "COMMIT"]
    assert "tallymq_txn" in said[2]

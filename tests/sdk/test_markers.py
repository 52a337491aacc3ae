"""A marker is deleted only when the service has confirmed the commit: never earlier, and later by whoever is left."""

import asyncio
import contextlib
import logging
import secrets
import sqlite3
from pathlib import Path

import pytest

from tallymq import Tally, _engine, _markers
from tallymq.databases import steps
from tallymq.databases.sqlite import SqliteStack
from tallymq.databases.stack import drive
from tallymq.proto import admin_pb2
from tests.sdk.conftest import Bank, ask, balance
from tests.sdk.test_transactions import transactions, wait_decided
from tests.support.nodes import Cluster
from tests.support.waiting import wait_for

MARKERS = "SELECT txn_id, state FROM tallymq_txn"


def mark(path: Path, *ids: str) -> None:
    """Markers as a transaction leaves them that committed."""
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        drive(SqliteStack(), connection, steps.write_markers(ids))


def sweep(tally: Tally) -> None:
    """One sweep, of markers however young."""

    async def run(runtime: object) -> None:
        await runtime._cleaner.sweep_markers(runtime._checker, -1_000)

    tally._host.run(run)


def test_a_marker_stays_until_the_service_confirmed_the_commit(tmp_path: Path, bank: Bank) -> None:
    path = bank("lilei")
    with Cluster.create(tmp_path / "node", node_count=1) as cluster:
        cluster.start()
        cluster.create_topic("t")

        class NodeDies(sqlite3.Connection):
            def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
                if sql == "COMMIT":
                    cluster.nodes[0].kill()
                return super().execute(sql, *parameters)

        with Tally(cluster.url, group="bank", checker=f"sqlite:///{path}", timeout_s=120) as tally:
            connection = sqlite3.connect(path, timeout=30, factory=NodeDies, isolation_level=None)
            with contextlib.closing(connection), tally.transaction(connection) as tx:
                connection.execute("UPDATE account SET balance = 0")
                tx.publish("t", b"")
            runtime = tally._host._runtime
            assert runtime is not None
            # Several turns of the cleaner, while nobody can confirm anything.
            with contextlib.suppress(TimeoutError):
                wait_for("a marker deleted too early", lambda: not ask(path, MARKERS), 3 * _markers.PAUSE_S)
            assert ask(path, MARKERS) == [(tx.message_ids[0], 1)]
            cluster.nodes[0].start()
            cluster.nodes[0].wait_ready()
            wait_for("deleted once confirmed", lambda: not ask(path, MARKERS))
    assert balance(path) == 0


def test_markers_left_by_a_dead_producer_are_confirmed_and_swept(cluster: Cluster, topic: str, bank: Bank) -> None:
    path = bank("lilei")
    with Tally(cluster.url, group="sweeps", checker=f"sqlite:///{path}") as tally:
        decided, in_doubt = tally.prepare(topic, "decided"), tally.prepare(topic, "in doubt")
        decided.commit()
        mark(path, decided.id)
        sweep(tally)
        wait_for("the committed one's marker deleted", lambda: not ask(path, MARKERS))
        # Held by somebody here: not this sweep's to decide.
        mark(path, in_doubt.id)
        sweep(tally)
        assert ask(path, MARKERS) == [(in_doubt.id, 1)]
        identity = in_doubt.id
        del in_doubt
        sweep(tally)
        wait_for("the other's marker deleted", lambda: not ask(path, MARKERS))
    states = {each.transaction_id.hex(): each.state for each in transactions(cluster, topic)}
    assert states[identity] == admin_pb2.TRANSACTION_STATE_COMMITTED


def test_a_marker_the_service_did_not_confirm_is_never_swept(
    cluster: Cluster, topic: str, bank: Bank, caplog: pytest.LogCaptureFixture
) -> None:
    path = bank("lilei")
    with (
        Tally(cluster.url, group="sweeps", checker=f"sqlite:///{path}") as tally,
        Tally(cluster.url, group="another") as stranger,
    ):
        unknown = secrets.token_hex(16)
        rolled_back, foreign = tally.prepare(topic, "x"), stranger.prepare(topic, "y")
        rolled_back.rollback()
        kept = sorted([unknown, rolled_back.id, foreign.id])
        mark(path, *kept)
        with caplog.at_level(logging.ERROR, "tallymq"):
            sweep(tally)
            sweep(tally)
        assert sorted(ask(path, MARKERS)) == [(each, 1) for each in kept]
        assert rolled_back.id in caplog.text
        foreign.rollback()


def test_unknown_from_the_database_is_never_a_rollback(cluster: Cluster, topic: str, bank: Bank) -> None:
    """The database is away while the check comes: the answer is not known, and once it is back the truth."""
    path = bank("lilei")
    away = path.with_suffix(".away")

    def connect() -> sqlite3.Connection:
        if not path.exists():
            raise sqlite3.OperationalError("away")
        return sqlite3.connect(path, timeout=30, isolation_level=None)

    with Tally(cluster.url, group="away", checker=connect) as tally:
        tally.publish(topic, b"connected")
        path.rename(away)
        identity = tally.prepare(topic, "left").id
        wait_for("two checks", lambda: transactions(cluster, topic)[0].checks >= 2)
        assert transactions(cluster, topic)[0].state == admin_pb2.TRANSACTION_STATE_IN_DOUBT
        mark(away, identity)
        away.rename(path)
        assert wait_decided(cluster, topic).state == admin_pb2.TRANSACTION_STATE_COMMITTED


async def test_a_frame_takes_a_new_instance_before_its_sequence_would_wrap(cluster: Cluster, topic: str) -> None:
    from tallymq import AsyncTally

    async with AsyncTally(cluster.url) as tally:
        first = await tally.publish(topic, b"")
        assert tally._runtime is not None
        engine = tally._runtime.engine
        told: list[int] = []
        engine.on_new_instance = lambda: told.append(engine.instance)
        engine._sequence = _engine.SEQUENCE_MAX - 1
        last, wrapped = await tally.publish(topic, b""), await tally.publish(topic, b"")
    assert last.id[:24] == first.id[:16] + "ffffffff"
    assert wrapped.id[:16] != first.id[:16]
    assert wrapped.id[16:24] == "00000001"
    assert told == [int(wrapped.id[:16], 16)]


async def test_more_than_is_held_waits_for_room_and_not_beyond_its_time(
    cluster: Cluster, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tallymq import AsyncTally, Unavailable

    async with AsyncTally(cluster.url) as tally:
        await tally.publish(topic, b"")
        monkeypatch.setattr(_engine, "HELD_ITEMS_MAX", 2)
        receipts = await asyncio.gather(*(tally.publish(topic, str(number)) for number in range(50)))
        assert len({receipt.id for receipt in receipts}) == 50
        assert tally._runtime is not None
        engine = tally._runtime.engine
        assert (engine._held_items, engine._held_bytes) == (0, 0)
        monkeypatch.setattr(_engine, "HELD_ITEMS_MAX", 0)
        with pytest.raises(Unavailable, match="More is waiting") as caught:
            await tally.publish(topic, b"", timeout_s=0.2)
        assert caught.value.definite
        assert not any(not waiter.done() for waiter in engine._waiting)

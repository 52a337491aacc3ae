"""A session's commit sends its messages; savepoints take only their own along."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from tallymq import AsyncTally, ConfigurationError, Tally, UnknownTopic
from tallymq.proto import admin_pb2
from tests.sdk.conftest import Bank, ask, balance
from tests.sdk.test_transactions import received, transactions
from tests.support.nodes import Cluster
from tests.support.waiting import wait_for


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    id: Mapped[str] = mapped_column(primary_key=True)
    balance: Mapped[int]


@pytest.fixture
def path(bank: Bank) -> Path:
    return bank("lilei")


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{path}")

    # SQLite's driver begins too late for savepoints; this is SQLAlchemy's own recipe.
    @event.listens_for(made, "connect")
    def leave_begin_to_us(connection: object, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(made, "begin")
    def begin(connection: object) -> None:
        connection.exec_driver_sql("BEGIN")

    yield made
    made.dispose()


@pytest.fixture
def tally(cluster: Cluster, engine: Engine) -> Iterator[Tally]:
    with Tally(cluster.url, group="orm", checker=engine) as made:
        yield made


@pytest.fixture
def sessions(tally: Tally, engine: Engine) -> "sessionmaker[Session]":
    maker = sessionmaker(engine)
    tally.bind(maker)
    return maker


def bodies(cluster: Cluster, topic: str, count: int) -> list[str]:
    return sorted(message.text() for message in received(cluster, topic, count))


def test_a_commit_sends_and_cleans_up(
    cluster: Cluster, topic: str, tally: Tally, sessions: "sessionmaker[Session]", path: Path
) -> None:
    with sessions.begin() as session:
        session.get_one(Account, "it").balance -= 100
        tally.publish(session, topic, "one", key="k")
        tally.publish(session, topic, "two")
    assert balance(path) == 900
    assert bodies(cluster, topic, 2) == ["one", "two"]
    wait_for("markers deleted", lambda: not ask(path, "SELECT * FROM tallymq_txn"))


def test_a_rollback_never_speaks_to_the_service(
    cluster: Cluster, topic: str, tally: Tally, sessions: "sessionmaker[Session]", path: Path
) -> None:
    with sessions() as session:
        session.get_one(Account, "it").balance = 0
        tally.publish(session, topic, "dropped")
        session.rollback()
        # Closed without commit, and used again: nothing of before may go out with what comes.
        tally.publish(session, topic, "dropped too")
        session.close()
        tally.publish(session, topic, "kept")
        session.commit()
    assert balance(path) == 1_000
    assert [each.topic for each in transactions(cluster, topic)] == [topic]
    assert bodies(cluster, topic, 1) == ["kept"]


def test_a_savepoint_rolled_back_takes_only_its_own_messages(
    cluster: Cluster, topic: str, tally: Tally, sessions: "sessionmaker[Session]"
) -> None:
    with sessions.begin() as session:
        tally.publish(session, topic, "outer")
        with session.begin_nested():
            tally.publish(session, topic, "released")
        first = session.begin_nested()
        tally.publish(session, topic, "lost")
        with session.begin_nested():
            tally.publish(session, topic, "lost, though released inside")
        first.rollback()
        with pytest.raises(IntegrityError), session.begin_nested():  # noqa: PT012
            tally.publish(session, topic, "lost by a failed flush")
            session.execute(text("INSERT INTO account VALUES ('it', 1)"))
        tally.publish(session, topic, "after")
        assert transactions(cluster, topic) == []
    assert bodies(cluster, topic, 3) == ["after", "outer", "released"]


def test_a_half_that_cannot_be_stored_fails_the_commit(
    cluster: Cluster, topic: str, tally: Tally, sessions: "sessionmaker[Session]", path: Path
) -> None:
    session = sessions()
    session.get_one(Account, "it").balance = 0
    tally.publish(session, topic, "stored and rolled back")
    tally.publish(session, "no-such-topic", "refused")
    with pytest.raises(UnknownTopic):
        session.commit()
    session.rollback()
    session.close()
    assert balance(path) == 1_000


def test_a_commit_that_fails_after_the_halves_is_left_to_the_check(
    cluster: Cluster, topic: str, tally: Tally, sessions: "sessionmaker[Session]", path: Path
) -> None:
    # Registered after ours, so it fails when the halves are stored and the markers written.
    @event.listens_for(sessions, "before_commit")
    def fail(_session: Session) -> None:
        raise LookupError

    session = sessions()
    session.get_one(Account, "it").balance = 0
    tally.publish(session, topic, "in doubt")
    with pytest.raises(LookupError):
        session.commit()
    session.close()
    decided = wait_for("a decision", lambda: [each for each in transactions(cluster, topic) if each.decided_by])
    assert (decided[0].decided_by, balance(path)) == ("check", 1_000)
    assert ask(path, "SELECT state FROM tallymq_txn") == [(2,)]


def test_a_session_nobody_bound_is_refused(tally: Tally, engine: Engine, topic: str) -> None:
    with Session(engine) as session, pytest.raises(ConfigurationError, match="not bound"):
        tally.publish(session, topic, "x")
    with pytest.raises(ConfigurationError):
        tally.bind(async_sessionmaker())


async def test_async_sessions_do_the_same(cluster: Cluster, topic: str, path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    maker: async_sessionmaker[AsyncSession] = async_sessionmaker(engine)
    async with AsyncTally(cluster.url, group="orm-async", checker=engine) as tally:
        tally.bind(maker)
        async with maker.begin() as session:
            (await session.get_one(Account, "it")).balance -= 100
            tally.publish(session, topic, "noted without await")
            await tally.publish(session, topic, "noted with await")
        with pytest.raises(KeyError):  # noqa: PT012
            async with maker.begin() as session:
                tally.publish(session, topic, "dropped")
                raise KeyError
    await engine.dispose()
    assert balance(path) == 900
    assert await asyncio.to_thread(bodies, cluster, topic, 2) == ["noted with await", "noted without await"]


def test_what_the_session_holds_is_written_before_the_markers(
    topic: str, tally: Tally, sessions: "sessionmaker[Session]", engine: Engine
) -> None:
    said: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, sql: str, *_others: object) -> None:
        if "tallymq_txn" in sql or "account" in sql:
            said.append(" ".join(sql.split()[:3]))

    with sessions.begin() as session:
        account = session.get_one(Account, "it")
        tally.publish(session, topic, "published first")
        account.balance -= 100
        said.clear()
    assert [sql.split()[0] for sql in said[:2]] == ["UPDATE", "INSERT"]
    assert said[0].startswith("UPDATE account")
    assert said[1] == "INSERT INTO tallymq_txn"


def test_a_savepoint_released_while_committing_decides_nothing(
    cluster: Cluster, topic: str, tally: Tally, sessions: "sessionmaker[Session]", path: Path
) -> None:
    # Registered after ours: the halves are stored and the markers written, and the commit fails after all.
    @event.listens_for(sessions, "before_commit")
    def fail_after_a_savepoint(session: Session) -> None:
        if session.in_nested_transaction():
            return
        with session.begin_nested():
            session.execute(text("UPDATE account SET balance = 0"))
        raise LookupError

    session = sessions()
    session.get_one(Account, "it").balance = 0
    tally.publish(session, topic, "never")
    with pytest.raises(LookupError):
        session.commit()
    session.close()
    decided = wait_for("a decision", lambda: [each for each in transactions(cluster, topic) if each.decided_by])
    assert (decided[0].decided_by, decided[0].state) == ("check", admin_pb2.TRANSACTION_STATE_ROLLED_BACK)
    assert balance(path) == 1_000

"""The check and the user's transaction, raced on real databases: whoever inserts first decides, for good."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tallymq.databases import steps
from tallymq.databases.checker import Checker
from tallymq.databases.schema import statements
from tallymq.databases.sources import source_of
from tallymq.databases.stack import drive, stack_of
from tests.support.servers import MariaDb, Postgres

ID = "0123456789abcdef" * 2
OTHER = "f" * 32
Connect = Callable[[], Any]


@dataclass
class Database:
    """One real database with our tables: where the check finds it, and connections as a user's program has them."""

    url: str
    connect: Connect
    waits: bool
    """True if a check waits on a row that is being written, so that it says not known; else on the whole database."""
    where: Any = None


def make_tables(connection: Any, dialect: str) -> None:
    cursor = connection.cursor()
    for sql in ("DROP TABLE IF EXISTS tallymq_txn", "DROP TABLE IF EXISTS tallymq_inbox", *statements(dialect)):
        cursor.execute(sql)
    connection.commit()
    connection.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    with MariaDb() as server:
        yield server


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.needs_postgres),
        pytest.param("asyncpg", marks=pytest.mark.needs_postgres),
        pytest.param("mysql", marks=pytest.mark.needs_mariadb),
        "sqlalchemy-sqlite",
        pytest.param("sqlalchemy-postgresql", marks=pytest.mark.needs_postgres),
        pytest.param("sqlalchemy-mysql", marks=pytest.mark.needs_mariadb),
    ]
)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    name = request.param.removeprefix("sqlalchemy-")
    through_sqlalchemy = name != request.param
    if name == "sqlite":
        path = tmp_path / "bank.db"
        made = Database(f"sqlite:///{path}", lambda: sqlite3.connect(path, timeout=30), False)
        url = made.url.replace("sqlite", "sqlite+pysqlite")
    elif name == "mysql":
        server = request.getfixturevalue("mariadb")
        import pymysql

        settings = {"host": "127.0.0.1", "port": server.port, "user": "root", "database": "bank"}
        made = Database(f"mysql://root@127.0.0.1:{server.port}/bank", lambda: pymysql.connect(**settings), True)
        url = made.url.replace("mysql", "mysql+pymysql")
    else:
        server = request.getfixturevalue("postgres")
        import psycopg

        made = Database(server.url, lambda: psycopg.connect(server.url), True)
        url = made.url.replace("postgresql", "postgresql+psycopg")
    make_tables(made.connect(), "postgresql" if name == "asyncpg" else name)
    if name == "asyncpg":
        import asyncpg

        made.where = lambda: asyncpg.connect(made.url.partition("?")[0])
    else:
        made.where = url if through_sqlalchemy else made.url
    return made


@pytest.fixture
def checker(database: Database) -> Iterator[Checker]:
    with ThreadPoolExecutor(4) as executor:
        yield Checker(source_of(database.where), executor)


def begin(database: Database) -> tuple[Any, Any]:
    connection = database.connect()
    stack = stack_of(connection)
    stack.begin(connection)
    return stack, connection


async def test_a_committed_marker_is_a_commit_and_stays_one(database: Database, checker: Checker) -> None:
    stack, connection = begin(database)
    drive(stack, connection, steps.write_markers([ID]))
    stack.commit(connection)
    assert await checker.outcomes([ID]) == {ID: True}
    assert await checker.outcomes([ID, OTHER]) == {ID: True, OTHER: False}
    connection.close()


async def test_a_fence_that_was_first_stops_the_late_transaction(database: Database, checker: Checker) -> None:
    assert await checker.outcomes([ID]) == {ID: False}
    stack, connection = begin(database)
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        drive(stack, connection, steps.write_markers([ID]))
    stack.rollback(connection)
    assert await checker.outcomes([ID]) == {ID: False}
    connection.close()


async def test_while_the_transaction_runs_the_answer_is_not_known(database: Database, checker: Checker) -> None:
    stack, connection = begin(database)
    drive(stack, connection, steps.write_markers([ID]))
    assert await checker.outcomes([ID]) == {}
    if database.waits:
        # Another transaction's answer is not held up by it.
        assert await checker.outcomes([ID, OTHER]) == {OTHER: False}
    stack.commit(connection)
    assert await checker.outcomes([ID]) == {ID: True}
    connection.close()


async def test_a_rolled_back_transaction_is_a_rollback(database: Database, checker: Checker) -> None:
    stack, connection = begin(database)
    drive(stack, connection, steps.write_markers([ID]))
    stack.rollback(connection)
    assert await checker.outcomes([ID]) == {ID: False}
    connection.close()


async def test_raced_the_check_and_the_database_never_disagree(database: Database, checker: Checker) -> None:
    import asyncio

    for number in range(20):
        identity = f"{number:032x}"
        start = threading.Barrier(2)

        def transact(identity: str = identity, start: threading.Barrier = start) -> bool:
            stack, connection = begin_when(start)
            try:
                drive(stack, connection, steps.write_markers([identity]))
                stack.commit(connection)
            except Exception:  # noqa: BLE001 - each driver has its own
                stack.rollback(connection)
                return False
            finally:
                connection.close()
            return True

        def begin_when(start: threading.Barrier) -> tuple[Any, Any]:
            start.wait(60)
            return begin(database)

        user = asyncio.get_running_loop().run_in_executor(None, transact)
        await asyncio.to_thread(start.wait, 60)
        first = await checker.outcomes([identity])
        committed = await user
        answer = first or await checker.outcomes([identity])
        assert answer == {identity: committed}


async def test_only_markers_of_commits_are_deleted_and_fences_only_when_old(
    database: Database, checker: Checker
) -> None:
    stack, connection = begin(database)
    drive(stack, connection, steps.write_markers([ID]))
    stack.commit(connection)
    await checker.outcomes([OTHER])
    await checker.delete([ID, OTHER])
    await checker.delete_fences(0)
    with connection:
        cursor = connection.cursor()
        cursor.execute("SELECT txn_id, state FROM tallymq_txn")
        assert [tuple(row) for row in cursor.fetchall()] == [(OTHER, 2)]


@pytest.mark.needs_mariadb
async def test_a_row_cut_short_in_silence_is_not_taken_for_an_answer(mariadb: MariaDb) -> None:
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS tallymq_txn")
        # A table somebody made by hand, on a server that cuts what is too long.
        cursor.execute("CREATE TABLE tallymq_txn (txn_id CHAR(8) PRIMARY KEY, state SMALLINT, created_ms BIGINT)")
        cursor.execute("SET GLOBAL sql_mode = ''")
    with ThreadPoolExecutor(1) as executor:
        checker = Checker(source_of(f"mysql://root@127.0.0.1:{mariadb.port}/bank"), executor)
        assert await checker.outcomes([ID]) == {}
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM tallymq_txn")
        assert cursor.fetchall() == ()

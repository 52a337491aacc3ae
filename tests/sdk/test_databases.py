"""The main job on PostgreSQL and MariaDB: a transfer from one to the other, with every driver."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import psycopg
import psycopg_pool
import pymysql
import pytest

from tallymq import AsyncTally, Message, Tally
from tallymq.databases.schema import statements
from tests.support.nodes import Cluster
from tests.support.servers import MariaDb, Postgres
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.needs_postgres, pytest.mark.needs_mariadb]
ACCOUNT = ("CREATE TABLE account (id VARCHAR(20) PRIMARY KEY, balance INTEGER NOT NULL)",)
OPENED = ("INSERT INTO account VALUES ('it', 1000)",)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        with server.connect() as connection:
            for sql in (*statements("postgresql"), *ACCOUNT, *OPENED):
                connection.execute(sql.encode())
        yield server


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    with MariaDb() as server:
        with server.connect() as connection, connection.cursor() as cursor:
            for sql in (*statements("mysql"), *ACCOUNT, *OPENED):
                cursor.execute(sql)
        yield server


def sum_of(postgres: Postgres, mariadb: MariaDb) -> tuple[int, int]:
    with postgres.connect() as connection:
        there = connection.execute("SELECT balance FROM account").fetchone()
    with mariadb.connect() as other, other.cursor() as cursor:
        cursor.execute("SELECT balance FROM account")
        here = cursor.fetchone()
    return int(str(there[0])), int(str(here[0]))


def connect_mariadb(mariadb: MariaDb) -> "pymysql.Connection[Any]":
    return pymysql.connect(host="127.0.0.1", port=mariadb.port, user="root", database="bank", connect_timeout=5)


def test_from_postgresql_to_mariadb_with_blocking_drivers(
    cluster: Cluster, topic: str, postgres: Postgres, mariadb: MariaDb
) -> None:
    before = sum_of(postgres, mariadb)
    url = f"mysql://root@127.0.0.1:{mariadb.port}/bank"
    with Tally(cluster.url, group="pg", checker=postgres.url) as bank_a, Tally(cluster.url, inbox=url) as bank_b:

        @bank_b.consumer(topic, group="maria", concurrency=2)
        def credit(message: Message, db: "pymysql.Connection[Any]") -> None:
            with db.cursor() as cursor:
                cursor.execute("UPDATE account SET balance = balance + %s", (message.json()["amount"],))

        bank_b.start()
        for autocommit in (False, True):
            with psycopg.connect(postgres.url, autocommit=autocommit) as connection:
                with bank_a.transaction(connection) as tx:
                    connection.execute("UPDATE account SET balance = balance - 10")
                    tx.publish(topic, {"amount": 10}, key="it")
                with pytest.raises(KeyError), bank_a.transaction(connection) as tx:  # noqa: PT012
                    connection.execute("UPDATE account SET balance = 0")
                    tx.publish(topic, {"amount": 999})
                    raise KeyError
        assert wait_for("credited", lambda: sum_of(postgres, mariadb) == (before[0] - 20, before[1] + 20))


def test_from_mariadb_to_postgresql(cluster: Cluster, topic: str, postgres: Postgres, mariadb: MariaDb) -> None:
    before = sum_of(postgres, mariadb)
    with (
        Tally(cluster.url, group="my", checker=lambda: connect_mariadb(mariadb)) as bank_b,
        Tally(cluster.url, inbox=postgres.url) as bank_a,
    ):

        @bank_a.consumer(topic, group="pg", concurrency=2)
        def credit(message: Message, db: "psycopg.Connection[Any]") -> None:
            db.execute("UPDATE account SET balance = balance + %s", (message.json(),))

        bank_a.start()
        connection = connect_mariadb(mariadb)
        with bank_b.transaction(connection) as tx:
            with connection.cursor() as cursor:
                cursor.execute("UPDATE account SET balance = balance - 10")
            tx.publish(topic, 10)
        connection.close()
        assert wait_for("credited", lambda: sum_of(postgres, mariadb) == (before[0] + 10, before[1] - 10))


async def test_with_asyncpg_and_a_pool(cluster: Cluster, topic: str, postgres: Postgres, mariadb: MariaDb) -> None:
    before = sum_of(postgres, mariadb)
    dsn = postgres.url.partition("?")[0]
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as pool:  # noqa: SIM117
        async with AsyncTally(cluster.url, group="apg", checker=pool, inbox=pool) as tally:

            @tally.consumer(topic, group="apg")
            async def credit(message: Message, db: Any) -> None:
                await db.execute("UPDATE account SET balance = balance + $1", message.json())

            await tally.start()
            async with pool.acquire() as connection, tally.transaction(connection) as tx:
                await connection.execute("UPDATE account SET balance = balance - 1")
                async with connection.transaction():
                    await connection.execute("SELECT 1")
                tx.publish(topic, 3)
            wanted = (before[0] + 2, before[1])
            await asyncio.to_thread(wait_for, "credited", lambda: sum_of(postgres, mariadb) == wanted)
            async with pool.acquire() as connection:
                left = "SELECT count(*) FROM tallymq_txn WHERE state = 1"
                for _ in range(200):
                    if await connection.fetchval(left) == 0:
                        break
                    await asyncio.sleep(0.05)
                assert await connection.fetchval(left) == 0


def test_with_a_pool_of_psycopg(cluster: Cluster, topic: str, postgres: Postgres, mariadb: MariaDb) -> None:
    before = sum_of(postgres, mariadb)
    left = "SELECT count(*) FROM tallymq_txn WHERE state = 1"
    with psycopg_pool.ConnectionPool(postgres.url, min_size=1, max_size=2, open=True) as pool:
        with Tally(cluster.url, group="psp", checker=pool) as tally:
            with pool.connection() as connection, tally.transaction(connection) as tx:
                connection.execute("UPDATE account SET balance = balance - 1")
                tx.publish(topic, b"")
            with postgres.connect() as outside:
                wait_for("markers deleted", lambda: outside.execute(left).fetchone() == (0,))
            # Left undecided: the check takes a connection of the pool, and gives it back as the pool was told.
            identity = tally.prepare(topic, b"").id
            fence = "SELECT state FROM tallymq_txn WHERE txn_id = %s"
            with postgres.connect() as outside:
                wait_for("fenced", lambda: outside.execute(fence, [identity]).fetchone() == (2,))
        with pool.connection() as one, pool.connection() as two:
            assert (one.autocommit, two.autocommit) == (False, False)
    assert sum_of(postgres, mariadb) == (before[0] - 1, before[1])


async def test_with_async_psycopg(cluster: Cluster, topic: str, postgres: Postgres, mariadb: MariaDb) -> None:
    before = sum_of(postgres, mariadb)
    connect = psycopg.AsyncConnection.connect
    async with AsyncTally(cluster.url, group="apsy", checker=lambda: connect(postgres.url)) as tally:  # noqa: SIM117
        async with await connect(postgres.url) as connection:
            async with tally.transaction(connection) as tx:
                await connection.execute("UPDATE account SET balance = balance - 1")
                tx.publish(topic, b"")
    assert len(tx.message_ids) == 1
    assert sum_of(postgres, mariadb) == (before[0] - 1, before[1])

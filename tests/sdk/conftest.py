"""A real node for the tests of a file, topics of their own, and sqlite databases as banks."""

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tallymq.databases.schema import statements
from tests.support.nodes import Cluster

Bank = Callable[[str], Path]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One node that checks soon."""
    settings = {"check_after_ms": 1_000, "orphan_after_ms": 500}
    with Cluster.create(tmp_path_factory.mktemp("node"), node_count=1, settings=settings) as made:
        made.start()
        yield made


@pytest.fixture
def topic(cluster: Cluster) -> str:
    """A topic of four queues that no other test uses."""
    name = f"t-{secrets.token_hex(6)}"
    cluster.create_topic(name)
    return name


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    """Makes a database with our tables and one account of 1,000."""

    def make(name: str) -> Path:
        path = tmp_path / f"{name}.db"
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            for sql in statements("sqlite"):
                connection.execute(sql)
            connection.execute("CREATE TABLE account (id TEXT PRIMARY KEY, balance INTEGER NOT NULL)")
            connection.execute("INSERT INTO account VALUES ('it', 1000)")
        connection.close()
        return path

    return make


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    """What a database says."""
    connection = sqlite3.connect(path, timeout=30)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def balance(path: Path) -> int:
    """What is on the account."""
    return int(str(ask(path, "SELECT balance FROM account")[0][0]))

"""The two tables of this package and all the SQL that touches them, for every stack.

Parameters are written `?` here and turned into each driver's own kind; values never stand in the text. Tables are made
explicitly (`tallymq migrate` prints the statements) and never inside a user's transaction: MySQL would commit it.
"""

from __future__ import annotations

from collections.abc import Sequence

from tallymq.exceptions import ConfigurationError

DIALECTS = ("sqlite", "postgresql", "mysql")

COMMITTED = 1
"""The user's transaction that wrote this marker committed."""
ABORTED = 2
"""A check was there first: the user's transaction can no longer commit, for its own marker collides with this row."""

IDS_MAX = 500
"""Rows named in one statement at most; SQLite allowed 999 parameters for long."""

_TXN = (
    "CREATE TABLE IF NOT EXISTS tallymq_txn (txn_id {id} NOT NULL PRIMARY KEY, state {small} NOT NULL, "
    "created_ms {big} NOT NULL){end}"
)
_INBOX = (
    "CREATE TABLE IF NOT EXISTS tallymq_inbox (consumer_group {name} NOT NULL, message_id {id} NOT NULL, "
    "topic {name} NOT NULL, queue INTEGER NOT NULL, queue_offset {big} NOT NULL, created_ms {big} NOT NULL, "
    "PRIMARY KEY (consumer_group, message_id)){end}"
)
_TYPES = {
    "sqlite": {"id": "TEXT", "name": "TEXT", "small": "INTEGER", "big": "INTEGER", "end": " WITHOUT ROWID"},
    "postgresql": {
        "id": 'CHAR(32) COLLATE "C"',
        "name": 'VARCHAR(255) COLLATE "C"',
        "small": "SMALLINT",
        "big": "BIGINT",
        "end": "",
    },
    "mysql": {
        "id": "CHAR(32) CHARACTER SET ascii COLLATE ascii_bin",
        "name": "VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin",
        "small": "SMALLINT",
        "big": "BIGINT",
        "end": " ENGINE=InnoDB",
    },
}

_INSERT_OR_IGNORE = {
    "sqlite": ("INSERT OR IGNORE INTO", ""),
    "postgresql": ("INSERT INTO", " ON CONFLICT DO NOTHING"),
    "mysql": ("INSERT IGNORE INTO", ""),
}


def statements(dialect: str) -> list[str]:
    """Return what makes the tables, in order; harmless where they exist. Raises ConfigurationError."""
    types = _TYPES[known_dialect(dialect)]
    return [_TXN.format(**types), _INBOX.format(**types)]


def known_dialect(name: str) -> str:
    """Return our name of a dialect (MariaDB is mysql). Raises ConfigurationError."""
    dialect = {"mariadb": "mysql", "postgres": "postgresql"}.get(name, name)
    if dialect not in DIALECTS:
        raise ConfigurationError(f"{name!r} is not a database we know.", hint="Use sqlite, postgresql or mysql.")
    return dialect


def _rows(count: int, columns: int) -> str:
    row = "(" + ", ".join("?" * columns) + ")"
    return ", ".join([row] * count)


def insert_markers(ids: Sequence[str], now_ms: int) -> tuple[str, list[object]]:
    """Return the statement that says: these transactions commit. It fails on a row of a check that came first."""
    sql = f"INSERT INTO tallymq_txn (txn_id, state, created_ms) VALUES {_rows(len(ids), 3)}"  # noqa: S608 - only "?"
    # In order, so that two who insert several of the same rows wait for one another and never in a circle.
    return sql, [value for each in sorted(ids) for value in (each, COMMITTED, now_ms)]


def insert_fences(dialect: str, ids: Sequence[str], now_ms: int) -> tuple[str, list[object]]:
    """Return the statement that says: these transactions may not commit any more, unless they have."""
    verb, ending = _INSERT_OR_IGNORE[dialect]
    sql = f"{verb} tallymq_txn (txn_id, state, created_ms) VALUES {_rows(len(ids), 3)}{ending}"
    return sql, [value for each in sorted(ids) for value in (each, ABORTED, now_ms)]


def select_states(dialect: str, ids: Sequence[str], *, locking: bool) -> tuple[str, list[object]]:
    """Return the read of these rows; with `locking` it sees what is newest and committed, whatever the isolation."""
    ending = " FOR UPDATE" if locking and dialect != "sqlite" else ""
    marks = ", ".join("?" * len(ids))
    sql = f"SELECT txn_id, state FROM tallymq_txn WHERE txn_id IN ({marks}) ORDER BY txn_id{ending}"  # noqa: S608 - only "?"
    return sql, list(ids)


def delete_markers(ids: Sequence[str]) -> tuple[str, list[object]]:
    """Return the statement that takes away markers of confirmed commits; never a fence."""
    marks = ", ".join("?" * len(ids))
    return f"DELETE FROM tallymq_txn WHERE state = ? AND txn_id IN ({marks})", [COMMITTED, *sorted(ids)]  # noqa: S608 - only "?"


def select_old_markers(after: str, before_ms: int) -> tuple[str, list[object]]:
    """Return the read of at most IDS_MAX markers of commits made before this time, by id and behind `after`."""
    sql = "SELECT txn_id FROM tallymq_txn WHERE state = ? AND txn_id > ? AND created_ms < ? ORDER BY txn_id LIMIT ?"
    return sql, [COMMITTED, after, before_ms, IDS_MAX]


def delete_fences(before_ms: int) -> tuple[str, list[object]]:
    """Return the statement that takes away fences older than any local transaction can be."""
    return "DELETE FROM tallymq_txn WHERE state = ? AND created_ms < ?", [ABORTED, before_ms]


def insert_inbox(dialect: str, row: Sequence[object]) -> tuple[str, list[object]]:
    """Return the statement that claims a message: one row where it was not done before, none where it was."""
    verb, ending = _INSERT_OR_IGNORE[dialect]
    columns = "consumer_group, message_id, topic, queue, queue_offset, created_ms"
    return f"{verb} tallymq_inbox ({columns}) VALUES {_rows(1, 6)}{ending}", list(row)

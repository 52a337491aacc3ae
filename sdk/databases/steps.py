"""What is done to a database, as generators of statements: written once, driven by blocking and by async drivers.

Rules of the fence, each found by trying to break it: a connection of our own and a fresh transaction, READ COMMITTED,
INSERT first, then a locking SELECT, and no answer before COMMIT has returned. A lock that is not had in time, a row
that is not there, any warning: not known. The isolation matters on MySQL: its REPEATABLE READ sees an old picture.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from tallymq.databases import schema

LOCK_TIMEOUT_S = 1
"""How long a fence waits for a transaction that is still running; whole seconds, as MySQL has it."""

DUPLICATE_ENTRY = 1062
"""MySQL's note that INSERT IGNORE found the row there; that is an answer, not a warning."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement with `?` parameters."""

    sql: str
    parameters: Sequence[object] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """What a statement brought: rows changed, rows read, and whether a check found the stack's own warning."""

    count: int
    rows: Sequence[Sequence[object]] = ()


Steps = Generator[Statement, Rows, "dict[str, bool]"]
Plain = Generator[Statement, Rows, None]


def now_ms() -> int:
    """Return the time by this machine's clock; used for cleaning up only."""
    return time.time_ns() // 1_000_000


def begin(dialect: str) -> Generator[Statement, Rows, None]:
    """Open a fresh transaction of our own with a short lock time-out."""
    if dialect == "sqlite":
        yield Statement(f"PRAGMA busy_timeout = {LOCK_TIMEOUT_S * 1000}")
        yield Statement("BEGIN IMMEDIATE")
    elif dialect == "postgresql":
        yield Statement("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        yield Statement(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
    else:
        yield Statement(f"SET SESSION innodb_lock_wait_timeout = {LOCK_TIMEOUT_S}")
        yield Statement("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE")
        yield Statement("START TRANSACTION")


def committed(dialect: str, ids: Sequence[str]) -> Steps:
    """Return True for those whose marker says committed; it is final, so no fence is needed. Others are left out."""
    sql, parameters = schema.select_states(dialect, ids, locking=False)
    found = yield Statement(sql, parameters)
    return {str(row[0]): True for row in found.rows if row[1] == schema.COMMITTED}


def fence(dialect: str, ids: Sequence[str]) -> Steps:
    """Decide: True where the user's transaction committed, False where it never can any more, left out if not known."""
    yield from begin(dialect)
    sql, parameters = schema.insert_fences(dialect, ids, now_ms())
    yield Statement(sql, parameters)
    warned = False
    if dialect == "mysql":
        warnings = yield Statement("SHOW WARNINGS")
        warned = any(row[1] != DUPLICATE_ENTRY for row in warnings.rows)
    sql, parameters = schema.select_states(dialect, ids, locking=True)
    found = yield Statement(sql, parameters)
    if warned:
        yield Statement("ROLLBACK")
        return {}
    yield Statement("COMMIT")
    states = {str(row[0]): row[1] for row in found.rows}
    outcomes = {each: states[each] == schema.COMMITTED for each in ids if each in states}
    return {each: outcome for each, outcome in outcomes.items() if states[each] in {schema.COMMITTED, schema.ABORTED}}


def delete_markers(ids: Sequence[str]) -> Plain:
    """Take away markers of commits the service confirmed."""
    sql, parameters = schema.delete_markers(ids)
    yield Statement(sql, parameters)


def old_markers(after: str, before_ms: int) -> Generator[Statement, Rows, list[str]]:
    """Return a page of the ids of commits whose marker is older than this and still there."""
    sql, parameters = schema.select_old_markers(after, before_ms)
    found = yield Statement(sql, parameters)
    return [str(row[0]) for row in found.rows]


def delete_fences(before_ms: int) -> Plain:
    """Take away fences made before this time."""
    sql, parameters = schema.delete_fences(before_ms)
    yield Statement(sql, parameters)


def probe() -> Plain:
    """Touch the marker table; the driver's error says if it is not there."""
    yield Statement("SELECT txn_id, state, created_ms FROM tallymq_txn WHERE txn_id = ?", ["0" * 32])


def probe_inbox() -> Plain:
    """Touch the inbox; the driver's error says if it is not there."""
    yield Statement("SELECT message_id FROM tallymq_inbox WHERE consumer_group = ? AND message_id = ?", ["", "0" * 32])


def write_markers(ids: Sequence[str]) -> Plain:
    """In the user's transaction, as its last statement: these transactions commit with it."""
    for start in range(0, len(ids), schema.IDS_MAX // 3):
        sql, parameters = schema.insert_markers(sorted(ids)[start : start + schema.IDS_MAX // 3], now_ms())
        yield Statement(sql, parameters)


def claim(dialect: str, row: Sequence[object]) -> Generator[Statement, Rows, bool]:
    """First in the handler's transaction: False if this message was done before."""
    sql, parameters = schema.insert_inbox(dialect, [*row, now_ms()])
    inserted = yield Statement(sql, parameters)
    return inserted.count == 1


def with_style(sql: str, style: str) -> str:
    """Return the statement with the driver's own parameters: qmark, format or numeric_dollar."""
    if style == "qmark":
        return sql
    if style in {"format", "pyformat"}:
        return sql.replace("?", "%s")
    parts = sql.split("?")
    return parts[0] + "".join(f"${number}{part}" for number, part in enumerate(parts[1:], start=1))

"""psycopg 3, blocking and async."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from tallymq.databases.stack import Stack
from tallymq.databases.steps import Rows, Statement, with_style

Blocking = psycopg.Connection[Any]
Async = psycopg.AsyncConnection[Any]


def is_ambiguous_state(state: str | None) -> bool:
    """Tell by SQLSTATE: constraint violations and serialization failures are certain, a lost connection is not."""
    if state is None or state == "40003":
        return True
    return state[:2] not in {"23", "40"}


class PsycopgStack:
    """A blocking connection."""

    dialect = "postgresql"
    is_async = False

    def own(self, connection: Blocking) -> None:
        """Leave BEGIN and COMMIT to the steps."""
        connection.rollback()
        connection.autocommit = True

    def execute(self, connection: Blocking, statement: Statement) -> Rows:
        """Run one statement."""
        with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
            cursor.execute(_query(statement), tuple(statement.parameters) or None)
            return Rows(cursor.rowcount, cursor.fetchall() if cursor.description else ())

    def in_transaction(self, connection: Blocking) -> bool:
        """Tell whether a transaction is open already; without autocommit a SELECT has opened one."""
        return connection.info.transaction_status != TransactionStatus.IDLE

    def begin(self, connection: Blocking) -> None:
        """Open one where psycopg does not by itself."""
        if connection.autocommit:
            connection.execute("BEGIN")

    def commit(self, connection: Blocking) -> None:
        """Commit."""
        connection.commit()

    def rollback(self, connection: Blocking) -> None:
        """Roll back."""
        connection.rollback()

    def close(self, connection: Blocking) -> None:
        """Close."""
        connection.close()

    def is_ambiguous(self, error: BaseException) -> bool:
        """See is_ambiguous_state."""
        return is_ambiguous_state(getattr(error, "sqlstate", None))


class AsyncPsycopgStack:
    """An async connection."""

    dialect = "postgresql"
    is_async = True
    is_ambiguous = PsycopgStack.is_ambiguous

    async def own(self, connection: Async) -> None:
        """Leave BEGIN and COMMIT to the steps."""
        await connection.rollback()
        await connection.set_autocommit(True)

    async def execute(self, connection: Async, statement: Statement) -> Rows:
        """Run one statement."""
        async with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
            await cursor.execute(_query(statement), tuple(statement.parameters) or None)
            return Rows(cursor.rowcount, await cursor.fetchall() if cursor.description else ())

    def in_transaction(self, connection: Async) -> bool:
        """Tell whether a transaction is open already."""
        return connection.info.transaction_status != TransactionStatus.IDLE

    async def begin(self, connection: Async) -> None:
        """Open one where psycopg does not by itself."""
        if connection.autocommit:
            await connection.execute("BEGIN")

    async def commit(self, connection: Async) -> None:
        """Commit."""
        await connection.commit()

    async def rollback(self, connection: Async) -> None:
        """Roll back."""
        await connection.rollback()

    async def close(self, connection: Async) -> None:
        """Close."""
        await connection.close()


def _query(statement: Statement) -> bytes:
    """Return the statement as bytes: psycopg's types take a string only where it is a literal of the program."""
    return with_style(statement.sql, "format").encode("utf-8")


_BLOCKING, _ASYNC = PsycopgStack(), AsyncPsycopgStack()


def stack_for(connection: object) -> Stack:
    """Return the stack of this kind of connection."""
    return _ASYNC if isinstance(connection, psycopg.AsyncConnection) else _BLOCKING

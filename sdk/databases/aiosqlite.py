"""aiosqlite."""

from __future__ import annotations

import aiosqlite

from tallymq.databases.sqlite import SqliteStack
from tallymq.databases.stack import Stack
from tallymq.databases.steps import Rows, Statement


class AiosqliteStack:
    """An async connection; as sqlite3."""

    dialect = "sqlite"
    is_async = True
    is_ambiguous = SqliteStack.is_ambiguous

    async def own(self, connection: aiosqlite.Connection) -> None:
        """Leave BEGIN and COMMIT to the steps."""
        connection.isolation_level = None

    async def execute(self, connection: aiosqlite.Connection, statement: Statement) -> Rows:
        """Run one statement."""
        async with connection.execute(statement.sql, tuple(statement.parameters)) as cursor:
            rows = await cursor.fetchall()
            return Rows(cursor.rowcount, [tuple(row) for row in rows])

    def in_transaction(self, connection: aiosqlite.Connection) -> bool:
        """Tell whether a transaction is open already."""
        return connection.in_transaction

    async def begin(self, connection: aiosqlite.Connection) -> None:
        """Take the write lock at once."""
        await connection.execute("BEGIN IMMEDIATE")

    async def commit(self, connection: aiosqlite.Connection) -> None:
        """Commit."""
        if connection.in_transaction:
            await connection.execute("COMMIT")

    async def rollback(self, connection: aiosqlite.Connection) -> None:
        """Roll back."""
        if connection.in_transaction:
            await connection.execute("ROLLBACK")

    async def close(self, connection: aiosqlite.Connection) -> None:
        """Close."""
        await connection.close()


_STACK = AiosqliteStack()


def stack_for(connection: object) -> Stack:
    """Return the stack."""
    return _STACK

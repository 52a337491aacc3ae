"""sqlite3."""

from __future__ import annotations

import sqlite3

from tallymq.databases.stack import Stack
from tallymq.databases.steps import Rows, Statement

_NOT_DONE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_FULL}


class SqliteStack:
    """A blocking connection of the standard library."""

    dialect = "sqlite"
    is_async = False

    def own(self, connection: sqlite3.Connection) -> None:
        """Leave BEGIN and COMMIT to the steps."""
        connection.isolation_level = None

    def execute(self, connection: sqlite3.Connection, statement: Statement) -> Rows:
        """Run one statement."""
        cursor = connection.execute(statement.sql, tuple(statement.parameters))
        return Rows(cursor.rowcount, cursor.fetchall())

    def in_transaction(self, connection: sqlite3.Connection) -> bool:
        """With autocommit=False (Python 3.12) one is always open, and taken over."""
        return connection.in_transaction and getattr(connection, "autocommit", None) is not False

    def begin(self, connection: sqlite3.Connection) -> None:
        """Take the write lock at once: one that reads first and then writes could be refused half-way."""
        if getattr(connection, "autocommit", None) is not False:
            connection.execute("BEGIN IMMEDIATE")

    def commit(self, connection: sqlite3.Connection) -> None:
        """Commit; COMMIT by statement, because commit() does nothing where autocommit is on."""
        if getattr(connection, "autocommit", None) is False:
            connection.commit()
        elif connection.in_transaction:
            connection.execute("COMMIT")

    def rollback(self, connection: sqlite3.Connection) -> None:
        """Roll back."""
        if getattr(connection, "autocommit", None) is False:
            connection.rollback()
        elif connection.in_transaction:
            connection.execute("ROLLBACK")

    def close(self, connection: sqlite3.Connection) -> None:
        """Close."""
        connection.close()

    def is_ambiguous(self, error: BaseException) -> bool:
        """Only a lock not had, a constraint or a full disk leave the transaction certainly not committed."""
        code = getattr(error, "sqlite_errorcode", None)
        return not (isinstance(code, int) and code & 0xFF in _NOT_DONE)


_STACK = SqliteStack()


def stack_for(connection: object) -> Stack:
    """Return the stack."""
    return _STACK

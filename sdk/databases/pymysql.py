"""PyMySQL, for MySQL and MariaDB."""

from __future__ import annotations

from typing import Any

from pymysql.connections import Connection
from pymysql.constants import SERVER_STATUS
from pymysql.cursors import Cursor

from tallymq.databases.stack import Stack
from tallymq.databases.steps import Rows, Statement, with_style

_NOT_DONE = {1062, 1205, 1213}
"""Duplicate key, lock wait time-out, deadlock: the server says that it did not commit."""


class PyMySqlStack:
    """A blocking connection."""

    dialect = "mysql"
    is_async = False

    def own(self, connection: Connection[Any]) -> None:
        """Leave START TRANSACTION and COMMIT to the steps."""
        connection.autocommit(True)

    def execute(self, connection: Connection[Any], statement: Statement) -> Rows:
        """Run one statement."""
        with connection.cursor(Cursor) as cursor:
            count = cursor.execute(with_style(statement.sql, "format"), tuple(statement.parameters) or None)
            return Rows(count, cursor.fetchall() if cursor.description else ())

    def in_transaction(self, connection: Connection[Any]) -> bool:
        """Tell by what the server said last."""
        return bool(getattr(connection, "server_status", 0) & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    def begin(self, connection: Connection[Any]) -> None:
        """Open one, whatever autocommit is."""
        connection.begin()

    def commit(self, connection: Connection[Any]) -> None:
        """Commit."""
        connection.commit()

    def rollback(self, connection: Connection[Any]) -> None:
        """Roll back."""
        connection.rollback()

    def close(self, connection: Connection[Any]) -> None:
        """Close."""
        connection.close()

    def is_ambiguous(self, error: BaseException) -> bool:
        """Anything but what the server says it did not do; a lost connection above all."""
        return not error.args or error.args[0] not in _NOT_DONE


_STACK = PyMySqlStack()


def stack_for(connection: object) -> Stack:
    """Return the stack."""
    return _STACK

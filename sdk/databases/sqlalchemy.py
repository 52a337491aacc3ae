"""SQLAlchemy 2: connections and sessions, blocking and async, over whatever driver they use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Connection, CursorResult
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from tallymq.databases.schema import known_dialect
from tallymq.databases.stack import Stack
from tallymq.databases.steps import Rows, Statement, with_style

_SERIALIZATION = {"40001", "40P01"}


def execute_on(connection: Connection, statement: Statement) -> Rows:
    """Run one statement by the driver's own parameters, past SQLAlchemy's compiler: it knows every style."""
    style = connection.dialect.paramstyle
    sql = with_style(statement.sql, style)
    parameters: Any = tuple(statement.parameters)
    result: CursorResult[Any] = connection.exec_driver_sql(sql, parameters or None)
    rows: Sequence[Sequence[object]] = [tuple(row) for row in result.fetchall()] if result.returns_rows else ()
    return Rows(result.rowcount, rows)


class SqlAlchemyStack:
    """A blocking Connection or Session."""

    is_async = False

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect

    def own(self, connection: Connection) -> None:
        """Leave BEGIN and COMMIT to the steps; the pool gets the connection back never, its settings were changed."""
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.detach()

    def execute(self, connection: Connection | Session, statement: Statement) -> Rows:
        """Run one statement."""
        return execute_on(connection.connection() if isinstance(connection, Session) else connection, statement)

    def in_transaction(self, connection: Connection | Session) -> bool:
        """Tell whether a transaction is open already; SQLAlchemy opens one with the first statement."""
        return connection.in_transaction()

    def begin(self, connection: Connection | Session) -> None:
        """Open one."""
        connection.begin()

    def commit(self, connection: Connection | Session) -> None:
        """Commit."""
        connection.commit()

    def rollback(self, connection: Connection | Session) -> None:
        """Roll back."""
        connection.rollback()

    def close(self, connection: Connection | Session) -> None:
        """Close, or give back to the pool."""
        connection.close()

    def is_ambiguous(self, error: BaseException) -> bool:
        """Constraint violations and serialization failures are certain; a lost connection is not."""
        if isinstance(error, IntegrityError):
            return False
        original = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
        return state not in _SERIALIZATION


class AsyncSqlAlchemyStack:
    """An AsyncConnection or AsyncSession."""

    is_async = True
    is_ambiguous = SqlAlchemyStack.is_ambiguous

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect

    async def own(self, connection: AsyncConnection) -> None:
        """Leave BEGIN and COMMIT to the steps."""
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.run_sync(lambda blocking: blocking.detach())

    async def execute(self, connection: AsyncConnection | AsyncSession, statement: Statement) -> Rows:
        """Run one statement."""
        if isinstance(connection, AsyncSession):
            connection = await connection.connection()
        return await connection.run_sync(execute_on, statement)

    def in_transaction(self, connection: AsyncConnection | AsyncSession) -> bool:
        """Tell whether a transaction is open already."""
        return connection.in_transaction()

    async def begin(self, connection: AsyncConnection | AsyncSession) -> None:
        """Open one."""
        await connection.begin()

    async def commit(self, connection: AsyncConnection | AsyncSession) -> None:
        """Commit."""
        await connection.commit()

    async def rollback(self, connection: AsyncConnection | AsyncSession) -> None:
        """Roll back."""
        await connection.rollback()

    async def close(self, connection: AsyncConnection | AsyncSession) -> None:
        """Close, or give back to the pool."""
        await connection.close()


def _dialect_of(connection: Any) -> str:  # noqa: ANN401 - one of the four kinds
    if isinstance(connection, Session | AsyncSession):
        return known_dialect(connection.get_bind().dialect.name)
    return known_dialect(connection.dialect.name)


def stack_for(connection: object) -> Stack:
    """Return the stack of this kind of connection or session."""
    if isinstance(connection, AsyncConnection | AsyncSession):
        return AsyncSqlAlchemyStack(_dialect_of(connection))
    return SqlAlchemyStack(_dialect_of(connection))

"""asyncpg."""

from __future__ import annotations

from typing import Any

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types

from tallymq.databases.stack import Stack
from tallymq.databases.steps import Rows, Statement, with_style


class AsyncpgStack:
    """An async connection, or a pool's proxy of one."""

    dialect = "postgresql"
    is_async = True

    def __init__(self) -> None:
        # asyncpg's own transaction object, so that users may nest connection.transaction() in ours. By identity: a
        # pool's proxy takes no weak reference; an entry lives from begin to commit or rollback.
        self._transactions: dict[int, Any] = {}

    async def own(self, connection: Any) -> None:  # noqa: ANN401 - asyncpg ships no types
        """Nothing to do: asyncpg opens no transaction by itself."""

    async def execute(self, connection: Any, statement: Statement) -> Rows:  # noqa: ANN401 - asyncpg ships no types
        """Run one statement; the count stands in the status, as in "INSERT 0 1"."""
        sql = with_style(statement.sql, "numeric_dollar")
        if not statement.parameters:
            await connection.execute(sql)
            return Rows(0)
        prepared = await connection.prepare(sql)
        rows = await prepared.fetch(*statement.parameters)
        last = prepared.get_statusmsg().rpartition(" ")[2]
        return Rows(int(last) if last.isdecimal() else 0, [tuple(row) for row in rows])

    def in_transaction(self, connection: Any) -> bool:  # noqa: ANN401 - asyncpg ships no types
        """Tell whether a transaction is open already."""
        return bool(connection.is_in_transaction())

    async def begin(self, connection: Any) -> None:  # noqa: ANN401 - asyncpg ships no types
        """Open one."""
        transaction = connection.transaction()
        await transaction.start()
        self._transactions[id(connection)] = transaction

    async def commit(self, connection: Any) -> None:  # noqa: ANN401 - asyncpg ships no types
        """Commit."""
        await self._transactions.pop(id(connection)).commit()

    async def rollback(self, connection: Any) -> None:  # noqa: ANN401 - asyncpg ships no types
        """Roll back."""
        transaction = self._transactions.pop(id(connection), None)
        if transaction is not None and not connection.is_closed():
            await transaction.rollback()

    async def close(self, connection: Any) -> None:  # noqa: ANN401 - asyncpg ships no types
        """Close."""
        await connection.close(timeout=5)

    def is_ambiguous(self, error: BaseException) -> bool:
        """Tell by SQLSTATE: constraint violations and serialization failures are certain, a lost connection is not."""
        state = getattr(error, "sqlstate", None)
        if not isinstance(error, asyncpg.PostgresError) or state is None or state == "40003":
            return True
        return state[:2] not in {"23", "40"}


_STACK = AsyncpgStack()


def stack_for(connection: object) -> Stack:
    """Return the stack."""
    return _STACK

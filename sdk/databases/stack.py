"""What a stack must offer, how one is found, and the two drivers of the steps: blocking and async."""

from __future__ import annotations

import importlib
from collections.abc import Generator
from typing import Any, Protocol, TypeVar, cast

from tallymq.databases.steps import Rows, Statement
from tallymq.exceptions import ConfigurationError

Result = TypeVar("Result")

_MODULES = {
    "sqlite3": "sqlite",
    "aiosqlite": "aiosqlite",
    "psycopg": "psycopg",
    "pymysql": "pymysql",
    "asyncpg": "asyncpg",
    "sqlalchemy": "sqlalchemy",
}


class Stack(Protocol):
    """One way to talk to a database. Connections are the driver's own; with `is_async`, every answer is awaitable."""

    dialect: str
    is_async: bool

    def own(self, connection: Any) -> Any:  # noqa: ANN401 - a driver's connection, or an awaitable of None
        """Make a connection of ours ready for steps that begin and commit by statements."""

    def execute(self, connection: Any, statement: Statement) -> Any:  # noqa: ANN401 - Rows or an awaitable of Rows
        """Run one statement in whatever transaction is open."""

    def in_transaction(self, connection: Any) -> bool:  # noqa: ANN401 - a driver's connection
        """Tell whether a transaction is open already."""

    def begin(self, connection: Any) -> Any:  # noqa: ANN401 - a driver's connection
        """Open a transaction for the user."""

    def commit(self, connection: Any) -> Any:  # noqa: ANN401 - a driver's connection
        """Commit it."""

    def rollback(self, connection: Any) -> Any:  # noqa: ANN401 - a driver's connection
        """Roll it back."""

    def close(self, connection: Any) -> Any:  # noqa: ANN401 - a driver's connection
        """Close a connection of ours."""

    def is_ambiguous(self, error: BaseException) -> bool:
        """Tell whether a commit that failed so may have happened all the same."""


def stack_of(connection: object) -> Stack:
    """Return the stack of a connection (or session). Raises ConfigurationError for one we do not know."""
    for each in type(connection).__mro__:
        package = each.__module__.partition(".")[0]
        if package in _MODULES:
            module = importlib.import_module(f"tallymq.databases.{_MODULES[package]}")
            return cast("Stack", module.stack_for(connection))
    kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
    raise ConfigurationError(
        f"A {kind} is not a connection we know.",
        hint="Give one of sqlite3, aiosqlite, psycopg, PyMySQL, asyncpg or SQLAlchemy.",
    )


def drive(stack: Stack, connection: object, steps: Generator[Statement, Rows, Result]) -> Result:
    """Run steps on a blocking connection."""
    try:
        statement = next(steps)
        while True:
            try:
                rows = stack.execute(connection, statement)
            except BaseException as error:  # noqa: BLE001 - the steps say what becomes of it
                statement = steps.throw(error)
            else:
                statement = steps.send(rows)
    except StopIteration as stop:
        return cast("Result", stop.value)


async def drive_async(stack: Stack, connection: object, steps: Generator[Statement, Rows, Result]) -> Result:
    """Run steps on an async connection."""
    try:
        statement = next(steps)
        while True:
            try:
                rows = await stack.execute(connection, statement)
            except BaseException as error:  # noqa: BLE001 - the steps say what becomes of it
                statement = steps.throw(error)
            else:
                statement = steps.send(rows)
    except StopIteration as stop:
        return cast("Result", stop.value)

"""Where connections of our own come from: a URL, an engine, a pool, a session maker, or a callable that connects."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tallymq.databases.stack import Stack, stack_of
from tallymq.exceptions import ConfigurationError

CONNECT_TIMEOUT_S = 5


class Source:
    """Opens and gives back connections. `open` may return an awaitable; then what it gives is async."""

    def __init__(
        self,
        open_: Callable[[], Any],
        give_back: Callable[[Stack, Any], Any] | None = None,
        *,
        pooled: bool = False,
    ) -> None:
        self._open = open_
        self._give_back = give_back
        self.pooled = pooled or give_back is not None
        """True if opening is cheap, and connections should go back at once."""
        self.open_own = open_
        """Opens a connection for checks: like `open`, but past what a user hung on their engine."""
        self.gives_sessions = False
        """True if what it opens is an ORM session."""

    def open(self) -> Any:  # noqa: ANN401 - a driver's connection or an awaitable of one
        """Return a connection, or an awaitable of one."""
        return self._open()

    def give_back(self, stack: Stack, connection: Any) -> Any:  # noqa: ANN401 - a driver's connection
        """Close it, or return it to its pool; awaitable on an async stack."""
        if self._give_back is not None:
            return self._give_back(stack, connection)
        return stack.close(connection)

    def open_blocking(self) -> tuple[Stack, Any]:
        """Return a blocking connection and its stack. Raises ConfigurationError if it is an async one."""
        connection = self.open()
        if inspect.isawaitable(connection):
            if inspect.iscoroutine(connection):
                connection.close()
            raise ConfigurationError("An async connection cannot be used here.", hint="Use AsyncTally with it.")
        return stack_of(connection), connection

    async def open_async(self) -> tuple[Stack, Any]:
        """Return an async connection and its stack. Raises ConfigurationError if it is a blocking one."""
        connection = self.open()
        if inspect.isawaitable(connection):
            connection = await connection
        stack = stack_of(connection)
        if not stack.is_async:
            stack.close(connection)
            raise ConfigurationError(
                "A blocking connection cannot be used here.", hint="Use Tally, or an async driver."
            )
        return stack, connection


def source_of(where: object) -> Source:
    """Return the source for what a user gave. Raises ConfigurationError."""
    if isinstance(where, Source):
        return where
    if isinstance(where, str):
        return _from_url(where)
    package = type(where).__module__.partition(".")[0]
    if package == "sqlalchemy":
        return _from_sqlalchemy(where)
    if package == "asyncpg" and hasattr(where, "acquire"):
        pool: Any = where
        return Source(pool.acquire, lambda _stack, connection: pool.release(connection))
    if package == "psycopg_pool":
        return _from_psycopg_pool(where)
    if callable(where):
        return Source(where)
    raise ConfigurationError(
        f"A {type(where).__module__}.{type(where).__qualname__} is not a place connections come from.",
        hint="Give a URL, an engine, a pool, a session maker, or a function that connects.",
    )


def _from_psycopg_pool(pool: Any) -> Source:  # noqa: ANN401 - its package need not be installed
    # Checks set autocommit; the pool's next user must find it as the pool was told.
    autocommit = bool((getattr(pool, "kwargs", None) or {}).get("autocommit", False))

    def give_back(_stack: Stack, connection: Any) -> None:  # noqa: ANN401 - a driver's connection
        if not connection.closed and connection.autocommit != autocommit:
            connection.rollback()
            connection.autocommit = autocommit
        pool.putconn(connection)

    async def give_back_async(_stack: Stack, connection: Any) -> None:  # noqa: ANN401 - a driver's connection
        if not connection.closed and connection.autocommit != autocommit:
            await connection.rollback()
            await connection.set_autocommit(autocommit)
        await pool.putconn(connection)

    return Source(pool.getconn, give_back_async if inspect.iscoroutinefunction(pool.getconn) else give_back)


def _from_sqlalchemy(where: Any) -> Source:  # noqa: ANN401 - one of several classes
    if hasattr(where, "connect") and hasattr(where, "dialect"):
        return _from_engine(where)
    if callable(where):
        source = Source(where, pooled=True)
        source.gives_sessions = True
        return source
    raise ConfigurationError("Of SQLAlchemy an engine or a session maker is wanted here.")


DRIVERS = {"sqlite3", "aiosqlite", "psycopg", "pymysql", "asyncpg"}


def _from_engine(engine: Any) -> Source:  # noqa: ANN401 - SQLAlchemy need not be installed
    source = Source(engine.connect, pooled=True)
    # Engines carry listeners, such as the one that begins SQLite's transactions; checks must not run inside of them. So
    # where the driver is one we know, a check gets the driver's own connection, taken out of the pool for good.
    if engine.dialect.is_async:
        source.open_own = lambda: _raw_async(engine)
    elif engine.dialect.dbapi is not None and engine.dialect.dbapi.__name__.partition(".")[0] in DRIVERS:
        source.open_own = lambda: _detached(engine.raw_connection())
    return source


async def _raw_async(engine: Any) -> Any:  # noqa: ANN401 - SQLAlchemy need not be installed
    return _detached(await engine.raw_connection())


def _detached(pooled: Any) -> Any:  # noqa: ANN401 - SQLAlchemy need not be installed
    connection = pooled.driver_connection
    pooled.detach()
    return connection


def _from_url(url: str) -> Source:
    scheme = urlsplit(url).scheme
    family, _, driver = scheme.partition("+")
    if driver:
        # An SQLAlchemy URL names its driver.
        return _sqlalchemy_url(url)
    if family == "sqlite":
        return _sqlite_url(url)
    if family in {"postgresql", "postgres"}:
        return _postgresql_url(url)
    if family in {"mysql", "mariadb"}:
        return _mysql_url(url)
    raise ConfigurationError(f"{scheme!r} is not a database we know.", hint="Use sqlite, postgresql or mysql URLs.")


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _missing(what: str, extra: str) -> ConfigurationError:
    return ConfigurationError(f"{what} is not installed.", hint=f"Install it with: pip install 'tallymq[{extra}]'.")


def _sqlalchemy_url(url: str) -> Source:
    if not _installed("sqlalchemy"):
        raise _missing("SQLAlchemy", "sqlalchemy")
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.ext.asyncio import create_async_engine

    if make_url(url).get_dialect().is_async:
        return _from_engine(create_async_engine(url))
    return _from_engine(create_engine(url))


def _sqlite_url(url: str) -> Source:
    import sqlite3

    parts = urlsplit(url)
    path = unquote(parts.netloc + parts.path)
    # sqlite:///relative.db and sqlite:////absolute.db, as SQLAlchemy writes them.
    path = path.removeprefix("/") or ":memory:"
    if path == ":memory:":
        raise ConfigurationError("A database in memory cannot be checked from another connection.")
    return Source(lambda: sqlite3.connect(path, timeout=CONNECT_TIMEOUT_S, isolation_level=None))


def _postgresql_url(url: str) -> Source:
    if _installed("psycopg"):
        import psycopg

        return Source(lambda: psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_S))
    if _installed("asyncpg"):
        import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types

        return Source(lambda: asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S))
    raise _missing("Neither psycopg nor asyncpg", "psycopg")


def _mysql_url(url: str) -> Source:
    if not _installed("pymysql"):
        raise _missing("PyMySQL", "pymysql")
    import pymysql

    parts = urlsplit(url)
    options: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S}
    for name, value in parse_qsl(parts.query):
        if name not in {"unix_socket", "charset", "ssl_ca", "ssl_cert", "ssl_key"}:
            raise ConfigurationError(f"{name!r} is not understood in a MySQL URL.")
        options[name] = value
    settings = {
        "host": parts.hostname,
        "port": parts.port or 3306,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "database": unquote(parts.path.removeprefix("/")) or None,
        **options,
    }
    return Source(lambda: pymysql.connect(**settings))

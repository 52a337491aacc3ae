"""Answers checks from the marker table, on connections of its own, and cleans up what is confirmed."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from tallymq.databases import schema, steps
from tallymq.databases.sources import Source
from tallymq.databases.stack import drive, drive_async, stack_of
from tallymq.databases.steps import Rows, Statement
from tallymq.exceptions import ConfigurationError

log = logging.getLogger("tallymq")

Result = TypeVar("Result")
Make = Callable[[str], Generator[Statement, Rows, Result]]

FENCE_IDS_MAX = 20
"""Ids fenced in one transaction: one that is locked makes all of them wait."""
LOCKED_MAX = 3
"""After so many locks not had in one check, the rest is asked again later."""


class Checker:
    """One database. A fresh connection for every piece of work: checks are rare, a used one may see an old picture."""

    def __init__(self, source: Source, executor: Executor) -> None:
        self._source = source
        self._executor = executor

    async def outcomes(self, ids: Sequence[str]) -> dict[str, bool]:
        """Return True (committed) or False (never will) for each id that is known; the others must be asked again."""
        known: dict[str, bool] = {}
        for start in range(0, len(ids), schema.IDS_MAX):
            chunk = ids[start : start + schema.IDS_MAX]
            try:
                known.update(await self.run(lambda dialect, chunk=chunk: steps.committed(dialect, chunk)))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - whatever a driver raises, the answer is: not known
                log.warning("The marker table cannot be read: %s: %s", type(error).__name__, error)
                return known
        missing = [each for each in ids if each not in known]
        known.update(await self._fence_all(missing))
        return known

    async def _fence_all(self, ids: Sequence[str]) -> dict[str, bool]:
        known: dict[str, bool] = {}
        locked = 0
        for start in range(0, len(ids), FENCE_IDS_MAX):
            chunk = ids[start : start + FENCE_IDS_MAX]
            outcomes = await self._fence(chunk)
            if outcomes is None and len(chunk) > 1:
                for each in chunk:
                    outcome = await self._fence([each])
                    locked += outcome is None
                    known.update(outcome or {})
                    if locked >= LOCKED_MAX:
                        return known
            known.update(outcomes or {})
        return known

    async def _fence(self, ids: Sequence[str]) -> dict[str, bool] | None:
        try:
            return await self.run(lambda dialect: steps.fence(dialect, ids))
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, the answer is: not known
            log.info("A fence was not had, the check will come again: %s: %s", type(error).__name__, error)
            return None

    async def delete(self, ids: Sequence[str]) -> None:
        """Delete markers of commits the service confirmed. Raises the driver's error."""
        for start in range(0, len(ids), schema.IDS_MAX):
            chunk = ids[start : start + schema.IDS_MAX]
            await self.run(lambda _dialect, chunk=chunk: steps.delete_markers(chunk))  # type: ignore[misc]

    async def old_markers(self, after: str, before_ms: int) -> list[str]:
        """Return a page of ids behind `after` whose commit marker is older than this. Raises the driver's error."""
        return await self.run(lambda _dialect: steps.old_markers(after, before_ms))

    async def delete_fences(self, before_ms: int) -> None:
        """Delete fences made before this time. Raises the driver's error."""
        await self.run(lambda _dialect: steps.delete_fences(before_ms))

    async def probe(self) -> None:
        """Look whether the table is there. Raises ConfigurationError if the database answers that it is not."""
        await self.run(lambda _dialect: steps.probe())

    async def run(self, make: Make[Result]) -> Result:
        """Run steps on a fresh connection, in a thread if it blocks."""
        loop = asyncio.get_running_loop()
        done, value = await loop.run_in_executor(self._executor, self._run_blocking, make)
        if done:
            result: Result = value
            return result
        return await self._run_async(make, value)

    def _run_blocking(self, make: Make[Any]) -> tuple[bool, Any]:
        connection = self._source.open_own()
        if inspect.isawaitable(connection):
            return False, connection
        stack = stack_of(connection)
        if stack.is_async:
            return False, connection
        try:
            stack.own(connection)
            return True, drive(stack, connection, make(stack.dialect))
        finally:
            self._source.give_back(stack, connection)

    async def _run_async(self, make: Make[Result], connection: Any) -> Result:  # noqa: ANN401 - or an awaitable of one
        if inspect.isawaitable(connection):
            connection = await connection
        stack = stack_of(connection)
        if not stack.is_async:
            raise ConfigurationError("An awaitable must give an async connection.")
        try:
            await stack.own(connection)
            return await drive_async(stack, connection, make(stack.dialect))
        finally:
            await _maybe_await(self._source.give_back(stack, connection))


async def _maybe_await(value: Any) -> None:  # noqa: ANN401 - an awaitable or nothing
    if inspect.isawaitable(value):
        await value

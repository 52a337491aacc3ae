"""Runs a consumer's handler for one message: blocking ones in a thread of their worker, async ones on the loop.

With an inbox, the handler's effect and the proof that it was done commit in one transaction of the user's database.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from tallymq._threads import DaemonThreads
from tallymq.databases import steps
from tallymq.databases.sources import Source
from tallymq.databases.stack import Stack, drive, drive_async
from tallymq.exceptions import ConfigurationError
from tallymq.types import Message, Retry

log = logging.getLogger("tallymq")

Handler = Callable[..., "Awaitable[None] | None"]
Ordered = Literal["key"] | None


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """What @consumer was told."""

    topic: str
    group: str
    handler: Handler
    retry: Retry | None
    concurrency: int
    ordered: Ordered
    lease_ms: int
    from_start: bool
    source: Source | None

    @property
    def is_async(self) -> bool:
        """True if the handler is a coroutine function."""
        return inspect.iscoroutinefunction(self.handler)


def wants_database(handler: Handler) -> bool:
    """Tell (message, db) from (message). Raises ConfigurationError for anything else."""
    parameters = list(inspect.signature(handler).parameters.values())
    needed = [each for each in parameters if each.default is each.empty and each.kind is not each.VAR_POSITIONAL]
    if not 1 <= len(needed) <= 2 or any(each.kind is each.KEYWORD_ONLY for each in needed):
        raise ConfigurationError(
            f"The handler {getattr(handler, '__name__', handler)!r} must take (message) or (message, db)."
        )
    return len(needed) == 2


class HandlerLeft(Exception):
    """A handler raised what is no Exception; its message goes back like any that failed."""


class Worker:
    """Handles one message at a time. Its thread and its database connection are its own."""

    def __init__(self, spec: ConsumerSpec, number: int) -> None:
        self._spec = spec
        self._thread = None if spec.is_async else DaemonThreads(1, f"tallymq-{spec.topic}-{number}")
        self._kept: tuple[Stack, Any] | None = None

    async def handle(self, message: Message) -> bool:
        """Run the handler; False if the inbox says that it was done before. Raises what the handler raises.

        What is no Exception (SystemExit, a cancellation of its own) is raised as HandlerLeft: it would end our loop.
        """
        try:
            if self._thread is not None:
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, message)
            return await self._async(message)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise HandlerLeft("CancelledError") from error

    def _guarded(self, message: Message) -> bool:
        try:
            return self._blocking(message)
        except Exception:
            raise
        except BaseException as error:
            raise HandlerLeft(f"{type(error).__name__}: {error}") from error

    async def _async(self, message: Message) -> bool:
        try:
            if self._spec.source is None:
                await self._spec.handler(message)  # type: ignore[misc]
                return True
            return await self._async_with_inbox(self._spec.source, message)
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as error:
            raise HandlerLeft(f"{type(error).__name__}: {error}") from error

    async def close(self, *, wait: bool) -> None:
        """Close the connection that was kept and end the thread, once the handler has ended; wait for that if told."""
        if self._thread is not None:
            closed = self._thread.submit(self._close_kept)
            self._thread.shutdown(wait=False)
            if wait:
                await asyncio.wrap_future(closed)
        elif self._kept is not None:
            (stack, connection), self._kept = self._kept, None
            try:
                await stack.close(connection)
            except Exception as error:  # noqa: BLE001 - whatever a driver raises, it is of no more use
                _log_not_closed(error)

    def _close_kept(self) -> None:
        if self._kept is not None:
            (stack, connection), self._kept = self._kept, None
            try:
                stack.close(connection)
            except Exception as error:  # noqa: BLE001 - whatever a driver raises, it is of no more use
                _log_not_closed(error)

    def _row(self, message: Message) -> tuple[object, ...]:
        return (self._spec.group, message.id, message.topic, message.queue, message.offset)

    def _blocking(self, message: Message) -> bool:
        if self._spec.source is None:
            self._spec.handler(message)
            return True
        source = self._spec.source
        stack, connection = self._kept or source.open_blocking()
        self._kept = None
        clean = False
        try:
            stack.begin(connection)
            first = drive(stack, connection, steps.claim(stack.dialect, self._row(message)))
            if first:
                self._spec.handler(message, connection)
                stack.commit(connection)
            else:
                stack.rollback(connection)
            clean = True
            return first
        finally:
            self._put_away(source, stack, connection, clean)

    def _put_away(self, source: Source, stack: Stack, connection: Any, clean: bool) -> None:  # noqa: ANN401 - a driver's
        try:
            if not clean:
                stack.rollback(connection)
        finally:
            if clean and not source.pooled:
                self._kept = (stack, connection)
            else:
                source.give_back(stack, connection)

    async def _async_with_inbox(self, source: Source, message: Message) -> bool:
        stack, connection = self._kept or await source.open_async()
        self._kept = None
        clean = False
        try:
            await stack.begin(connection)
            first = await drive_async(stack, connection, steps.claim(stack.dialect, self._row(message)))
            if first:
                await self._spec.handler(message, connection)  # type: ignore[misc]
                await stack.commit(connection)
            else:
                await stack.rollback(connection)
            clean = True
            return first
        finally:
            await asyncio.shield(self._put_away_async(source, stack, connection, clean))

    async def _put_away_async(self, source: Source, stack: Stack, connection: Any, clean: bool) -> None:  # noqa: ANN401 - a driver's
        try:
            if not clean:
                await stack.rollback(connection)
        finally:
            if clean and not source.pooled:
                self._kept = (stack, connection)
            else:
                given = source.give_back(stack, connection)
                if inspect.isawaitable(given):
                    await given


def _log_not_closed(error: Exception) -> None:
    log.info("A connection of the inbox could not be closed: %s: %s", type(error).__name__, error)

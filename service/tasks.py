"""Tasks that belong to one owner, a stream or a scheduler: none is forgotten, and all end with the owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

from tallymq.service.calls import Draining


class Tasks:
    """Remembers tasks until they end. Used with `with`, it cancels what is left on leaving.

    `on_error` is told of the error of a task that was not waited for.
    """

    def __init__(self, on_error: Callable[[BaseException], None] | None = None) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._on_error = on_error

    def __enter__(self) -> Tasks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin `work`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def cancel(self) -> None:
        """End all that is under way."""
        for task in list(self._tasks):
            task.cancel()

    async def wait(self) -> None:
        """Return when all that is under way now has ended."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def until_first(self, draining: Draining, *ends: asyncio.Future[Any], timeout_s: float | None = None) -> bool:
        """Wait for the first of `ends`, or for the node to drain, or so long; return whether none of them ended.

        Raises the error of the first that ended with one.
        """
        drain = self.start(_begun(draining))
        await asyncio.wait({drain, *ends}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        drain.cancel()
        ended = [end for end in ends if end.done()]
        for end in ended:
            end.result()
        return not ended

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if self._on_error is not None and not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)


async def _begun(draining: Draining) -> None:
    await draining.begun.wait()

"""Keeps one task for each node of the cluster, however the cluster changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tallymq._channel import BROKEN
from tallymq._routes import FRESH_S, Routes
from tallymq.exceptions import TallyError
from tallymq.types import jitter

log = logging.getLogger("tallymq")

PAUSE_S_MIN = 0.1
PAUSE_S_MAX = 5.0
UNKNOWN_PAUSE_S = 0.5


class PerNode:
    """Runs `serve(address)` for every node, again after a pause whenever it ended or failed."""

    def __init__(self, routes: Routes, serve: Callable[[str, Callable[[], None]], Awaitable[None]], what: str) -> None:
        self._routes = routes
        self._serve = serve
        self._what = what
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watcher: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._watcher = asyncio.create_task(self._watch())

    def restart(self) -> None:
        """End what runs, so that it is opened anew."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def close(self) -> None:
        """End all."""
        tasks = [task for task in (self._watcher, *self._tasks.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        fresh_until = 0.0
        while True:
            wanted = self._routes.node_addresses()
            if not wanted or loop.time() >= fresh_until:
                try:
                    await self._routes.refresh()
                    fresh_until = loop.time() + FRESH_S
                except TallyError as error:
                    log.info("No node could be asked for the cluster's nodes: %s", error)
                wanted = self._routes.node_addresses()
            for address in wanted - self._tasks.keys():
                self._tasks[address] = asyncio.create_task(self._keep(address))
            for address in self._tasks.keys() - wanted:
                self._tasks.pop(address).cancel()
            await asyncio.sleep(jitter(UNKNOWN_PAUSE_S))

    async def _keep(self, address: str) -> None:
        pause_s = PAUSE_S_MIN

        def opened() -> None:
            nonlocal pause_s
            pause_s = PAUSE_S_MIN

        while True:
            try:
                await self._serve(address, opened)
                problem = "ended"
            except (TallyError, *BROKEN) as error:
                problem = str(error) or type(error).__name__
            except Exception:
                log.exception("%s at %s failed", self._what, address)
                problem = "failed"
            log.info("%s at %s: %s; opened again soon", self._what, address, problem)
            await asyncio.sleep(jitter(pause_s))
            pause_s = min(PAUSE_S_MAX, pause_s * 2)

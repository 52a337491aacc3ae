"""Commits what the database committed, and deletes marker rows once the service has confirmed it: never earlier."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from tallymq._batcher import HalfHandle
from tallymq._engine import Engine
from tallymq.databases.checker import Checker
from tallymq.databases.steps import now_ms
from tallymq.exceptions import AlreadyRolledBack

log = logging.getLogger("tallymq")

BATCH = 500
PAUSE_S = 1.0
HELD_MAX = 50_000
"""Confirmed markers that wait to be deleted; more are left in the table, where they do no harm but take room."""
FENCE_KEPT_MS = 7 * 86_400_000
"""A fence must outlive the longest local transaction, or one that comes late could commit after its rollback."""
FENCE_SWEEP_S = 3_600.0


class MarkerCleaner:
    """Belongs to the engine's loop. `checker` may be None: then markers stay."""

    def __init__(self, engine: Engine, checker: Checker | None) -> None:
        self._engine = engine
        self._checker = checker
        self._confirmed: list[str] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to clean up."""
        if self._checker is not None and self._task is None:
            self._task = asyncio.create_task(self._run(self._checker))

    def commit_soon(self, handles: Sequence[HalfHandle]) -> None:
        """Send the commit decisions of a database transaction that committed."""
        if self._engine.closed:
            return
        for handle, future in zip(handles, self._engine.decide_soon(handles, commit=True), strict=True):
            future.add_done_callback(lambda done, handle=handle: self._decided(handle, done))  # type: ignore[misc]

    def _decided(self, handle: HalfHandle, done: asyncio.Future[Any]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if isinstance(error, AlreadyRolledBack):
            log.error("Transaction %s is committed in the database but was rolled back in the service", handle.id)
        elif error is None and self._checker is not None and len(self._confirmed) < HELD_MAX:
            self._confirmed.append(handle.id)
            if len(self._confirmed) >= BATCH:
                self._wake.set()

    async def close(self, timeout_s: float) -> None:
        """Delete what is confirmed, then stop."""
        if self._task is None or self._checker is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(timeout_s):
                await self._delete(self._checker)
        except TimeoutError:
            log.info("%d confirmed markers were left in the table", len(self._confirmed))

    async def _run(self, checker: Checker) -> None:
        loop = asyncio.get_running_loop()
        sweep_time = loop.time()
        while True:
            try:
                async with asyncio.timeout(PAUSE_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await self._delete(checker)
            if loop.time() >= sweep_time:
                sweep_time = loop.time() + FENCE_SWEEP_S
                await self._sweep_fences(checker)

    async def _delete(self, checker: Checker) -> None:
        while self._confirmed:
            chunk = self._confirmed[:BATCH]
            try:
                await checker.delete(chunk)
            except Exception as error:  # noqa: BLE001 - whatever a driver raises, it is tried again
                log.info("Markers could not be deleted now: %s: %s", type(error).__name__, error)
                return
            del self._confirmed[: len(chunk)]

    @staticmethod
    async def _sweep_fences(checker: Checker) -> None:
        try:
            await checker.delete_fences(now_ms() - FENCE_KEPT_MS)
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, it is tried again
            log.info("Old fences could not be deleted now: %s: %s", type(error).__name__, error)

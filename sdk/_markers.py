"""Commits what the database committed, and deletes marker rows once the service has confirmed it: never earlier.

A producer that dies between the two leaves its marker behind. Old markers are looked at now and then: the service is
asked what it knows of the transaction, a commit still in doubt is sent, and only one it says is committed is deleted.
What it does not know (forgotten an hour after the decision, or of another cluster) stays: a row kept does no harm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from tallymq._batcher import HalfHandle
from tallymq._channel import ADMIN
from tallymq._engine import Engine
from tallymq._records import message_id_bytes
from tallymq.databases.checker import Checker
from tallymq.databases.steps import now_ms
from tallymq.exceptions import AlreadyRolledBack, TallyError, UnknownTransaction
from tallymq.proto import admin_pb2

log = logging.getLogger("tallymq")

BATCH = 500
PAUSE_S = 1.0
HELD_MAX = 50_000
"""Confirmed markers that wait to be deleted; more are left in the table, where they do no harm but take room."""
FENCE_KEPT_MS = 7 * 86_400_000
"""A fence must outlive the longest local transaction, or one that comes late could commit after its rollback."""
SWEEP_S = 600.0
"""More often than the service forgets decisions, so that markers left behind are seen while it still knows."""
LEFT_AFTER_MS = 60_000
"""A marker this old was left behind, or its commit is still under way, which asking does not disturb."""
ASK_TIMEOUT_S = 5.0


class MarkerCleaner:
    """Belongs to the engine's loop. `checker` may be None: then markers stay."""

    def __init__(self, engine: Engine, checker: Checker | None) -> None:
        self._engine = engine
        self._checker = checker
        self._confirmed: list[str] = []
        self._swept = ""
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
        elif error is None and self._checker is not None:
            self._confirm(handle.id)

    async def close(self, deadline: float) -> None:
        """Delete what is confirmed, at most until then (loop time), and stop."""
        if self._task is None or self._checker is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout_at(deadline):
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
                sweep_time = loop.time() + SWEEP_S
                await self._sweep_fences(checker)
                await self.sweep_markers(checker)

    async def _delete(self, checker: Checker) -> None:
        while self._confirmed:
            chunk = self._confirmed[:BATCH]
            try:
                await checker.delete(chunk)
            except Exception as error:  # noqa: BLE001 - whatever a driver raises, it is tried again
                log.info("Markers could not be deleted now: %s: %s", type(error).__name__, error)
                return
            del self._confirmed[: len(chunk)]

    async def sweep_markers(self, checker: Checker, left_after_ms: int = LEFT_AFTER_MS) -> None:
        """Confirm and delete a page of the markers left behind by producers that died; the next goes on there."""
        try:
            page = await checker.old_markers(self._swept, now_ms() - left_after_ms)
            for identity in page:
                await self._ask(identity)
                self._swept = identity
            if not page:
                self._swept = ""
        except TallyError as error:
            log.info("Old markers cannot be asked about now: %s", error)
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, it is tried again
            log.info("Old markers cannot be read now: %s: %s", type(error).__name__, error)

    async def _ask(self, identity: str) -> None:
        request = admin_pb2.GetTransactionRequest(transaction_id=message_id_bytes(identity))
        try:
            reply = await self._engine.call_any(
                ADMIN + "GetTransaction", request, admin_pb2.GetTransactionReply, ASK_TIMEOUT_S
            )
        except UnknownTransaction:
            return
        found = reply.transaction
        if found.producer_group != self._engine.settings.group:
            # Another group's, in the same database: its own producers look after it.
            return
        if found.state == admin_pb2.TRANSACTION_STATE_COMMITTED:
            self._confirm(identity)
        elif found.state == admin_pb2.TRANSACTION_STATE_IN_DOUBT and not self._engine.is_open(identity):
            self.commit_soon([_handle(found, identity)])
        elif found.state == admin_pb2.TRANSACTION_STATE_ROLLED_BACK:
            log.error("Transaction %s is committed in the database but was rolled back in the service", identity)

    def _confirm(self, identity: str) -> None:
        if len(self._confirmed) < HELD_MAX:
            self._confirmed.append(identity)
            if len(self._confirmed) >= BATCH:
                self._wake.set()

    @staticmethod
    async def _sweep_fences(checker: Checker) -> None:
        try:
            await checker.delete_fences(now_ms() - FENCE_KEPT_MS)
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, it is tried again
            log.info("Old fences could not be deleted now: %s: %s", type(error).__name__, error)


def _handle(found: admin_pb2.Transaction, identity: str) -> HalfHandle:
    half = found.handle
    return HalfHandle(
        identity, half.shard, half.index, half.batch, half.record, half.instance, half.sequence, found.queue
    )

"""A clock that many may set and one waits for: no polling, one timer, the earliest time wins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from structlog.typing import FilteringBoundLogger

from tallymq.service.errors import Refused

SLEEP_MS_MAX = 3_600_000
RETRY_MS = 1_000
"""Pause before work that failed is tried again."""


class Alarm:
    """Wakes one waiting task at the earliest time it was set for, or at once when rung. Unix milliseconds."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._rung = asyncio.Event()
        self._due_ms = 0
        self._timer: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        """Wake the waiter now."""
        self._rung.set()

    def set_due(self, due_ms: int) -> None:
        """Wake the waiter at `due_ms`, unless it wakes earlier anyway. 0 means never."""
        if due_ms == 0 or (self._timer is not None and self._due_ms <= due_ms):
            return
        self._cancel()
        delay_ms = min(max(due_ms - self._now_ms(), 0), SLEEP_MS_MAX)
        self._due_ms = due_ms
        self._timer = asyncio.get_running_loop().call_later(delay_ms / 1_000, self._go_off)

    async def wait(self) -> None:
        """Return once rung or due, and forget both."""
        await self._rung.wait()
        self._rung.clear()
        self._cancel()

    async def serve(self, work: Callable[[], Awaitable[None]], log: FilteringBoundLogger) -> None:
        """Do `work` now and whenever the alarm goes off, for ever; what failed is tried again in a second."""
        self.ring()
        while True:
            await self.wait()
            try:
                await work()
            except Refused as refused:
                log.info("waits", refusal=refused.name)
                self.set_due(self._now_ms() + RETRY_MS)
            except Exception:
                # Whatever it was, what is due must still be looked at later.
                log.exception("failed")
                self.set_due(self._now_ms() + RETRY_MS)

    def close(self) -> None:
        """Forget the timer."""
        self._cancel()

    def _go_off(self) -> None:
        self._timer = None
        self._rung.set()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

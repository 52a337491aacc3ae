"""A thread that does one thing after the other, for calls that block and release Python's global lock."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
Done = Callable[[Exception | None], None]

WAITING_MAX = 16
"""Pieces of work that may wait; whoever asks for more has a bug, for each of ours waits for its answer."""


class Worker:
    """One thread. `start` gives it work; the answer comes on the loop."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # The simple queue is in C, several times cheaper than the other one; `_given` bounds it.
        self._work: queue.SimpleQueue[tuple[Callable[[], object], Done] | None] = queue.SimpleQueue()
        self._given = 0
        # A disk that never answers must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def start(self, work: Callable[[], object], done: Done) -> None:
        """Do `work` in the thread, then call `done` on the loop with the exception it raised, or None."""
        if self._given >= WAITING_MAX:
            raise RuntimeError(f"{WAITING_MAX} pieces of work are waiting already")
        self._given += 1
        self._work.put((work, done))

    async def call(self, work: Callable[[], T]) -> T:
        """Do `work` in the thread; return what it returns, raise what it raises."""
        answer: asyncio.Future[T] = self._loop.create_future()
        results: list[T] = []

        def finish(error: Exception | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(results[0])

        self.start(lambda: results.append(work()), finish)
        return await answer

    def stop(self) -> None:
        """End the thread after what it was given; do not wait for it."""
        self._work.put(None)

    def _finished(self, done: Done, error: Exception | None) -> None:
        self._given -= 1
        done(error)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            work, done = item
            error: Exception | None = None
            try:
                work()
            except Exception as raised:  # noqa: BLE001 - whoever asked for the work judges it
                error = raised
            try:
                self._loop.call_soon_threadsafe(self._finished, done, error)
            except RuntimeError:
                # The loop is closed: nobody waits any more.
                return

"""The thread on which a Tally's engine lives, and what a fork does to it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import inspect
import logging
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from tallymq._registry import Registry
from tallymq._runtime import Runtime
from tallymq.exceptions import ClosedError, ConfigurationError

log = logging.getLogger("tallymq")

Result = TypeVar("Result")

_hosts: weakref.WeakSet[Any] = weakref.WeakSet()
"""What holds a runtime: told of a fork in the child, and closed at exit."""
_abandoned: list[object] = []
"""Runtimes of the parent process. Kept for ever: collecting them would touch what the parent still uses."""


class Host:
    """Starts the thread when first needed, in each process anew."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._gate = threading.Lock()
        """Held for a moment by whoever gives the loop work or takes it away: nothing is given to a loop that ends."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._runtime: Runtime | None = None
        self._closed = False
        _hosts.add(self)

    def run(self, work: Callable[[Runtime], Awaitable[Result]]) -> Result:
        """Run a coroutine on the engine's loop and wait for it. Raises what it raises; ConfigurationError there."""
        self._refuse_own_thread()
        runtime = self._runtime or self._started()
        return self._wait(self._submit(work(runtime)))

    def _refuse_own_thread(self) -> None:
        if self._thread is not None and threading.current_thread() is self._thread:
            # It would wait for itself, and everybody else with it.
            raise ConfigurationError(
                "A blocking call was made on the client's own loop, by an async check of a Tally.",
                hint="Use a plain function for the check, or AsyncTally and await.",
            )

    def _submit(self, awaitable: Awaitable[Result]) -> Future[Result]:
        coroutine = _as_coroutine(awaitable)
        with self._gate:
            if self._loop is not None:
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        coroutine.close()
        if inspect.iscoroutine(awaitable):
            awaitable.close()
        raise ClosedError("The client is closed.")

    @staticmethod
    def _wait(future: Future[Result]) -> Result:
        try:
            return future.result()
        except CancelledError:
            raise ClosedError("The client was closed meanwhile.") from None
        except BaseException:
            # Ctrl-C while waiting: what was asked must not go on unseen.
            future.cancel()
            raise

    def _started(self) -> Runtime:
        with self._lock:
            if self._closed:
                raise ClosedError("The client is closed.")
            if self._runtime is not None:
                return self._runtime
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._serve, args=(self._loop,), name="tallymq", daemon=True)
            self._thread.start()
            try:
                self._runtime = self._wait(self._submit(self._open()))
            except BaseException:
                self._stop()
                raise
            return self._runtime

    async def _open(self) -> Runtime:
        runtime = Runtime(self._registry)
        try:
            await runtime.open()
        except BaseException:
            await runtime.close()
            raise
        return runtime

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            # Whoever asked for something at the last moment waits for an answer.
            loop.run_until_complete(_end_tasks())
            loop.close()

    def _stop(self) -> None:
        with self._gate:
            loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
        self._thread = self._runtime = None

    @property
    def started(self) -> bool:
        """True if there is an engine in this process."""
        return self._runtime is not None

    def close(self) -> None:
        """Close the engine and end the thread, whatever fails. Idempotent; nothing can be done afterwards."""
        self._refuse_own_thread()
        with self._lock:
            self._closed = True
            try:
                if self._runtime is not None:
                    self._wait(self._submit(self._runtime.close()))
            finally:
                self._stop()

    def forked(self) -> None:
        """In the child: begin anew when next used. The parent's thread does not exist here, its lock may be held."""
        self._lock = threading.Lock()
        self._gate = threading.Lock()
        if self._runtime is not None:
            self._runtime.engine.channels.abandon()
            _abandoned.append((self._runtime, self._loop))
        self._loop = self._thread = self._runtime = None


def watch_fork(holder: object) -> None:
    """Have `holder.forked()` called in a forked child."""
    _hosts.add(holder)


async def _as_coroutine(awaitable: Awaitable[Result]) -> Result:
    return await awaitable


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _after_fork() -> None:
    for host in list(_hosts):
        host.forked()


def _at_exit() -> None:
    for host in list(_hosts):
        if isinstance(host, Host) and host.started:
            # What is decided but not yet sent is sent; anything that fails now has the check behind it.
            with contextlib.suppress(Exception):
                host.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)

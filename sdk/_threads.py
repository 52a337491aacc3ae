"""Threads for what blocks: handlers, checks, database drivers. None of them keeps the process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class DaemonThreads(Executor):
    """At most `thread_count` threads, each started when first needed.

    Not a ThreadPoolExecutor: the interpreter waits for that one's threads at its end, so a handler that never returns
    would keep a program alive long after close() has given it up.
    """

    def __init__(self, thread_count: int, name: str) -> None:
        self._thread_count = thread_count
        self._name = name
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._ended = False

    def submit(
        self,
        function: Callable[..., Result],
        /,
        *arguments: Any,  # noqa: ANN401 - the function's own
        **options: Any,  # noqa: ANN401 - the function's own
    ) -> Future[Result]:
        """Run it in a thread as soon as one is free. Raises RuntimeError, and does not run it, after shutdown() and
        where the system has no thread left."""
        future: Future[Result] = Future()
        with self._lock:
            if self._ended:
                raise RuntimeError("These threads were told to end.")
            if len(self._threads) < self._thread_count:
                thread = threading.Thread(target=self._serve, name=f"{self._name}-{len(self._threads)}", daemon=True)
                # Before it counts or anything waits for it: the system may have no thread left to give.
                thread.start()
                self._threads.append(thread)
            self._work.put((future, lambda: function(*arguments, **options)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let each thread end after what it does now, or, without `cancel_futures`, after what was submitted."""
        with self._lock:
            self._ended = True
            if cancel_futures:
                self._cancel_waiting()
            for _ in self._threads:
                self._work.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _cancel_waiting(self) -> None:
        while True:
            try:
                piece = self._work.get_nowait()
            except queue.Empty:
                return
            if piece is not None:
                piece[0].cancel()

    def _serve(self) -> None:
        while (piece := self._work.get()) is not None:
            _run(*piece)
            del piece


def _run(future: Future[Any], function: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except BaseException as error:  # noqa: BLE001 - whoever waits for it is told
        future.set_exception(error)
    else:
        future.set_result(result)

"""How a process of a workload is told to stop, and tells what it has done: lines on its input and its output."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress

TELL_S = 0.5
STOP, END = "stop", "end"


class Orders:
    """`stopped`: begin nothing new. `ended`: go. A parent that is gone means both."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._listening = self._loop.run_in_executor(None, self._listen)

    def _listen(self) -> None:
        for line in sys.stdin:
            event = {STOP: self.stopped, END: self.ended}.get(line.strip())
            if event is not None:
                self._loop.call_soon_threadsafe(event.set)
            if event is self.ended:
                break
        for event in (self.stopped, self.ended):
            self._loop.call_soon_threadsafe(event.set)

    async def tell(self, what: Callable[[], str]) -> None:
        """Says it every now and then, until the end."""
        while not self.ended.is_set():
            print(what(), flush=True)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), TELL_S)

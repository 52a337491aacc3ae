"""Waiting for something to become true, with a deadline."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PAUSE_S = 0.05
DEADLINE_S = 60.0
SHORT_PAUSE_S = 0.005
"""Within one process, where looking costs next to nothing."""


def wait_for(what: str, look: Callable[[], Found | None], timeout_s: float = DEADLINE_S) -> Found:
    """What `look` finds, once it finds anything true. Raises TimeoutError that says what never came."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        pause.wait(PAUSE_S)


async def until(condition: Callable[[], object], what: str = "", timeout_s: float = DEADLINE_S) -> None:
    """Returns once the condition holds, while the loop goes on. Raises TimeoutError that says what never came."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not condition():
        if loop.time() > deadline:
            raise TimeoutError(f"{what or condition}: not within {timeout_s:g} s")
        await asyncio.sleep(SHORT_PAUSE_S)

"""Waiting for something to become true, with a deadline."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PAUSE_S = 0.05
DEADLINE_S = 60.0


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

"""Writes a history while it happens."""

import threading
from pathlib import Path

from tests.workloads.history import History, Outcome, encode


class Recorder:
    """One client process's history. `succeeded` counts what was answered OK."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._lock = threading.Lock()
        self.succeeded = 0

    def note(self, event: History) -> None:
        """Adds an event; from any thread."""
        line = encode(event) + b"\n"
        with self._lock:
            self._file.write(line)
            if getattr(event, "outcome", None) is Outcome.OK:
                self.succeeded += 1

    def flush(self) -> None:
        """Gives what is written to the system."""
        with self._lock:
            self._file.flush()

    def close(self) -> None:
        """Ends the file."""
        self._file.close()

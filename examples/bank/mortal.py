"""A database connection that dies at a chosen moment, as by kill -9 or a power cut. Only the demo wants one."""

import os
import signal
import sqlite3
from collections.abc import Sequence


class MortalConnection(sqlite3.Connection):
    """Kills its own process right before or right after the COMMIT of one chosen transfer."""

    transfer = 0
    """The transfer that is being made on this connection; set by the program."""
    dies_at = 0
    """The transfer whose COMMIT is the last; 0 means that it lives."""
    dies_before_commit = False

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> sqlite3.Cursor:
        """As ever, with death in the right place."""
        fatal = sql == "COMMIT" and self.dies_at != 0 and self.transfer == self.dies_at
        if fatal and self.dies_before_commit:
            die()
        cursor = super().execute(sql, parameters)
        if fatal:
            die()
        return cursor


def die() -> None:
    """kill -9 of this process: nothing is flushed, closed or said."""
    os.kill(os.getpid(), signal.SIGKILL)


def connect(path: str) -> MortalConnection:
    """A connection that waits for others to finish writing, and whose COMMIT is on the disk."""
    connection = sqlite3.connect(path, factory=MortalConnection, timeout=30, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def choose_death(text: str) -> None:
    """Takes `after:20` or `before:60`; an empty text means life."""
    if text:
        when, _, number = text.partition(":")
        MortalConnection.dies_at = int(number)
        MortalConnection.dies_before_commit = when == "before"

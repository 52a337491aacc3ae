"""The one table of exit codes, and how a gRPC status becomes one of them."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the program's exit code says. Stable: scripts branch on it."""

    OK = 0
    FAILURE = 1
    """Something went wrong that none of the others says."""
    USAGE = 2
    """The command line itself is wrong; nobody was asked."""
    NOT_FOUND = 3
    REFUSED = 4
    """The service, or this program, understood and said no."""
    UNAVAILABLE = 5
    """Nobody answered in time, or nobody can just now. Trying again may help."""
    NOT_ALLOWED = 6
    PARTLY_DONE = 7
    """Of several things asked for, some were done and some were not."""
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.OK: "done",
    Exit.FAILURE: "failure",
    Exit.USAGE: "usage: the command line is wrong",
    Exit.NOT_FOUND: "not found",
    Exit.REFUSED: "refused",
    Exit.UNAVAILABLE: "unavailable: nobody answered in time",
    Exit.NOT_ALLOWED: "not allowed",
    Exit.PARTLY_DONE: "partly done",
    Exit.INTERRUPTED: "interrupted",
}

BY_STATUS: dict[str, Exit] = {
    "NOT_FOUND": Exit.NOT_FOUND,
    "INVALID_ARGUMENT": Exit.REFUSED,
    "FAILED_PRECONDITION": Exit.REFUSED,
    "ALREADY_EXISTS": Exit.REFUSED,
    "OUT_OF_RANGE": Exit.REFUSED,
    "ABORTED": Exit.REFUSED,
    "UNAVAILABLE": Exit.UNAVAILABLE,
    "DEADLINE_EXCEEDED": Exit.UNAVAILABLE,
    "RESOURCE_EXHAUSTED": Exit.UNAVAILABLE,
    "PERMISSION_DENIED": Exit.NOT_ALLOWED,
    "UNAUTHENTICATED": Exit.NOT_ALLOWED,
    "CANCELLED": Exit.INTERRUPTED,
}
"""By name of the gRPC status; any other is a failure."""


def exit_of_status(status: str) -> Exit:
    """Return the exit code for the name of a gRPC status."""
    return BY_STATUS.get(status, Exit.FAILURE)

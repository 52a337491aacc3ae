"""The hand: what runs in the process of the user. `import tallymq`.

Rules of this room:
 1. Whatever breaks, the answer says whether it certainly did not happen (`exceptions.py`).
 2. Halves stored, then marker rows, then the database's COMMIT, then the decision (`_flows.py`).
 3. Whoever joins callers wins: frames, not messages, cross the wire (`_batcher.py`).
 4. Nothing here is heavy until it is used: this file imports names when they are asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tallymq.aio import AsyncHalf, AsyncTally, AsyncTransaction
    from tallymq.client import Half, Tally, Transaction
    from tallymq.exceptions import (
        AlreadyCommitted,
        AlreadyDecided,
        AlreadyRolledBack,
        ClosedError,
        ConfigurationError,
        DecodeError,
        ForkedHandleError,
        HandleExpired,
        OutcomeUnknown,
        Refused,
        TallyError,
        Unavailable,
        UnknownTopic,
    )
    from tallymq.types import Decision, HalfMessage, Message, Receipt, Reject, Retry, RetryLater, Tls

_HOMES = {
    "aio": ("AsyncHalf", "AsyncTally", "AsyncTransaction"),
    "client": ("Half", "Tally", "Transaction"),
    "exceptions": (
        "AlreadyCommitted",
        "AlreadyDecided",
        "AlreadyRolledBack",
        "ClosedError",
        "ConfigurationError",
        "DecodeError",
        "ForkedHandleError",
        "HandleExpired",
        "OutcomeUnknown",
        "Refused",
        "TallyError",
        "Unavailable",
        "UnknownTopic",
    ),
    "types": ("Decision", "HalfMessage", "Message", "Receipt", "Reject", "Retry", "RetryLater", "Tls"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AlreadyCommitted",
    "AlreadyDecided",
    "AlreadyRolledBack",
    "AsyncHalf",
    "AsyncTally",
    "AsyncTransaction",
    "ClosedError",
    "ConfigurationError",
    "Decision",
    "DecodeError",
    "ForkedHandleError",
    "Half",
    "HalfMessage",
    "HandleExpired",
    "Message",
    "OutcomeUnknown",
    "Receipt",
    "Refused",
    "Reject",
    "Retry",
    "RetryLater",
    "Tally",
    "TallyError",
    "Tls",
    "Transaction",
    "Unavailable",
    "UnknownTopic",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class of whichever module is its home
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tallymq.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

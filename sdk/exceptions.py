"""What can go wrong, drawn first: every error says whether the thing certainly did not happen and what to do next.

TallyError
 +- ConfigurationError      the program asks for something that cannot work; raised before anything is sent
 +- ForkedHandleError       a handle made before a fork was used after it
 +- ClosedError             the client was closed
 +- Refused                 the service said no; one subclass for each row of its table (UnknownTopic, ...)
 |   +- AlreadyDecided      AlreadyCommitted, AlreadyRolledBack: the first decision is final
 +- Unavailable             nobody could be reached in time; certainly did not happen
 +- OutcomeUnknown          it was sent and no answer came in time; it may have happened, a retry is safe
"""

from __future__ import annotations

from tallymq.proto import messaging_pb2
from tallymq.proto.refusals import BY_NAME, REFUSALS, Refusal


class TallyError(Exception):
    """Base of everything this package raises.

    `code` is stable (`tallymq explain CODE`), `definite` says that what was asked certainly did not happen, `retryable`
    that the same call may be made again and may succeed, `hint` what to do next.
    """

    code = "TMQ-SDK-000"
    name = "TALLY_ERROR"
    definite = True
    retryable = False
    hint = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = message
        if hint is not None:
            self.hint = hint
        super().__init__(message)

    def __str__(self) -> str:
        text = f"{self.message} [{self.code}]"
        return f"{text} {self.hint}" if self.hint else text


class ConfigurationError(TallyError):
    """The program asks for something that cannot work; nothing was sent."""

    code = "TMQ-SDK-001"
    name = "CONFIGURATION_ERROR"


class ForkedHandleError(TallyError):
    """A transaction, half message or AsyncTally made before a fork was used after it."""

    code = "TMQ-SDK-002"
    name = "FORKED_HANDLE"
    hint = "Make it in the process that uses it. A Tally reconnects by itself after a fork."


class ClosedError(TallyError):
    """The client was closed."""

    code = "TMQ-SDK-003"
    name = "CLOSED"
    hint = "Make a new client, or use it before close()."


class Unavailable(TallyError):
    """Nobody could be reached, or nobody leads the shard, until the time was over. It certainly did not happen."""

    code = "TMQ-SDK-004"
    name = "UNAVAILABLE"
    retryable = True
    hint = "See `tallymq cluster status`; the call may be made again."


class OutcomeUnknown(TallyError):
    """It was sent, and no answer came in time: it may have happened.

    A half message of which this is said is rolled back by its check, and a decision may be repeated. A publish may be
    made again, as a new message.
    """

    code = "TMQ-SDK-005"
    name = "OUTCOME_UNKNOWN"
    definite = False
    retryable = True
    hint = "Make the call again if it must happen; it may have happened already."


class DecodeError(TallyError):
    """A message's body is not what was asked for."""

    code = "TMQ-SDK-006"
    name = "DECODE_ERROR"


class Refused(TallyError):
    """The service refused. Subclasses carry the row of its table; `leader_address` is set with NOT_LEADER only."""

    def __init__(self, message: str, *, hint: str | None = None, leader_address: str = "") -> None:
        self.leader_address = leader_address
        super().__init__(message, hint=hint)


class AlreadyDecided(Refused):
    """The transaction was decided the other way before. The first decision is final."""


def _class_name(refusal: Refusal) -> str:
    return refusal.name.title().replace("_", "")


def _refusal_class(refusal: Refusal) -> type[Refused]:
    base: type[Refused] = AlreadyDecided if refusal.name.startswith("ALREADY_") else Refused
    fields = {
        "__doc__": refusal.message,
        "__module__": __name__,
        "code": refusal.code,
        "name": refusal.name,
        "definite": refusal.definite,
        "retryable": refusal.retryable,
        "hint": refusal.hint,
    }
    return type(_class_name(refusal), (base,), fields)


REFUSAL_CLASSES: dict[str, type[Refused]] = {
    refusal.name: _refusal_class(refusal) for refusal in REFUSALS if refusal.name != "OUTCOME_UNKNOWN"
}
"""The class of each row. OUTCOME_UNKNOWN has its own above."""

HandleExpired = REFUSAL_CLASSES["HANDLE_EXPIRED"]
WrongHandle = REFUSAL_CLASSES["WRONG_HANDLE"]
AlreadyCommitted = REFUSAL_CLASSES["ALREADY_COMMITTED"]
AlreadyRolledBack = REFUSAL_CLASSES["ALREADY_ROLLED_BACK"]
ForeignHandle = REFUSAL_CLASSES["FOREIGN_HANDLE"]
UnknownTopic = REFUSAL_CLASSES["UNKNOWN_TOPIC"]


def refusal_error(name: str, message: str = "", hint: str = "", leader_address: str = "") -> TallyError:
    """Return the exception for a refusal by its stable name; one this version does not know is a plain Refused."""
    known = BY_NAME.get(name)
    if name == "OUTCOME_UNKNOWN":
        return OutcomeUnknown(message or (known.message if known else name), hint=hint or None)
    error_class = REFUSAL_CLASSES.get(name, Refused)
    text = message or (known.message if known else name)
    return error_class(text, hint=hint or None, leader_address=leader_address)


def error_of_refusal(refusal: messaging_pb2.Refusal) -> TallyError:
    """Return the exception for a `tallymq.v1.Refusal` message."""
    error = refusal_error(refusal.name, refusal.message, refusal.hint, refusal.leader_address)
    if refusal.name not in BY_NAME:
        error.code, error.name = refusal.code, refusal.name
        error.definite, error.retryable = refusal.definite, refusal.retryable
    return error


def __getattr__(name: str) -> type[Refused]:
    for error_class in REFUSAL_CLASSES.values():
        if error_class.__name__ == name:
            return error_class
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

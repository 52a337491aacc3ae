"""How a refusal leaves the service: as a gRPC status with details on a unary call, as a Refusal on a stream.

The table itself is `tallymq.proto.refusals`, which clients share. Inside the service a refusal travels as `Refused`.
"""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from tallymq.proto import messaging_pb2
from tallymq.proto.refusals import BY_NAME, Refusal
from tallymq.raftlog import errors as raftlog_errors
from tallymq.txn import outcomes

DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "tallymq"

STATUS: dict[str, grpc.StatusCode] = {code.name: code for code in grpc.StatusCode}
DETAIL_BYTES_MAX = 768
"""A refusal travels in a call's trailers, of which stock clients take 8 KiB, and in two forms."""


def clipped(text: str, bytes_max: int) -> str:
    """Return `text`, or as much of its beginning as fits, with an ellipsis."""
    raw = text.encode()
    return text if len(raw) <= bytes_max else raw[: bytes_max - 3].decode(errors="ignore") + "\u2026"


class Refused(Exception):
    """A request was refused. `name` is of the table; `detail` says what exactly, for a person, never with a body."""

    def __init__(self, name: str, detail: str = "", leader_address: str = "", time_ms: int = 0) -> None:
        self.row: Refusal = BY_NAME[name]
        self.detail = detail
        self.leader_address = leader_address
        self.time_ms = time_ms
        super().__init__(f"{name}: {self.message}")

    @property
    def name(self) -> str:
        """Stable name of the refusal."""
        return self.row.name

    @property
    def message(self) -> str:
        """What happened, for a person."""
        return f"{self.row.message} ({clipped(self.detail, DETAIL_BYTES_MAX)})" if self.detail else self.row.message


def from_outcome(refusal: outcomes.Refusal, detail: str = "") -> Refused:
    """Return the exception for a refusal of the rules."""
    return Refused(refusal.value, detail)


def from_exception(error: BaseException) -> Refused:
    """Return what a caller is told of `error`; an error that is nobody's plan becomes INTERNAL_ERROR."""
    if isinstance(error, Refused):
        return error
    for kind, name in _RAFTLOG:
        if isinstance(error, kind):
            return Refused(name)
    return Refused("INTERNAL_ERROR", type(error).__name__)


_RAFTLOG: tuple[tuple[type[BaseException], str], ...] = (
    (raftlog_errors.NotLeader, "NOT_LEADER"),
    (raftlog_errors.Overloaded, "OVERLOADED"),
    (raftlog_errors.OutcomeUnknown, "OUTCOME_UNKNOWN"),
    (raftlog_errors.ShardStopped, "SHARD_STOPPED"),
    (raftlog_errors.DiskFull, "DISK_FULL"),
    (raftlog_errors.BodyDamaged, "BODY_DAMAGED"),
    (TimeoutError, "TIMED_OUT"),
)


def to_message(refused: Refused) -> messaging_pb2.Refusal:
    """Return the refusal as streams carry it."""
    row = refused.row
    return messaging_pb2.Refusal(
        code=row.code,
        name=row.name,
        message=refused.message,
        hint=row.hint,
        definite=row.definite,
        retryable=row.retryable,
        leader_address=refused.leader_address,
        time_ms=refused.time_ms,
    )


def to_status(refused: Refused) -> status_pb2.Status:
    """Return the refusal as `google.rpc.Status` with one ErrorInfo."""
    row = refused.row
    info = error_details_pb2.ErrorInfo(
        reason=row.name,
        domain=DOMAIN,
        metadata={
            "code": row.code,
            "definite": "true" if row.definite else "false",
            "retryable": "true" if row.retryable else "false",
            "hint": row.hint,
            "leader_address": refused.leader_address,
        },
    )
    if refused.time_ms:
        info.metadata["time_ms"] = str(refused.time_ms)
    detail = any_pb2.Any()
    detail.Pack(info)
    return status_pb2.Status(code=STATUS[row.status].value[0], message=refused.message, details=[detail])


async def abort(context: grpc.aio.ServicerContext[Any, Any], refused: Refused) -> NoReturn:
    """End a call with `refused`; does not return."""
    metadata = ((DETAILS_KEY, to_status(refused).SerializeToString()),)
    await context.abort(STATUS[refused.row.status], refused.message, trailing_metadata=metadata)
    raise AssertionError("abort returned")


def errors_page() -> str:
    """Return docs/errors.md: every code, for people."""
    lines = [
        "# Errors",
        "",
        "Every refusal has a stable code and name. *Definite* means that what was asked certainly did not happen;",
        "otherwise it may have happened, and the same request can be sent again: it is done once. *Retryable* means",
        "that the same request may succeed later. `tallymq explain CODE` prints the same on the command line.",
        "",
        "On unary calls the status carries `google.rpc.ErrorInfo` (`reason` is the name, `domain` is `tallymq`,",
        "metadata `code`, `definite`, `retryable`, `hint`, `leader_address`, and `time_ms`, the shard's time, where a",
        "deadline was refused); on streams a `Refusal` carries the same.",
        "",
    ]
    for row in BY_NAME.values():
        definite = "definite" if row.definite else "not definite: it may have happened"
        retryable = "retryable" if row.retryable else "not retryable"
        lines += [
            f"## {row.code} {row.name}",
            "",
            row.message,
            "",
            f"- gRPC status `{row.status}`, {definite}, {retryable}.",
            f"- {row.hint}",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"

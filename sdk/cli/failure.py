"""What went wrong, in the one shape that is printed and that decides the exit code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from tallymq.cli.exits import Exit, exit_of_status
from tallymq.proto.refusals import BY_NAME

if TYPE_CHECKING:
    import grpc

STATUS_DETAILS = "grpc-status-details-bin"
DOMAIN = "tallymq"


@dataclass
class Failure(Exception):
    """Something a person has to be told.

    `definite` is True where it certainly did not happen, False where it may have happened, and None where the question
    makes no sense (nothing was to be changed). `leader_address` is host:port, or "" where it is unknown.
    """

    exit: Exit
    message: str
    code: str = ""
    name: str = ""
    hint: str = ""
    definite: bool | None = None
    retryable: bool = False
    leader_address: str = ""

    def __str__(self) -> str:
        """Return the message."""
        return self.message

    @property
    def certainty(self) -> str:
        """The sentence about whether it happened, or ""."""
        if self.definite is None:
            return ""
        return "It certainly did not happen." if self.definite else "It may have happened."


class PartlyDone(Failure):
    """Some of what was asked for was done; each failure has been printed already."""


def refused_here(name: str, message: str = "") -> Failure:
    """Return the failure for a refusal of the table that this program finds before it asks anybody."""
    refusal = BY_NAME[name]
    return Failure(
        exit=exit_of_status(refusal.status),
        message=message or refusal.message,
        code=refusal.code,
        name=refusal.name,
        hint=refusal.hint,
        definite=refusal.definite,
        retryable=refusal.retryable,
    )


def failure_of_call(error: grpc.RpcError, *, address: str, writes: bool) -> Failure:
    """Return what a failed call means. `writes`: the call was to change something."""
    status = error.code().name if hasattr(error, "code") else "UNKNOWN"
    details = (error.details() if hasattr(error, "details") else "") or ""
    info = error_info(error)
    if info is None:
        return _failure_of_status(status, details, address=address, writes=writes)
    known = BY_NAME.get(info.reason)
    facts = info.metadata
    return Failure(
        exit=exit_of_status(status),
        message=details or (known.message if known else info.reason),
        code=facts.get("code", known.code if known else ""),
        name=info.reason,
        hint=facts.get("hint", known.hint if known else ""),
        definite=_flag(facts.get("definite", "")) if writes else None,
        retryable=_flag(facts.get("retryable", "")),
        leader_address=facts.get("leader_address", ""),
    )


def error_info(error: grpc.RpcError) -> ErrorInfo | None:
    """Return the service's own account of the error, or None where it comes from elsewhere (a proxy, gRPC itself)."""
    trailers = (error.trailing_metadata() if hasattr(error, "trailing_metadata") else None) or ()
    encoded = [item.value for item in trailers if item.key == STATUS_DETAILS]
    try:
        details = Status.FromString(encoded[0]).details if encoded else ()
    except DecodeError:
        return None
    for detail in details:
        info = ErrorInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            return info
    return None


def _flag(text: str) -> bool:
    return text.lower() == "true"


_SENTENCES = {
    "UNAVAILABLE": ("{address} cannot be reached.", "Is a node running there? Compare --server and the TLS options."),
    "DEADLINE_EXCEEDED": ("{address} did not answer in time.", "Try again, or give it longer with --timeout."),
    "UNIMPLEMENTED": ("{address} does not know this call.", "Is it a TallyMQ node of this program's version?"),
    "UNAUTHENTICATED": ("{address} does not know who is asking.", "Give a client certificate: --tls-cert, --tls-key."),
    "PERMISSION_DENIED": ("{address} does not allow this.", "Use a client certificate that may do it."),
    "RESOURCE_EXHAUSTED": ("The answer or the request is larger than allowed.", "Ask for less at once."),
}
# The statuses with which gRPC itself turns a call away before a handler runs.
_NEVER_RAN = frozenset({"UNIMPLEMENTED", "UNAUTHENTICATED", "PERMISSION_DENIED"})
# How gRPC's details begin where there was no connection to send the call on.
_NEVER_SENT = "failed to connect to all addresses"


def _failure_of_status(status: str, details: str, *, address: str, writes: bool) -> Failure:
    message, hint = _SENTENCES.get(status, ("{address} failed.", "See the log of the node."))
    message = message.format(address=address)
    return Failure(
        exit=exit_of_status(status),
        message=f"{message} ({details})" if details else message,
        name=status,
        hint=hint,
        definite=(status in _NEVER_RAN or details.startswith(_NEVER_SENT)) if writes else None,
        retryable=status in {"UNAVAILABLE", "DEADLINE_EXCEEDED"},
    )

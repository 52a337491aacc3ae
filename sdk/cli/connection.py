"""The way to the service: which server to ask, following the leader, and giving up in time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import grpc

from tallymq.cli.exits import Exit
from tallymq.cli.failure import Failure, failure_of_call
from tallymq.proto.admin_pb2_grpc import AdminStub
from tallymq.proto.messaging_pb2_grpc import MessagingStub

Request = TypeVar("Request")
Reply = TypeVar("Reply")

HOPS_MAX = 8
"""How many times one question follows a leader's address: two nodes that name each other must not hold us for ever."""

ELECTION_PAUSE_S = 0.25
"""How long to wait where nobody leads: an election takes about a second."""

CONNECT_TIMEOUT_S = 5.0
"""How long to wait for one server before the next is asked."""

_CHANNEL_OPTIONS = (
    # Proxies are for the web; a cluster is addressed directly.
    ("grpc.enable_http_proxy", 0),
    # Room for a reply of the largest batch and what stands around it.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


@dataclass(frozen=True)
class TlsSettings:
    """Paths of PEM files. `certificate` and `key` are given together, or neither."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files. Raises a usage failure that names the file which cannot be read."""
        return grpc.ssl_channel_credentials(
            root_certificates=_file_bytes(self.ca),
            private_key=_file_bytes(self.key) if self.key else None,
            certificate_chain=_file_bytes(self.certificate) if self.certificate else None,
        )


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(Exit.USAGE, f"{path} cannot be read: {error.strerror}.") from error


class Stubs:
    """The two services at one address."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        self.address = address
        self.channel = (
            grpc.secure_channel(address, credentials, options=_CHANNEL_OPTIONS)
            if credentials
            else grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)
        )
        self.admin = AdminStub(self.channel)
        self.messaging = MessagingStub(self.channel)


def why_silent(address: str, timeout_s: float) -> str:
    """Return why nothing accepts connections at host:port, or "" where something does.

    Asked before the first call to a server: what fails here certainly did not happen, and the system says why.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s).close()
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()
    return ""


Choose: TypeAlias = "Callable[[Stubs], grpc.UnaryUnaryMultiCallable[Request, Reply]]"
"""Picks a call: `lambda stubs: stubs.admin.GetTopic`."""


class Connection:
    """Asks one server after the other until one answers. Each question has `timeout_ms` in all."""

    def __init__(self, servers: tuple[str, ...], tls: TlsSettings | None, timeout_ms: int) -> None:
        self.servers = servers
        self.timeout_ms = timeout_ms
        self.changing = False
        self._credentials = tls.credentials() if tls else None
        self._stubs: dict[str, Stubs] = {}
        self._last_good = servers[0]

    def close(self) -> None:
        """Close all channels."""
        for stubs in self._stubs.values():
            stubs.channel.close()
        self._stubs.clear()

    def read(self, choose: Choose[Request, Reply], request: Request) -> Reply:
        """Ask something that changes nothing; `choose` picks the call of the stubs. Raises Failure."""
        return self._ask(choose, request, writes=False)

    def write(self, choose: Choose[Request, Reply], request: Request) -> Reply:
        """Ask for a change, which must be safe to ask for twice. Raises Failure, which says whether it may be done."""
        return self._ask(choose, request, writes=True)

    def _ask(self, choose: Choose[Request, Reply], request: Request, *, writes: bool) -> Reply:
        course = _Course(self.servers, self._last_good, self.timeout_ms, writes=writes)
        while (address := course.next_address()) is not None:
            if reason := self._why_silent(address, course.left_s()):
                course.unreachable(address, reason)
                continue
            stubs = self._stubs[address]
            # Stays set where Ctrl-C takes us away, so that what is said then can be true.
            self.changing = writes
            try:
                reply = choose(stubs)(request, timeout=max(0.001, course.left_s()))
            except grpc.RpcError as error:
                self.changing = False
                course.failed(failure_of_call(error, address=address, writes=writes))
                continue
            self.changing = False
            self._last_good = address
            return reply
        raise course.failure()

    def _why_silent(self, address: str, left_s: float) -> str:
        if address in self._stubs:
            return ""
        reason = why_silent(address, min(CONNECT_TIMEOUT_S, left_s))
        if not reason:
            self._stubs[address] = Stubs(address, self._credentials)
        return reason


class _Course:
    """The course of one question: which servers are still to be asked, and what was learnt on the way."""

    def __init__(self, servers: tuple[str, ...], first: str, timeout_ms: int, *, writes: bool) -> None:
        self.servers = servers
        self.timeout_ms = timeout_ms
        self.writes = writes
        self.to_ask = [first, *(server for server in servers if server != first)]
        self.deadline_s = time.monotonic() + timeout_ms / 1000
        self.hops = 0
        self.maybe_done = False
        self.silent: dict[str, str] = {}
        self.last: Failure | None = None
        self.ended = False

    def left_s(self) -> float:
        return max(0.0, self.deadline_s - time.monotonic())

    def next_address(self) -> str | None:
        if not self.to_ask and not self.ended and self.last is not None and self.last.name == "NOT_LEADER":
            # An election is under way, or its end has not reached everyone: ask round again while there is time.
            threading.Event().wait(min(ELECTION_PAUSE_S, self.left_s()))
            self.to_ask = [server for server in self.servers if server not in self.silent]
        return self.to_ask.pop(0) if self.to_ask and not self.ended and self.left_s() > 0 else None

    def unreachable(self, address: str, reason: str) -> None:
        self.silent[address] = reason

    def failed(self, failure: Failure) -> None:
        self.last = failure
        self.maybe_done |= failure.definite is False
        if failure.name == "NOT_LEADER":
            self._follow(failure.leader_address)
        elif failure.exit is not Exit.UNAVAILABLE or not self._worth_asking_another(failure):
            self.ended = True

    def _worth_asking_another(self, failure: Failure) -> bool:
        # Too much at once is no better elsewhere, and a full disk is for a person to see.
        return failure.retryable and failure.name not in {"OVERLOADED", "DISK_FULL", "TOO_MANY_STREAMS"}

    def _follow(self, leader_address: str) -> None:
        self.hops += 1
        if leader_address and leader_address not in self.silent and self.hops <= HOPS_MAX:
            self.to_ask = [leader_address, *(server for server in self.to_ask if server != leader_address)]

    def failure(self) -> Failure:
        """What to say when nobody answered."""
        if self.last is None:
            return self._nobody()
        if self.maybe_done and self.last.definite:
            # An earlier attempt on the way may have worked, whatever the last one said.
            self.last.definite = False
        return self.last

    def _nobody(self) -> Failure:
        asked = ", ".join(f"{address} ({reason})" for address, reason in self.silent.items())
        return Failure(
            exit=Exit.UNAVAILABLE,
            message=f"No server can be reached: {asked}.",
            name="UNAVAILABLE",
            hint="Is a node running there? Compare --server and the TLS options (--tls-ca).",
            definite=True if self.writes else None,
            retryable=True,
        )

"""A small real gRPC server that answers what a test tells it to: for what the program prints and how it exits."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from tallymq.proto import admin_pb2, messaging_pb2
from tallymq.proto.admin_pb2_grpc import AdminServicer, add_AdminServicer_to_server
from tallymq.proto.messaging_pb2_grpc import MessagingServicer, add_MessagingServicer_to_server
from tallymq.proto.refusals import BY_NAME


class Refuse:
    """An answer that is a refusal of the table, as the service words it."""

    def __init__(self, name: str, leader_address: str = "") -> None:
        self.row = BY_NAME[name]
        self.leader_address = leader_address

    def status(self) -> Any:
        row = self.row
        facts = {
            "code": row.code,
            "definite": str(row.definite).lower(),
            "retryable": str(row.retryable).lower(),
            "hint": row.hint,
            "leader_address": self.leader_address,
        }
        detail = AnyMessage()
        detail.Pack(ErrorInfo(reason=row.name, domain="tallymq", metadata=facts))
        code = grpc.StatusCode[row.status].value[0]
        return rpc_status.to_status(Status(code=code, message=row.message, details=[detail]))


class Bare:
    """An answer that is a gRPC status without our details, as a proxy or gRPC itself would give."""

    def __init__(self, code: grpc.StatusCode, details: str = "") -> None:
        self.code = code
        self.details = details


class Hang:
    """No answer until the caller gives up; `asked` is set once the question is here."""

    def __init__(self, asked: threading.Event | None = None) -> None:
        self.asked = asked or threading.Event()
        self.given_up = threading.Event()

    def wait(self, context: grpc.ServicerContext) -> None:
        if context.add_callback(self.given_up.set):
            self.asked.set()
            self.given_up.wait(60)


class Canned:
    """What the server answers, by call; the last answer stays. `asked` is every request that came, by call."""

    def __init__(self) -> None:
        self.answers: dict[str, list[object]] = {}
        self.asked: dict[str, list[Any]] = defaultdict(list)
        self.address = ""

    def will(self, call: str, *answers: object) -> None:
        self.answers[call] = list(answers)

    def answer(self, call: str, request: Message, context: grpc.ServicerContext) -> object:
        self.asked[call].append(request)
        waiting = self.answers.get(call)
        if not waiting:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no canned answer for {call}")
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(answer, Refuse):
            context.abort_with_status(answer.status())
        if isinstance(answer, Bare):
            context.abort(answer.code, answer.details)
        if isinstance(answer, Hang):
            answer.wait(context)
        return answer


def _serve(base: type, canned: Canned, calls: Iterable[str]) -> object:
    def handler(call: str) -> Any:
        return lambda self, request, context: canned.answer(call, request, context)

    return type(f"Canned{base.__name__}", (base,), {call: handler(call) for call in calls})()


def _unary_calls(service: Any) -> list[str]:
    return [method.name for method in service.methods if not method.server_streaming]


@contextmanager
def canned_server(credentials: grpc.ServerCredentials | None = None) -> Iterator[Canned]:
    """Serve both services on a free port of loopback."""
    canned = Canned()
    admin = _unary_calls(admin_pb2.DESCRIPTOR.services_by_name["Admin"])
    messaging = _unary_calls(messaging_pb2.DESCRIPTOR.services_by_name["Messaging"])
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    add_AdminServicer_to_server(_serve(AdminServicer, canned, admin), server)
    add_MessagingServicer_to_server(_serve(MessagingServicer, canned, messaging), server)
    port = (
        server.add_secure_port("127.0.0.1:0", credentials) if credentials else server.add_insecure_port("127.0.0.1:0")
    )
    canned.address = f"127.0.0.1:{port}"
    server.start()
    try:
        yield canned
    finally:
        server.stop(None).wait()

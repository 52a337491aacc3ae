"""How a gRPC call becomes a function of ours: raw bytes in, errors by the table, counted, refused while draining."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import structlog
from google.protobuf.message import Message

from tallymq.service.errors import Refused, abort, from_exception
from tallymq.service.fields import decode, no_singles
from tallymq.service.metrics import Metrics

Context = grpc.aio.ServicerContext[Any, Any]
GenericHandler = Any
"""What gRPC calls a generic handler; the stubs for it differ between versions."""
END: Any = grpc.aio.EOF  # type: ignore[attr-defined]
"""What reading a stream gives once the client has said all."""
WRITE_S = 1.0
_Request = TypeVar("_Request", bound=Message)

log = structlog.get_logger("tallymq.service")


@dataclass
class Draining:
    """Says when the node takes nothing new. Streams wait for `begun` beside what they do."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0

    def __post_init__(self) -> None:
        self.idle.set()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a call as under way; raises Refused SHUTTING_DOWN once draining."""
        self.check()
        self.under_way += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.under_way -= 1
            if self.under_way == 0:
                self.idle.set()

    def check(self) -> None:
        """Raise Refused SHUTTING_DOWN once draining."""
        if self.begun.is_set():
            raise Refused("SHUTTING_DOWN")


def principal_of(context: Context) -> str:
    """Return the common name of the client's certificate, "" without one."""
    names = list(context.auth_context().get("x509_common_name", ()))
    return names[0].decode("utf-8", "replace") if names else ""


async def write(context: Context, reply: bytes) -> None:
    """Send a message of a stream. Cancelled, it ends only when gRPC has taken what it was given, or after `WRITE_S`.

    A status sent beside a first message whose write was cancelled is lost, and the client waits for ever.
    """
    writing = asyncio.ensure_future(context.write(reply))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait({writing}, timeout=WRITE_S)
        writing.cancel()
        raise


def serialize(message: Message) -> bytes:
    """Return the encoded reply."""
    return message.SerializeToString()


class Calls:
    """Collects the methods of one gRPC service."""

    def __init__(self, service: str, metrics: Metrics, draining: Draining) -> None:
        self._service = service
        self._metrics = metrics
        self._draining = draining
        self._methods: dict[str, Any] = {}

    def unary(
        self,
        name: str,
        request_type: type[_Request],
        handle: Callable[[_Request, str], Awaitable[Message]],
        singles: Callable[[_Request], int] = no_singles,
    ) -> None:
        """Add a method: `handle(request, principal)` returns the reply or raises Refused."""

        async def call(raw: bytes, context: Context) -> Message:
            try:
                with self._draining.call():
                    reply = await handle(decode(request_type, raw, singles), principal_of(context))
            except Exception as error:
                await self._fail(name, context, error)
                raise
            self._metrics.count_call(name, "OK")
            return reply

        self._methods[name] = grpc.unary_unary_rpc_method_handler(call, None, serialize)

    def stream(self, name: str, run: Callable[[Context, str], Awaitable[None]]) -> None:
        """Add a bidirectional method: `run(context, principal)` reads raw requests and writes encoded replies."""

        async def call(_requests: object, context: Context) -> None:
            try:
                with self._draining.call():
                    await run(context, principal_of(context))
            except Exception as error:
                await self._fail(name, context, error)
                raise
            self._metrics.count_call(name, "OK")

        self._methods[name] = grpc.stream_stream_rpc_method_handler(call, None, None)

    def handler(self) -> GenericHandler:
        """Return what a gRPC server is given."""
        return grpc.method_handlers_generic_handler(self._service, self._methods)

    async def _fail(self, name: str, context: Context, error: Exception) -> None:
        refused = from_exception(error)
        self._metrics.count_call(name, refused.name)
        if refused.name == "INTERNAL_ERROR":
            log.error("call failed", rpc=name, exc_info=error)
        await abort(context, refused)

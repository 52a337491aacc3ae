"""The services every gRPC server has: health, and reflection of the public schema, refusing what ours would refuse.

The libraries' own glue parses requests before any code of ours runs, and reports garbage as an error of the server; so
only what answers is theirs, and bytes are parsed here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import _async as health_aio
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import _async as reflection_aio
from grpc_reflection.v1alpha import reflection, reflection_pb2

from tallymq.proto import admin_pb2, messaging_pb2
from tallymq.service.calls import Context, GenericHandler, serialize
from tallymq.service.errors import abort, from_exception
from tallymq.service.fields import decode

Status = int
"""A `health_pb2.HealthCheckResponse.ServingStatus`, which protobuf makes a plain number."""

log = structlog.get_logger("tallymq.service")


class Standard:
    """Health of the services `names`, and reflection."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._health = health_aio.HealthServicer()
        self._statuses: dict[str, Status] = {}
        pool = DescriptorPool()
        for file in (messaging_pb2, admin_pb2, health_pb2, reflection_pb2):
            pool.AddSerializedFile(file.DESCRIPTOR.serialized_pb)
        reflected = (*names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        self._reflection = reflection_aio.ReflectionServicer(reflected, pool=pool)

    async def set_health(self, status: Status) -> None:
        """Tell whoever asks, or watches, from now on."""
        for service in ("", *self._names):
            self._statuses[service] = status
            await self._health.set(service, status)

    def handlers(self) -> tuple[GenericHandler, ...]:
        """Return what a gRPC server is given."""
        of_health = {
            "Check": grpc.unary_unary_rpc_method_handler(_guarded(self._check), None, serialize),
            "List": grpc.unary_unary_rpc_method_handler(_guarded(self._list), None, serialize),
            "Watch": grpc.unary_stream_rpc_method_handler(_guarded(self._watch), None, serialize),
        }
        of_reflection = {
            "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(_guarded(self._reflect), None, serialize)
        }
        return (
            grpc.method_handlers_generic_handler(health.SERVICE_NAME, of_health),
            grpc.method_handlers_generic_handler(reflection.SERVICE_NAME, of_reflection),
        )

    async def _check(self, raw: bytes, context: Context) -> health_pb2.HealthCheckResponse:
        request = decode(health_pb2.HealthCheckRequest, raw)
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return health_pb2.HealthCheckResponse(status=status)

    async def _list(self, raw: bytes, _context: Context) -> health_pb2.HealthListResponse:
        decode(health_pb2.HealthListRequest, raw)
        reply = health_pb2.HealthListResponse()
        for service, status in self._statuses.items():
            reply.statuses[service].status = status
        return reply

    async def _watch(self, raw: bytes, context: Context) -> None:
        await self._health.Watch(decode(health_pb2.HealthCheckRequest, raw), context)

    async def _reflect(self, requests: AsyncIterator[bytes], context: Context) -> None:
        async def parsed() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
            async for raw in requests:
                yield decode(reflection_pb2.ServerReflectionRequest, raw)

        async for reply in self._reflection.ServerReflectionInfo(parsed(), context):
            await context.write(reply)


def _guarded(handle: Callable[[Any, Context], Awaitable[Any]]) -> Callable[[Any, Context], Awaitable[Any]]:
    """Return `handle` with what it raises turned into a status by the table."""

    async def call(request: Any, context: Context) -> Any:  # noqa: ANN401 - as each method has it
        try:
            return await handle(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            refused = from_exception(error)
            if refused.name == "INTERNAL_ERROR":
                log.error("call of a standard service failed", exc_info=error)
            await abort(context, refused)

    return call

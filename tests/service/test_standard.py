"""Health and reflection answer any bytes with a status of their own; nothing of it is an error of the server."""

from __future__ import annotations

import logging
from random import Random

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.service.running import SECONDS, Running, error_info

HEALTH = "/grpc.health.v1.Health/"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
SERVING = health_pb2.HealthCheckResponse.SERVING
GARBAGE = [b"\xff\xff\xff", b"\x0a\x7f", b"\x0b", b"\x00"]
CODES = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


async def called(node: Running, method: str, raw: bytes) -> tuple[grpc.StatusCode, bytes]:
    """Call one method with these bytes; return the status and the first reply."""
    try:
        if method == REFLECTION:
            stream = node.channel.stream_stream(method)(iter([raw]), timeout=SECONDS)
            first = await stream.read()
        elif method.endswith("Watch"):
            stream = node.channel.unary_stream(method)(raw, timeout=SECONDS)
            first = await stream.read()
            stream.cancel()
        else:
            return grpc.StatusCode.OK, await node.channel.unary_unary(method)(raw, timeout=SECONDS)
    except grpc.aio.AioRpcError as error:
        reason = error_info(error).reason if error.code() is grpc.StatusCode.INVALID_ARGUMENT else ""
        return error.code(), reason.encode()
    return grpc.StatusCode.OK, first


@pytest.mark.parametrize("method", [HEALTH + "Check", HEALTH + "List", HEALTH + "Watch", REFLECTION])
async def test_garbage_is_an_invalid_argument_and_no_error_in_the_log(
    instant: Running, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with structlog.testing.capture_logs() as ours:
        for raw in GARBAGE:
            assert await called(instant, method, raw) == (grpc.StatusCode.INVALID_ARGUMENT, b"MALFORMED_REQUEST"), raw
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert ours == []


@pytest.mark.parametrize("method", [HEALTH + "Check", HEALTH + "List", HEALTH + "Watch", REFLECTION])
async def test_no_random_bytes_make_an_error_in_the_log(
    instant: Running, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    random = Random(3)
    with structlog.testing.capture_logs() as ours:
        for _ in range(100):
            raw = random.randbytes(random.randrange(12))
            code, _ = await called(instant, method, raw)
            assert code in CODES | {grpc.StatusCode.OK}, raw
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert ours == []


async def test_every_well_formed_question_to_reflection_is_answered(
    instant: Running, caplog: pytest.LogCaptureFixture
) -> None:
    extension = reflection_pb2.ExtensionRequest
    asked = [
        reflection_pb2.ServerReflectionRequest(),
        reflection_pb2.ServerReflectionRequest(file_by_filename="nowhere.proto"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="tallymq.v1.Nothing"),
        reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="tallymq.v1.Record"),
        reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="no.such"),
        *[
            reflection_pb2.ServerReflectionRequest(
                file_containing_extension=extension(containing_type=name, extension_number=number)
            )
            for name in ("tallymq.v1.Record", "no.such", "")
            for number in (-1, 0, 1 << 30)
        ],
    ]
    for request in asked:
        code, _ = await called(instant, REFLECTION, request.SerializeToString())
        assert code is grpc.StatusCode.OK, request
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_health_is_told_for_one_service_for_all_and_to_who_watches(instant: Running) -> None:
    code, raw = await called(instant, HEALTH + "List", b"")
    assert code is grpc.StatusCode.OK
    statuses = health_pb2.HealthListResponse.FromString(raw).statuses
    assert {name: each.status for name, each in statuses.items()} == dict.fromkeys(
        ("", "tallymq.v1.Messaging", "tallymq.v1.Admin"), SERVING
    )
    known = health_pb2.HealthCheckRequest(service="tallymq.v1.Admin").SerializeToString()
    unknown = health_pb2.HealthCheckRequest(service="nothing").SerializeToString()
    for method in ("Check", "Watch"):
        _, raw = await called(instant, HEALTH + method, known)
        assert health_pb2.HealthCheckResponse.FromString(raw).status == SERVING
    assert (await called(instant, HEALTH + "Check", unknown))[0] is grpc.StatusCode.NOT_FOUND
    _, raw = await called(instant, HEALTH + "Watch", unknown)
    assert health_pb2.HealthCheckResponse.FromString(raw).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

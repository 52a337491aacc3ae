"""TLS for clients: off, on, and with client certificates, whose names become principals."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from tallymq.proto import messaging_pb2, messaging_pb2_grpc
from tests.service.running import SECONDS, batch, bodies, error_info, running
from tests.support.certificates import Authority

M = messaging_pb2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of a node and two banks."""
    folder = tmp_path_factory.mktemp("certs")
    authority = Authority(folder)
    for name in ("node-1", "bank-a", "bank-b"):
        authority.issue(name)
    return folder


def secure(folder: Path, address: object, name: str = "") -> grpc.aio.Channel:
    ca = (folder / "ca.pem").read_bytes()
    key = (folder / f"{name}-key.pem").read_bytes() if name else None
    certificate = (folder / f"{name}.pem").read_bytes() if name else None
    return grpc.aio.secure_channel(str(address), grpc.ssl_channel_credentials(ca, key, certificate))


def options(folder: Path, **others: str) -> dict[str, str]:
    pair = {"server_certificate": str(folder / "node-1.pem"), "server_key": str(folder / "node-1-key.pem")}
    return pair | others


async def test_with_a_certificate_only_tls_is_spoken(tmp_path: Path, folder: Path) -> None:
    async with running(tmp_path, instant=True, **options(folder)) as node:
        async with secure(folder, node.node.address) as channel:
            route = await messaging_pb2_grpc.MessagingStub(channel).Route(M.RouteRequest(), timeout=SECONDS)
            assert route.cluster == "tallymq"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await node.messaging.Route(M.RouteRequest(), timeout=5)
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


async def test_a_required_client_certificate_is_required_and_its_name_owns_the_halves(
    tmp_path: Path, folder: Path
) -> None:
    required = options(folder, client_ca=str(folder / "ca.pem"), client_certificate_required="true")
    async with running(tmp_path, instant=True, **required) as node:
        async with secure(folder, node.node.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await messaging_pb2_grpc.MessagingStub(channel).Route(M.RouteRequest(), timeout=5)
        async with secure(folder, node.node.address, "bank-a") as channel:
            node.messaging, node.admin = messaging_pb2_grpc.MessagingStub(channel), node.admin.__class__(channel)
            await node.create_topic(queue_count=1)
            half = await prepare(node.messaging)
        handle = M.Handle(shard=half.shard, index=half.index, batch=half.batch, instance=7, sequence=1)
        commit = M.CommitRequest(producer_group="bank", handles=[handle])
        async with secure(folder, node.node.address, "bank-b") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await messaging_pb2_grpc.MessagingStub(channel).Commit(commit, timeout=SECONDS)
            assert error_info(caught.value).reason == "FOREIGN_HANDLE"
        async with secure(folder, node.node.address, "bank-a") as channel:
            await messaging_pb2_grpc.MessagingStub(channel).Commit(commit, timeout=SECONDS)


async def prepare(stub: messaging_pb2_grpc.MessagingStub) -> messaging_pb2.HalfBatch:
    request = M.PrepareRequest(
        identity=M.FrameIdentity(instance=7, sequence=1),
        producer_group="bank",
        batches=[batch("transfers", bodies("a"), 0, 1)],
    )
    return (await stub.Prepare(request, timeout=SECONDS)).batches[0]

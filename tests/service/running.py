"""A node with real gRPC clients, over the instant host or over the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from tallymq.proto import admin_pb2, admin_pb2_grpc, messaging_pb2, messaging_pb2_grpc
from tallymq.raftlog.host import Host
from tallymq.service.config import load
from tallymq.service.errors import DETAILS_KEY
from tallymq.service.node import Node, now_ms
from tests.support.instant_host import InstantHost

SECONDS = 60.0
"""How long a test waits for what must happen; far more than it takes, for machines that do much else."""


class Running:
    """A node, and stubs to it."""

    def __init__(self, node: Node, channel: grpc.aio.Channel) -> None:
        self.node = node
        self.host: Any = node.host
        self.channel = channel
        self.messaging = messaging_pb2_grpc.MessagingStub(channel)
        self.admin = admin_pb2_grpc.AdminStub(channel)

    def state(self) -> list[list[tuple[bytes, bytes]]]:
        """Return everything every shard remembers."""
        return [shard.view.range(b"", b"\xff" * 8, 1_000_000) for shard in self.host.shards.values()]

    async def create_topic(self, name: str = "transfers", queue_count: int = 4) -> messaging_pb2.RouteTopic:
        """Make a topic and return its route."""
        await self.admin.CreateTopic(admin_pb2.CreateTopicRequest(name=name, queue_count=queue_count), timeout=SECONDS)
        route = await self.messaging.Route(messaging_pb2.RouteRequest(topics=[name]), timeout=SECONDS)
        return route.topics[0]

    async def raw(self, rpc: str, request: bytes) -> bytes:
        """Call a unary method with any bytes."""
        service = "Admin" if hasattr(self.admin, rpc) else "Messaging"
        call = self.channel.unary_unary(f"/tallymq.v1.{service}/{rpc}")
        return await call(request, timeout=SECONDS)


@asynccontextmanager
async def running(data: Path, *, instant: bool, **options: str) -> AsyncIterator[Running]:
    """Run a node in this process on free ports."""

    async def start_instant(settings, listener, _version):
        host = InstantHost(settings.node, settings.shard_count, now_ms)
        host.listener = listener
        return host

    plain = {
        "data": str(data / "data"),
        "listen": "127.0.0.1:0",
        "listen_metrics": "127.0.0.1:0",
        "free_bytes_min": "0",
        "segment_bytes": str(4 << 20),
        "drain_ms_max": "2000",
    }
    node = Node(load(None, {}, plain | options), start_instant if instant else Host.start)
    await node.start()
    try:
        async with grpc.aio.insecure_channel(str(node.address)) as channel:
            yield Running(node, channel)
    finally:
        await node.stop(grace_s=0)


def batch(
    topic: str,
    records: list[messaging_pb2.Record],
    queue: int = 0,
    queue_count: int = 0,
    delivery_times_ms: tuple[int, ...] = (),
) -> messaging_pb2.Batch:
    """Return a batch as a client makes it."""
    header = messaging_pb2.BatchHeader(
        topic=topic,
        queue=queue,
        queue_count=queue_count,
        record_lengths=[record.ByteSize() for record in records],
        delivery_times_ms=delivery_times_ms,
    )
    return messaging_pb2.Batch(header=header, records=messaging_pb2.RecordBatch(records=records))


def bodies(*texts: str) -> list[messaging_pb2.Record]:
    """Return records with these bodies."""
    return [messaging_pb2.Record(body=text.encode()) for text in texts]


def error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """Return the ErrorInfo of a failed call."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY:
            status = status_pb2.Status.FromString(value)
            info = error_details_pb2.ErrorInfo()
            assert status.details[0].Unpack(info)
            return info
    raise AssertionError(f"no details in {error!r}")

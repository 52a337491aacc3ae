"""A client that has no proto file at all learns the schema from the node itself, publishes and fetches."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.support.nodes import Cluster

TIMEOUT_S = 60


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[grpc.Channel]:
    with Cluster.create(tmp_path, node_count=1) as cluster:
        cluster.start()
        with grpc.insecure_channel(cluster.addresses) as opened:
            yield opened


def call(channel: grpc.Channel, pool: DescriptorPool, service: str, method: str) -> Callable[[dict[str, Any]], Any]:
    """A call by name: the request is given as a dict, both messages are made of what reflection told."""
    found = pool.FindServiceByName(f"tallymq.v1.{service}").methods_by_name[method]
    request, reply = GetMessageClass(found.input_type), GetMessageClass(found.output_type)
    ask = channel.unary_unary(
        f"/tallymq.v1.{service}/{method}",
        request_serializer=request.SerializeToString,
        response_deserializer=reply.FromString,
    )
    return lambda fields: ask(request(**fields), timeout=TIMEOUT_S)


def test_a_session_needs_no_proto_file(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {"tallymq.v1.Messaging", "tallymq.v1.Admin"} <= set(database.get_services())
    pool = DescriptorPool(database)
    call(channel, pool, "Admin", "CreateTopic")({"name": "reflected", "queue_count": 4})

    record = {"key": b"k", "body": "没有文件".encode(), "headers": [{"name": "n", "value": b"v"}]}
    length = GetMessageClass(pool.FindMessageTypeByName("tallymq.v1.Record"))(**record).ByteSize()
    instance = secrets.randbits(64) or 1
    frame = {
        "identity": {"instance": instance, "sequence": 3},
        "batches": [{"header": {"topic": "reflected", "record_lengths": [length]}, "records": {"records": [record]}}],
    }
    published = call(channel, pool, "Messaging", "Publish")(frame)
    assert published.batches[0].visible_count == 1
    assert call(channel, pool, "Messaging", "Publish")(frame).repeated_frame, "a retry is recognised"

    fetch = call(channel, pool, "Messaging", "Fetch")
    (delivery,) = fetch({"consumer_group": "g", "topic": "reflected", "consumer": 9, "wait_ms": 30_000}).deliveries
    assert (delivery.instance, delivery.sequence, delivery.count) == (instance, 3, 1)
    (got,) = delivery.records.records
    assert (got.key, got.body.decode(), got.headers[0].value) == (b"k", "没有文件", b"v")

    leased = {name: getattr(delivery, name) for name in ("topic", "queue", "lease", "first_offset", "count")}
    done = call(channel, pool, "Messaging", "Acknowledge")({"consumer_group": "g", "ranges": [leased]})
    assert pool.FindEnumTypeByName("tallymq.v1.LeaseResult").values_by_number[done.results[0]].name == "LEASE_RESULT_OK"

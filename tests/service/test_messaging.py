"""Publish, prepare, decide, route: what the service does when all is well, over the instant host and the real one."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from tallymq.proto import admin_pb2, messaging_pb2
from tallymq.raftlog import errors
from tests.service.running import SECONDS, Running, batch, bodies, error_info

M = messaging_pb2


def handle(half: messaging_pb2.HalfBatch, record: int, instance: int = 7, sequence: int = 1) -> messaging_pb2.Handle:
    return M.Handle(
        shard=half.shard, index=half.index, batch=half.batch, record=record, instance=instance, sequence=sequence
    )


async def prepare(node: Running, *texts: str, sequence: int = 1) -> messaging_pb2.HalfBatch:
    reply = await node.messaging.Prepare(
        M.PrepareRequest(
            identity=M.FrameIdentity(instance=7, sequence=sequence),
            producer_group="bank-a",
            batches=[batch("transfers", bodies(*texts), 0, 1)],
        )
    )
    return reply.batches[0]


async def visible(node: Running) -> list[str]:
    reply = await node.admin.Browse(admin_pb2.BrowseRequest(topic="transfers", records_max=1_000))
    return [record.body.decode() for delivery in reply.deliveries for record in delivery.records.records]


async def test_a_publish_is_visible_and_keeps_its_bytes(node: Running) -> None:
    await node.create_topic(queue_count=1)
    record = M.Record(key=b"k", tag="t", keys=["a"], body=b"body", priority=9, born_time_ms=5)
    record.headers.add(name="h", value=b"\x00\xff")
    reply = await node.messaging.Publish(M.PublishRequest(batches=[batch("transfers", [record], 0, 1)]))
    assert reply.batches[0].first_offset == 0
    assert reply.batches[0].visible_count == 1
    assert not reply.repeated_frame
    assert reply.identity.instance != 0
    browsed = await node.admin.Browse(admin_pb2.BrowseRequest(topic="transfers"))
    assert browsed.deliveries[0].records.records[0] == record
    message_id = reply.identity.instance.to_bytes(8, "big") + reply.identity.sequence.to_bytes(4, "big") + bytes(4)
    found = await node.admin.GetMessage(admin_pb2.GetMessageRequest(message_id=message_id))
    assert found.record == record


async def test_a_repeated_frame_is_stored_once(node: Running) -> None:
    await node.create_topic(queue_count=4)
    request = M.PublishRequest(
        identity=M.FrameIdentity(instance=9, sequence=4), batches=[batch("transfers", bodies("a", "b"))]
    )
    first = await node.messaging.Publish(request)
    again = await node.messaging.Publish(request)
    assert not first.repeated_frame
    assert again.repeated_frame
    assert again.batches == first.batches


async def test_a_half_is_invisible_until_it_is_committed_and_never_after_a_rollback(node: Running) -> None:
    await node.create_topic(queue_count=1)
    half = await prepare(node, "yes", "no", "later")
    assert await visible(node) == []
    await node.messaging.Commit(M.CommitRequest(producer_group="bank-a", handles=[handle(half, 0)]))
    await node.messaging.RollBack(M.RollBackRequest(producer_group="bank-a", handles=[handle(half, 1)]))
    assert await visible(node) == ["yes"]


async def test_the_first_decision_wins(node: Running) -> None:
    await node.create_topic(queue_count=1)
    half = await prepare(node, "a", "b")
    commit = M.CommitRequest(producer_group="bank-a", handles=[handle(half, 0)])
    await node.messaging.Commit(commit)
    await node.messaging.Commit(commit)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await node.messaging.RollBack(M.RollBackRequest(producer_group="bank-a", handles=[handle(half, 0)]))
    info = error_info(caught.value)
    assert (info.reason, info.metadata["code"], info.domain) == ("ALREADY_COMMITTED", "TMQ-TXN-003", "tallymq")
    assert await visible(node) == ["a"]


async def test_a_stream_carries_publishes_halves_and_decisions(node: Running) -> None:
    await node.create_topic(queue_count=1)
    stream = node.messaging.Produce()
    published = M.PublishRequest(batches=[batch("transfers", bodies("p"), 0, 1)])
    prepared = M.PrepareRequest(
        identity=M.FrameIdentity(instance=7, sequence=1),
        producer_group="bank-a",
        batches=[batch("transfers", bodies("a", "b", "c"), 0, 1)],
    )
    await stream.write(M.ProduceRequest(correlation=1, publish=published))
    await stream.write(M.ProduceRequest(correlation=2, prepare=prepared))
    replies = {}
    for _ in range(2):
        reply = await stream.read()
        replies[reply.correlation] = reply
    assert replies[1].publish.batches[0].visible_count == 1
    half = replies[2].prepare.batches[0]
    decision = M.Decision(
        shard=half.shard,
        index=half.index,
        batch=half.batch,
        instance=7,
        sequence=1,
        commit_bits=b"\x05",
        roll_back_bits=b"\x02",
    )
    decide = M.DecideRequest(producer_group="bank-a", decisions=[decision])
    await stream.write(M.ProduceRequest(correlation=3, decide=decide))
    reply = await stream.read()
    assert reply.correlation == 3
    assert reply.decide.results == [M.DecisionResult()]
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert await visible(node) == ["p", "a", "c"]


async def test_many_frames_of_one_stream_are_all_answered_though_few_may_be_under_way(instant_small: Running) -> None:
    await instant_small.create_topic(queue_count=1)
    stream = instant_small.messaging.Produce()
    count = 200

    async def write() -> None:
        for number in range(count):
            frame = M.PublishRequest(batches=[batch("transfers", bodies(str(number)), 0, 1)])
            await stream.write(M.ProduceRequest(correlation=number + 1, publish=frame))
        await stream.done_writing()

    writer = asyncio.create_task(write())
    seen = []
    while (reply := await stream.read()) is not grpc.aio.EOF:
        assert reply.HasField("publish"), reply
        seen.append(reply.correlation)
    await writer
    assert sorted(seen) == list(range(1, count + 1))


async def test_a_route_names_topics_shards_and_the_node(node: Running) -> None:
    topic = await node.create_topic(queue_count=4)
    route = await node.messaging.Route(M.RouteRequest(topics=["transfers", "nowhere"]))
    assert route.cluster == "tallymq"
    assert [each.node for each in route.nodes] == ["node-1"]
    assert route.nodes[0].client_address == str(node.node.address)
    assert {shard.leader for shard in route.shards} == {"node-1"}
    assert [each.topic for each in route.topics] == ["transfers"]
    assert sorted(topic.queue_shards) == [0, 1, 2, 3]


async def test_who_does_not_lead_says_who_does_and_that_nothing_happened(instant: Running) -> None:
    await instant.create_topic(queue_count=1)
    route = await instant.messaging.Route(M.RouteRequest(topics=["transfers"]))
    instant.host.lead(route.topics[0].queue_shards[0], "node-2")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await instant.messaging.Publish(M.PublishRequest(batches=[batch("transfers", bodies("a"), 0, 1)]))
    info = error_info(caught.value)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert (info.reason, info.metadata["definite"], info.metadata["retryable"]) == ("NOT_LEADER", "true", "true")


@pytest.mark.parametrize(
    ("failure", "name", "definite"),
    [
        (errors.Overloaded(), "OVERLOADED", "true"),
        (errors.DiskFull(), "DISK_FULL", "true"),
        (errors.ShardStopped("a test"), "SHARD_STOPPED", "true"),
        (errors.OutcomeUnknown(), "OUTCOME_UNKNOWN", "false"),
    ],
)
async def test_what_the_log_refuses_is_said_with_whether_it_may_have_happened(
    instant: Running, failure: Exception, name: str, definite: str
) -> None:
    await instant.create_topic(queue_count=1)
    route = await instant.messaging.Route(M.RouteRequest(topics=["transfers"]))
    shard = instant.host.shards[route.topics[0].queue_shards[0]]
    shard.fail_next.append(failure)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await instant.messaging.Publish(
            M.PublishRequest(batches=[batch("transfers", bodies("a"), 0, 1)]), timeout=SECONDS
        )
    info = error_info(caught.value)
    assert (info.reason, info.metadata["definite"]) == (name, definite)

"""Deleting a topic: what is in doubt stops it, nothing goes before it is final, no offset is used again."""

from __future__ import annotations

import asyncio

import google_crc32c
import grpc
import pytest

from tallymq.proto import admin_pb2, messaging_pb2
from tallymq.service import admin
from tallymq.txn import queries
from tallymq.txn.answers import QueueInfo, TopicInfo
from tallymq.txn.commands import ConfirmDelete, Decide, Decision, DeleteTopic, DropQueue, Prepare
from tallymq.txn.outcomes import Decided, DecisionOutcome, Prepared
from tallymq.txn.types import Batch, Identity
from tests.service.running import SECONDS, Running, batch, bodies, error_info
from tests.support.view import SortedView
from tests.support.waiting import until

TOPIC, QUEUES = "transfers", 4
M, A = messaging_pb2, admin_pb2


async def publish(node: Running, sequence: int) -> list[int]:
    """Publish one message into each queue; return their offsets."""
    offsets = []
    for queue in range(QUEUES):
        identity = M.FrameIdentity(instance=7, sequence=QUEUES * sequence + queue)
        request = M.PublishRequest(identity=identity, batches=[batch(TOPIC, bodies("a"), queue, QUEUES)])
        reply = await node.messaging.Publish(request, timeout=SECONDS)
        offsets.append(reply.batches[0].first_offset)
    return offsets


def topic(node: Running) -> TopicInfo | None:
    return queries.topic(node.host.shards[0].view, TOPIC)


def queue_infos(node: Running) -> list[QueueInfo]:
    found = (queries.queues(shard.view, "", 0, 100) for shard in node.host.shards.values())
    return [info for infos in found for info in infos]


def start_deletion(node: Running) -> asyncio.Future[admin_pb2.DeleteTopicReply]:
    return asyncio.ensure_future(delete(node))


async def delete(node: Running) -> admin_pb2.DeleteTopicReply:
    return await node.admin.DeleteTopic(A.DeleteTopicRequest(name=TOPIC), timeout=SECONDS)


async def stop_short_of(node: Running, shard: int) -> None:
    """Wait until every queue is marked but that of a shard that another node leads."""
    others = [each for each in node.host.shards.values() if each.number != shard]
    await until(lambda: all(info.dropping for each in others for info in queries.queues(each.view, "", 0, 100)))


def prepare_on(node: Running, shard: int) -> Prepared:
    """Store a half batch on the shard's queue as its leader does, whatever this node knows of the topic."""
    (info,) = queries.queues(node.host.shards[shard].view, "", 0, 100)
    record = messaging_pb2.RecordBatch(records=bodies("half")).SerializeToString()
    half = Batch(TOPIC, info.queue, QUEUES, 1, 0, len(record), google_crc32c.value(record))
    identity = Identity(8, 1, node.host.now_ms() + 60_000)
    return node.host.shards[shard].propose(Prepare(identity, "bank-a", "", (half,), 60_000), [record])


def removals(node: Running) -> list[DropQueue]:
    proposed = (command for shard in node.host.shards.values() for command in shard.commands)
    return [command for command in proposed if isinstance(command, DropQueue) and command.limit > 0]


@pytest.mark.parametrize("shard", [1, 3])
async def test_a_half_prepared_while_its_topic_is_deleted_stops_that_and_offsets_go_on(
    instant: Running, shard: int
) -> None:
    node = instant
    await node.create_topic(TOPIC, QUEUES)
    assert await publish(node, 1) == [0] * QUEUES
    node.host.lead(shard, "node-2")
    deletion = start_deletion(node)
    await stop_short_of(node, shard)
    assert topic(node).deleting
    assert not topic(node).confirmed
    # This node leads the shard again, and stores the half before it looks at the topics.
    node.host.lead(shard, "node-1")
    half = await prepare_on(node, shard)
    assert isinstance(half, Prepared)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await deletion
    assert error_info(refused.value).reason == "TOPIC_IN_DOUBT"
    await until(lambda: not any(info.dropping for info in queue_infos(node)))
    assert removals(node) == []
    assert await publish(node, 2) == [1] * QUEUES
    # Refused while it is in doubt; once decided, the same call succeeds.
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await delete(node)
    assert error_info(refused.value).reason == "TOPIC_IN_DOUBT"
    decision = Decision(half.batches[0].index, 0, 8, 1, 1, 0)
    decided = await node.host.shards[shard].propose(Decide("bank-a", "", "call", (decision,)))
    assert decided == Decided((DecisionOutcome(0, 0),))
    await delete(node)
    assert topic(node) is None
    assert queue_infos(node) == []


async def test_a_deletion_waits_for_a_shard_without_a_leader_and_goes_on_with_one(
    instant: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = instant
    await node.create_topic(TOPIC, QUEUES)
    await publish(node, 1)
    node.host.lead(2, "")
    monkeypatch.setattr(admin, "WAIT_S_MAX", 0.2)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await delete(node)
    assert error_info(refused.value).reason == "TIMED_OUT"
    await stop_short_of(node, 2)
    assert [(info.next_offset, info.record_bytes > 0) for info in queue_infos(node)] == [(1, True)] * QUEUES
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await publish(node, 2)
    assert error_info(refused.value).reason == "TOPIC_DELETING"
    node.host.lead(2, "node-1")
    await until(lambda: topic(node) is None)
    assert queue_infos(node) == []
    monkeypatch.undo()
    await node.create_topic(TOPIC, QUEUES)
    assert await publish(node, 3) == [0] * QUEUES


async def test_a_queue_goes_only_once_the_deletion_is_final(instant: Running) -> None:
    node = instant
    await node.create_topic(TOPIC, QUEUES)
    await publish(node, 1)
    await delete(node)
    for shard in node.host.shards.values():
        limits = [command.limit for command in shard.commands if isinstance(command, DropQueue)]
        assert limits[0] == 0
        assert limits[1:]
        assert all(limits[1:])
    confirmed = [type(command).__name__ for command in node.host.shards[0].commands]
    assert confirmed.index("DeleteTopic") < confirmed.index("ConfirmDelete") < confirmed.index("RemoveTopic")


async def test_a_copy_that_lags_behind_does_not_free_a_name_too_early(instant: Running) -> None:
    node = instant
    await node.create_topic(TOPIC, QUEUES)
    # This node's copy of a shard that another one leads has not heard of the topic yet; elsewhere all was marked.
    behind = node.host.shards[3]
    copy, behind.view = behind.view, SortedView()
    node.host.lead(3, "node-2")
    metadata = node.host.shards[0]
    await metadata.propose(DeleteTopic(TOPIC))
    found = topic(node)
    await metadata.propose(ConfirmDelete(TOPIC, found.topic_id, found.deletion))
    await until(lambda: queue_infos(node) == [])
    # Compared once more from beginning to end.
    await node.node.parts.reconcile._compare()
    assert topic(node).confirmed
    behind.view = copy
    node.host.lead(3, "node-1")
    await until(lambda: topic(node) is None)
    assert queue_infos(node) == []


async def test_a_topic_can_be_made_and_deleted_over_and_over(node: Running) -> None:
    for sequence in range(1, 4):
        await node.create_topic(TOPIC, QUEUES)
        assert await publish(node, sequence) == [0] * QUEUES
        await delete(node)
        assert queue_infos(node) == []


async def test_a_topic_whose_queues_are_not_made_in_time_may_exist(
    instant: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "WAIT_S_MAX", 0.2)
    instant.host.lead(1, "node-2")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await instant.admin.CreateTopic(A.CreateTopicRequest(name=TOPIC, queue_count=QUEUES), timeout=SECONDS)
    assert error_info(caught.value).reason == "TIMED_OUT"
    assert error_info(caught.value).metadata["definite"] == "false"
    assert topic(instant) is not None

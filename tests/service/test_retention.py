"""Messages past their topic's retention go by themselves; what a group has not done with stays, and is counted."""

from pathlib import Path

from tallymq.proto import admin_pb2, messaging_pb2
from tallymq.txn import queries
from tallymq.txn.commands import Acknowledge, Lease, LeasedRange, PutGroup
from tests.service.running import Running, batch, bodies, running
from tests.support.waiting import until

SECONDS = 30.0
TOPIC = "transfers"


async def made(node: Running, **settings: int) -> None:
    request = admin_pb2.CreateTopicRequest(name=TOPIC, queue_count=1, settings=admin_pb2.TopicSettings(**settings))
    await node.admin.CreateTopic(request, timeout=SECONDS)
    await node.messaging.Route(messaging_pb2.RouteRequest(topics=[TOPIC]), timeout=SECONDS)


async def publish(node: Running, text: str) -> None:
    request = messaging_pb2.PublishRequest(batches=[batch(TOPIC, bodies(text), 0, 1)])
    await node.messaging.Publish(request, timeout=SECONDS)


def first_offset(node: Running) -> int:
    for shard in node.host.shards.values():
        info = queries.queue(shard.view, TOPIC, 0)
        if info is not None:
            return info.first_offset
    return -1


async def test_a_queue_keeps_about_as_many_bytes_as_its_topic_says(tmp_path: Path) -> None:
    async with running(tmp_path, instant=False, retention_interval_ms="100") as node:
        await made(node, retention_bytes=2_500)
        for _ in range(10):
            await publish(node, "x" * 990)
        await until(lambda: first_offset(node) == 8)
        pages = await node.admin.ListTopics(admin_pb2.ListTopicsRequest(), timeout=SECONDS)
        assert [topic.name for topic in pages.topics] == [TOPIC]


async def test_messages_go_when_they_are_old_enough(tmp_path: Path) -> None:
    async with running(tmp_path, instant=False, retention_interval_ms="100") as node:
        await made(node, retention_ms=1)
        for number in range(3):
            await publish(node, f"{number}")
        await until(lambda: first_offset(node) == 3)
        await publish(node, "one more")
        await until(lambda: first_offset(node) == 4)


async def test_what_a_slow_group_has_not_done_with_stays_and_is_counted(tmp_path: Path) -> None:
    async with running(tmp_path, instant=False, retention_interval_ms="100") as node:
        await made(node, retention_bytes=1)
        (shard,) = (shard for shard in node.host.shards.values() if queries.queue(shard.view, TOPIC, 0) is not None)
        await shard.propose(PutGroup("bank", 3, 600_000, 10, 100))
        leased = Lease("bank", TOPIC, 0, 1, 1, 1 << 20, 600_000, False)
        await shard.propose(leased)
        for number in range(5):
            await publish(node, f"{number}")
        retention = node.node.parts.retention
        await until(lambda: retention.held.get(shard.number) == 5)
        assert first_offset(node) == 0
        await shard.propose(leased)
        await shard.propose(Acknowledge("bank", (LeasedRange(TOPIC, 0, 1, 0, 1),)))
        await until(lambda: first_offset(node) == 1)
        await until(lambda: retention.held.get(shard.number) == 4)
        page = node.node._metrics.page().decode()
        assert f'tallymq_retention_held_messages{{shard="{shard.number}"}} 4.0' in page
        assert "tallymq_log_bytes" in page

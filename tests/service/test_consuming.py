"""Fetch, subscribe, acknowledge and the rest of a consumer's life."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import google_crc32c
import grpc

from tallymq.proto import admin_pb2, messaging_pb2
from tallymq.raftlog.errors import NotLeader, Overloaded
from tallymq.service.node import now_ms
from tallymq.txn.commands import Command, Lease
from tallymq.txn.outcomes import Result
from tests.service.running import SECONDS, Running, batch, bodies
from tests.support.waiting import until

M = messaging_pb2


async def publish(node: Running, *texts: str, queue: int = 0, queue_count: int = 1) -> None:
    made = batch("transfers", bodies(*texts), queue, queue_count)
    await node.messaging.Publish(M.PublishRequest(batches=[made]), timeout=SECONDS)


def fetch(**fields: object) -> messaging_pb2.FetchRequest:
    plain = {"consumer_group": "bank-b", "topic": "transfers", "consumer": 1}
    return M.FetchRequest(**plain | fields)


def leased(delivery: messaging_pb2.Delivery, **changes: int) -> messaging_pb2.LeasedRange:
    plain = {
        "topic": delivery.topic,
        "queue": delivery.queue,
        "lease": delivery.lease,
        "first_offset": delivery.first_offset,
        "count": delivery.count,
    }
    return M.LeasedRange(**plain | changes)


def texts_of(deliveries: list[messaging_pb2.Delivery]) -> list[str]:
    return [record.body.decode() for delivery in deliveries for record in delivery.records.records]


class Subscriber:
    """A subscribe stream."""

    def __init__(self, node: Running, **fields: object) -> None:
        plain = {"consumer_group": "bank-b", "topic": "transfers", "consumer": 1}
        self._start = M.SubscribeRequest(start=M.SubscribeStart(**plain | fields))
        self.stream = node.messaging.Subscribe()

    async def start(self, records: int = 1_000, record_bytes: int = 1 << 20) -> Subscriber:
        await self.stream.write(self._start)
        await self.credit(records, record_bytes)
        return self

    async def credit(self, records: int, record_bytes: int = 1 << 20) -> None:
        await self.stream.write(M.SubscribeRequest(credit=M.Credit(records=records, record_bytes=record_bytes)))

    async def read(self) -> messaging_pb2.SubscribeReply:
        return await asyncio.wait_for(self.stream.read(), SECONDS)

    async def texts(self, count: int) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            found += texts_of([(await self.read()).delivery])
        return found


async def test_a_fetch_returns_what_is_there_with_its_checksum(node: Running) -> None:
    await node.create_topic(queue_count=1)
    await publish(node, "a", "b", "c")
    reply = await node.messaging.Fetch(fetch())
    assert texts_of(reply.deliveries) == ["a", "b", "c"]
    delivery = reply.deliveries[0]
    assert delivery.crc32c == google_crc32c.value(delivery.records.SerializeToString())
    assert (delivery.attempt, delivery.count, delivery.first_offset) == (1, 3, 0)
    assert (await node.messaging.Fetch(fetch())).deliveries == []


async def test_a_fetch_waits_for_a_message_to_come(node: Running) -> None:
    await node.create_topic(queue_count=4)
    waiting = asyncio.ensure_future(node.messaging.Fetch(fetch(wait_ms=60_000), timeout=SECONDS))
    await until(lambda: all(shard.applied_index > 1 for shard in node.host.shards.values()))
    await publish(node, "late", queue=2, queue_count=4)
    assert texts_of((await waiting).deliveries) == ["late"]


async def test_a_fetch_ends_with_nothing_when_the_wait_is_over(node: Running) -> None:
    await node.create_topic(queue_count=4)
    assert (await node.messaging.Fetch(fetch(wait_ms=30), timeout=SECONDS)).deliveries == []


async def test_a_waiting_fetch_that_finds_nothing_writes_nothing(instant: Running) -> None:
    await instant.create_topic(queue_count=4)
    await instant.messaging.Fetch(fetch())
    before = leases_proposed(instant)
    assert before >= 4, "a new group takes its place on each queue"
    await instant.messaging.Fetch(fetch(wait_ms=50), timeout=SECONDS)
    assert leases_proposed(instant) == before


def leases_proposed(node: Running) -> int:
    return sum(isinstance(command, Lease) for shard in node.host.shards.values() for command in shard.commands)


async def test_a_fetch_takes_no_more_than_it_asked_for(node: Running) -> None:
    await node.create_topic(queue_count=1)
    await publish(node, "a", "b", "c")
    first = await node.messaging.Fetch(fetch(records_max=2))
    second = await node.messaging.Fetch(fetch(records_max=2))
    assert texts_of(first.deliveries) == ["a", "b"]
    assert texts_of(second.deliveries) == ["c"]


async def test_only_committed_records_of_a_batch_leave(node: Running) -> None:
    await node.create_topic(queue_count=1)
    prepared = await node.messaging.Prepare(
        M.PrepareRequest(
            identity=M.FrameIdentity(instance=7, sequence=1),
            producer_group="bank-a",
            batches=[batch("transfers", bodies("a", "b", "c", "d"), 0, 1)],
        )
    )
    half = prepared.batches[0]
    decision = M.Decision(
        shard=half.shard, index=half.index, batch=half.batch, instance=7, sequence=1, commit_bits=b"\x09"
    )
    stream = node.messaging.Produce()
    decide = M.DecideRequest(producer_group="bank-a", decisions=[decision])
    await stream.write(M.ProduceRequest(correlation=1, decide=decide))
    assert (await stream.read()).HasField("decide")
    delivery = (await node.messaging.Fetch(fetch(wait_ms=10_000))).deliveries[0]
    assert texts_of([delivery]) == ["a", "d"]
    assert list(delivery.positions) == [0, 3]
    assert delivery.crc32c == google_crc32c.value(delivery.records.SerializeToString())


async def test_acknowledged_messages_do_not_come_again_and_others_do(node: Running) -> None:
    await node.create_topic(queue_count=1)
    await publish(node, "done", "again")
    delivery = (await node.messaging.Fetch(fetch())).deliveries[0]
    done = M.AcknowledgeRequest(consumer_group="bank-b", ranges=[leased(delivery, count=1)])
    assert (await node.messaging.Acknowledge(done)).results == [M.LEASE_RESULT_OK]
    again = M.NegativeAcknowledgeRequest(
        consumer_group="bank-b", ranges=[leased(delivery, first_offset=1, count=1)], delay_ms=1, reason="a test"
    )
    assert (await node.messaging.NegativeAcknowledge(again)).results == [M.LEASE_RESULT_OK]
    second = (await node.messaging.Fetch(fetch(wait_ms=60_000), timeout=SECONDS)).deliveries[0]
    assert texts_of([second]) == ["again"]
    assert second.attempt == 2
    assert second.lease > delivery.lease
    stale = M.AcknowledgeRequest(consumer_group="bank-b", ranges=[leased(delivery, first_offset=1, count=1)])
    assert (await node.messaging.Acknowledge(stale)).results == [M.LEASE_RESULT_LOST]


async def test_an_expired_lease_is_delivered_again(node: Running) -> None:
    await node.create_topic(queue_count=1)
    group = admin_pb2.PutGroupRequest(name="bank-b", settings=admin_pb2.GroupSettings(backoff_ms_min=1))
    await node.admin.PutGroup(group)
    await publish(node, "a")
    first = (await node.messaging.Fetch(fetch(lease_ms=1_000))).deliveries[0]
    second = (await node.messaging.Fetch(fetch(wait_ms=60_000), timeout=SECONDS)).deliveries[0]
    assert (first.attempt, second.attempt) == (1, 2)


async def test_an_extended_lease_ends_later(node: Running) -> None:
    await node.create_topic(queue_count=1)
    await publish(node, "a")
    delivery = (await node.messaging.Fetch(fetch())).deliveries[0]
    extend = M.ExtendRequest(consumer_group="bank-b", ranges=[leased(delivery)], lease_ms=60_000)
    assert (await node.messaging.Extend(extend)).results == [M.LEASE_RESULT_OK]


async def test_a_dead_letter_keeps_its_reason(node: Running) -> None:
    await node.create_topic(queue_count=1)
    await publish(node, "poison")
    delivery = (await node.messaging.Fetch(fetch())).deliveries[0]
    bury = M.NegativeAcknowledgeRequest(
        consumer_group="bank-b", ranges=[leased(delivery)], dead_letter=True, reason="not JSON"
    )
    await node.messaging.NegativeAcknowledge(bury)
    letters = await node.admin.ListDeadLetters(admin_pb2.ListDeadLettersRequest(group="bank-b", topic="transfers"))
    assert [(letter.offset, letter.reason, letter.attempts) for letter in letters.dead_letters] == [(0, "not JSON", 1)]


async def test_a_subscriber_is_sent_messages_of_all_queues(node: Running) -> None:
    await node.create_topic(queue_count=4)
    subscriber = await Subscriber(node).start()
    for queue in range(4):
        await publish(node, f"m{queue}", queue=queue, queue_count=4)
    assert sorted(await subscriber.texts(4)) == ["m0", "m1", "m2", "m3"]
    subscriber.stream.cancel()


async def test_nothing_is_sent_beyond_the_credit(node: Running) -> None:
    await node.create_topic(queue_count=1)
    await publish(node, *"abcde")
    subscriber = await Subscriber(node).start(records=2)
    assert await subscriber.texts(2) == ["a", "b"]
    group = await node.admin.GetGroup(admin_pb2.GetGroupRequest(name="bank-b"))
    assert group.group.queues[0].leased == 2
    assert group.group.consumers == 1
    await subscriber.credit(2)
    assert await subscriber.texts(2) == ["c", "d"]
    subscriber.stream.cancel()


async def test_too_much_credit_is_refused_and_the_stream_goes_on(node: Running) -> None:
    await node.create_topic(queue_count=1)
    subscriber = await Subscriber(node).start(records=1)
    await subscriber.stream.write(M.SubscribeRequest(correlation=5, credit=M.Credit(records=1_000_001)))
    reply = await subscriber.read()
    assert (reply.correlation, reply.refusal.name) == (5, "CREDIT_TOO_LARGE")
    await publish(node, "a")
    assert await subscriber.texts(1) == ["a"]
    subscriber.stream.cancel()


async def test_acknowledgements_on_the_stream_are_answered_by_correlation(node: Running) -> None:
    await node.create_topic(queue_count=1)
    await publish(node, "a")
    subscriber = await Subscriber(node).start()
    delivery = (await subscriber.read()).delivery
    acknowledge = M.AcknowledgeRequest(consumer_group="bank-b", ranges=[leased(delivery)])
    await subscriber.stream.write(M.SubscribeRequest(correlation=8, acknowledge=acknowledge))
    reply = await subscriber.read()
    assert (reply.correlation, list(reply.lease.results)) == (8, [M.LEASE_RESULT_OK])
    await subscriber.stream.write(M.SubscribeRequest(correlation=9, acknowledge=M.AcknowledgeRequest()))
    reply = await subscriber.read()
    assert (reply.correlation, reply.refusal.name, reply.refusal.definite) == (9, "MISSING_FIELD", True)
    await subscriber.stream.done_writing()
    assert await subscriber.read() is grpc.aio.EOF


async def test_two_consumers_of_a_group_share_and_two_groups_each_get_all(node: Running) -> None:
    await node.create_topic(queue_count=1)
    first = await Subscriber(node, delivery_records_max=1).start(records=2)
    second = await Subscriber(node, consumer=2, delivery_records_max=1).start(records=2)
    other = await Subscriber(node, consumer_group="audit", consumer=3).start()
    await publish(node, *"abcd")
    shared = await first.texts(2) + await second.texts(2)
    assert sorted(shared) == ["a", "b", "c", "d"]
    assert await other.texts(4) == ["a", "b", "c", "d"]
    for each in (first, second, other):
        each.stream.cancel()


async def test_who_starts_at_latest_gets_only_what_comes_after(node: Running) -> None:
    await node.create_topic(queue_count=1)
    await publish(node, "old")
    await node.messaging.Fetch(fetch(start_at=M.START_AT_LATEST))
    await publish(node, "new")
    reply = await node.messaging.Fetch(fetch(wait_ms=10_000))
    assert texts_of(reply.deliveries) == ["new"]


async def test_a_delayed_message_comes_when_it_is_due(node: Running) -> None:
    await node.create_topic(queue_count=1)
    made = batch("transfers", bodies("later"), 0, 1, (now_ms() + 300,))
    stored = await node.messaging.Publish(M.PublishRequest(batches=[made]))
    assert stored.batches[0].visible_count == 0
    reply = await node.messaging.Fetch(fetch(wait_ms=60_000), timeout=SECONDS)
    assert texts_of(reply.deliveries) == ["later"]


async def test_a_subscription_ends_when_its_topic_is_deleted(node: Running) -> None:
    await node.create_topic(queue_count=2)
    subscriber = await Subscriber(node).start()
    await node.admin.DeleteTopic(admin_pb2.DeleteTopicRequest(name="transfers"), timeout=SECONDS)
    try:
        ended = await subscriber.read()
    except grpc.aio.AioRpcError as error:
        ended = error.code()
    assert ended is grpc.StatusCode.NOT_FOUND
    assert (await node.admin.ListTopics(admin_pb2.ListTopicsRequest())).topics == []


async def test_leases_follow_when_the_shard_is_led_here_again(instant: Running) -> None:
    topic = await instant.create_topic(queue_count=1)
    number = topic.queue_shards[0]
    subscriber = await Subscriber(instant).start()
    await publish(instant, "a")
    assert await subscriber.texts(1) == ["a"]
    instant.host.lead(number, "node-2")
    instant.host.lead(number, "node-1")
    await publish(instant, "b")
    assert await subscriber.texts(1) == ["b"]
    subscriber.stream.cancel()


async def test_settings_given_by_an_operator_stand_though_a_consumer_comes_at_the_same_time(node: Running) -> None:
    await node.create_topic(queue_count=4)
    names = [f"bank-{number}" for number in range(30)]
    settings = admin_pb2.GroupSettings(attempts_max=3)
    await asyncio.gather(
        *[
            call
            for name in names
            for call in (
                node.admin.PutGroup(admin_pb2.PutGroupRequest(name=name, settings=settings), timeout=SECONDS),
                node.messaging.Fetch(fetch(consumer_group=name), timeout=SECONDS),
            )
        ]
    )
    for name in names:
        reply = await node.admin.GetGroup(admin_pb2.GetGroupRequest(name=name), timeout=SECONDS)
        assert reply.group.settings.attempts_max == 3, name


async def test_a_refused_lane_pauses_and_then_serves(instant: Running) -> None:
    route = await instant.create_topic(queue_count=1)
    await publish(instant, "a")
    shard = instant.host.shards[route.queue_shards[0]]
    propose, refused, refuses = shard.propose, [], [True]

    def refuse(command: Command, bodies: Sequence[bytes] = ()) -> asyncio.Future[Result]:
        if isinstance(command, Lease) and refuses:
            refused.append(command)
            raise Overloaded("full") if len(refused) % 2 else NotLeader("")
        return propose(command, bodies)

    shard.propose = refuse
    subscriber = await Subscriber(instant).start()
    await until(lambda: refused)
    for _ in range(1_000):
        await asyncio.sleep(0)
    # Without a pause it would ask again every few turns of the loop.
    assert len(refused) < 100
    refuses.clear()
    assert (await subscriber.read()).delivery.count == 1
    subscriber.stream.cancel()

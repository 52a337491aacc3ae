"""A machine's clock an hour off: time is the log's, so leases, deadlines and checks go on as if nothing were."""

from __future__ import annotations

import pytest

from tallymq.proto import admin_pb2, messaging_pb2
from tallymq.service.node import now_ms
from tallymq.txn.commands import Expire, RecordChecks
from tests.service.running import SECONDS, Running, batch, bodies
from tests.service.test_checks import COMMITTED, Producer, id_of, prepare, wait_for_state
from tests.support.waiting import until

M = messaging_pb2
HOUR_MS = 3_600_000
OFF = pytest.mark.parametrize("log_ahead_ms", [-HOUR_MS, HOUR_MS], ids=["clock an hour ahead", "clock an hour behind"])


@OFF
async def test_a_frame_without_a_deadline_is_taken_however_wrong_the_clock_is(
    instant: Running, log_ahead_ms: int
) -> None:
    instant.host.now_ms = lambda: now_ms() + log_ahead_ms
    await instant.create_topic(queue_count=1)
    request = M.PublishRequest(batches=[batch("transfers", bodies("a"))])
    reply = await instant.messaging.Publish(request, timeout=SECONDS)
    assert reply.batches[0].visible_count == 1


@OFF
async def test_a_lease_ends_in_its_time_however_wrong_the_clock_is(instant: Running, log_ahead_ms: int) -> None:
    instant.host.now_ms = lambda: now_ms() + log_ahead_ms
    await instant.create_topic(queue_count=1)
    await instant.messaging.Publish(M.PublishRequest(batches=[batch("transfers", bodies("a"))]), timeout=SECONDS)
    fetch = M.FetchRequest(consumer_group="bank-b", topic="transfers", consumer=1, lease_ms=1_000, wait_ms=50_000)
    first = await instant.messaging.Fetch(fetch, timeout=SECONDS)
    second = await instant.messaging.Fetch(fetch, timeout=SECONDS)
    assert [reply.deliveries[0].attempt for reply in (first, second)] == [1, 2]
    # With a clock that is ahead of the log's, what is not due yet would be expired again and again.
    expiries = [each for shard in instant.host.shards.values() for each in shard.commands if isinstance(each, Expire)]
    assert len(expiries) <= 3


@OFF
async def test_checks_come_in_their_time_however_wrong_the_clock_is(instant_hasty: Running, log_ahead_ms: int) -> None:
    node = instant_hasty
    node.host.now_ms = lambda: now_ms() + log_ahead_ms
    await node.create_topic(queue_count=1)
    producer = await Producer(node).start()
    half = await prepare(node, "a")
    shard = node.host.shards[half.shard]
    prepared_ms = shard.clock_ms
    check = await producer.check()
    moved = [
        each.next_check_ms for command in shard.commands if isinstance(command, RecordChecks) for each in command.checks
    ]
    assert all(abs(next_ms - prepared_ms) < HOUR_MS // 2 for next_ms in moved)
    await producer.answer(check, commit=b"\x01")
    await wait_for_state(node, id_of(0), COMMITTED)
    await producer.leave()


@OFF
async def test_the_age_of_a_transaction_is_told_by_the_log_however_wrong_the_clock_is(
    instant: Running, log_ahead_ms: int
) -> None:
    instant.host.now_ms = lambda: now_ms() + log_ahead_ms
    await instant.create_topic(queue_count=1)
    await prepare(instant, "a")
    shard = instant.host.shards[0]
    prepared_ms = shard.clock_ms
    young = admin_pb2.ListTransactionsRequest(in_doubt=True, older_ms=HOUR_MS // 2)
    assert len((await instant.admin.ListTransactions(young, timeout=SECONDS)).transactions) == 0
    await until(lambda: shard.clock_ms > prepared_ms + 1)
    old = admin_pb2.ListTransactionsRequest(in_doubt=True, older_ms=1)
    assert len((await instant.admin.ListTransactions(old, timeout=SECONDS)).transactions) == 1

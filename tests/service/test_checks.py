"""Checks: who is asked about transactions in doubt, what follows from the answer, and that nothing is dropped."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from tallymq.proto import admin_pb2, messaging_pb2
from tallymq.raftlog.errors import BodyDamaged
from tallymq.txn.commands import RecordChecks
from tallymq.txn.types import Reference
from tests.service.running import SECONDS, Running, batch, bodies, error_info
from tests.support.waiting import until

M, A = messaging_pb2, admin_pb2
IN_DOUBT, COMMITTED, ROLLED_BACK = (
    A.TRANSACTION_STATE_IN_DOUBT,
    A.TRANSACTION_STATE_COMMITTED,
    A.TRANSACTION_STATE_ROLLED_BACK,
)


class Producer:
    """A session stream."""

    def __init__(self, node: Running, instance: int = 7, group: str = "bank-a", wants_records: bool = False) -> None:
        self._hello = M.SessionHello(producer_group=group, instance=instance, wants_records=wants_records)
        self.stream = node.messaging.Session()

    async def start(self) -> Producer:
        await self.stream.write(M.SessionRequest(hello=self._hello))
        welcome = await self.read()
        assert welcome.welcome.node == "node-1"
        return self

    async def read(self) -> messaging_pb2.SessionReply:
        return await asyncio.wait_for(self.stream.read(), SECONDS)

    async def check(self) -> messaging_pb2.Check:
        reply = await self.read()
        assert reply.HasField("check")
        return reply.check

    async def answer(self, check: messaging_pb2.Check, commit: bytes = b"", roll_back: bytes = b"") -> None:
        answer = M.CheckAnswer(check=check.check, commit_bits=commit, roll_back_bits=roll_back)
        await self.stream.write(M.SessionRequest(answer=answer))

    async def leave(self) -> None:
        await self.stream.done_writing()
        assert await self.read() is grpc.aio.EOF


async def prepare(node: Running, *texts: str, instance: int = 7, sequence: int = 1) -> messaging_pb2.HalfBatch:
    reply = await node.messaging.Prepare(
        M.PrepareRequest(
            identity=M.FrameIdentity(instance=instance, sequence=sequence),
            producer_group="bank-a",
            batches=[batch("transfers", bodies(*texts), 0, 1)],
            check_after_ms=1_000,
        )
    )
    return reply.batches[0]


def id_of(position: int, instance: int = 7, sequence: int = 1) -> bytes:
    return instance.to_bytes(8, "big") + sequence.to_bytes(4, "big") + position.to_bytes(4, "big")


async def transaction(node: Running, transaction_id: bytes) -> admin_pb2.Transaction:
    reply = await node.admin.GetTransaction(A.GetTransactionRequest(transaction_id=transaction_id))
    return reply.transaction


async def wait_for_state(node: Running, transaction_id: bytes, state: int) -> admin_pb2.Transaction:
    async with asyncio.timeout(SECONDS):
        while (found := await transaction(node, transaction_id)).state != state:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


async def test_an_undecided_half_is_checked_and_the_answer_decides(node: Running) -> None:
    await node.create_topic(queue_count=1)
    producer = await Producer(node).start()
    half = await prepare(node, "yes", "no")
    check = await producer.check()
    assert check.half == half
    assert (check.instance, check.sequence, check.attempt, check.topic) == (7, 1, 1, "transfers")
    assert check.in_doubt_bits == b"\x03"
    assert check.records.records == []
    await producer.answer(check, commit=b"\x01", roll_back=b"\x02")
    committed = await wait_for_state(node, id_of(0), COMMITTED)
    rolled_back = await wait_for_state(node, id_of(1), ROLLED_BACK)
    assert (committed.decided_by, rolled_back.decided_by) == ("check", "check")
    browsed = await node.admin.Browse(A.BrowseRequest(topic="transfers"))
    assert [r.body for d in browsed.deliveries for r in d.records.records] == [b"yes"]
    await producer.leave()


async def test_an_unknown_answer_leaves_it_in_doubt_and_it_is_asked_again(instant_hasty: Running) -> None:
    node = instant_hasty
    await node.create_topic(queue_count=1)
    producer = await Producer(node).start()
    await prepare(node, "a")
    check = await producer.check()
    await producer.answer(check)
    assert (await transaction(node, id_of(0))).state == IN_DOUBT
    # An operator need not wait for the back-off.
    await moved(node, at_least=2)
    asked = await node.admin.CheckTransaction(A.CheckTransactionRequest(transaction_id=id_of(0)))
    assert asked.sessions == 1
    again = await producer.check()
    assert again.attempt == 2
    await producer.answer(again, roll_back=b"\x01")
    await wait_for_state(node, id_of(0), ROLLED_BACK)


async def moved(node: Running, at_least: int) -> None:
    """Wait until the check scheduler has recorded so often what it did."""
    await until(lambda: len(recorded(node)) >= at_least)


def recorded(node: Running) -> list[RecordChecks]:
    return [c for shard in node.host.shards.values() for c in shard.commands if isinstance(c, RecordChecks)]


async def test_the_preparing_instance_is_asked_before_any_other(node: Running) -> None:
    await node.create_topic(queue_count=1)
    other = await Producer(node, instance=8).start()
    own = await Producer(node, instance=7).start()
    await prepare(node, "a")
    check = await own.check()
    await own.answer(check, commit=b"\x01")
    await wait_for_state(node, id_of(0), COMMITTED)
    await other.leave()


async def test_when_the_instance_is_gone_another_producer_of_the_group_is_asked(node: Running) -> None:
    await node.create_topic(queue_count=1)
    own = await Producer(node, instance=7).start()
    await prepare(node, "a")
    await own.leave()
    stranger = await Producer(node, instance=9, group="bank-z").start()
    other = await Producer(node, instance=8).start()
    check = await other.check()
    assert check.instance == 7
    await other.answer(check, commit=b"\x01")
    await wait_for_state(node, id_of(0), COMMITTED)
    await stranger.leave()


async def test_a_producer_that_returns_is_asked_at_once_about_what_nobody_answered(instant_hasty: Running) -> None:
    node = instant_hasty
    await node.create_topic(queue_count=1)
    await prepare(node, "a")
    await moved(node, at_least=1)
    # By the back-off alone the next check would be seconds away; both waits end long before.
    await until(lambda: any(check.counted for command in recorded(node) for check in command.checks))
    producer = await Producer(node, instance=8).start()
    await producer.answer(await producer.check(), commit=b"\x01")
    await wait_for_state(node, id_of(0), COMMITTED)


async def test_a_returning_producer_is_not_flooded(instant_hasty: Running) -> None:
    node = instant_hasty
    await node.create_topic(queue_count=1)
    for sequence in range(1, 9):
        await prepare(node, "a", sequence=sequence)
    await until(lambda: sum(check.counted for command in recorded(node) for check in command.checks) >= 8)
    producer = await Producer(node, instance=8).start()
    open_checks = [await producer.check(), await producer.check()]
    session = node.node.parts.checks.sessions.allowed("bank-a", "")[0]
    assert not session.has_room
    for answered in range(1, 9):
        await producer.answer(open_checks.pop(0), commit=b"\x01")
        if answered <= 6:
            open_checks.append(await producer.check())
    for sequence in range(1, 9):
        await wait_for_state(node, id_of(0, sequence=sequence), COMMITTED)


async def test_checks_carry_the_records_for_check_code_written_by_hand(node: Running) -> None:
    await node.create_topic(queue_count=1)
    producer = await Producer(node, wants_records=True).start()
    half = await prepare(node, "a", "b", "c")
    handle = M.Handle(shard=half.shard, index=half.index, batch=half.batch, record=1, instance=7, sequence=1)
    await node.messaging.Commit(M.CommitRequest(producer_group="bank-a", handles=[handle]))
    check = await producer.check()
    assert check.in_doubt_bits == b"\x05"
    assert [record.body for record in check.records.records] == [b"a", b"c"]
    await producer.leave()


async def test_an_answer_with_bits_that_were_not_asked_about_ends_the_session_and_decides_nothing(
    node: Running,
) -> None:
    await node.create_topic(queue_count=1)
    producer = await Producer(node).start()
    await prepare(node, "a")
    check = await producer.check()
    await producer.answer(check, commit=b"\x03")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await producer.read()
    assert error_info(caught.value).reason == "UNKNOWN_CHECK"
    assert (await transaction(node, id_of(0))).state == IN_DOUBT


async def test_an_operator_decides_and_the_reason_is_kept(node: Running) -> None:
    await node.create_topic(queue_count=1)
    await prepare(node, "a", "b")
    reply = await node.admin.DecideTransaction(
        A.DecideTransactionRequest(transaction_id=id_of(0), commit=True, operator="ann", reason="call 17")
    )
    assert (reply.transaction.state, reply.transaction.decided_by) == (COMMITTED, "operator ann: call 17")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await node.admin.DecideTransaction(
            A.DecideTransactionRequest(transaction_id=id_of(0), commit=False, operator="ann", reason="oh no")
        )
    assert error_info(caught.value).reason == "ALREADY_COMMITTED"
    listed = await node.admin.ListTransactions(A.ListTransactionsRequest(in_doubt=True))
    assert [each.transaction_id for each in listed.transactions] == [id_of(1)]
    assert listed.in_doubt_total == 1


async def test_a_listing_is_read_page_by_page_without_gap_or_repetition(node: Running) -> None:
    await node.create_topic(queue_count=1)
    for sequence in range(1, 4):
        await prepare(node, "a", "b", "c", sequence=sequence)
    seen, after = [], b""
    while True:
        page = await node.admin.ListTransactions(A.ListTransactionsRequest(in_doubt=True, limit=2, after=after))
        seen += [each.transaction_id for each in page.transactions]
        after = page.next
        if not after:
            break
    assert seen == [id_of(position, sequence=sequence) for sequence in range(1, 4) for position in range(3)]


async def test_a_half_whose_bytes_are_damaged_does_not_keep_others_from_being_checked(instant_hasty: Running) -> None:
    node = instant_hasty
    await node.create_topic(queue_count=1)
    damaged = await prepare(node, "damaged", sequence=1)
    await prepare(node, "sound", sequence=2)
    whole = node.host.shards[damaged.shard].read

    def read(reference: Reference) -> bytes:
        if reference.index == damaged.index:
            raise BodyDamaged("a byte rotted")
        return whole(reference)

    node.host.shards[damaged.shard].read = read
    producer = await Producer(node, wants_records=True).start()
    check = await producer.check()
    assert check.sequence == 2
    await producer.answer(check, commit=b"\x01")
    await wait_for_state(node, id_of(0, sequence=2), COMMITTED)
    assert (await transaction(node, id_of(0, sequence=1))).state == IN_DOUBT
    await producer.leave()

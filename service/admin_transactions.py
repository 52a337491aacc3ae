"""Operators' questions and decisions about single transactions and messages."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tallymq.proto import admin_pb2, messaging_pb2
from tallymq.service import admin_replies as replies
from tallymq.service.calls import Calls
from tallymq.service.checks import Checks
from tallymq.service.cluster import Cluster, Shard
from tallymq.service.errors import Refused, from_outcome
from tallymq.service.slices import cut, positions_of
from tallymq.service.validation import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    check_id,
    check_optional_name,
    check_range,
    check_text,
)
from tallymq.txn import queries
from tallymq.txn.answers import HalfInfo
from tallymq.txn.commands import Barrier, CheckSent, Decide, Decision, RecordChecks
from tallymq.txn.outcomes import Decided, DecisionOutcome
from tallymq.txn.types import TransactionState

HALVES_SCANNED_MAX = 20_000
"""Half batches looked at for one reply, so that a filter that matches little cannot hold the loop."""
OPERATOR_BYTES_MAX, REASON_BYTES_MAX = 64, 255
AGE_MS_MAX = 1 << 52

_PLACE = struct.Struct(">IQII")


class AdminTransactions:
    """The part of the Admin service that is about transactions."""

    def __init__(self, cluster: Cluster, checks: Checks) -> None:
        self._cluster = cluster
        self._checks = checks

    def add_to(self, calls: Calls) -> None:
        """Add the methods."""
        calls.unary("GetMessage", admin_pb2.GetMessageRequest, self.get_message)
        calls.unary("ListTransactions", admin_pb2.ListTransactionsRequest, self.list_transactions)
        calls.unary("GetTransaction", admin_pb2.GetTransactionRequest, self.get_transaction)
        calls.unary("CheckTransaction", admin_pb2.CheckTransactionRequest, self.check_transaction)
        calls.unary("DecideTransaction", admin_pb2.DecideTransactionRequest, self.decide_transaction)

    async def get_message(self, request: admin_pb2.GetMessageRequest, _principal: str) -> admin_pb2.GetMessageReply:
        """Return a message by its id; its record only once it is committed or was published."""
        check_id(request.message_id, "message_id")
        for shard in self._cluster.shards.values():
            await self._catch_up(shard)
            info = queries.message(shard.view, request.message_id)
            if info is None:
                continue
            reply = admin_pb2.GetMessageReply(topic=info.topic, queue=info.queue)
            if info.half is not None:
                reply.transaction.CopyFrom(replies.transaction(info.half, info.record, shard.number))
            if info.half is None or info.half.state(info.record) is TransactionState.COMMITTED:
                part = cut(shard.read(info.reference), 1 << info.record)
                reply.record.CopyFrom(messaging_pb2.RecordBatch.FromString(part).records[0])
            return reply
        raise Refused("UNKNOWN_MESSAGE", request.message_id.hex())

    async def list_transactions(
        self, request: admin_pb2.ListTransactionsRequest, _principal: str
    ) -> admin_pb2.ListTransactionsReply:
        """Return transactions, oldest first within a shard, as this node's copies have them."""
        check_range(request.limit, 1, LIMIT_MAX, "limit", zero=True)
        check_range(request.older_ms, 0, AGE_MS_MAX, "older_ms")
        check_optional_name(request.producer_group, "producer_group")
        limit = request.limit or LIMIT_DEFAULT
        reply = admin_pb2.ListTransactionsReply(
            in_doubt_total=sum(queries.in_doubt_total(shard.view) for shard in self._cluster.shards.values())
        )
        place = _Place.parse(request.after, self._cluster)
        for half, shard_number in self._halves(place, request.in_doubt):
            is_start = (shard_number, half.index, half.batch) == (place.shard, place.index, place.batch)
            for bit in positions_of(self._wanted(half, request, shard_number)):
                if is_start and bit <= place.bit:
                    continue
                if len(reply.transactions) == limit:
                    reply.next = _after(reply.transactions[-1])
                    return reply
                reply.transactions.append(replies.transaction(half, bit, shard_number))
            place.last = (shard_number, half)
        if place.is_cut_short and place.last is not None:
            shard_number, half = place.last
            reply.next = _PLACE.pack(shard_number, half.index, half.batch, half.reference.count - 1)
        return reply

    async def get_transaction(
        self, request: admin_pb2.GetTransactionRequest, _principal: str
    ) -> admin_pb2.GetTransactionReply:
        """Return one transaction."""
        shard, half, bit = await self._find(request.transaction_id)
        return admin_pb2.GetTransactionReply(transaction=replies.transaction(half, bit, shard.number))

    async def check_transaction(
        self, request: admin_pb2.CheckTransactionRequest, _principal: str
    ) -> admin_pb2.CheckTransactionReply:
        """Ask the producer group now."""
        shard, half, bit = await self._find(request.transaction_id)
        if half.in_doubt >> bit & 1:
            now = CheckSent(half.index, half.batch, shard.clock_ms, counted=False)
            await self._cluster.require(shard, RecordChecks((now,)))
        return admin_pb2.CheckTransactionReply(sessions=self._checks.sessions.of_group(half.producer_group))

    async def decide_transaction(
        self, request: admin_pb2.DecideTransactionRequest, _principal: str
    ) -> admin_pb2.DecideTransactionReply:
        """Decide as an operator; the first decision wins here too."""
        check_text(request.operator, 1, OPERATOR_BYTES_MAX, "operator")
        check_text(request.reason, 1, REASON_BYTES_MAX, "reason")
        shard, half, bit = await self._find(request.transaction_id)
        bits = 1 << bit
        decision = Decision(
            half.index,
            half.batch,
            half.instance,
            half.sequence,
            commit=bits if request.commit else 0,
            roll_back=0 if request.commit else bits,
        )
        decided_by = f"operator {request.operator}: {request.reason}"
        result = await self._cluster.require(shard, Decide("", "", decided_by, (decision,)))
        if isinstance(result, Decided):
            _refuse_other(result.outcomes[0])
        after = queries.half(shard.view, half.index, half.batch) or half
        return admin_pb2.DecideTransactionReply(transaction=replies.transaction(after, bit, shard.number))

    async def _find(self, transaction_id: bytes) -> tuple[Shard, HalfInfo, int]:
        """Return where a transaction is; a shard led here has applied all that was answered before."""
        check_id(transaction_id, "transaction_id")
        for shard in self._cluster.shards.values():
            await self._catch_up(shard)
            found = queries.transaction(shard.view, transaction_id)
            if found is not None:
                return shard, found[0], found[1]
        raise Refused("UNKNOWN_TRANSACTION", transaction_id.hex())

    async def _catch_up(self, shard: Shard) -> None:
        if shard.is_leader:
            await self._cluster.require(shard, Barrier())

    def _halves(self, place: _Place, in_doubt: bool) -> Iterator[tuple[HalfInfo, int]]:
        """Yield half batches from `place` on, its own first, with their shards; not more than can be looked at."""
        scanned = 0
        for number in sorted(self._cluster.shards):
            if number < place.shard:
                continue
            view = self._cluster.shards[number].view
            after = (0, 0)
            if number == place.shard and place.index:
                own = queries.half(view, place.index, place.batch)
                if own is not None:
                    yield own, number
                after = (place.index, place.batch)
            while page := queries.halves(view, after, in_doubt, LIMIT_MAX):
                for half in page:
                    yield half, number
                scanned += len(page)
                after = (page[-1].index, page[-1].batch)
                if scanned >= HALVES_SCANNED_MAX:
                    place.is_cut_short = True
                    return

    def _wanted(self, half: HalfInfo, request: admin_pb2.ListTransactionsRequest, shard: int) -> int:
        if request.producer_group and half.producer_group != request.producer_group:
            return 0
        if request.older_ms and half.prepared_ms > self._cluster.shards[shard].clock_ms - request.older_ms:
            return 0
        return half.in_doubt if request.in_doubt else half.in_doubt | half.committed | half.rolled_back


class _Place:
    """Where a listing goes on: behind this transaction."""

    def __init__(self, shard: int, index: int, batch: int, bit: int) -> None:
        self.shard = shard
        self.index = index
        self.batch = batch
        self.bit = bit
        self.last: tuple[int, HalfInfo] | None = None
        self.is_cut_short = False

    @classmethod
    def parse(cls, after: bytes, cluster: Cluster) -> _Place:
        """Return the place that an earlier reply gave, or the beginning; raises Refused."""
        if not after:
            return cls(0, 0, 0, 0)
        if len(after) != _PLACE.size:
            raise Refused("OUT_OF_RANGE", "after is not from an earlier reply")
        shard, index, batch, bit = _PLACE.unpack(after)
        if shard not in cluster.shards:
            raise Refused("OUT_OF_RANGE", "after is not from an earlier reply")
        return cls(shard, index, batch, bit)


def _after(transaction: admin_pb2.Transaction) -> bytes:
    handle = transaction.handle
    return _PLACE.pack(handle.shard, handle.index, handle.batch, handle.record)


def _refuse_other(outcome: DecisionOutcome) -> None:
    if outcome.refusal is not None:
        raise from_outcome(outcome.refusal)
    if outcome.already_committed:
        raise Refused("ALREADY_COMMITTED")
    if outcome.already_rolled_back:
        raise Refused("ALREADY_ROLLED_BACK")

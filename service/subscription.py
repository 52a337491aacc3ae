"""One subscribe stream: credit in, deliveries out, and what the consumer says of its leases."""

from __future__ import annotations

import asyncio
from collections import deque

from tallymq.proto import frames_pb2, messaging_pb2
from tallymq.service.calls import END, Context, Draining, write
from tallymq.service.cluster import Cluster
from tallymq.service.delivery import Member
from tallymq.service.errors import Refused, from_exception, to_message
from tallymq.service.fields import decode
from tallymq.service.leases import Leases
from tallymq.service.metrics import Metrics
from tallymq.service.tasks import Tasks

CREDIT_RECORDS_MAX = 1_000_000
CREDIT_BYTES_MAX = 1 << 30
OUTBOX_BYTES_MAX = 8 << 20
"""Bytes leased but not yet taken by the client's connection, above which nothing more is leased for it."""
REQUESTS_MAX = 64
"""Acknowledgements and the like whose answers are not yet written; then no more is read."""


class Subscription:
    """Serves one consumer. `put` is called by lanes; one task writes, one reads."""

    member: Member
    topic_id: int

    def __init__(
        self, cluster: Cluster, leases: Leases, metrics: Metrics, draining: Draining, context: Context
    ) -> None:
        self._cluster = cluster
        self._leases = leases
        self._metrics = metrics
        self._draining = draining
        self._context = context
        self._outbox: deque[frames_pb2.SubscribeReply] = deque()
        self._outbox_bytes = 0
        self._changed = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._is_closing = False
        self._ended: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()
        self._requests = Tasks()
        self._room = asyncio.Semaphore(REQUESTS_MAX)

    async def read_start(self) -> messaging_pb2.SubscribeStart:
        """Return the first message, which must be the start."""
        raw = await self._context.read()
        if raw is END:
            raise Refused("STREAM_OUT_OF_ORDER", "the stream ended before it began")
        request = decode(messaging_pb2.SubscribeRequest, raw)
        if request.WhichOneof("request") != "start":
            raise Refused("STREAM_OUT_OF_ORDER", "start must come first")
        return request.start

    def begin(self, member: Member, topic_id: int) -> None:
        """Serve this member from now on."""
        self.member = member
        self.topic_id = topic_id

    def end(self, refused: Refused) -> None:
        """End the stream with a refusal."""
        if not self._ended.done():
            self._ended.set_result(refused)

    def put(self, deliveries: list[frames_pb2.Delivery]) -> None:
        """Take what was leased; the writer sends it."""
        for delivery in deliveries:
            self._outbox_bytes += len(delivery.records)
            self._outbox.append(frames_pb2.SubscribeReply(delivery=delivery))
        if self._outbox_bytes >= OUTBOX_BYTES_MAX:
            self.member.is_paused = True
        if deliveries:
            self._drained.clear()
            self._changed.set()

    async def serve(self) -> None:
        """Return when the client ends the stream; raises Refused when the service ends it."""
        try:
            with Tasks() as tasks, self._requests:
                reader, writer = tasks.start(self._read()), tasks.start(self._write())
                try:
                    drained = await tasks.until_first(self._draining, reader, writer, self._ended)
                finally:
                    writer.cancel()
                    await asyncio.wait({writer})
            if self._ended.done():
                raise self._ended.result()
            if drained:
                raise Refused("SHUTTING_DOWN")
        finally:
            self._is_closing = self.member.is_paused = True

    async def _read(self) -> None:
        while True:
            raw = await self._context.read()
            if raw is END:
                break
            request = decode(messaging_pb2.SubscribeRequest, raw)
            kind = request.WhichOneof("request")
            if kind == "credit":
                await self._add_credit(request)
            elif kind in ("acknowledge", "negative_acknowledge", "extend"):
                await self._room.acquire()
                self._requests.start(self._answer(request, kind))
            elif kind == "start":
                raise Refused("STREAM_OUT_OF_ORDER", "start came again")
            else:
                await self._room.acquire()
                self._refuse(request.correlation, Refused("MISSING_FIELD", "request"))
        # The client sends nothing more, but is still answered what it asked.
        self._is_closing = self.member.is_paused = True
        await self._requests.wait()
        await self._drained.wait()

    async def _add_credit(self, request: messaging_pb2.SubscribeRequest) -> None:
        member, credit = self.member, request.credit
        records = member.credit_records + credit.records
        size = member.credit_bytes + credit.record_bytes
        if records > CREDIT_RECORDS_MAX or size > CREDIT_BYTES_MAX:
            await self._room.acquire()
            self._refuse(request.correlation, Refused("CREDIT_TOO_LARGE", f"{records} records, {size} bytes"))
            return
        member.credit_records, member.credit_bytes = records, size
        member.wake()

    async def _answer(self, request: messaging_pb2.SubscribeRequest, kind: str) -> None:
        try:
            if kind == "acknowledge":
                reply = await self._leases.acknowledge(request.acknowledge, "")
            elif kind == "negative_acknowledge":
                reply = await self._leases.negative_acknowledge(request.negative_acknowledge, "")
            else:
                reply = await self._leases.extend(request.extend, "")
            self._metrics.count_call("Subscribe." + kind, "OK")
            self._say(frames_pb2.SubscribeReply(correlation=request.correlation, lease=reply))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the caller gets a row of the table
            self._refuse(request.correlation, from_exception(error))

    def _refuse(self, correlation: int, refused: Refused) -> None:
        self._metrics.count_call("Subscribe", refused.name)
        self._say(frames_pb2.SubscribeReply(correlation=correlation, refusal=to_message(refused)))

    def _say(self, reply: frames_pb2.SubscribeReply) -> None:
        self._outbox.append(reply)
        self._drained.clear()
        self._changed.set()

    async def _write(self) -> None:
        while True:
            while self._outbox:
                reply = self._outbox[0]
                await write(self._context, reply.SerializeToString())
                self._outbox.popleft()
                self._sent(reply)
            self._drained.set()
            self._changed.clear()
            await self._changed.wait()

    def _sent(self, reply: frames_pb2.SubscribeReply) -> None:
        if not reply.HasField("delivery"):
            # Not before: whoever reads no answers is not read from either, so the outbox stays bounded.
            self._room.release()
        else:
            self._outbox_bytes -= len(reply.delivery.records)
            if self.member.is_paused and not self._is_closing and self._outbox_bytes < OUTBOX_BYTES_MAX:
                self.member.is_paused = False
                self.member.wake()

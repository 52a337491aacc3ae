"""One produce stream: frames in, replies in any order, a bounded number under way, then no more is read."""

from __future__ import annotations

import asyncio
from collections import deque

from tallymq.proto import frames_pb2, messaging_pb2
from tallymq.service.calls import END, Context, Draining, log
from tallymq.service.errors import Refused, from_exception, to_message
from tallymq.service.fields import decode, singles_of_produce
from tallymq.service.frames import Frames, Pending
from tallymq.service.metrics import Metrics
from tallymq.service.tasks import Tasks
from tallymq.txn.outcomes import Result


class ProduceStream:
    """Reads while fewer than `frames_max` frames and `bytes_max` bytes are under way; one task writes replies.

    A frame is under way until its reply is written: a client that reads no replies is not read from either.
    """

    def __init__(
        self,
        frames: Frames,
        metrics: Metrics,
        draining: Draining,
        principal: str,
        *,
        frames_max: int,
        bytes_max: int,
    ) -> None:
        self._frames = frames
        self._metrics = metrics
        self._draining = draining
        self._principal = principal
        self._frames_max = frames_max
        self._bytes_max = bytes_max
        self._frames_under_way = 0
        self._bytes_under_way = 0
        self._replies: deque[tuple[bytes, int]] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._no_more = False
        self._slow = Tasks()

    async def run(self, context: Context) -> None:
        """Serve until the client ends the stream or the node drains; what is under way is answered first."""
        with Tasks() as tasks, self._slow:
            reader, writer = tasks.start(self._read(context)), tasks.start(self._write(context))
            drained = await tasks.until_first(self._draining, reader, writer)
            reader.cancel()
            self._no_more = True
            self._changed.set()
            await writer
        if drained:
            raise Refused("SHUTTING_DOWN")

    async def _read(self, context: Context) -> None:
        while True:
            await self._room.wait()
            raw = await context.read()
            if raw is END:
                return
            self._take(raw)

    async def _write(self, context: Context) -> None:
        while True:
            while self._replies:
                reply, size = self._replies.popleft()
                await context.write(reply)
                self._under_way(-1, -size)
            if self._no_more and self._frames_under_way == 0:
                return
            self._changed.clear()
            if not self._replies:
                await self._changed.wait()

    def _take(self, raw: bytes) -> None:
        self._under_way(1, len(raw))
        correlation = 0
        try:
            request = decode(frames_pb2.ProduceRequest, raw, singles_of_produce)
            correlation = request.correlation
            kind = request.WhichOneof("request")
            if kind is None:
                raise Refused("MISSING_FIELD", "request")
            unknown = [] if kind == "decide" else self._frames.unknown_topics(getattr(request, kind).batches)
            if unknown:
                self._slow.start(self._propose_later(request, kind, len(raw), unknown))
                return
            self._propose(request, kind, len(raw))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the caller gets a row of the table
            self._refuse(correlation, from_exception(error), len(raw))

    async def _propose_later(
        self, request: frames_pb2.ProduceRequest, kind: str, size: int, unknown: list[str]
    ) -> None:
        try:
            for name in unknown:
                await self._frames.wait_for_topic(name)
            self._propose(request, kind, size)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the caller gets a row of the table
            self._refuse(request.correlation, from_exception(error), size)

    def _propose(self, request: frames_pb2.ProduceRequest, kind: str, size: int) -> None:
        pending: Pending
        if kind == "publish":
            pending = self._frames.publish(request.publish, self._principal)
        elif kind == "prepare":
            pending = self._frames.prepare(request.prepare, self._principal)
        else:
            pending = self._frames.decide(request.decide, self._principal)
        correlation = request.correlation
        pending.future.add_done_callback(lambda future: self._finish(pending, future, correlation, kind, size))

    def _finish(self, pending: Pending, future: asyncio.Future[Result], correlation: int, kind: str, size: int) -> None:
        try:
            reply = messaging_pb2.ProduceReply(correlation=correlation)
            getattr(reply, kind).CopyFrom(pending.finish(future.result()))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the caller gets a row of the table
            self._refuse(correlation, self._frames.refusal_of(pending.shard, error), size)
            return
        self._metrics.count_call("Produce." + kind, "OK")
        self._reply(reply, size)

    def _refuse(self, correlation: int, refused: Refused, size: int) -> None:
        if refused.name == "INTERNAL_ERROR":
            log.error("frame failed", rpc="Produce", detail=refused.detail)
        self._metrics.count_call("Produce", refused.name)
        self._reply(messaging_pb2.ProduceReply(correlation=correlation, refusal=to_message(refused)), size)

    def _reply(self, reply: messaging_pb2.ProduceReply, size: int) -> None:
        self._replies.append((reply.SerializeToString(), size))
        self._changed.set()

    def _under_way(self, frames: int, size: int) -> None:
        self._frames_under_way += frames
        self._bytes_under_way += size
        if self._frames_under_way >= self._frames_max or self._bytes_under_way >= self._bytes_max:
            self._room.clear()
        else:
            self._room.set()

"""One consumer: a subscription at every node, as much credit as it can hold, workers, leases kept alive."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import xxhash

from tallymq._channel import ADMIN, BROKEN, MESSAGING, OpenStream
from tallymq._engine import Engine
from tallymq._handlers import ConsumerSpec, Worker
from tallymq._leases import LeaseCalls, Leased, LeaseLane, Negative, cut_reason
from tallymq._nodes import PerNode
from tallymq._records import message_id, readable
from tallymq._settings import SETTLE_S_MIN
from tallymq.exceptions import TallyError
from tallymq.proto import admin_pb2, messaging_pb2
from tallymq.types import Message, Reject, RetryLater, utc_time

log = logging.getLogger("tallymq")

PREFETCH_MIN = 32
PREFETCH_PER_WORKER = 4
CREDIT_BYTES = 16 * 1024 * 1024
DELIVERY_RECORDS_MAX = 1_024
RELEASE_MS = 1_000
"""What a lease is cut to when a message will not be handled here after all: the shortest there is."""
DELAY_MS_MAX = 86_400_000


class _Intake:
    """One subscription's credit: what was handled is granted again, in pieces of half of all."""

    def __init__(self, stream: OpenStream[messaging_pb2.SubscribeReply], records: int) -> None:
        self._stream = stream
        self._step = max(1, records // 2)
        self._records = 0
        self._bytes = 0
        self._wake = asyncio.Event()

    def returned(self, size: int) -> None:
        """A message is done with."""
        self._records += 1
        self._bytes += size
        if self._records >= self._step or self._bytes >= CREDIT_BYTES // 2:
            self._wake.set()

    async def grant(self) -> None:
        """Grant again, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            credit = messaging_pb2.Credit(records=self._records, record_bytes=self._bytes)
            self._records = self._bytes = 0
            await self._stream.write(messaging_pb2.SubscribeRequest(credit=credit))


class _Work:
    """A delivered message until it is acknowledged."""

    __slots__ = ("extended_time", "intake", "leased", "lost", "message", "running", "shard", "size")

    def __init__(self, message: Message, leased: Leased, shard: int, size: int, intake: _Intake, now: float) -> None:
        self.message = message
        self.leased = leased
        self.shard = shard
        self.size = size
        self.intake = intake
        self.extended_time = now
        self.running = False
        self.lost = False


class Consumer:
    """Belongs to the engine's loop."""

    def __init__(self, engine: Engine, spec: ConsumerSpec) -> None:
        self._engine = engine
        self._spec = spec
        self._number = secrets.randbelow(2**64 - 1) + 1
        self._prefetch = max(PREFETCH_MIN, PREFETCH_PER_WORKER * spec.concurrency)
        self._calls = LeaseCalls(spec.group, spec.topic, engine.routes, engine.channels)
        self._lanes: dict[int, LeaseLane] = {}
        self._shards: tuple[int, ...] = ()
        self._held: dict[Leased, _Work] = {}
        self._workers = [Worker(spec, number) for number in range(spec.concurrency)]
        one_line_each = spec.ordered == "key"
        self._lines: list[asyncio.Queue[_Work]] = [
            asyncio.Queue() for _ in range(spec.concurrency if one_line_each else 1)
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._running = 0
        self._none_running = asyncio.Event()
        self._none_running.set()
        self._per_node = PerNode(engine.routes, self._serve, f"Subscription to {spec.topic}")

    async def start(self) -> None:
        """Begin to receive. Raises UnknownTopic, and what PutGroup is refused with."""
        timeout_s = self._engine.settings.timeout_s
        deadline = self._engine.loop.time() + timeout_s
        self._shards = await self._engine.routes.queue_shards(self._spec.topic, deadline)
        await self._put_group(timeout_s)
        for number, worker in enumerate(self._workers):
            self._tasks.append(asyncio.create_task(self._work(worker, self._lines[number % len(self._lines)])))
        self._tasks.append(asyncio.create_task(self._keep_leases()))
        self._per_node.start()

    async def _put_group(self, timeout_s: float) -> None:
        retry = self._spec.retry
        if retry is None:
            return
        settings = admin_pb2.GroupSettings(
            attempts_max=retry.attempts_max,
            lease_ms=self._spec.lease_ms,
            backoff_ms_min=retry.backoff_ms_min,
            backoff_ms_max=retry.backoff_ms_max,
        )
        request = admin_pb2.PutGroupRequest(name=self._spec.group, settings=settings)
        await self._engine.call_any(ADMIN + "PutGroup", request, admin_pb2.PutGroupReply, timeout_s)

    async def _serve(self, address: str, opened: Callable[[], None]) -> None:
        path = MESSAGING + "Subscribe"
        async with self._engine.channels.of(address).stream(path, messaging_pb2.SubscribeReply) as stream:
            await stream.write(messaging_pb2.SubscribeRequest(start=self._start_message()))
            credit = messaging_pb2.Credit(records=self._prefetch, record_bytes=CREDIT_BYTES)
            await stream.write(messaging_pb2.SubscribeRequest(credit=credit))
            intake = _Intake(stream, self._prefetch)
            grants = asyncio.create_task(intake.grant())
            try:
                while (reply := await stream.read()) is not None:
                    opened()
                    if reply.HasField("delivery"):
                        self._take(reply.delivery, intake)
                    elif reply.HasField("refusal"):
                        log.warning("%s refused: %s", self._spec.topic, reply.refusal.message)
            finally:
                grants.cancel()
                with suppress(asyncio.CancelledError, TallyError, *BROKEN):
                    await grants

    def _start_message(self) -> messaging_pb2.SubscribeStart:
        start_at = messaging_pb2.START_AT_EARLIEST if self._spec.from_start else messaging_pb2.START_AT_LATEST
        return messaging_pb2.SubscribeStart(
            consumer_group=self._spec.group,
            topic=self._spec.topic,
            consumer=self._number,
            lease_ms=self._spec.lease_ms,
            start_at=start_at,
            delivery_records_max=min(self._prefetch, DELIVERY_RECORDS_MAX),
        )

    def _take(self, delivery: messaging_pb2.Delivery, intake: _Intake) -> None:
        self._shards = self._engine.routes.topics.get(delivery.topic, self._shards)
        if delivery.queue >= len(self._shards):
            # A queue made since the route was asked for: its leases end, and by then it is known.
            self._engine.routes.refresh_soon()
            for record in delivery.records.records:
                intake.returned(_credit_bytes(record))
            return
        shard = self._shards[delivery.queue]
        now = self._engine.loop.time()
        for number, record in enumerate(delivery.records.records):
            message = _message(delivery, number, record)
            leased = Leased(delivery.queue, delivery.lease, message.offset)
            work = _Work(message, leased, shard, _credit_bytes(record), intake, now)
            self._held[leased] = work
            self._lines[self._line_of(record.key)].put_nowait(work)

    def _line_of(self, key: bytes) -> int:
        if len(self._lines) == 1:
            return 0
        return xxhash.xxh64_intdigest(key, 0) % len(self._lines) if key else secrets.randbelow(len(self._lines))

    async def _work(self, worker: Worker, line: asyncio.Queue[_Work]) -> None:
        while True:
            work = await line.get()
            if self._closing:
                # Still held: close() releases it.
                return
            if work.lost:
                self._drop(work)
                continue
            work.running = True
            self._running += 1
            self._none_running.clear()
            try:
                await self._handle(worker, work)
                self._drop(work)
            finally:
                # A blocking handler that was given up goes on in its thread.
                work.running = not self._spec.is_async
                self._running -= 1
                if self._running == 0:
                    self._none_running.set()

    def _drop(self, work: _Work) -> None:
        self._held.pop(work.leased, None)
        work.intake.returned(work.size)

    async def _handle(self, worker: Worker, work: _Work) -> None:
        message = work.message
        try:
            first = await worker.handle(message)
        except Reject as error:
            self._give_back(work, Negative(reason=cut_reason(_reason(error)), dead_letter=True))
        except RetryLater as error:
            delay_ms = min(DELAY_MS_MAX, max(1, round(error.delay_s * 1000)))
            self._give_back(work, Negative(delay_ms=delay_ms, reason=cut_reason(str(error))))
        except Exception as error:
            log.warning(
                "Message %s of %s, attempt %d, failed", message.id, message.topic, message.attempt, exc_info=True
            )
            self._give_back(work, Negative(reason=cut_reason(_reason(error))))
        else:
            if not first:
                log.info("Message %s of %s was done before; acknowledged, not run", message.id, message.topic)
            if not work.lost:
                self._lane(work.shard).acknowledge(work.leased)

    def _give_back(self, work: _Work, how: Negative) -> None:
        if not work.lost:
            self._lane(work.shard).give_back(work.leased, how)

    def _lane(self, shard: int) -> LeaseLane:
        lane = self._lanes.get(shard)
        if lane is None:
            lane = self._lanes[shard] = LeaseLane(shard, self._calls)
        return lane

    async def _keep_leases(self) -> None:
        """Extend what is held for half its lease, in the queue or in a handler."""
        half_s = self._spec.lease_ms / 2000
        while True:
            await asyncio.sleep(half_s / 2)
            now = self._engine.loop.time()
            old = [work for work in self._held.values() if now - work.extended_time >= half_s]
            await self._extend(old, self._spec.lease_ms)
            for work in old:
                work.extended_time = now

    async def _extend(self, works: list[_Work], lease_ms: int) -> None:
        by_shard: dict[int, list[_Work]] = {}
        for work in works:
            by_shard.setdefault(work.shard, []).append(work)
        for shard, those in by_shard.items():
            try:
                lost = await self._calls.extend(shard, [work.leased for work in those], lease_ms)
            except TallyError as error:
                log.warning("Leases could not be extended: %s", error)
                continue
            for work in those:
                if work.leased in lost and work.leased in self._held:
                    work.lost = True
                    if work.running:
                        log.warning("Message %s lost its lease while it was handled", work.message.id)

    async def close(self, timeout_s: float) -> None:
        """Take nothing new, let handlers finish within `timeout_s`, say what is done; the rest is released."""
        self._closing = True
        deadline = self._engine.loop.time() + timeout_s
        await self._per_node.close()
        finished = await self._let_finish(timeout_s)
        for task in self._tasks:
            task.cancel()
        # An async handler may refuse to be cancelled: it is not waited for.
        ended, _ = await asyncio.wait(self._tasks, timeout=SETTLE_S_MIN)
        await asyncio.gather(*ended, return_exceptions=True)
        deadline = max(deadline, self._engine.loop.time() + SETTLE_S_MIN)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await asyncio.gather(*(lane.flush() for lane in self._lanes.values()))
                await self._extend(self._releasable(), RELEASE_MS)
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
        for worker in self._workers:
            await worker.close(wait=finished)

    async def _let_finish(self, timeout_s: float) -> bool:
        """Wait for the handlers; False if some did not finish in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._none_running.wait()
        except TimeoutError:
            log.warning(
                "Handlers of %s, group %s, that did not finish within shutdown_timeout_s (%g s): %d. "
                "They are given up, their messages are delivered again",
                self._spec.topic,
                self._spec.group,
                timeout_s,
                self._running,
            )
            return False
        return True

    def _releasable(self) -> list[_Work]:
        """What nobody works on any more. The lease of what a given-up handler goes on with is left to run out."""
        return [work for work in self._held.values() if not work.running]


def _reason(error: BaseException) -> str:
    """The exception's type and text; a Reject's is its text alone, for the user wrote it for this."""
    if isinstance(error, Reject):
        return str(error) or "rejected"
    return f"{type(error).__name__}: {error}"


def _credit_bytes(record: messaging_pb2.Record) -> int:
    """Return the bytes a record takes in its batch: itself, its tag and its length prefix. Credit is counted so."""
    size = record.ByteSize()
    return size + 1 + max(1, (size.bit_length() + 6) // 7)


def _message(delivery: messaging_pb2.Delivery, number: int, record: messaging_pb2.Record) -> Message:
    positions = delivery.positions
    position = positions[number] if positions else delivery.first_position + number
    facts: Any = readable(record)
    return Message(
        id=message_id(delivery.instance, delivery.sequence, position),
        topic=delivery.topic,
        queue=delivery.queue,
        attempt=delivery.attempt,
        offset=delivery.first_offset + number,
        visible_time=utc_time(delivery.visible_time_ms) if delivery.visible_time_ms else datetime.now(UTC),
        **facts,
    )

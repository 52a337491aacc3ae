"""Load that consumes: a backlog as fast as it goes, and the way of single messages from end to end."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable

import google_crc32c
import grpc

from benchmarks.frames import FrameMaker
from benchmarks.latency import Window
from benchmarks.routes import find_leaders, open_channel
from tallymq.proto import frames_pb2, messaging_pb2

CREDIT_RECORDS = 65_536
CREDIT_BYTES = 64 << 20
LEASE_MS = 60_000


class Subscription:
    """A subscribe stream to one leader: grants credit as deliveries come, acknowledges each."""

    def __init__(self, address: str, topic: str, group: str, earliest: bool) -> None:
        self._channel = open_channel(address)
        self._call = self._channel.stream_stream("/tallymq.v1.Messaging/Subscribe")()
        self._topic = topic
        self._group = group
        self._earliest = earliest
        self._sent = 0
        self._answered = 0
        self._outgoing: asyncio.Queue[messaging_pb2.SubscribeRequest | None] = asyncio.Queue()
        self._writing = asyncio.create_task(self._write())

    def start(self) -> None:
        """Says what is wanted and grants the first credit."""
        start = messaging_pb2.SubscribeStart(
            consumer_group=self._group,
            topic=self._topic,
            consumer=int.from_bytes(os.urandom(8), "little") | 1,
            lease_ms=LEASE_MS,
            start_at=messaging_pb2.START_AT_EARLIEST if self._earliest else messaging_pb2.START_AT_LATEST,
        )
        self._outgoing.put_nowait(messaging_pb2.SubscribeRequest(start=start))
        credit = messaging_pb2.Credit(records=CREDIT_RECORDS, record_bytes=CREDIT_BYTES)
        self._outgoing.put_nowait(messaging_pb2.SubscribeRequest(credit=credit))

    @property
    def is_settled(self) -> bool:
        """True if every acknowledgement is answered."""
        return self._answered == self._sent

    async def replies(self) -> AsyncIterator[frames_pb2.Delivery | None]:
        """Each delivery, its acknowledgement already sent, and None for each answer to one."""
        while (encoded := await self._call.read()) is not grpc.aio.EOF:
            reply = frames_pb2.SubscribeReply.FromString(encoded)
            if reply.HasField("refusal"):
                raise RuntimeError(f"{reply.refusal.code} {reply.refusal.name}: {reply.refusal.message}")
            if reply.HasField("lease"):
                self._answered += 1
                yield None
                continue
            delivery = reply.delivery
            if google_crc32c.value(delivery.records) != delivery.crc32c:
                raise RuntimeError(f"queue {delivery.queue} offset {delivery.first_offset}: wrong checksum")
            self._acknowledge(delivery)
            yield delivery

    def _acknowledge(self, delivery: frames_pb2.Delivery) -> None:
        leased = messaging_pb2.LeasedRange(
            topic=delivery.topic,
            queue=delivery.queue,
            lease=delivery.lease,
            first_offset=delivery.first_offset,
            count=delivery.count,
        )
        request = messaging_pb2.AcknowledgeRequest(consumer_group=self._group, ranges=[leased])
        self._sent += 1
        self._outgoing.put_nowait(messaging_pb2.SubscribeRequest(correlation=self._sent, acknowledge=request))
        credit = messaging_pb2.Credit(records=delivery.count, record_bytes=len(delivery.records))
        self._outgoing.put_nowait(messaging_pb2.SubscribeRequest(credit=credit))

    async def close(self) -> None:
        """Ends the stream."""
        self._outgoing.put_nowait(None)
        await self._writing
        self._call.cancel()
        await self._channel.close()

    async def _write(self) -> None:
        while (request := await self._outgoing.get()) is not None:
            await self._call.write(request.SerializeToString())


async def subscribe(address: str, topic: str, group: str, earliest: bool) -> list[Subscription]:
    """One subscription to each node that leads a queue of the topic."""
    leaders = dict.fromkeys(await find_leaders(address, topic))
    return [Subscription(leader, topic, group, earliest) for leader in leaders]


async def consume(
    address: str, topic: str, records: int, seconds_max: float, announce: Callable[[str], float]
) -> dict[str, float]:
    """Reads and acknowledges this many records of a backlog. Raises TimeoutError after ten times seconds_max."""
    subscriptions = await subscribe(address, topic, f"bench-{os.urandom(4).hex()}", earliest=True)
    window = Window()

    def note(delivery: frames_pb2.Delivery) -> None:
        window.note(delivery.count, len(delivery.records), 0.0)

    cpu, begin = time.process_time(), announce("begin")
    readers, done = read_all(subscriptions, note, lambda: window.operations >= records)
    await wait_for_all(readers, done, 10 * seconds_max, lambda: f"{window.operations} of {records} records came")
    seconds, cpu = announce("end") - begin, time.process_time() - cpu
    await end_all(readers, subscriptions)
    return window.summary(seconds, cpu)


def read_all(
    subscriptions: list[Subscription], note: Callable[[frames_pb2.Delivery], None], is_all: Callable[[], bool]
) -> tuple[list[asyncio.Task[None]], asyncio.Event]:
    """Starts reading; the event comes once all is there and every acknowledgement is answered."""
    done = asyncio.Event()

    async def read(subscription: Subscription) -> None:
        subscription.start()
        async for delivery in subscription.replies():
            if delivery is not None:
                note(delivery)
            if is_all() and all(each.is_settled for each in subscriptions):
                done.set()

    return [asyncio.create_task(read(subscription)) for subscription in subscriptions], done


async def wait_for_all(
    readers: list[asyncio.Task[None]], done: asyncio.Event, timeout_s: float, progress: Callable[[], str]
) -> None:
    """Waits for the event. Raises what a reader raised, or TimeoutError."""
    stopped = asyncio.create_task(done.wait())
    ended, _ = await asyncio.wait([stopped, *readers], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    if stopped in ended:
        return
    stopped.cancel()
    for reader in ended:
        await reader
    raise TimeoutError(progress())


async def end_all(readers: list[asyncio.Task[None]], subscriptions: list[Subscription]) -> None:
    """Ends the streams and what reads them."""
    for subscription in subscriptions:
        await subscription.close()
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


async def end_to_end(
    address: str, topic: str, rate: float, seconds: float, announce: Callable[[str], float]
) -> dict[str, float]:
    """Publishes single messages of 1 KiB at this rate to a topic of its own, and measures from when each was due until
    its consumer has it. Raises TimeoutError where some never come."""
    subscriptions = await subscribe(address, topic, f"bench-{os.urandom(4).hex()}", earliest=True)
    count = int(rate * seconds)
    due: dict[bytes, float] = {}
    window = Window()

    def note(delivery: frames_pb2.Delivery) -> None:
        arrived = time.perf_counter()
        for record in messaging_pb2.RecordBatch.FromString(delivery.records).records:
            window.note(1, len(record.body), arrived - due.pop(record.body[:8]))

    readers, done = read_all(subscriptions, note, lambda: window.operations == count)
    leaders = await find_leaders(address, topic)
    channels = {leader: open_channel(leader) for leader in dict.fromkeys(leaders)}
    calls = {leader: channel.stream_stream("/tallymq.v1.Messaging/Produce")() for leader, channel in channels.items()}
    drains = [asyncio.create_task(drain(call)) for call in calls.values()]
    cpu, begin = time.process_time(), announce("begin")
    for number in range(count):
        start = begin + number / rate
        await asyncio.sleep(max(0.0, start - time.perf_counter()))
        queue = number % len(leaders)
        mark = number.to_bytes(8, "big")
        due[mark] = start
        await calls[leaders[queue]].write(single(topic, queue, len(leaders), number + 1, mark))
    await wait_for_all(readers, done, 10 * seconds, lambda: f"{len(due)} messages never came")
    taken, cpu = announce("end") - begin, time.process_time() - cpu
    await end_all(readers, subscriptions)
    for call, drained in zip(calls.values(), drains, strict=True):
        await call.done_writing()
        await drained
    for channel in channels.values():
        await channel.close()
    return window.summary(taken, cpu)


async def drain(call: "grpc.aio.StreamStreamCall[bytes, bytes]") -> None:
    """Reads the replies of a produce stream. Raises RuntimeError at the first refusal."""
    while (encoded := await call.read()) is not grpc.aio.EOF:
        reply = messaging_pb2.ProduceReply.FromString(encoded)
        if reply.HasField("refusal"):
            raise RuntimeError(f"{reply.refusal.code} {reply.refusal.name}: {reply.refusal.message}")


def single(topic: str, queue: int, queue_count: int, correlation: int, mark: bytes) -> bytes:
    """A publish frame of one message of 1 KiB that begins with this mark."""
    return FrameMaker(topic, queue, queue_count, [mark + bytes(1016)], group="").publish(correlation)

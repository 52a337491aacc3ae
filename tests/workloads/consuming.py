"""A consumer of a group on every node: takes what comes, says most of it done, and writes down what it saw.

`python -m tests.workloads.consuming --addresses A,B,C --topic NAME --group NAME --name NAME --history FILE`
"""

import argparse
import asyncio
import random
import secrets
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from tallymq.proto import messaging_pb2, messaging_pb2_grpc
from tests.workloads.bodies import digest, id_of, now_us
from tests.workloads.history import Acknowledge, Deliver, Outcome, Record
from tests.workloads.orders import Orders
from tests.workloads.recorder import Recorder

LEASE_MS = 8_000
CREDIT_RECORDS = 256
CREDIT_BYTES = 16 << 20
SILENT_SHARE = 0.01
"""Of the deliveries: never answered, so their lease ends and they come again."""
REFUSED_SHARE = 0.02
"""Of the deliveries: sent back."""
RETRY_DELAY_MS = 200
PAUSE_S = 0.2
OPTIONS = [("grpc.keepalive_time_ms", 5_000), ("grpc.keepalive_timeout_ms", 5_000),
           ("grpc.max_reconnect_backoff_ms", 500)]  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What is asked for."""

    addresses: str
    topic: str
    group: str
    name: str
    history: Path


@dataclass
class Pending:
    """An answer to a delivery that is on its way. `is_done` false: it was sent back."""

    began_us: int
    delivery: messaging_pb2.Delivery
    is_done: bool


class Stream:
    """One subscription, from its first word to its end."""

    def __init__(self, options: Options, recorder: Recorder, client: str, chooser: random.Random) -> None:
        self.options = options
        self.recorder = recorder
        self.client = client
        self.chooser = chooser
        self.outgoing: asyncio.Queue[messaging_pb2.SubscribeRequest] = asyncio.Queue()
        self.pending: dict[int, Pending] = {}
        self.grants: deque[list[int]] = deque()
        self.correlation = 0

    def start(self, consumer: int) -> None:
        """Says what is wanted."""
        begin = messaging_pb2.SubscribeStart(
            consumer_group=self.options.group,
            topic=self.options.topic,
            consumer=consumer,
            lease_ms=LEASE_MS,
            start_at=messaging_pb2.START_AT_EARLIEST,
            delivery_records_max=64,
        )
        self.outgoing.put_nowait(messaging_pb2.SubscribeRequest(start=begin))
        self.grant(CREDIT_RECORDS, CREDIT_BYTES)

    def grant(self, records: int, record_bytes: int) -> None:
        """Makes room for more, and remembers since when there is."""
        self.grants.append([now_us(), records])
        credit = messaging_pb2.Credit(records=records, record_bytes=record_bytes)
        self.outgoing.put_nowait(messaging_pb2.SubscribeRequest(credit=credit))

    def granted_us(self, records: int) -> int:
        """When the room was made that so many records now take: they cannot have been leased before."""
        since = self.grants[0][0] if self.grants else now_us()
        while records > 0 and self.grants:
            taken = min(records, self.grants[0][1])
            records -= taken
            self.grants[0][1] -= taken
            if self.grants[0][1] == 0:
                self.grants.popleft()
        return since

    async def requests(self) -> AsyncIterator[messaging_pb2.SubscribeRequest]:
        """What is sent."""
        while True:
            yield await self.outgoing.get()

    async def follow(self, stub: Any) -> None:  # grpc's stub for asyncio has no type of its own
        """Takes what comes until the stream ends or breaks."""
        try:
            async for reply in stub.Subscribe(self.requests()):
                kind = reply.WhichOneof("reply")
                if kind == "delivery":
                    self.take(reply.delivery)
                elif reply.correlation in self.pending:
                    done = kind == "lease" and reply.lease.results[0] == messaging_pb2.LEASE_RESULT_OK
                    definite = kind == "lease" or reply.refusal.definite
                    self.answered(reply.correlation, Outcome.OK if done else self.failed(definite))
        finally:
            for correlation in list(self.pending):
                self.answered(correlation, Outcome.UNKNOWN)

    @staticmethod
    def failed(definite: bool) -> Outcome:
        """What is known of an answer that did not take."""
        return Outcome.REFUSED if definite else Outcome.UNKNOWN

    def take(self, delivery: messaging_pb2.Delivery) -> None:
        """Writes a delivery down and answers it."""
        since, at = self.granted_us(delivery.count), now_us()
        records = tuple(
            Record(delivery.first_offset + place, id_of(record.body), digest(record.body), delivery.attempt)
            for place, record in enumerate(delivery.records.records)
        )
        options = self.options
        self.recorder.note(
            Deliver(self.client, since, at, options.group, delivery.topic, delivery.queue, records, delivery.lease)
        )
        self.grant(delivery.count, sum(record.ByteSize() + 8 for record in delivery.records.records))
        lot = self.chooser.random()
        if lot >= SILENT_SHARE:
            self.answer(delivery, is_done=lot >= SILENT_SHARE + REFUSED_SHARE)

    def answer(self, delivery: messaging_pb2.Delivery, is_done: bool) -> None:
        """Says that it is done, or that it must come again."""
        leased = messaging_pb2.LeasedRange(
            topic=delivery.topic,
            queue=delivery.queue,
            lease=delivery.lease,
            first_offset=delivery.first_offset,
            count=delivery.count,
        )
        self.correlation += 1
        correlation = self.correlation
        request = messaging_pb2.SubscribeRequest(correlation=correlation)
        if is_done:
            request.acknowledge.consumer_group = self.options.group
            request.acknowledge.ranges.append(leased)
        else:
            request.negative_acknowledge.consumer_group = self.options.group
            request.negative_acknowledge.ranges.append(leased)
            request.negative_acknowledge.delay_ms = RETRY_DELAY_MS
            request.negative_acknowledge.reason = "as the workload chose"
        self.pending[correlation] = Pending(now_us(), delivery, is_done)
        self.outgoing.put_nowait(request)

    def answered(self, correlation: int, outcome: Outcome) -> None:
        """Writes down what became of an acknowledgement."""
        pending = self.pending.pop(correlation)
        if pending.is_done:
            delivery = pending.delivery
            offsets = tuple(range(delivery.first_offset, delivery.first_offset + delivery.count))
            self.recorder.note(
                Acknowledge(
                    self.client, pending.began_us, now_us(), outcome, self.options.group, delivery.topic,
                    delivery.queue, offsets,
                )
            )  # fmt: skip


async def follow(options: Options, recorder: Recorder, address: str, consumer: int) -> None:
    """Subscribes at one node, again and again. A stream has a name of its own: order is promised within it."""
    chooser = random.Random(f"{options.name}{address}")
    number = 0
    while True:
        number += 1
        async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
            stream = Stream(options, recorder, f"{options.name}@{address}#{number}", chooser)
            stream.start(consumer)
            try:
                await stream.follow(messaging_pb2_grpc.MessagingStub(channel))
            except grpc.aio.AioRpcError as error:
                if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED):
                    raise
        await asyncio.sleep(PAUSE_S)


async def run(options: Options) -> None:
    """Works until told to go."""
    recorder = Recorder(options.history)
    orders = Orders()
    consumer = secrets.randbits(63) | 1

    def says() -> str:
        recorder.flush()
        return f"succeeded {recorder.succeeded}"

    telling = asyncio.create_task(orders.tell(says))
    tasks = [asyncio.create_task(follow(options, recorder, each, consumer)) for each in options.addresses.split(",")]
    ending = asyncio.create_task(orders.ended.wait())
    await asyncio.wait([ending, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await telling
    recorder.close()


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(prog="python -m tests.workloads.consuming")
    for name in ("--addresses", "--topic", "--group", "--name"):
        parser.add_argument(name, required=True)
    parser.add_argument("--history", type=Path, required=True)
    asyncio.run(run(Options(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()

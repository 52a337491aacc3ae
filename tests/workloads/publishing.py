"""Many callers that each publish one message at a time, retry what is retryable, and note what was acknowledged."""

import asyncio
import os
import time
from dataclasses import dataclass, field
from itertools import pairwise

import grpc

from tallymq.proto import admin_pb2, admin_pb2_grpc, messaging_pb2, messaging_pb2_grpc

CALL_S = 3.0
PAUSE_S = 0.05
DEADLINE_MS = 600_000
BROWSE_MAX = 1000


@dataclass
class Acknowledged:
    """A message the service promised to keep."""

    body: bytes
    queue: int
    at: float


@dataclass
class Publishing:
    """The load. `acknowledged` grows while it runs; `stop` ends it."""

    addresses: list[str]
    topic: str
    callers: int
    acknowledged: list[Acknowledged] = field(default_factory=list)
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)
    _leaders: list[str] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _stubs: dict[str, "messaging_pb2_grpc.MessagingAsyncStub"] = field(default_factory=dict)
    _channels: list[grpc.aio.Channel] = field(default_factory=list)

    async def start(self) -> None:
        """Finds the leaders and starts the callers."""
        for address in self.addresses:
            channel = grpc.aio.insecure_channel(address, options=[("grpc.max_reconnect_backoff_ms", 500)])
            self._channels.append(channel)
            self._stubs[address] = messaging_pb2_grpc.MessagingStub(channel)
        while not self._leaders:
            await self._find_leaders()
        self._tasks = [asyncio.create_task(self._call_for_ever(number)) for number in range(self.callers)]

    async def until(self, count: int, timeout_s: float = 120.0) -> None:
        """Waits until so many more messages are acknowledged. Raises TimeoutError."""
        wanted = len(self.acknowledged) + count
        deadline = time.monotonic() + timeout_s
        while len(self.acknowledged) < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.acknowledged)} of {wanted} messages acknowledged")
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.wait(self._tasks, timeout=PAUSE_S, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """Ends the load; messages on their way are given up, so nobody knows of them."""
        self._stopped.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for channel in self._channels:
            await channel.close()

    async def _find_leaders(self) -> None:
        request = messaging_pb2.RouteRequest(topics=[self.topic])
        for stub in self._stubs.values():
            try:
                reply = await stub.Route(request, timeout=CALL_S)
            except grpc.aio.AioRpcError:
                continue
            clients = {node.node: node.client_address for node in reply.nodes}
            leaders = {shard.shard: clients.get(shard.leader, "") for shard in reply.shards}
            if reply.topics and all(leaders.get(shard) for shard in reply.topics[0].queue_shards):
                self._leaders = [leaders[shard] for shard in reply.topics[0].queue_shards]
                return
        await asyncio.sleep(PAUSE_S)

    async def _call_for_ever(self, number: int) -> None:
        instance = int.from_bytes(os.urandom(8), "little") | 1
        sequence = 0
        while not self._stopped.is_set():
            sequence += 1
            queue = (number + sequence) % len(self._leaders)
            body = f"{instance:016x}-{sequence}".encode()
            request = self._request(queue, body, instance, sequence)
            while not await self._sent(request, queue):
                await self._find_leaders()
            self.acknowledged.append(Acknowledged(body, queue, time.monotonic()))

    async def _sent(self, request: messaging_pb2.PublishRequest, queue: int) -> bool:
        try:
            await self._stubs[self._leaders[queue]].Publish(request, timeout=CALL_S)
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
                raise
            return False
        return True

    def _request(self, queue: int, body: bytes, instance: int, sequence: int) -> messaging_pb2.PublishRequest:
        record = messaging_pb2.Record(body=body)
        header = messaging_pb2.BatchHeader(
            topic=self.topic, queue=queue, queue_count=len(self._leaders), record_lengths=[record.ByteSize()]
        )
        batch = messaging_pb2.Batch(header=header, records=messaging_pb2.RecordBatch(records=[record]))
        # Never later than this: the same frame may be sent again for as long, and is stored once.
        deadline_ms = int(time.time() * 1000) + DEADLINE_MS
        identity = messaging_pb2.FrameIdentity(instance=instance, sequence=sequence, deadline_ms=deadline_ms)
        return messaging_pb2.PublishRequest(identity=identity, batches=[batch])


def browse_all(address: str, topic: str, queue: int) -> list[bytes]:
    """The bodies of all messages of a queue, in the order of their offsets, which must be dense. Ask its leader."""
    bodies: list[bytes] = []
    with grpc.insecure_channel(address) as channel:
        admin = admin_pb2_grpc.AdminStub(channel)
        while True:
            request = admin_pb2.BrowseRequest(topic=topic, queue=queue, offset=len(bodies), records_max=BROWSE_MAX)
            reply = admin.Browse(request, timeout=30)
            for delivery in reply.deliveries:
                assert delivery.first_offset == len(bodies), "offsets are not dense"
                bodies += [record.body for record in delivery.records.records]
            if not reply.deliveries:
                return bodies


def longest_silence(acknowledged: list[Acknowledged], since: float) -> float:
    """The longest time in which no queue of a kind had anything acknowledged, after `since`, in seconds."""
    longest = 0.0
    for queue in {one.queue for one in acknowledged}:
        times = [since, *sorted(one.at for one in acknowledged if one.queue == queue and one.at > since)]
        gaps = [second - first for first, second in pairwise(times)]
        longest = max(longest, *gaps, 0.0)
    return longest

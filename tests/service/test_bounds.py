"""A client that takes no answers is not read from either: what waits to be written stays bounded."""

from __future__ import annotations

import asyncio
from typing import Any

from tallymq.proto import frames_pb2, messaging_pb2
from tallymq.service.calls import END, Draining
from tallymq.service.metrics import Metrics
from tallymq.service.produce import ProduceStream
from tallymq.service.sessions import Asked, Session
from tallymq.service.subscription import REQUESTS_MAX, Subscription
from tests.service.running import Running, batch, bodies
from tests.support.waiting import until

M = messaging_pb2


class Deaf:
    """A connection whose client sends, and takes nothing before it is told to listen."""

    def __init__(self, requests: list[bytes]) -> None:
        self.read_count = 0
        self.written = 0
        self.listens = asyncio.Event()
        self._requests = requests

    async def read(self) -> Any:
        await asyncio.sleep(0)
        if self.read_count == len(self._requests):
            return END
        self.read_count += 1
        return self._requests[self.read_count - 1]

    async def write(self, _reply: bytes) -> None:
        await self.listens.wait()
        self.written += 1


async def turns() -> None:
    """Let everything happen that can without the client."""
    for _ in range(2_000):
        await asyncio.sleep(0)


async def test_a_producer_that_takes_no_replies_is_not_read_from_for_ever(instant: Running) -> None:
    await instant.create_topic(queue_count=1)
    frames = [
        M.ProduceRequest(correlation=number, publish=M.PublishRequest(batches=[batch("transfers", bodies("a"))]))
        for number in range(50)
    ]
    client: Any = Deaf([frame.SerializeToString() for frame in frames])
    messaging = instant.node.parts.messaging
    stream = ProduceStream(messaging.frames, Metrics(), Draining(), "", frames_max=4, bytes_max=1 << 20)
    serving = asyncio.create_task(stream.run(client))
    await turns()
    assert client.read_count <= 5
    client.listens.set()
    await serving
    assert (client.read_count, client.written) == (50, 50)


async def test_a_consumer_that_takes_no_answers_is_not_read_from_for_ever(instant: Running) -> None:
    too_much = M.SubscribeRequest(correlation=1, credit=M.Credit(records=1 << 30)).SerializeToString()
    empty = M.SubscribeRequest(correlation=1).SerializeToString()
    done = M.SubscribeRequest(correlation=1, acknowledge=M.AcknowledgeRequest()).SerializeToString()
    parts = instant.node.parts
    for request in (too_much, empty, done):
        client: Any = Deaf([request] * 3 * REQUESTS_MAX)
        subscription = Subscription(parts.cluster, parts.messaging.leases, Metrics(), Draining(), client)
        member: Any = type("Nobody", (), {"credit_records": 0, "credit_bytes": 0, "is_paused": False})()
        subscription.begin(member, 1)
        serving = asyncio.create_task(subscription.serve())
        await turns()
        assert client.read_count <= REQUESTS_MAX + 2
        client.listens.set()
        await serving
        assert (client.read_count, client.written) == (3 * REQUESTS_MAX, 3 * REQUESTS_MAX)


async def test_a_session_that_takes_nothing_is_not_asked_more() -> None:
    session = Session(M.SessionHello(producer_group="bank-a", instance=7), "", 2)
    client: Any = Deaf([])
    writing = asyncio.create_task(session.write(client))
    for number in (1, 2):
        assert session.has_room
        session.ask(Asked(0, number, 0, 7, 1, 1), frames_pb2.Check())
    # As if nobody had answered in time: the checks no longer count, but they still wait to be sent.
    session.close()
    assert not session.has_room
    client.listens.set()
    await until(lambda: session.has_room)
    writing.cancel()

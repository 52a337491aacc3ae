"""A load generator, in a process of its own: `python -m benchmarks.load KIND ADDRESS TOPIC [options]`.

Says "begin" on its output when the measured time begins and "end" when it ends, then one line of JSON.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import grpc

from benchmarks import consuming
from benchmarks.frames import FrameMaker
from benchmarks.latency import Window
from benchmarks.routes import find_leaders, open_channel
from tallymq.proto import messaging_pb2

GROUP = "bench-producers"


@dataclass
class Options:
    """What the load is. `rate` 0 means: as fast as `in_flight` frames at a time go."""

    kind: str
    address: str
    topic: str
    records: int
    body_bytes: int
    in_flight: int
    seconds: float
    warm_up_s: float
    rate: float


class RefusedError(Exception):
    """The service refused a frame of the load: the figures would mean nothing."""


@dataclass
class Pending:
    """A frame that is on its way."""

    maker: FrameMaker
    since: float
    done: asyncio.Future[None]


class Produce:
    """A produce stream to one leader. A frame counts as answered when it is published, or prepared and committed."""

    def __init__(self, address: str) -> None:
        self._channel = open_channel(address)
        self._call = self._channel.stream_stream("/tallymq.v1.Messaging/Produce")()
        self._outgoing: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._pending: dict[int, Pending] = {}
        self._last = 0
        self._writing = asyncio.create_task(self._write())
        self._reading = asyncio.create_task(self._read())

    async def send(self, maker: FrameMaker, transactions: bool, since: float) -> None:
        """Returns when the frame is published, or its transactions are committed."""
        self._last += 1
        pending = Pending(maker, since, asyncio.get_running_loop().create_future())
        self._pending[self._last] = pending
        self._outgoing.put_nowait(maker.prepare(self._last) if transactions else maker.publish(self._last))
        await pending.done

    async def close(self) -> None:
        """Ends the stream."""
        self._outgoing.put_nowait(None)
        await self._writing
        await self._reading
        await self._channel.close()

    async def _write(self) -> None:
        while (frame := await self._outgoing.get()) is not None:
            await self._call.write(frame)
        await self._call.done_writing()

    async def _read(self) -> None:
        try:
            while (encoded := await self._call.read()) is not grpc.aio.EOF:
                self._answered(messaging_pb2.ProduceReply.FromString(encoded))
            self._fail(RefusedError("the node ended the stream"))
        except (grpc.aio.AioRpcError, RefusedError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        for pending in self._pending.values():
            if not pending.done.done():
                pending.done.set_exception(error)

    def _answered(self, reply: messaging_pb2.ProduceReply) -> None:
        if reply.HasField("refusal"):
            raise RefusedError(f"{reply.refusal.code} {reply.refusal.name}: {reply.refusal.message}")
        if reply.HasField("prepare"):
            maker = self._pending[reply.correlation].maker
            self._outgoing.put_nowait(maker.commit_all(reply.correlation, reply.prepare))
            return
        refused = [result.refusal.name for result in reply.decide.results if result.HasField("refusal")]
        if refused:
            raise RefusedError(refused[0])
        self._pending.pop(reply.correlation).done.set_result(None)


def announce(word: str) -> float:
    """Tells the process that samples the nodes, and returns the time."""
    print(word, flush=True)
    return time.perf_counter()


async def produce(options: Options) -> dict[str, float]:
    """Publishes, or prepares and commits, for the stated time."""
    leaders = await find_leaders(options.address, options.topic)
    streams = {address: Produce(address) for address in dict.fromkeys(leaders)}
    bodies = [os.urandom(options.body_bytes) for _ in range(options.records)]
    makers = [FrameMaker(options.topic, queue, len(leaders), bodies, GROUP) for queue in range(len(leaders))]
    window = Window()
    measuring = False
    frame_bytes = options.records * options.body_bytes
    next_queue = 0

    async def one(since: float) -> None:
        nonlocal next_queue
        queue, next_queue = next_queue, (next_queue + 1) % len(leaders)
        await streams[leaders[queue]].send(makers[queue], options.kind == "transactions", since)
        if measuring:
            window.note(options.records, frame_bytes, time.perf_counter() - since)

    end = time.perf_counter() + options.warm_up_s
    await drive(options, one, lambda: time.perf_counter() < end)
    measuring = True
    cpu, begin = time.process_time(), announce("begin")
    end = begin + options.seconds
    await drive(options, one, lambda: time.perf_counter() < end)
    seconds, cpu = announce("end") - begin, time.process_time() - cpu
    for stream in streams.values():
        await stream.close()
    return window.summary(seconds, cpu)


async def drive(
    options: Options, one: Callable[[float], Coroutine[Any, Any, None]], wanted: Callable[[], bool]
) -> None:
    """Closed loop: each of so many callers sends its next frame when its last is answered. With a rate: frames start by
    the clock, and a late one counts from when it should have started."""
    if options.rate > 0:
        start, count, running = time.perf_counter(), 0, []
        while wanted():
            due = start + count / options.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            running.append(asyncio.create_task(one(due)))
            count += 1
        await asyncio.gather(*running)
        return

    async def caller() -> None:
        while wanted():
            await one(time.perf_counter())

    await asyncio.gather(*(caller() for _ in range(options.in_flight)))


def parse() -> Options:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("kind", choices=["transactions", "publish", "consume", "end-to-end"])
    parser.add_argument("address")
    parser.add_argument("topic")
    parser.add_argument("--records", type=int, default=1, help="records in a frame; consume: records in all")
    parser.add_argument("--body-bytes", type=int, default=1024)
    parser.add_argument("--in-flight", type=int, default=1, help="frames")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--warm-up-s", type=float, default=2.0)
    parser.add_argument("--rate", type=float, default=0.0, help="frames a second; 0: closed loop")
    return Options(**vars(parser.parse_args()))


async def run(options: Options) -> dict[str, float]:
    """Runs the load of this kind."""
    if options.kind == "consume":
        return await consuming.consume(options.address, options.topic, options.records, options.seconds, announce)
    if options.kind == "end-to-end":
        return await consuming.end_to_end(options.address, options.topic, options.rate, options.seconds, announce)
    return await produce(options)


def main() -> None:
    """Prints begin, end and the figures."""
    print(json.dumps(asyncio.run(run(parse()))), flush=True)


if __name__ == "__main__":
    main()

"""The client of the trial, in a process of its own: `python -m benchmarks.trial.client PORT [options]`."""

import argparse
import asyncio
import json
import os
import time

import grpc

from benchmarks.latency import Window
from benchmarks.load import announce
from benchmarks.routes import open_channel
from benchmarks.trial.node import COMMIT, PREPARE, RECORDS_AT
from tallymq.proto import messaging_pb2


class Transactions:
    """Frames of transactions on one stream: each is prepared, then committed."""

    def __init__(self, port: int, records: int, body_bytes: int) -> None:
        self._channel = open_channel(f"127.0.0.1:{port}")
        self._call = self._channel.stream_stream("/trial.Trial/Transact")()
        bodies = [messaging_pb2.Record(body=os.urandom(body_bytes)) for _ in range(records)]
        self._encoded = messaging_pb2.RecordBatch(records=bodies).SerializeToString()
        self._bits = ((1 << records) - 1).to_bytes((records + 7) // 8, "little")
        self._outgoing: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._pending: dict[bytes, asyncio.Future[None]] = {}
        self._last = 0
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]

    async def one(self) -> None:
        """Returns when all transactions of a frame are committed."""
        self._last += 1
        correlation = self._last.to_bytes(8, "big")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending[correlation] = done
        self._outgoing.put_nowait(PREPARE + correlation + self._encoded)
        await done

    async def close(self) -> None:
        """Ends the stream."""
        self._outgoing.put_nowait(None)
        await asyncio.gather(*self._tasks)
        await self._channel.close()

    async def _write(self) -> None:
        while (frame := await self._outgoing.get()) is not None:
            await self._call.write(frame)
        await self._call.done_writing()

    async def _read(self) -> None:
        while (answer := await self._call.read()) is not grpc.aio.EOF:
            correlation = answer[1:RECORDS_AT]
            if answer[:1] == PREPARE:
                self._outgoing.put_nowait(COMMIT + answer[1:] + self._bits)
            else:
                self._pending.pop(correlation).set_result(None)


async def run(options: argparse.Namespace) -> dict[str, float]:
    """So many callers, each with a frame at a time, for the stated time."""
    transactions = Transactions(options.port, options.records, options.body_bytes)
    window = Window()

    async def caller(end: float, measured: bool) -> None:
        while (since := time.perf_counter()) < end:
            await transactions.one()
            if measured:
                window.note(options.records, options.records * options.body_bytes, time.perf_counter() - since)

    async def phase(seconds: float, measured: bool) -> None:
        end = time.perf_counter() + seconds
        await asyncio.gather(*(caller(end, measured) for _ in range(options.in_flight)))

    await phase(options.warm_up_s, measured=False)
    cpu, begin = time.process_time(), announce("begin")
    await phase(options.seconds, measured=True)
    seconds, cpu = announce("end") - begin, time.process_time() - cpu
    await transactions.close()
    return window.summary(seconds, cpu)


def main() -> None:
    """Prints begin, end and the figures, as the load generator of the product does."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trial.client")
    parser.add_argument("port", type=int)
    parser.add_argument("--records", type=int, default=1024)
    parser.add_argument("--body-bytes", type=int, default=256)
    parser.add_argument("--in-flight", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--warm-up-s", type=float, default=2.0)
    print(json.dumps(asyncio.run(run(parser.parse_args()))), flush=True)


if __name__ == "__main__":
    main()

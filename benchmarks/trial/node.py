"""The processes of the trial: a leader and its followers. `python -m benchmarks.trial.node follower|leader ...`"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import google_crc32c
import grpc
import uvloop

from benchmarks.trial.link import Link
from benchmarks.trial.segment import FRAME_HEADER, Frame, Segment, encode
from tallymq.proto import messaging_pb2

FRAME_BYTES_MAX = 16 << 20
# A frame of the client: kind (1), correlation (8), then records, or index of the half (8) and bits.
PREPARE = b"P"
COMMIT = b"C"
RECORDS_AT = 9
BITS_AT = 17


async def follow(path: Path) -> None:
    """Appends what the leader sends, and answers with what is synced."""
    links: list[Link] = []

    def answer(synced: int) -> None:
        transport = links[-1].transport
        if transport is not None:
            transport.write(FRAME_HEADER.pack(0, synced))

    segment = Segment(path, answer)

    def accept() -> Link:
        links.append(Link(segment.append))
        return links[-1]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Leader:
    """Numbers frames, appends them here and on the followers, and calls back once a majority has synced them."""

    def __init__(self, path: Path, follower_count: int) -> None:
        self._segment = Segment(path, lambda synced: self.acknowledged(0, synced))
        self._synced = [0] * (1 + follower_count)
        self._majority = 0
        self._last = 0
        self._waiting: dict[int, Callable[[int], None]] = {}
        self._gathered: list[Frame] = []
        self.followers: list[Link] = []

    def propose(self, payload: bytes, done: Callable[[int], None]) -> None:
        """Calls done with the frame's number once it is on a majority."""
        self._last += 1
        self._waiting[self._last] = done
        self._gathered.append((self._last, payload))
        if len(self._gathered) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def acknowledged(self, member: int, synced: int) -> None:
        """Member (0 is this one) has synced up to this number."""
        self._synced[member] = synced
        majority = sorted(self._synced)[len(self._synced) // 2]
        for number in range(self._majority + 1, majority + 1):
            self._waiting.pop(number)(number)
        self._majority = max(self._majority, majority)

    def _flush(self) -> None:
        frames, self._gathered = self._gathered, []
        pieces = encode(frames)
        for link in self.followers:
            if link.transport is not None:
                link.transport.writelines(pieces)
        self._segment.append(frames)


async def transact(leader: Leader, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
    """One stream of prepare and commit frames."""
    answers: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def write() -> None:
        while (answer := await answers.get()) is not None:
            await context.write(answer)

    writing = asyncio.create_task(write())
    while isinstance(request := await context.read(), bytes):
        correlation = request[1:RECORDS_AT]
        if request[:1] == PREPARE:
            google_crc32c.value(request)
            messaging_pb2.RecordBatch.FromString(request[RECORDS_AT:])

            def prepared(number: int, correlation: bytes = correlation) -> None:
                answers.put_nowait(PREPARE + correlation + number.to_bytes(8, "big"))

            leader.propose(request, prepared)
        else:
            int.from_bytes(request[BITS_AT:], "little").bit_count()

            def committed(number: int, correlation: bytes = correlation) -> None:
                answers.put_nowait(COMMIT + correlation)

            leader.propose(request, committed)
    answers.put_nowait(None)
    await writing


async def lead(path: Path, follower_ports: list[int]) -> None:
    """Serves clients; the followers run already."""
    leader = Leader(path, len(follower_ports))
    for member, port in enumerate(follower_ports, start=1):

        def acknowledged(frames: list[Frame], member: int = member) -> None:
            leader.acknowledged(member, frames[-1][0])

        link = Link(acknowledged)
        await asyncio.get_running_loop().create_connection(lambda link=link: link, "127.0.0.1", port)
        leader.followers.append(link)

    async def serve(requests: AsyncIterator[bytes], context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
        await transact(leader, context)

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", FRAME_BYTES_MAX)])
    handlers = {"Transact": grpc.stream_stream_rpc_method_handler(serve)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("trial.Trial", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


def main() -> None:
    """`follower FILE` or `leader FILE PORT...`; prints the port it listens on."""
    role, path, *ports = sys.argv[1:]
    uvloop.run(follow(Path(path)) if role == "follower" else lead(Path(path), [int(port) for port in ports]))


if __name__ == "__main__":
    main()

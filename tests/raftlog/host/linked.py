"""Links of a node with nobody behind them, and strangers that talk to them."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from tallymq.proto.hello_pb2 import Hello
from tallymq.raftlog.framing import HEADER, KIND_HELLO, Frame
from tallymq.raftlog.links import Links
from tallymq.raftlog.links_hello import Identity
from tallymq.raftlog.settings import HostSettings, Member, TlsFiles
from tests.support.ports import free_ports


class Ear:
    """Remembers what the links said."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, int, bytes]] = []
        self.connections: list[str] = []

    def peer_connected(self, peer: str) -> None:
        self.connections.append("+" + peer)

    def peer_disconnected(self, peer: str) -> None:
        self.connections.append("-" + peer)

    def peer_frames(self, peer: str, frames: list[Frame]) -> None:
        self.frames += [(peer, frame.shard, bytes(frame.payload)) for frame in frames]


class Node:
    """Links with an ear."""

    def __init__(self, settings: HostSettings, **identity: object) -> None:
        self.ear = Ear()
        self.settings = settings
        own = Identity(
            cluster=settings.cluster,
            node=settings.node,
            shard_count=settings.shard_count,
            software_version="1",
            peers=frozenset(member.node for member in settings.peers),
        )
        self.links = Links(settings, replace(own, **identity), self.ear)


def members(*names: str) -> tuple[Member, ...]:
    return tuple(Member(name, "127.0.0.1", port) for name, port in zip(names, free_ports(len(names)), strict=True))


def settings_of(node: str, among: tuple[Member, ...], tls: TlsFiles | None, **more: object) -> HostSettings:
    port = next(member.port for member in among if member.node == node)
    return HostSettings(
        node=node,
        cluster="tests",
        data_directory=Path("unused"),
        members=among,
        listen_port=port,
        tls=tls,
        **more,
    )


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for node in nodes:
            await node.links.start()
            stack.push_async_callback(node.links.stop)
        yield


def a_hello(**changes: object) -> bytes:
    hello = Hello(format_version=1, cluster="tests", node="n1", shard_count=4, software_version="1", to_node="n2")
    for name, value in changes.items():
        setattr(hello, name, value)
    payload = hello.SerializeToString()
    return HEADER.pack(len(payload), KIND_HELLO, 0) + payload


def client_context(files: TlsFiles | None, ca: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    context.check_hostname = False
    if files:
        context.load_cert_chain(files.certificate, files.key)
    return context


async def told(port: int, context: ssl.SSLContext | None, data: bytes) -> bytes:
    """Everything the other end says until it closes."""
    try:
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(data)
            try:
                return await reader.read()
            finally:
                writer.close()
    except (ConnectionError, ssl.SSLError):
        return b""

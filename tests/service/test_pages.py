"""/health answers whoever asks, however many others hold connections to the port and say nothing."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tallymq.raftlog.links_acceptor import HANDSHAKES_MAX
from tallymq.service import pages as pages_module
from tallymq.service.pages import CONNECTIONS_MAX, HEAD_BYTES_MAX, Pages
from tests.service.running import SECONDS
from tests.support.certificates import Authority
from tests.support.ports import free_port

REQUEST = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"
IDLE = 5 * CONNECTIONS_MAX


def made() -> Pages:
    return Pages(lambda: b"tallymq_calls 1\n", lambda: (True, {"node": "node-1"}))


async def asked(port: int, request: bytes = REQUEST, tls: ssl.SSLContext | None = None) -> bytes:
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        writer.write(request)
        try:
            return await reader.read()
        finally:
            writer.close()


async def idle(stack: AsyncExitStack, port: int, count: int) -> list[asyncio.StreamReader]:
    """Open connections that say nothing."""
    readers = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stack.callback(writer.close)
        readers.append(reader)
    return readers


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What the server and the client use."""
    authority = Authority(tmp_path)
    files = authority.issue("node-1")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(files.certificate, files.key)
    return server, ssl.create_default_context(cafile=str(authority.path))


async def test_health_is_answered_while_hundreds_of_connections_are_idle() -> None:
    pages, port = made(), free_port()
    await pages.start("127.0.0.1", port, None)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(pages.stop)
        readers = await idle(stack, port, IDLE)
        for _ in range(3):
            assert (await asked(port)).startswith(b"HTTP/1.1 200 OK")
        # The first to come were the first to go.
        assert await readers[0].read() == b""


async def test_health_is_answered_while_hundreds_of_tls_handshakes_are_idle(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    pages, port = made(), free_port()
    await pages.start("127.0.0.1", port, tls[0])
    async with AsyncExitStack() as stack:
        stack.push_async_callback(pages.stop)
        readers = await idle(stack, port, 5 * HANDSHAKES_MAX)
        for _ in range(3):
            assert (await asked(port, tls=tls[1])).startswith(b"HTTP/1.1 200 OK")
        assert await readers[0].read() == b""


async def test_who_asks_nothing_in_time_is_closed_with_tls_and_without(
    tls: tuple[ssl.SSLContext, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "REQUEST_S_MAX", 0.05)
    for context in (None, tls[0]):
        pages, port = made(), free_port()
        await pages.start("127.0.0.1", port, context)
        assert await asked(port, b"") == b""
        assert await asked(port, b"G") == b""
        await pages.stop()


@pytest.mark.parametrize(
    ("request_bytes", "answer"),
    [
        (b"HEAD /health HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"GET /metrics?name=x HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"GET /etc/passwd HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 Not Found"),
        (b"POST /health HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 Method Not Allowed"),
        (b"\xff\xfe\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET /" + b"x" * HEAD_BYTES_MAX * 2, b""),
    ],
    ids=["head", "query", "elsewhere", "post", "garbage", "oversize"],
)
async def test_requests_of_every_kind_are_answered_or_closed(request_bytes: bytes, answer: bytes) -> None:
    pages, port = made(), free_port()
    await pages.start("127.0.0.1", port, None)
    try:
        found = b""
        try:
            found = await asked(port, request_bytes)
        except ConnectionResetError:
            assert answer == b""
        assert found.startswith(answer)
        assert bool(found) == bool(answer)
    finally:
        await pages.stop()

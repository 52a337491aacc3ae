"""The small HTTP server for operators: /metrics and /health. GET and HEAD only, one request per connection.

Connections are bounded in number and in time, and where there are too many the oldest of the host that has most has to
go: whoever asks at once is answered, however many others hold a connection and say nothing.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any

import structlog

from tallymq.raftlog.links_acceptor import Acceptor, address_text, first_of_busiest
from tallymq.raftlog.tls import why
from tallymq.service.metrics import CONTENT_TYPE

HEAD_BYTES_MAX = 8 * 1024
REQUEST_S_MAX = 5.0
CONNECTIONS_MAX = 64

log = structlog.get_logger("tallymq.service.pages")

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


class Pages:
    """Serves what `metrics` and `health` return. `health` gives whether all is well, and details."""

    def __init__(self, metrics: Callable[[], bytes], health: Callable[[], tuple[bool, dict[str, Any]]]) -> None:
        self._metrics = metrics
        self._health = health
        self._acceptor: Acceptor | None = None
        self._open: dict[asyncio.StreamWriter, str] = {}

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Listen. Raises OSError if it is in use."""
        self._acceptor = Acceptor(self._protocol, _not_greeted, tls, REQUEST_S_MAX)
        await self._acceptor.start(host, port)

    async def stop(self) -> None:
        """Listen no more, and close what is open."""
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()
        for writer in list(self._open):
            writer.close()

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=HEAD_BYTES_MAX), self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= CONNECTIONS_MAX:
            leaving = first_of_busiest(self._open)
            del self._open[leaving]
            leaving.transport.abort()
        self._open[writer] = address_text(writer.get_extra_info("peername"))
        try:
            async with asyncio.timeout(REQUEST_S_MAX):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # Whoever asks so slowly or strangely gets no answer.
            pass
        finally:
            self._open.pop(writer, None)
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        line, _, headers = head.partition(b"\r\n")
        parts = line.split(b" ")
        if len(parts) != 3:
            return _response(400, "text/plain", b"not an HTTP request\n")
        method, target = parts[0], parts[1].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return _response(405, "text/plain", b"only GET and HEAD\n")
        if target == b"/metrics":
            answer = _response(200, CONTENT_TYPE, self._metrics())
        elif target == b"/health":
            answer = self._health_page(b"application/json" in headers)
        else:
            answer = _response(404, "text/plain", b"there are /metrics and /health\n")
        return answer[: answer.index(b"\r\n\r\n") + 4] if method == b"HEAD" else answer

    def _health_page(self, wants_json: bool) -> bytes:
        is_well, details = self._health()
        status = 200 if is_well else 503
        word = "ok" if is_well else "not ok"
        text = json.dumps({"status": word, **details})
        if wants_json:
            return _response(status, "application/json", text.encode() + b"\n")
        return _response(status, "text/plain; charset=utf-8", f"{word}\n{text}\n".encode())


def _not_greeted(address: str, error: Exception) -> None:
    # Scanners and browsers that do not trust the certificate: nothing an operator could mend here.
    log.debug("no TLS with a reader of metrics", address=address, reason=why(error))


def _response(status: int, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body

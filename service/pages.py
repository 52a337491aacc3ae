"""The small HTTP server for operators: /metrics and /health. GET and HEAD only, one request per connection."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any

from tallymq.service.metrics import CONTENT_TYPE

HEAD_BYTES_MAX = 8 * 1024
REQUEST_S_MAX = 5.0
CONNECTIONS_MAX = 64

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
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Listen. Raises OSError if it is in use."""
        self._server = await asyncio.start_server(self._serve, host, port, ssl=tls, limit=HEAD_BYTES_MAX)

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= CONNECTIONS_MAX:
            writer.close()
            return
        self._open += 1
        try:
            async with asyncio.timeout(REQUEST_S_MAX):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # Whoever asks so slowly or strangely gets no answer.
            pass
        finally:
            self._open -= 1
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


def _response(status: int, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body

"""Accepting connections with TLS, bounded: a stranger's unfinished handshakes can take neither the port nor the memory.

The loop's own server counts no handshakes and tells nobody why one failed. Here at most HANDSHAKES_MAX are under way;
one more, and the oldest of the host that has most has to go: a flood from one host puts out nobody else's, and a guest
of good will needs milliseconds, so it is never the oldest for long.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Guest = TypeVar("Guest")

LOG = logging.getLogger(__name__)

HANDSHAKES_MAX = 64
BACKLOG = 128
RETRY_S = 1.0
"""Pause when no connection can be accepted at all, because the process has no file descriptor left."""


def first_of_busiest(addresses: Mapping[Guest, str]) -> Guest:
    """Return who has to go where there are too many, of guests by age and their addresses (host:port)."""
    hosts = Counter(_host(address) for address in addresses.values())
    busiest = max(hosts, key=hosts.__getitem__)
    return next(guest for guest, address in addresses.items() if _host(address) == busiest)


def address_text(address: Any) -> str:  # noqa: ANN401 - as the socket's family has it
    """Return the other end of a connection as host:port."""
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "an unknown address"


class Acceptor:
    """Listens, and gives each connection a protocol of its own once TLS, if there is any, was agreed on.

    `refused` is told the other end's address and why a connection ended before its protocol began.
    """

    def __init__(
        self,
        make_protocol: Callable[[], asyncio.BaseProtocol],
        refused: Callable[[str, Exception], None],
        tls: ssl.SSLContext | None,
        handshake_s: float,
    ) -> None:
        self._make_protocol = make_protocol
        self._refused = refused
        self._tls = tls
        self._handshake_s = handshake_s
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._handshakes: dict[asyncio.Task[None], tuple[socket.socket, str]] = {}

    async def start(self, host: str, port: int) -> None:
        """Listen at every address of `host`. Raises OSError if one cannot be had; nothing listens then."""
        loop = asyncio.get_running_loop()
        flags = socket.AI_PASSIVE
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
        try:
            for family, address in dict.fromkeys((each[0], each[4]) for each in found):
                self._listeners.append(_listen(family, address))
        except OSError:
            self.close()
            raise
        self._accepting = [loop.create_task(self._accept(listener)) for listener in self._listeners]

    def close(self) -> None:
        """Listen no more and end every handshake; connections whose protocol has begun are not touched."""
        for task in self._accepting:
            task.cancel()
        for listener in self._listeners:
            # A cancelled accept stops watching only in the loop's next turn, when the number may be another's.
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        self._listeners.clear()
        for connection, _address in self._handshakes.values():
            _hang_up(connection)

    async def wait_closed(self) -> None:
        """Return when nothing of this is left; after `close`."""
        await asyncio.gather(*self._accepting, *self._handshakes, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except ConnectionAbortedError:
                continue
            except OSError as error:
                LOG.warning("no connection can be accepted for now: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            task = loop.create_task(self._greet(connection, address_text(address)))
            self._handshakes[task] = (connection, address_text(address))
            task.add_done_callback(self._handshakes.pop)
            # Accepting again at once would not let the loop turn while others wait to be accepted.
            await asyncio.sleep(0)
            while len(self._handshakes) > HANDSHAKES_MAX:
                await self._make_room()

    async def _make_room(self) -> None:
        leaving = first_of_busiest({task: address for task, (_, address) in self._handshakes.items()})
        _hang_up(self._handshakes[leaving][0])
        await asyncio.wait({leaving})

    async def _greet(self, connection: socket.socket, address: str) -> None:
        loop = asyncio.get_running_loop()
        handshake_s = self._handshake_s if self._tls is not None else None
        try:
            await loop.connect_accepted_socket(
                self._make_protocol, connection, ssl=self._tls, ssl_handshake_timeout=handshake_s
            )
        except (OSError, TimeoutError) as error:
            connection.close()
            self._refused(address, error)


def _listen(family: int, address: Any) -> socket.socket:  # noqa: ANN401 - as getaddrinfo gives it
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {address_text(address)}: {str(error.strerror).lower()}") from None
    return listener


def _hang_up(connection: socket.socket) -> None:
    """End a connection under its handshake, which then fails by itself."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The other end was faster.
        return


def _host(address: str) -> str:
    return address.rpartition(":")[0]

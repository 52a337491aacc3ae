"""Links: this node's connections to the other members, one for each pair of nodes, shared by all shards.

Of two nodes the one with the smaller name dials. A connection is used once both certificates and both hellos were
found good; anything else closes it, with a line in the log and no answer.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Sequence
from typing import Protocol

from tallymq.raftlog.framing import KIND_MESSAGE, Bytes, Frame
from tallymq.raftlog.links_acceptor import Acceptor, first_of_busiest
from tallymq.raftlog.links_connection import PeerConnection
from tallymq.raftlog.links_hello import Identity
from tallymq.raftlog.links_refusals import Refusals
from tallymq.raftlog.settings import HostSettings, Member
from tallymq.raftlog.tls import HUNG_UP, accepting_context, check_own, dialling_context, why

LOG = logging.getLogger(__name__)

BACKOFF_S_MIN = 0.05
BACKOFF_S_MAX = 2.0
UNGREETED_MAX = 64
"""Accepted connections that may wait for their hello at the same time; strangers cannot hold more memory than these."""


class LinksListener(Protocol):
    """Who is told what the peers say; called on the loop."""

    def peer_connected(self, peer: str) -> None:
        """Messages to this peer may be sent from now on."""

    def peer_disconnected(self, peer: str) -> None:
        """What was sent and not answered may be lost."""

    def peer_frames(self, peer: str, frames: list[Frame]) -> None:
        """Messages of an accepted peer, in order."""


class Links:
    """All connections of one node. `start` listens and dials, `stop` closes everything."""

    def __init__(self, settings: HostSettings, identity: Identity, listener: LinksListener) -> None:
        self.identity = identity
        self.tls_required = settings.tls is not None
        self.refused_count = 0
        self.failed_dials = 0
        self.handshakes_failed = 0
        self._settings = settings
        self._listener = listener
        self._connections: dict[str, PeerConnection] = {}
        self._ungreeted: dict[PeerConnection, None] = {}
        self._dialling: ssl.SSLContext | None = dialling_context(settings.tls) if settings.tls else None
        self._acceptor = Acceptor(
            lambda: PeerConnection(self, None, settings.peer_queue_bytes_max),
            self._not_greeted,
            accepting_context(settings.tls) if settings.tls else None,
            settings.peer_hello_ms_max / 1000,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._refusals = Refusals(asyncio.get_running_loop().time)
        self._stopping = False
        if settings.tls is not None and (remark := check_own(settings.tls, settings.node)):
            LOG.warning("the certificate %s %s", settings.tls.certificate, remark)

    @property
    def connected(self) -> frozenset[str]:
        """Names of the peers that can be sent to now."""
        return frozenset(self._connections)

    async def start(self) -> None:
        """Listen (if another node dials this one), dial the others. Raises OSError if the port cannot be had."""
        loop = asyncio.get_running_loop()
        await self._acceptor.start(self._settings.listen_host, self._settings.listen_port)
        for member in self._settings.peers:
            if self._settings.node < member.node:
                self._tasks.append(loop.create_task(self._keep_dialling(member)))
        self._tasks.append(loop.create_task(self._watch()))

    async def stop(self) -> None:
        """Close every connection and the port."""
        self.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._acceptor.wait_closed()

    def abort(self) -> None:
        """Say nothing more to anyone, from this moment on."""
        self._stopping = True
        self._acceptor.close()
        for task in self._tasks:
            task.cancel()
        for connection in [*self._connections.values(), *self._ungreeted]:
            connection.close("this node stops")

    def drop(self, peer: str, reason: str) -> None:
        """Close the connection with a peer; it may come again."""
        connection = self._connections.get(peer)
        if connection is not None:
            connection.close(reason)

    def send(self, peer: str, shard: int, payload: Sequence[Bytes], urgent: bool, kind: int = KIND_MESSAGE) -> bool:
        """Send one message; False if it was dropped: the sender must be able to live with that, and to repeat it.

        Urgent messages (heartbeats, votes, answers) leave before the others, parts of snapshots after them; each of the
        three is bounded on its own.
        """
        connection = self._connections.get(peer)
        return connection is not None and connection.send(shard, payload, urgent, kind)

    def made(self, connection: PeerConnection) -> bool:
        """Count a connection without a hello; one too many, and an older one has to go. False: this node stops."""
        if self._stopping:
            return False
        accepted = {each: each.address for each in self._ungreeted if not each.dialled}
        if not connection.dialled and len(accepted) >= UNGREETED_MAX:
            first_of_busiest(accepted).close("too many connections are waiting for their hello")
        self._ungreeted[connection] = None
        return True

    def opened(self, connection: PeerConnection) -> None:
        """Use this connection for its peer from now on, in place of an older one that may be half dead."""
        self._ungreeted.pop(connection, None)
        older = self._connections.pop(connection.peer, None)
        if older is not None:
            older.close("a newer connection of the same node took its place")
            self._listener.peer_disconnected(connection.peer)
        self._connections[connection.peer] = connection
        self._refusals.well(connection.peer)
        LOG.info("connected with node %s at %s", connection.peer, connection.address)
        self._listener.peer_connected(connection.peer)

    def received(self, peer: str, frames: list[Frame]) -> None:
        """Hand messages on."""
        self._listener.peer_frames(peer, frames)

    def closed(self, connection: PeerConnection, reason: str) -> None:
        """Forget a connection and say why it went."""
        self._ungreeted.pop(connection, None)
        if self._connections.get(connection.peer) is connection:
            del self._connections[connection.peer]
            LOG.info("connection with node %s at %s ended: %s", connection.peer, connection.address, reason)
            self._listener.peer_disconnected(connection.peer)
        elif not connection.peer and not self._stopping:
            self.refused_count += 1
            if connection.expected is not None:
                told = reason if connection.is_refused_here else f"{reason}; {HUNG_UP}"
                self._refusals.member(connection.expected, connection.address, told, expected=False)
            else:
                self._refusals.stranger(connection.address, reason)

    def _not_greeted(self, address: str, error: Exception) -> None:
        """A connection that came in failed before a byte of ours was said."""
        self.handshakes_failed += 1
        if not self._stopping:
            self._refusals.stranger(address, HUNG_UP if isinstance(error, ConnectionError) else why(error))

    async def _keep_dialling(self, member: Member) -> None:
        backoff_s = BACKOFF_S_MIN
        while True:
            if await self._dial(member):
                backoff_s = BACKOFF_S_MIN
            # Spread, so that nodes that lost each other do not come back in step.
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 (no secret)
            backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)

    async def _dial(self, member: Member) -> bool:
        """Connect and wait until the connection is lost; whether it was ever accepted."""
        loop = asyncio.get_running_loop()
        connection: PeerConnection | None = None
        try:
            async with asyncio.timeout(self._settings.peer_hello_ms_max / 1000):
                _, connection = await loop.create_connection(
                    lambda: PeerConnection(self, member.node, self._settings.peer_queue_bytes_max),
                    member.host,
                    member.port,
                    ssl=self._dialling,
                    server_hostname=member.node if self._dialling else None,
                )
        except (OSError, TimeoutError) as error:
            self.failed_dials += 1
            address = f"{member.host}:{member.port}"
            is_tls = isinstance(error, ssl.SSLError | ConnectionResetError)
            reason = HUNG_UP if isinstance(error, ConnectionResetError) else why(error)
            self._refusals.member(member.node, address, reason, expected=not is_tls)
            return False
        await connection.lost
        return bool(connection.peer)

    async def _watch(self) -> None:
        """Ping, and close what has gone silent: a dead machine sends no farewell."""
        settings = self._settings
        loop = asyncio.get_running_loop()
        interval_s = min(settings.peer_ping_ms, settings.peer_hello_ms_max) / 2000
        watched_at = loop.time()
        while True:
            await asyncio.sleep(interval_s)
            now = loop.time()
            # If this process itself was stopped for long, the others get a turn to be heard before they are judged.
            paused = now - watched_at > settings.peer_idle_ms_max / 2000
            watched_at = now
            if not paused:
                self._close_silent(now)
            for connection in self._connections.values():
                if now - connection.sent_at >= settings.peer_ping_ms / 2000:
                    connection.ping()

    def _close_silent(self, now: float) -> None:
        for connection in list(self._connections.values()):
            if now - connection.received_at > self._settings.peer_idle_ms_max / 1000:
                connection.close(f"nothing was heard for {self._settings.peer_idle_ms_max} ms")
        for connection in list(self._ungreeted):
            if now - connection.made_at > self._settings.peer_hello_ms_max / 1000:
                connection.close("no hello came in time")

"""One connection to another node: hello first, then frames; silence, excess or nonsense closes it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol, cast

from tallymq.raftlog.framing import (
    KIND_HELLO,
    KIND_MESSAGE,
    KIND_PING,
    KIND_SNAPSHOT,
    Bytes,
    Frame,
    FrameReader,
    FrameRefused,
    SendQueue,
)
from tallymq.raftlog.links_acceptor import address_text
from tallymq.raftlog.links_hello import HELLO_BYTES_MAX, HelloRefused, Identity
from tallymq.raftlog.settings import FRAME_BYTES_MAX
from tallymq.raftlog.tls import common_name, why

WRITE_BYTES = 1024 * 1024
"""How much is handed to the transport at once; the rest stays in our queue, where urgent frames overtake it."""


ENDED = "the other end closed it"


class ConnectionOwner(Protocol):
    """What a connection asks of the links it belongs to."""

    identity: Identity
    tls_required: bool

    def made(self, connection: PeerConnection) -> bool:
        """A transport exists; False refuses it."""

    def opened(self, connection: PeerConnection) -> None:
        """The hello was accepted: `connection.peer` is true."""

    def received(self, peer: str, frames: list[Frame]) -> None:
        """Messages of an accepted peer, in order."""

    def closed(self, connection: PeerConnection, reason: str) -> None:
        """It is gone, whether it was ever opened or not."""


class PeerConnection(asyncio.BufferedProtocol):
    """Protocol of one connection, dialled (`expected` names the peer) or accepted (`expected` is None)."""

    def __init__(self, owner: ConnectionOwner, expected: str | None, queue_bytes_max: int) -> None:
        self.peer = ""
        self.address = "an unknown address"
        self.reason = ""
        self.is_refused_here = False
        self.made_at = self.received_at = self.sent_at = 0.0
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = owner
        self.expected = expected
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(HELLO_BYTES_MAX)
        self._queue = SendQueue(queue_bytes_max)
        self._transport: asyncio.Transport | None = None
        self._writable = True
        self._flush_due = False

    @property
    def is_open(self) -> bool:
        """Whether hellos were exchanged and the connection was not closed since."""
        return bool(self.peer) and self._transport is not None

    @property
    def dialled(self) -> bool:
        """Whether this end made the connection."""
        return self.expected is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the end that dialled speaks first, so that a stranger is told nothing."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BYTES)
        self.address = address_text(transport.get_extra_info("peername"))
        self.made_at = self.received_at = self.sent_at = self._loop.time()
        if not self._owner.made(self):
            self.close("too many connections are waiting for their hello")
            return
        if self.expected is not None:
            self._say_hello(self.expected)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where asyncio puts the next bytes."""
        return self._reader.space()

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came: take the frames out of them."""
        if self._transport is None:
            return
        self.received_at = self._loop.time()
        try:
            frames = self._reader.received(nbytes)
            if not self.peer and frames:
                self._take_hello(frames.pop(0))
            messages = [frame for frame in frames if frame.kind in (KIND_MESSAGE, KIND_SNAPSHOT)]
            if len(messages) < len(frames) and any(frame.kind == KIND_HELLO for frame in frames):
                raise FrameRefused("a second hello")
        except (FrameRefused, HelloRefused) as refusal:
            self.close(str(refusal))
            return
        if messages and self.is_open:
            self._owner.received(self.peer, messages)

    def eof_received(self) -> bool:
        """The other end will say no more: close."""
        self._abort(ENDED)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._gone(why(exc) if exc else ENDED)

    def pause_writing(self) -> None:
        """The transport holds enough: what comes now waits in our queue."""
        self._writable = False

    def resume_writing(self) -> None:
        """The transport takes more."""
        self._writable = True
        self._flush()

    def send(self, shard: int, payload: Sequence[Bytes], urgent: bool, kind: int = KIND_MESSAGE) -> bool:
        """Queue one message; False (and nothing happens) if the connection is not open or the queue is full."""
        if not self.is_open or not self._queue.put(kind, shard, payload, urgent):
            return False
        self._flush_soon()
        return True

    def ping(self) -> None:
        """Say that this end lives."""
        if self.is_open:
            self._queue.put(KIND_PING, 0, (), urgent=True)
            self._flush_soon()

    def close(self, reason: str) -> None:
        """Close at once; what is queued is dropped."""
        self.is_refused_here = True
        self._abort(reason)

    def _abort(self, reason: str) -> None:
        transport = self._transport
        if transport is not None:
            self._gone(reason)
            transport.abort()

    def _gone(self, reason: str) -> None:
        if self._transport is None:
            return
        self._transport = None
        self._queue.clear()
        self.reason = reason
        if not self.lost.done():
            self.lost.set_result(None)
        self._owner.closed(self, reason)

    def _take_hello(self, frame: Frame) -> None:
        if frame.kind != KIND_HELLO:
            raise HelloRefused("its first frame is not a hello")
        peer = self._owner.identity.check(bytes(frame.payload), self._certified_name(), self.expected)
        if self.expected is None:
            self._say_hello(peer)
        self.peer = peer
        self._reader.payload_bytes_max = FRAME_BYTES_MAX
        self._owner.opened(self)

    def _certified_name(self) -> str | None:
        if not self._owner.tls_required:
            return None
        certificate: dict[str, Any] | None = self._transport.get_extra_info("peercert") if self._transport else None
        return common_name(certificate)

    def _say_hello(self, to_node: str) -> None:
        self._queue.put(KIND_HELLO, 0, (self._owner.identity.hello(to_node),), urgent=True)
        self._flush()

    def _flush_soon(self) -> None:
        # One write for all that the shards say in one turn of the loop.
        if not self._flush_due and self._writable:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        while self._queue and self._writable and self._transport is not None:
            pieces = self._queue.take(WRITE_BYTES)
            self.sent_at = self._loop.time()
            if len(pieces) == 1:
                self._transport.write(pieces[0])
            else:
                self._transport.writelines(pieces)

"""The only door to grpclib: calls and streams to one node, over one HTTP/2 connection.

grpclib and not grpcio: grpcio's threads and locks do not survive a fork, and this package must. Tried with 1.85.1:
every forked child hangs, or with GRPC_ENABLE_FORK_SUPPORT=1 those that forked during a call. grpclib is as fast here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar, cast

from google.protobuf.message import Message as Protobuf
from google.rpc import error_details_pb2
from grpclib.client import Channel, Stream
from grpclib.config import Configuration
from grpclib.const import Cardinality, Status
from grpclib.encoding.base import CodecBase
from grpclib.encoding.proto import ProtoStatusDetailsCodec
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from h2.exceptions import ProtocolError as Http2Error

from tallymq.exceptions import ConfigurationError, OutcomeUnknown, TallyError, Unavailable, error_of_refusal
from tallymq.proto import messaging_pb2
from tallymq.types import Tls

Reply = TypeVar("Reply", bound=Protobuf)

MESSAGING = "/tallymq.v1.Messaging/"
ADMIN = "/tallymq.v1.Admin/"

CONNECT_TIMEOUT_S = 5.0
WINDOW_BYTES = 16 * 1024 * 1024
"""Flow control: room for a few of the largest replies on one connection."""

BROKEN = (OSError, StreamTerminatedError, ProtocolError, Http2Error, TimeoutError, asyncio.IncompleteReadError)
"""What a lost connection looks like."""


class _Encoded(Protocol):
    def SerializeToString(self) -> bytes: ...  # noqa: N802 - protobuf's name


class _Codec(CodecBase):
    """Takes bytes as they are, so that a frame is encoded once however often it is sent."""

    __content_subtype__ = "proto"

    def encode(self, message: object, message_type: object) -> bytes:
        return message if isinstance(message, bytes) else cast("_Encoded", message).SerializeToString()

    def decode(self, data: bytes, message_type: type[Protobuf]) -> Protobuf:
        return message_type.FromString(data)


def _keep_alive(connection: socket.socket) -> None:
    """Let the system find a peer that is gone without a word: after about 25 s."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 25_000)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


class _Connection(Channel):
    """A channel that knows its socket, so that a forked child can let go of it."""

    file_number: int | None = None

    async def _create_connection(self) -> Any:  # noqa: ANN401 - grpclib's own type, not exported
        self.file_number = None
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            protocol = await super()._create_connection()
        connection = protocol.connection._transport.get_extra_info("socket")
        _keep_alive(connection)
        self.file_number = connection.fileno()
        return protocol


def ssl_context(tls: Tls | None) -> ssl.SSLContext | None:
    """Return the context for these files. Raises ConfigurationError that names what cannot be read."""
    if tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    try:
        context.load_verify_locations(cafile=str(tls.ca))
        if tls.certificate is not None:
            context.load_cert_chain(str(tls.certificate), None if tls.key is None else str(tls.key))
    except OSError as error:
        raise ConfigurationError(f"The TLS files cannot be used: {error}.", hint="Give paths of PEM files.") from error
    return context


def error_of_status(error: GRPCError) -> TallyError:
    """Return our exception for a gRPC status: by its details if the service sent them, else by its code."""
    for detail in error.details or ():
        if isinstance(detail, error_details_pb2.ErrorInfo) and detail.domain == "tallymq":
            facts = detail.metadata
            return error_of_refusal(
                messaging_pb2.Refusal(
                    code=facts.get("code", ""),
                    name=detail.reason,
                    message=error.message or "",
                    hint=facts.get("hint", ""),
                    definite=facts.get("definite", "").lower() == "true",
                    retryable=facts.get("retryable", "").lower() == "true",
                    leader_address=facts.get("leader_address", ""),
                )
            )
    if error.status in {Status.UNAVAILABLE, Status.RESOURCE_EXHAUSTED, Status.UNAUTHENTICATED}:
        return Unavailable(error.message or error.status.name)
    return OutcomeUnknown(f"{error.status.name}: {error.message or 'no details'}")


class OpenStream(Generic[Reply]):
    """A bidirectional stream."""

    def __init__(self, stream: Stream[Any, Reply]) -> None:
        self._stream = stream

    async def write(self, message: bytes | Protobuf) -> None:
        """Send one message; waits while the other side does not read."""
        await self._stream.send_message(message)

    async def end(self) -> None:
        """Say that no more will be sent."""
        await self._stream.end()

    async def read(self) -> Reply | None:
        """Return the next message, None at the end. Raises TallyError, or one of BROKEN."""
        try:
            return await self._stream.recv_message()
        except GRPCError as error:
            raise error_of_status(error) from error


class NodeChannel:
    """One node's address. Connects when first used and again after the connection was lost."""

    def __init__(self, address: str, context: ssl.SSLContext | None) -> None:
        host, _, port = address.rpartition(":")
        self.address = address
        self._channel = _Connection(
            host.strip("[]"),
            int(port),
            ssl=context,
            codec=_Codec(),
            status_details_codec=ProtoStatusDetailsCodec(),
            config=Configuration(http2_connection_window_size=WINDOW_BYTES, http2_stream_window_size=WINDOW_BYTES),
        )

    async def unary(self, path: str, request: Protobuf, reply_type: type[Reply], timeout_s: float) -> Reply:
        """Make one call. Raises TallyError: Unavailable where it was not sent, OutcomeUnknown where no answer came."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._channel.__connect__()
                return await self._call(path, request, reply_type)
        except GRPCError as error:
            raise error_of_status(error) from error
        except BROKEN as error:
            if self._channel.file_number is None:
                raise Unavailable(f"{self.address} cannot be reached: {str(error) or 'no answer'}.") from error
            raise OutcomeUnknown(f"{self.address} did not answer: {str(error) or 'time-out'}.") from error

    async def _call(self, path: str, request: Protobuf, reply_type: type[Reply]) -> Reply:
        async with self._channel.request(path, Cardinality.UNARY_UNARY, type(request), reply_type) as stream:
            await stream.send_message(request, end=True)
            reply = await stream.recv_message()
        if reply is None:
            raise OutcomeUnknown(f"{self.address} ended the call without an answer.")
        return reply

    @asynccontextmanager
    async def stream(self, path: str, reply_type: type[Reply]) -> AsyncIterator[OpenStream[Reply]]:
        """Open a stream; leaving ends it. Raises one of BROKEN."""
        request = self._channel.request(path, Cardinality.STREAM_STREAM, bytes, reply_type)
        try:
            async with request as stream:
                await stream.send_request()
                try:
                    yield OpenStream(stream)
                finally:
                    # What else it brings is of no interest; without this, leaving would wait for the other side's end.
                    with contextlib.suppress(*BROKEN):
                        await stream.cancel()
        except GRPCError as error:
            raise error_of_status(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's connection without a word to the other side.

        Only this process's copy of the socket is closed; otherwise the service would think a parent that died is alive.
        """
        if self._channel.file_number is not None:
            with contextlib.suppress(OSError):
                os.close(self._channel.file_number)


class Channels:
    """The channels of one engine, by address."""

    def __init__(self, tls: Tls | None) -> None:
        self._context = ssl_context(tls)
        self._channels: dict[str, NodeChannel] = {}

    def of(self, address: str) -> NodeChannel:
        """Return the channel to this address."""
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = NodeChannel(address, self._context)
        return channel

    def close(self) -> None:
        """Close all."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    def abandon(self) -> None:
        """See NodeChannel.abandon."""
        for channel in self._channels.values():
            channel.abandon()

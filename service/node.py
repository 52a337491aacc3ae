"""One node: ports bound first, then the host, then the services; stopped in the other order, after draining."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from random import SystemRandom
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2

from tallymq.raftlog.host import Host, HostListener
from tallymq.raftlog.settings import HostSettings, Member, TlsFiles
from tallymq.raftlog.tls import check_own
from tallymq.service import admin, messaging
from tallymq.service.cluster import Cluster, NodeAddress
from tallymq.service.config import is_loopback
from tallymq.service.metrics import Metrics
from tallymq.service.pages import Pages
from tallymq.service.settings import Address, ServerSettings
from tallymq.service.standard import Standard
from tallymq.service.wiring import Parts, add_log_gauges, put_together
from tallymq.txn.types import Effect

RECEIVE_BYTES_MAX = 8 << 20
"""Twice what a frame may have, so that a frame somewhat too large is refused by name instead of by the library."""
LAST_S = 0.5
"""Time for the last replies to leave after the last call of ours ended."""
READY_S_MAX = 2.5
"""How long a single node waits for its shards to elect it before it says that it is ready."""

GRPC_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", RECEIVE_BYTES_MAX),
    ("grpc.max_send_message_length", RECEIVE_BYTES_MAX),
    # A port that another process holds must be an error, not shared.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
)

log = structlog.get_logger("tallymq.service")

StartHost = Callable[[HostSettings, HostListener, str], Awaitable[Any]]


class StartFailedError(Exception):
    """The node cannot start; the text is one sentence for a person. Nothing runs."""


class Node:
    """Starts, tells when it failed, stops."""

    def __init__(self, settings: ServerSettings, start_host: StartHost = Host.start) -> None:
        self.settings = settings
        self.address = settings.listen
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.host: Any = None
        self.parts: Parts | None = None
        self._start_host = start_host
        self._metrics = Metrics()
        self._standard = Standard((messaging.SERVICE, admin.SERVICE))
        self._server = grpc.aio.server(options=GRPC_OPTIONS)
        self._pages = Pages(self._metrics.page, self._report)
        self._is_draining = False

    async def start(self) -> None:
        """Return once clients are served; raises StartFailedError, SettingsRefused, or what the host raises."""
        told = host_settings(self.settings)
        if told.tls is not None:
            # Before anything is made: with another node's certificate every peer would refuse this one.
            check_own(told.tls, told.node)
        try:
            await self._bind()
            self.host = await self._start_host(told, self, version("tallymq"))
            await self._wait_for_leadership()
            self.parts = self._put_together()
            self._server.add_generic_rpc_handlers(self.parts.handlers() + self._standard.handlers())
            self.parts.start()
            await self._server.start()
            await self._standard.set_health(health_pb2.HealthCheckResponse.SERVING)
        except BaseException:
            await self.stop(grace_s=0)
            raise

    async def stop(self, grace_s: float | None = None) -> None:
        """Take nothing new, let what is under way finish, close streams, stop the host."""
        if grace_s is None:
            grace_s = self.settings.drain_ms_max / 1_000
        self._is_draining = True
        await self._standard.set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        if self.parts is not None:
            self.parts.draining.begun.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.parts.draining.idle.wait(), grace_s)
        # What may still be open are streams of others' services (health watches, reflection): they are cut soon.
        await self._server.stop(min(grace_s, LAST_S))
        if self.parts is not None:
            self.parts.stop()
        await self._pages.stop()
        if self.host is not None:
            await self.host.stop()

    # What the host tells (HostListener)

    def effects(self, shard: int, effects: Sequence[Effect]) -> None:
        """Pass on the notices of an applied entry; before the parts exist nobody waits for any."""
        if self.parts is not None:
            self.parts.effects(shard, effects)

    def leadership(self, shard: int, is_leader: bool) -> None:
        """Pass on who leads."""
        if self.parts is not None:
            self.parts.leadership(shard, is_leader)

    def stopped(self, reason: str) -> None:
        """Note that the node must exit."""
        if not self.failed.done():
            self.failed.set_result(reason)

    # Inside

    async def _bind(self) -> None:
        """Take the ports before anything else is touched."""
        listen = self.settings.listen
        try:
            credentials = self._credentials()
            if credentials is None:
                port = self._server.add_insecure_port(str(listen))
            else:
                port = self._server.add_secure_port(str(listen), credentials)
        except RuntimeError:
            raise StartFailedError(_port_sentence("listen", listen)) from None
        self.address = Address(listen.host, port)
        metrics = self.settings.listen_metrics
        try:
            await self._pages.start(metrics.host, metrics.port, self._pages_tls())
        except OSError:
            raise StartFailedError(_port_sentence("listen_metrics", metrics)) from None

    def _credentials(self) -> grpc.ServerCredentials | None:
        settings = self.settings
        if settings.server_certificate is None or settings.server_key is None:
            return None
        _check_certificate(settings)
        pair = (settings.server_key.read_bytes(), settings.server_certificate.read_bytes())
        ca = settings.client_ca.read_bytes() if settings.client_ca is not None else None
        return grpc.ssl_server_credentials([pair], ca, settings.client_certificate_required)

    def _pages_tls(self) -> ssl.SSLContext | None:
        settings = self.settings
        if settings.server_certificate is None or is_loopback(settings.listen_metrics.host):
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings.server_certificate, settings.server_key)
        return context

    async def _wait_for_leadership(self) -> None:
        """A node on its own leads every shard in a moment; clients should not see it before."""
        if len(self.settings.members) > 1:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_S_MAX):
                while not all(shard.is_leader for shard in self.host.shards.values()):  # noqa: ASYNC110 - once, at start
                    await asyncio.sleep(0.005)

    def _put_together(self) -> Parts:
        cluster = Cluster(
            node=self.settings.node,
            name=self.settings.cluster,
            host=self.host,
            nodes=self._nodes(),
            now_ms=now_ms,
        )
        add_log_gauges(self._metrics, self.host.reclaiming)
        return put_together(cluster, self.settings, self._metrics, SystemRandom())

    def _nodes(self) -> list[NodeAddress]:
        settings = self.settings
        if not settings.members:
            client = settings.advertise or self.address
            return [NodeAddress(settings.node, str(client), str(settings.listen_peers))]
        return [NodeAddress(member.node, str(member.client), str(member.peer)) for member in settings.members]

    def _report(self) -> tuple[bool, dict[str, Any]]:
        """Return whether all shards serve, or can be reached through their leaders, and details."""
        if self.parts is None or self._is_draining:
            return False, {"node": self.settings.node, "state": "stopping" if self._is_draining else "starting"}
        shards = [
            {"shard": shard.number, "leader": shard.leader, "health": shard.health}
            for shard in self.parts.cluster.shards.values()
        ]
        is_well = all(shard["health"] == "ok" and shard["leader"] for shard in shards)
        return is_well, {"node": self.settings.node, "cluster": self.settings.cluster, "shards": shards}


def now_ms() -> int:
    """Return Unix milliseconds."""
    return time.time_ns() // 1_000_000


def host_settings(settings: ServerSettings) -> HostSettings:
    """Return what the host is told."""
    tls = None
    if settings.peer_certificate is not None and settings.peer_key is not None and settings.peer_ca is not None:
        tls = TlsFiles(settings.peer_certificate, settings.peer_key, settings.peer_ca)
    return HostSettings(
        node=settings.node,
        cluster=settings.cluster,
        data_directory=settings.data,
        shard_count=settings.shards,
        members=tuple(Member(member.node, member.peer.host, member.peer.port) for member in settings.members),
        listen_host=settings.listen_peers.host,
        listen_port=settings.listen_peers.port,
        tls=tls,
        heartbeat_ms=settings.heartbeat_ms,
        election_ms_min=settings.election_ms_min,
        election_ms_max=settings.election_ms_max,
        entry_bytes_max=settings.entry_bytes_max,
        queue_bytes_max=settings.queue_bytes_max,
        segment_bytes=settings.segment_bytes,
        flush_log_bytes=settings.flush_log_bytes,
        flush_interval_ms=settings.flush_interval_ms,
        free_bytes_min=settings.free_bytes_min,
        ballast_bytes=settings.ballast_bytes,
        carry_share_percent=settings.carry_share_percent,
        carry_bytes_per_second=settings.carry_bytes_per_second,
        log_kept_bytes=settings.log_kept_bytes,
        snapshot_bytes_per_second=settings.snapshot_bytes_per_second,
    )


def _check_certificate(settings: ServerSettings) -> None:
    """Say it when files for clients cannot be used: gRPC would only say that the port cannot be had."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(str(settings.server_certificate), settings.server_key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        files = f"server_certificate {settings.server_certificate} with server_key {settings.server_key}"
        raise StartFailedError(f"cannot use {files}: {error}") from None
    try:
        if settings.client_ca is not None:
            context.load_verify_locations(settings.client_ca)
    except (OSError, ssl.SSLError) as error:
        raise StartFailedError(f"cannot use client_ca {settings.client_ca}: {error}") from None


def _port_sentence(key: str, address: Address) -> str:
    return f"cannot listen on {address}: the port is in use or not ours; choose another with --{key.replace('_', '-')}"

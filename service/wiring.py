"""The parts of the service put together over a host, and told what happens in it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from tallymq.raftlog.settings import METADATA_SHARD
from tallymq.service.admin import Admin
from tallymq.service.admin_nodes import AdminNodes
from tallymq.service.admin_transactions import AdminTransactions
from tallymq.service.calls import Draining, GenericHandler
from tallymq.service.certificates import certificates
from tallymq.service.checks import Checks
from tallymq.service.cluster import Cluster
from tallymq.service.consumers import Consumers
from tallymq.service.delivery import Delivery
from tallymq.service.frames import Frames
from tallymq.service.identities import Identities
from tallymq.service.leases import Leases
from tallymq.service.messaging import Messaging
from tallymq.service.metrics import Metrics, Samples
from tallymq.service.reconcile import Reconcile
from tallymq.service.retention import Retention
from tallymq.service.sessions import Sessions
from tallymq.service.settings import ServerSettings
from tallymq.service.timers import Timers
from tallymq.txn import queries
from tallymq.txn.types import ChecksDue, Effect, MetadataChanged, QueueGrew, TimersDue


@dataclass
class Parts:
    """Everything that serves clients of one node."""

    cluster: Cluster
    metrics: Metrics
    draining: Draining
    delivery: Delivery
    consumers: Consumers
    checks: Checks
    timers: Timers
    reconcile: Reconcile
    retention: Retention
    messaging: Messaging
    admin: Admin

    def handlers(self) -> tuple[GenericHandler, ...]:
        """Return what a gRPC server is given."""
        return (self.messaging.handler(), self.admin.handler())

    def start(self) -> None:
        """Begin what goes on without being asked: checks, timers, comparing shards."""
        self.checks.start()
        self.timers.start()
        self.reconcile.start()
        self.retention.start()

    def stop(self) -> None:
        """End what goes on without being asked."""
        self.checks.stop()
        self.timers.stop()
        self.reconcile.stop()
        self.retention.stop()

    def effects(self, shard: int, effects: Sequence[Effect]) -> None:
        """Pass on what an applied entry brought about; quick, on the loop."""
        for effect in effects:
            if isinstance(effect, QueueGrew):
                self.delivery.grew(effect.topic, effect.queue, effect.group)
                self.cluster.queue_grew(effect.topic, effect.queue)
            elif isinstance(effect, ChecksDue):
                self.checks.due(shard, effect.due_ms)
            elif isinstance(effect, TimersDue):
                self.timers.due(shard, effect.due_ms)
            elif isinstance(effect, MetadataChanged) and shard == METADATA_SHARD:
                self.cluster.metadata_changed()
                self.consumers.metadata_changed()
                self.reconcile.wake()

    def leadership(self, shard: int, is_leader: bool) -> None:
        """Look after a shard that this node leads from now on."""
        if is_leader:
            self.delivery.wake_shard(shard)
            self.checks.began_to_lead(shard)
            self.timers.began_to_lead(shard)
            self.reconcile.wake()


def put_together(cluster: Cluster, settings: ServerSettings, metrics: Metrics, random: Random) -> Parts:
    """Return the parts of a node; nothing runs yet."""
    draining = Draining()
    sessions = Sessions(asyncio.get_running_loop().time, settings.sessions_max)
    checks = Checks(
        cluster,
        sessions,
        metrics,
        draining,
        random,
        grace_ms=settings.orphan_after_ms,
        budget=settings.checks_per_session,
    )
    delivery = Delivery(cluster, metrics)
    leases = Leases(cluster)
    consumers = Consumers(cluster, delivery, leases, metrics, draining, settings.subscriptions_max)
    frames = Frames(
        cluster,
        Identities(random),
        validate_records=settings.validate_records,
        check_after_ms=settings.check_after_ms,
    )
    messaging = Messaging(
        cluster=cluster,
        frames=frames,
        leases=leases,
        consumers=consumers,
        checks=checks,
        metrics=metrics,
        draining=draining,
        produce_frames_max=settings.produce_frames_max,
        produce_bytes_max=settings.produce_bytes_max,
    )
    nodes = AdminNodes(cluster, settings.free_bytes_min, certificates(settings))
    admin = Admin(cluster, consumers, AdminTransactions(cluster, checks), nodes, metrics, draining)
    retention = Retention(cluster, settings.retention_interval_ms, settings.trim_batches_max)
    _add_gauges(metrics, cluster, sessions, consumers)
    _add_retention_gauges(metrics, cluster, retention)
    return Parts(
        cluster,
        metrics,
        draining,
        delivery,
        consumers,
        checks,
        Timers(cluster),
        Reconcile(cluster),
        retention,
        messaging,
        admin,
    )


def _add_gauges(metrics: Metrics, cluster: Cluster, sessions: Sessions, consumers: Consumers) -> None:
    def in_doubt() -> Samples:
        return [({"shard": str(shard.number)}, queries.in_doubt_total(shard.view)) for shard in cluster.shards.values()]

    def leads() -> Samples:
        return [({"shard": str(shard.number)}, float(shard.is_leader)) for shard in cluster.shards.values()]

    def applied() -> Samples:
        return [({"shard": str(shard.number)}, shard.applied_index) for shard in cluster.shards.values()]

    metrics.gauge("tallymq_transactions_in_doubt", "Transactions nobody has decided", in_doubt)
    metrics.gauge("tallymq_shard_leads", "1 where this node leads the shard", leads)
    metrics.gauge("tallymq_shard_applied_index", "Highest Raft index applied here", applied)
    metrics.gauge("tallymq_sessions", "Producers' sessions open here", lambda: [({}, len(sessions))])
    metrics.gauge("tallymq_subscriptions", "Subscriptions open here", lambda: [({}, consumers.count())])


def _add_retention_gauges(metrics: Metrics, cluster: Cluster, retention: Retention) -> None:
    def oldest() -> Samples:
        for number, shard in cluster.shards.items():
            needed = queries.needed_bodies(shard.view, 0, 1)
            yield {"shard": str(number)}, needed[0] if needed else 0

    def held() -> Samples:
        return [({"shard": str(number)}, messages) for number, messages in retention.held.items()]

    metrics.gauge("tallymq_oldest_needed_index", "Oldest Raft index whose bytes are needed, 0 if none is", oldest)
    metrics.gauge(
        "tallymq_retention_held_messages", "Messages past their retention that a group has not done with", held
    )
    metrics.gauge(
        "tallymq_trimmed_batches", "Batches trimmed since the start", lambda: [({}, retention.trimmed_batches)]
    )


class LogFigures(Protocol):
    """What a host says of the room its log takes."""

    @property
    def log_bytes(self) -> int:
        """Bytes of all files."""

    @property
    def freed_bytes(self) -> int:
        """Bytes given back since the start."""

    @property
    def carried_bytes(self) -> int:
        """Bytes copied since the start to give others back."""

    @property
    def damaged_segment(self) -> int:
        """A file that is kept because needed bytes in it are damaged, 0 if there is none."""


def add_log_gauges(metrics: Metrics, figures: LogFigures) -> None:
    """Show how much room the log takes, and what became free."""
    metrics.gauge("tallymq_log_bytes", "Room that the log takes", lambda: [({}, figures.log_bytes)])
    metrics.gauge("tallymq_log_freed_bytes", "Log given back since the start", lambda: [({}, figures.freed_bytes)])
    metrics.gauge(
        "tallymq_log_carried_bytes", "Bodies copied to free their files", lambda: [({}, figures.carried_bytes)]
    )
    metrics.gauge(
        "tallymq_log_damaged_segment",
        "File of the log kept because needed bytes in it are damaged, 0 if none is",
        lambda: [({}, figures.damaged_segment)],
    )

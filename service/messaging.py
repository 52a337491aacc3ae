"""The Messaging service of proto/messaging.proto: its methods, each a few lines over the module that does the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from tallymq.proto import frames_pb2, messaging_pb2
from tallymq.service.calls import Calls, Context, Draining, GenericHandler
from tallymq.service.checks import Checks
from tallymq.service.cluster import Cluster
from tallymq.service.consumers import Consumers
from tallymq.service.fields import singles_of_frame
from tallymq.service.frames import Frames, Pending
from tallymq.service.leases import Leases
from tallymq.service.metrics import Metrics
from tallymq.service.produce import ProduceStream
from tallymq.service.validation import check_items, check_name

SERVICE = "tallymq.v1.Messaging"
ROUTE_TOPICS_MAX = 256


@dataclass(frozen=True)
class Messaging:
    """Everything the Messaging service is made of."""

    cluster: Cluster
    frames: Frames
    leases: Leases
    consumers: Consumers
    checks: Checks
    metrics: Metrics
    draining: Draining
    produce_frames_max: int
    produce_bytes_max: int

    def handler(self) -> GenericHandler:
        """Return the methods for a gRPC server."""
        calls = Calls(SERVICE, self.metrics, self.draining)
        calls.unary("Publish", frames_pb2.PublishRequest, self.publish, singles_of_frame)
        calls.unary("Prepare", frames_pb2.PrepareRequest, self.prepare, singles_of_frame)
        calls.unary("Commit", messaging_pb2.CommitRequest, self.commit)
        calls.unary("RollBack", messaging_pb2.RollBackRequest, self.roll_back)
        calls.stream("Produce", self.produce)
        calls.stream("Session", self.checks.session)
        calls.stream("Subscribe", self.consumers.subscribe)
        calls.unary("Fetch", messaging_pb2.FetchRequest, self.consumers.fetch)
        calls.unary("Acknowledge", messaging_pb2.AcknowledgeRequest, self.leases.acknowledge)
        calls.unary("NegativeAcknowledge", messaging_pb2.NegativeAcknowledgeRequest, self.leases.negative_acknowledge)
        calls.unary("Extend", messaging_pb2.ExtendRequest, self.leases.extend)
        calls.unary("Route", messaging_pb2.RouteRequest, self.route)
        return calls.handler()

    async def publish(self, request: frames_pb2.PublishRequest, principal: str) -> Message:
        """Store messages that are visible at once."""
        await self._wait_for_topics(request.batches)
        return await self.frames.outcome(self.frames.publish(request, principal))

    async def prepare(self, request: frames_pb2.PrepareRequest, principal: str) -> Message:
        """Store half messages."""
        await self._wait_for_topics(request.batches)
        return await self.frames.outcome(self.frames.prepare(request, principal))

    async def commit(self, request: messaging_pb2.CommitRequest, principal: str) -> Message:
        """Commit half messages."""
        return await self._decide(request.producer_group, request.handles, True, principal)

    async def roll_back(self, request: messaging_pb2.RollBackRequest, principal: str) -> Message:
        """Roll half messages back."""
        return await self._decide(request.producer_group, request.handles, False, principal)

    async def produce(self, context: Context, principal: str) -> None:
        """Serve one stream of frames."""
        stream = ProduceStream(
            self.frames,
            self.metrics,
            self.draining,
            principal,
            frames_max=self.produce_frames_max,
            bytes_max=self.produce_bytes_max,
        )
        await stream.run(context)

    async def route(self, request: messaging_pb2.RouteRequest, _principal: str) -> messaging_pb2.RouteReply:
        """Tell where topics, shards and nodes are."""
        check_items(len(request.topics), 0, ROUTE_TOPICS_MAX, "topics")
        for name in request.topics:
            check_name(name, "topics")
        found = [self.cluster.find_topic(name) for name in dict.fromkeys(request.topics)]
        shards = self.cluster.shards.values()
        return messaging_pb2.RouteReply(
            cluster=self.cluster.name,
            nodes=[
                messaging_pb2.RouteNode(node=node.node, client_address=node.client_address)
                for node in self.cluster.nodes
            ],
            shards=[
                messaging_pb2.RouteShard(shard=shard.number, leader=shard.leader, term=shard.term) for shard in shards
            ],
            topics=[
                messaging_pb2.RouteTopic(topic=topic.name, queue_shards=topic.queue_shards)
                for topic in found
                if topic is not None and not topic.deleting
            ],
            time_ms=(self.cluster.led() or [self.cluster.metadata])[0].clock_ms,
        )

    async def _decide(
        self, group: str, handles: Sequence[messaging_pb2.Handle], commit: bool, principal: str
    ) -> Message:
        pending: Pending = self.frames.decide_handles(group, handles, commit, principal)
        return await self.frames.outcome(pending)

    async def _wait_for_topics(self, batches: Sequence[frames_pb2.Batch]) -> None:
        for name in self.frames.unknown_topics(batches):
            await self.frames.wait_for_topic(name)

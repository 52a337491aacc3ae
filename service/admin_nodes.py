"""Operators' questions about nodes and shards: what this node says of itself, of its copies, and of those it feeds.

A node speaks with certainty of itself alone, so nothing here asks another node: whoever wants the whole picture asks
every node and joins the answers, and so sees a node that nobody can reach.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from importlib.metadata import version

from tallymq.proto import admin_pb2
from tallymq.raftlog.settings import SHARDS_MAX
from tallymq.service import admin_replies as replies
from tallymq.service.calls import Calls
from tallymq.service.cluster import Cluster
from tallymq.service.errors import Refused, clipped
from tallymq.service.validation import LIMIT_MAX, check_optional_name, check_range

NODES_MAX = 1_000
REFUSAL_BYTES_MAX = 1_024
SHARDS_PER_TURN = 16
"""Reports made before others have their turn on the loop."""


class AdminNodes:
    """The part of the Admin service that is about nodes and shards."""

    def __init__(
        self, cluster: Cluster, free_bytes_min: int, certificates: Sequence[admin_pb2.CertificateStatus]
    ) -> None:
        self._cluster = cluster
        self._free_bytes_min = free_bytes_min
        self._certificates = certificates
        self._began_ns = time.monotonic_ns()

    def add_to(self, calls: Calls) -> None:
        """Add the methods."""
        calls.unary("ListNodes", admin_pb2.ListNodesRequest, self.list_nodes)
        calls.unary("GetNode", admin_pb2.GetNodeRequest, self.get_node)
        calls.unary("ListShards", admin_pb2.ListShardsRequest, self.list_shards)
        calls.unary("GetShard", admin_pb2.GetShardRequest, self.get_shard)

    async def list_nodes(self, _request: admin_pb2.ListNodesRequest, _principal: str) -> admin_pb2.ListNodesReply:
        """Return all nodes by name."""
        nodes = sorted(replies.nodes(self._cluster), key=lambda node: node.node)
        return admin_pb2.ListNodesReply(cluster=self._cluster.name, node=self._cluster.node, nodes=nodes[:NODES_MAX])

    async def get_node(self, request: admin_pb2.GetNodeRequest, _principal: str) -> admin_pb2.GetNodeReply:
        """Return one node, with its own report if it is this one."""
        check_optional_name(request.node, "node")
        name = request.node or self._cluster.node
        found = next((node for node in replies.nodes(self._cluster) if node.node == name), None)
        if found is None:
            raise Refused("UNKNOWN_NODE", name)
        report = self._report() if name == self._cluster.node else None
        return admin_pb2.GetNodeReply(cluster=self._cluster.name, node=found, report=report)

    async def list_shards(self, request: admin_pb2.ListShardsRequest, _principal: str) -> admin_pb2.ListShardsReply:
        """Return the copies of shards on this node, by number."""
        check_range(request.first_shard, 0, SHARDS_MAX - 1, "first_shard")
        check_range(request.limit, 1, LIMIT_MAX, "limit", zero=True)
        numbers = sorted(number for number in self._cluster.shards if number >= request.first_shard)
        reply = admin_pb2.ListShardsReply(cluster=self._cluster.name, node=self._cluster.node)
        for place, number in enumerate(numbers[: request.limit or LIMIT_MAX], 1):
            reply.shards.append(replies.shard_report(self._cluster.shards[number], self._cluster))
            if place % SHARDS_PER_TURN == 0:
                await asyncio.sleep(0)
        return reply

    async def get_shard(self, request: admin_pb2.GetShardRequest, _principal: str) -> admin_pb2.GetShardReply:
        """Return the copy of one shard on this node."""
        check_range(request.shard, 0, SHARDS_MAX - 1, "shard")
        shard = self._cluster.shards.get(request.shard)
        if shard is None:
            raise Refused("UNKNOWN_SHARD", f"shard {request.shard}")
        report = replies.shard_report(shard, self._cluster)
        return admin_pb2.GetShardReply(cluster=self._cluster.name, node=self._cluster.node, shard=report)

    def _report(self) -> admin_pb2.NodeReport:
        host = self._cluster.host
        return admin_pb2.NodeReport(
            version=version("tallymq"),
            time_ms=self._cluster.now_ms(),
            uptime_ms=(time.monotonic_ns() - self._began_ns) // 1_000_000,
            free_bytes=host.free_bytes,
            free_bytes_min=self._free_bytes_min,
            log_bytes=host.log_bytes,
            refusal=clipped(str(host.refusal or ""), REFUSAL_BYTES_MAX),
            certificates=self._certificates,
            connected_nodes=sorted(host.connected_peers()),
            shards_led=len(self._cluster.led()),
        )

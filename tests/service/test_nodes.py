"""What a node says of itself and of its copies of the shards, when asked by an operator."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from cryptography import x509

from tallymq.proto import admin_pb2, admin_pb2_grpc, messaging_pb2
from tallymq.raftlog.errors import DiskFull
from tallymq.service.node import now_ms
from tests.service.running import SECONDS, Running, batch, bodies, error_info, running
from tests.support.certificates import Authority

A = admin_pb2
M = messaging_pb2


async def test_a_node_reports_on_itself(node: Running) -> None:
    before = now_ms()
    reply = await node.admin.GetNode(A.GetNodeRequest())
    assert (reply.cluster, reply.node.node, reply.node.connected) == ("tallymq", "node-1", True)
    report = reply.report
    assert before <= report.time_ms <= now_ms()
    assert (report.shards_led, report.refusal, list(report.connected_nodes)) == (4, "", [])
    assert (await node.admin.GetNode(A.GetNodeRequest(node="node-1"))).HasField("report")
    listed = await node.admin.ListNodes(A.ListNodesRequest())
    assert (listed.cluster, listed.node, [each.node for each in listed.nodes]) == ("tallymq", "node-1", ["node-1"])
    assert listed.nodes[0] == reply.node


async def test_a_node_that_refuses_writes_says_why(instant: Running) -> None:
    instant.host.refusal = DiskFull("the disk is nearly full; " + "x" * 2_000)
    report = (await instant.admin.GetNode(A.GetNodeRequest())).report
    assert report.refusal.startswith("the disk is nearly full")
    assert len(report.refusal.encode()) <= 1_024


async def test_shards_come_by_number_and_in_pages(node: Running) -> None:
    all_of_them = await node.admin.ListShards(A.ListShardsRequest())
    assert [each.status.shard for each in all_of_them.shards] == [0, 1, 2, 3]
    page = await node.admin.ListShards(A.ListShardsRequest(first_shard=1, limit=2))
    assert [each.status.shard for each in page.shards] == [1, 2]
    assert (page.cluster, page.node) == ("tallymq", "node-1")
    assert not (await node.admin.ListShards(A.ListShardsRequest(first_shard=4))).shards
    for each in all_of_them.shards:
        assert (each.leads, list(each.voters), list(each.learners), list(each.peers)) == (True, ["node-1"], [], [])
        assert (each.status.health, each.status.leader) == ("ok", "node-1")


async def test_a_shard_tells_since_when_a_transaction_is_in_doubt(node: Running) -> None:
    await node.create_topic()
    for sequence in (1, 2):
        identity = M.FrameIdentity(instance=7, sequence=sequence)
        made = batch("transfers", bodies("x"), 0, 4)
        stored = await node.messaging.Prepare(
            M.PrepareRequest(identity=identity, producer_group="bank", batches=[made], check_after_ms=3_600_000)
        )
        if sequence == 1:
            handle = stored.batches[0]
    reply = await node.admin.GetShard(A.GetShardRequest(shard=handle.shard))
    listed = await node.admin.ListTransactions(A.ListTransactionsRequest(in_doubt=True))
    times = [found.prepared_time_ms for found in listed.transactions]
    assert len(times) == 2
    assert reply.shard.oldest_in_doubt_time_ms == min(times)
    assert reply.shard.oldest_in_doubt_time_ms <= reply.shard.time_ms
    assert reply.shard.status.in_doubt == 2
    others = await node.admin.ListShards(A.ListShardsRequest())
    assert [each.oldest_in_doubt_time_ms for each in others.shards if each.status.shard != handle.shard] == [0, 0, 0]


async def test_a_node_tells_when_its_certificates_end(tmp_path: Path) -> None:
    files = Authority(tmp_path).issue("node-1")
    options = {"server_certificate": str(files.certificate), "server_key": str(files.key)}
    async with running(tmp_path, instant=True, **options) as node:
        credentials = grpc.ssl_channel_credentials(files.ca.read_bytes())
        async with grpc.aio.secure_channel(str(node.node.address), credentials) as channel:
            reply = await admin_pb2_grpc.AdminStub(channel).GetNode(A.GetNodeRequest(), timeout=SECONDS)
    ends = x509.load_pem_x509_certificate(files.certificate.read_bytes()).not_valid_after_utc
    (told,) = reply.report.certificates
    assert (told.shown_to, told.end_time_ms) == ("clients", int(ends.timestamp() * 1_000))


async def test_a_node_nobody_knows_is_not_found(node: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await node.admin.GetNode(A.GetNodeRequest(node="stranger"))
    assert error_info(caught.value).reason == "UNKNOWN_NODE"

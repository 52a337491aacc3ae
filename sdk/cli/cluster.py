"""`tallymq cluster`: status."""

from __future__ import annotations

from tallymq.cli.command import Group, Run, pass_run
from tallymq.cli.printer import Column, Item
from tallymq.proto import admin_pb2 as admin


def status_item(reply: admin.GetClusterStatusReply) -> Item:
    """Return the state of a cluster as `-o json` prints it."""
    return {
        "cluster": reply.cluster,
        "node": reply.node,
        "version": reply.version,
        "nodes": [
            {
                "node": node.node,
                "client_address": node.client_address or None,
                "peer_address": node.peer_address or None,
                "connected": node.connected,
            }
            for node in reply.nodes
        ],
        "shards": [
            {
                "shard": shard.shard,
                "leader": shard.leader or None,
                "term": shard.term,
                "majority_index": shard.majority_index,
                "applied_index": shard.applied_index,
                "last_index": shard.last_index,
                "in_doubt": shard.in_doubt,
                "health": shard.health,
            }
            for shard in sorted(reply.shards, key=lambda shard: shard.shard)
        ],
    }


STATUS_COLUMNS = (Column("CLUSTER", "cluster"), Column("ANSWERED BY", "node"), Column("VERSION", "version"))
NODE_COLUMNS = (
    Column("NODE", "node"),
    Column("CLIENTS", "client_address"),
    Column("PEERS", "peer_address"),
    Column("CONNECTED", "connected"),
)
SHARD_COLUMNS = (
    Column("SHARD", "shard", right=True),
    Column("LEADER", "leader"),
    Column("TERM", "term", right=True),
    Column("MAJORITY", "majority_index", right=True),
    Column("APPLIED", "applied_index", right=True),
    Column("LAST", "last_index", right=True),
    Column("IN DOUBT", "in_doubt", right=True),
    Column("HEALTH", "health"),
)

cluster = Group("cluster", help="The cluster: its nodes and shards.")


@cluster.command(examples=("tallymq cluster status", "tallymq --server b:7070 cluster status -o json"))
@pass_run
def status(run: Run) -> None:
    """Show nodes and shards, as the node that answers sees its own copy."""
    request = admin.GetClusterStatusRequest()
    reply = run.read(lambda stubs: stubs.admin.GetClusterStatus, request)
    item = status_item(reply)
    if run.printer.for_programs:
        run.printer.one(item, ())
        return
    run.printer.lines(item, STATUS_COLUMNS)
    for key, columns in (("nodes", NODE_COLUMNS), ("shards", SHARD_COLUMNS)):
        rows = item[key]
        run.printer.heading("")
        if isinstance(rows, list):
            run.printer.table(rows, columns)

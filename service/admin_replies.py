"""What Admin answers, made from what the rules know. Pure but for reading views."""

from __future__ import annotations

from collections.abc import Iterator

from tallymq.proto import admin_pb2, messaging_pb2
from tallymq.service.cluster import Cluster, Shard
from tallymq.service.errors import clipped
from tallymq.txn import queries
from tallymq.txn.answers import DeadLetterInfo, GroupInfo, HalfInfo, TopicInfo
from tallymq.txn.commands import PutGroup
from tallymq.txn.types import TransactionState

PAGE = 1_000
HEALTH_BYTES_MAX = 1_024

_STATES = {
    TransactionState.IN_DOUBT: admin_pb2.TRANSACTION_STATE_IN_DOUBT,
    TransactionState.COMMITTED: admin_pb2.TRANSACTION_STATE_COMMITTED,
    TransactionState.ROLLED_BACK: admin_pb2.TRANSACTION_STATE_ROLLED_BACK,
}


def topic(info: TopicInfo, cluster: Cluster, *, with_queues: bool) -> admin_pb2.Topic:
    """Return a topic, with its queues if wanted."""
    reply = admin_pb2.Topic(
        name=info.name,
        id=info.topic_id,
        queue_shards=info.queue_shards,
        settings=admin_pb2.TopicSettings(retention_ms=info.retention_ms, retention_bytes=info.retention_bytes),
        state=admin_pb2.TOPIC_STATE_DELETING if info.deleting else admin_pb2.TOPIC_STATE_READY,
    )
    if with_queues:
        reply.queues.extend(
            _queue(info, cluster.shards[number], queue) for queue, number in enumerate(info.queue_shards)
        )
    return reply


def _queue(info: TopicInfo, shard: Shard, queue: int) -> admin_pb2.Queue:
    reply = admin_pb2.Queue(queue=queue, shard=shard.number, leader=shard.leader)
    found = queries.queue(shard.view, info.name, queue)
    if found is not None and found.topic_id == info.topic_id:
        reply.first_offset = found.first_offset
        reply.next_offset = found.next_offset
        reply.in_doubt = found.in_doubt
        reply.delayed = found.delayed
        reply.record_bytes = found.record_bytes
    return reply


def group(info: GroupInfo | PutGroup) -> admin_pb2.Group:
    """Return a group with its settings."""
    return admin_pb2.Group(
        name=info.name,
        settings=admin_pb2.GroupSettings(
            attempts_max=info.attempts_max,
            lease_ms=info.lease_ms,
            backoff_ms_min=info.backoff_ms_min,
            backoff_ms_max=info.backoff_ms_max,
        ),
    )


def group_queues(name: str, cluster: Cluster) -> Iterator[admin_pb2.GroupQueue]:
    """Return where a group stands on every queue it ever leased from."""
    for shard in cluster.shards.values():
        after_topic, after_queue = "", 0
        while page := queries.queues(shard.view, after_topic, after_queue, PAGE):
            for info in page:
                standing = queries.group_queue(shard.view, name, info.topic, info.queue)
                if standing is not None:
                    yield admin_pb2.GroupQueue(
                        topic=info.topic,
                        queue=info.queue,
                        floor_offset=standing.floor_offset,
                        next_offset=standing.next_offset,
                        end_offset=info.next_offset,
                        leased=standing.leased,
                        waiting=standing.waiting,
                        dead_letters=standing.dead_letters,
                    )
            after_topic, after_queue = page[-1].topic, page[-1].queue


def dead_letter(info: DeadLetterInfo) -> admin_pb2.DeadLetter:
    """Return a dead letter."""
    return admin_pb2.DeadLetter(
        topic=info.topic,
        queue=info.queue,
        offset=info.offset,
        attempts=info.attempts,
        reason=info.reason,
        time_ms=info.time_ms,
    )


def nodes(cluster: Cluster) -> list[admin_pb2.NodeStatus]:
    """Return all nodes, and which of them this one is connected to."""
    connected = cluster.host.connected_peers() | {cluster.node}
    return [
        admin_pb2.NodeStatus(
            node=node.node,
            client_address=node.client_address,
            peer_address=node.peer_address,
            connected=node.node in connected,
        )
        for node in cluster.nodes
    ]


def shard_report(info: Shard, cluster: Cluster) -> admin_pb2.ShardReport:
    """Return a shard's copy on this node, and what is known of the others where this node leads it."""
    connected = cluster.host.connected_peers()
    oldest = queries.halves(info.view, (0, 0), in_doubt_only=True, limit=1)
    return admin_pb2.ShardReport(
        status=shard(info),
        leads=info.is_leader,
        voters=info.voters,
        learners=info.learners,
        base_index=info.base_index,
        waiting_bytes=info.waiting_bytes,
        oldest_in_doubt_time_ms=oldest[0].prepared_ms if oldest else 0,
        time_ms=info.clock_ms,
        peers=[
            admin_pb2.PeerCopy(
                node=copy.member,
                connected=copy.member in connected,
                synced_index=copy.synced_index,
                behind_entries=max(0, info.last_index - copy.synced_index),
                silent_ms=copy.silent_ms,
                waits_for_snapshot=copy.waits_for_snapshot,
            )
            for copy in info.peer_copies()
        ],
    )


def shard(info: Shard) -> admin_pb2.ShardStatus:
    """Return a shard as this node sees its own copy."""
    return admin_pb2.ShardStatus(
        shard=info.number,
        leader=info.leader,
        term=info.term,
        majority_index=info.majority_index,
        applied_index=info.applied_index,
        last_index=info.last_index,
        in_doubt=queries.in_doubt_total(info.view),
        health=clipped(info.health, HEALTH_BYTES_MAX),
    )


def transaction(half: HalfInfo, bit: int, shard_number: int) -> admin_pb2.Transaction:
    """Return one transaction of a half batch."""
    decided = next((made for made in half.decisions if made.bits >> bit & 1), None)
    return admin_pb2.Transaction(
        transaction_id=transaction_id(half, bit),
        handle=messaging_pb2.Handle(
            shard=shard_number,
            index=half.index,
            batch=half.batch,
            record=bit,
            instance=half.instance,
            sequence=half.sequence,
        ),
        state=_STATES[half.state(bit)],
        topic=half.topic,
        queue=half.queue,
        producer_group=half.producer_group,
        prepared_time_ms=half.prepared_ms,
        checks=half.checks,
        next_check_time_ms=half.next_check_ms if half.in_doubt >> bit & 1 else 0,
        decided_by="" if decided is None else decided.decided_by,
        decided_time_ms=0 if decided is None else decided.time_ms,
    )


def transaction_id(half: HalfInfo, bit: int) -> bytes:
    """Return the id of one transaction: instance, sequence, position."""
    position = half.first_position + bit
    return half.instance.to_bytes(8, "big") + half.sequence.to_bytes(4, "big") + position.to_bytes(4, "big")

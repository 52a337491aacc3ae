"""Canned replies that several tests share."""

from __future__ import annotations

from tallymq.proto import admin_pb2 as admin
from tallymq.proto import messaging_pb2 as messaging

ID = "5fca32b1908d4a7e0000000700000001"
OTHER_ID = "5fca32b1908d4a7e0000000700000002"
TIME_MS = 1_795_365_296_123
TIME = "2026-11-22T16:34:56.123Z"


def topic(name: str = "transfers", *, with_queues: bool = False) -> admin.Topic:
    made = admin.Topic(
        name=name,
        id=7,
        queue_shards=[0, 1],
        settings=admin.TopicSettings(retention_ms=86_400_000, retention_bytes=10 * 2**20),
        state=admin.TOPIC_STATE_READY,
    )
    if with_queues:
        made.queues.add(queue=1, shard=1, leader="n2", first_offset=0, next_offset=2, in_doubt=3, record_bytes=2048)
        made.queues.add(queue=0, shard=0, leader="n1", first_offset=5, next_offset=6, delayed=4, record_bytes=10)
    return made


def transaction(identity: str = ID, state: int = admin.TRANSACTION_STATE_IN_DOUBT) -> admin.Transaction:
    decided = state != admin.TRANSACTION_STATE_IN_DOUBT
    return admin.Transaction(
        transaction_id=bytes.fromhex(identity),
        handle=messaging.Handle(shard=2, index=91, batch=1, record=3, instance=0x5FCA32B1908D4A7E, sequence=7),
        state=state,
        topic="transfers",
        queue=1,
        producer_group="bank",
        prepared_time_ms=TIME_MS,
        checks=2,
        next_check_time_ms=0 if decided else TIME_MS + 1000,
        decided_by="operator li: ledger says so" if decided else "",
        decided_time_ms=TIME_MS + 500 if decided else 0,
    )


def record(body: bytes = b"hello", **more: object) -> messaging.Record:
    headers = [messaging.Header(name="kind", value=b"test")]
    return messaging.Record(key=b"li-lei", tag="t", headers=headers, body=body, **more)


def delivery(queue: int, first_offset: int, *bodies: bytes, time_ms: int = TIME_MS) -> messaging.Delivery:
    return messaging.Delivery(
        topic="transfers",
        queue=queue,
        first_offset=first_offset,
        count=len(bodies),
        instance=0x5FCA32B1908D4A7E,
        sequence=7,
        first_position=1,
        visible_time_ms=time_ms,
        records=messaging.RecordBatch(records=[record(body) for body in bodies]),
    )


def status() -> admin.GetClusterStatusReply:
    reply = admin.GetClusterStatusReply(cluster="tally", node="n1", version="0.1.0")
    reply.nodes.add(node="n1", client_address="127.0.0.1:7070", peer_address="127.0.0.1:7071", connected=True)
    reply.nodes.add(node="n2", client_address="127.0.0.1:8070", connected=False)
    reply.shards.add(shard=1, term=3, majority_index=9, applied_index=8, last_index=10, health="log damaged")
    reply.shards.add(shard=0, leader="n1", term=4, in_doubt=5, health="ok")
    return reply


def group(*, with_queues: bool = False) -> admin.Group:
    made = admin.Group(name="accounting", settings=admin.GroupSettings(attempts_max=5, lease_ms=90_000))
    if with_queues:
        made.consumers = 2
        made.queues.add(
            topic="transfers",
            queue=0,
            floor_offset=3,
            next_offset=8,
            end_offset=10,
            leased=4,
            waiting=1,
            dead_letters=6,
        )
    return made

"""Frames of a load generator: what is the same in all of them is serialised once.

Fields of a protobuf message may be serialised apart and joined, so a frame is its identity, which changes, followed by
its batch, which does not.
"""

import os
import time
from collections.abc import Sequence

from tallymq.proto import frames_pb2, messaging_pb2

# How long a frame may be on its way before the service must refuse it.
DEADLINE_MS = 60_000
LENGTH_DELIMITED = 2


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | LENGTH_DELIMITED) + varint(len(content)) + content


class FrameMaker:
    """Makes publish, prepare and decide frames of one batch for one queue, as bytes for a produce stream."""

    def __init__(self, topic: str, queue: int, queue_count: int, bodies: Sequence[bytes], group: str) -> None:
        self._group = group
        self._instance = int.from_bytes(os.urandom(8), "little") | 1
        self._sequence = 0
        batch = messaging_pb2.RecordBatch(records=[messaging_pb2.Record(body=body) for body in bodies])
        header = messaging_pb2.BatchHeader(
            topic=topic,
            queue=queue,
            queue_count=queue_count,
            record_lengths=[record.ByteSize() for record in batch.records],
        )
        raw = frames_pb2.Batch(header=header, records=batch.SerializeToString())
        constant = frames_pb2.PublishRequest(producer_group=group, batches=[raw])
        self._constant = constant.SerializeToString()
        self._all_bits = ((1 << len(bodies)) - 1).to_bytes((len(bodies) + 7) // 8, "little")

    def _frame(self, field_number: int, correlation: int) -> bytes:
        self._sequence += 1
        identity = messaging_pb2.FrameIdentity(
            instance=self._instance,
            sequence=self._sequence,
            deadline_ms=int(time.time() * 1000) + DEADLINE_MS,
        )
        request = field(1, identity.SerializeToString()) + self._constant
        return b"\x08" + varint(correlation) + field(field_number, request)

    def publish(self, correlation: int) -> bytes:
        """A publish frame."""
        return self._frame(2, correlation)

    def prepare(self, correlation: int) -> bytes:
        """A prepare frame: each record a transaction of its own."""
        return self._frame(3, correlation)

    def commit_all(self, correlation: int, reply: messaging_pb2.PrepareReply) -> bytes:
        """The frame that commits all transactions of a prepared frame."""
        half = reply.batches[0]
        decision = messaging_pb2.Decision(
            shard=half.shard,
            index=half.index,
            batch=half.batch,
            instance=reply.identity.instance,
            sequence=reply.identity.sequence,
            commit_bits=self._all_bits,
        )
        decide = messaging_pb2.DecideRequest(producer_group=self._group, decisions=[decision])
        return messaging_pb2.ProduceRequest(correlation=correlation, decide=decide).SerializeToString()

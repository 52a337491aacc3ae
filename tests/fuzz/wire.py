"""Targets that read what a peer or a client sent."""

from __future__ import annotations

from google.protobuf.message import DecodeError as ProtobufDecodeError

from tallymq.proto import frames_pb2, messaging_pb2
from tallymq.raftlog import codec
from tallymq.raftlog.framing import KIND_HELLO, KIND_MESSAGE, KIND_PING, Frame, FrameReader, FrameRefused, SendQueue
from tallymq.raftlog.links_hello import HelloRefused, Identity
from tallymq.raftlog.messages import AppendEntries, AppendReply, LogEntry, RequestVote, VoteReply
from tallymq.service.batches import check_frame, to_rules
from tallymq.service.errors import Refused
from tallymq.txn import commands
from tallymq.txn.types import Batch
from tallymq.txn.types import Identity as FrameIdentity

FRAME_PAYLOAD_MAX = 256 * 1024
IDENTITY = Identity("tests", "node-1", 4, "1", ("node-2", "node-3"))


def read_frames(data: bytes) -> None:
    """The stream of a peer, in pieces of a size that the first byte says: the same frames, however it was cut."""
    size = data[0] * 16 + 1 if data else 1
    whole, pieces = _frames(data[1:], len(data) + 1), _frames(data[1:], size)
    assert (whole is None) == (pieces is None), "whether a stream is refused depends on how it was cut"
    assert whole == pieces, "frames depend on how the stream was cut"


def _frames(data: bytes, size: int) -> list[tuple[int, int, bytes]] | None:
    """The frames of a stream; None where it was refused."""
    reader = FrameReader(FRAME_PAYLOAD_MAX)
    frames: list[Frame] = []
    at = 0
    try:
        while at < len(data):
            space = reader.space()
            assert len(space) > 0, "no room to receive into"
            count = min(len(space), size, len(data) - at)
            space[:count] = data[at : at + count]
            at += count
            frames += reader.received(count)
    except FrameRefused:
        return None
    return [(frame.kind, frame.shard, bytes(frame.payload)) for frame in frames]


def frame_seeds() -> list[bytes]:
    """Streams of one frame and of several, one of them large."""
    queue = SendQueue(1 << 20)
    queue.put(KIND_HELLO, 0, [b"hello"])
    one = b"".join(bytes(piece) for piece in queue.take(1 << 20))
    queue.put(KIND_PING, 0, [b""], urgent=True)
    queue.put(KIND_MESSAGE, 3, [b"x" * 300, b"y" * 70_000])
    queue.put(KIND_MESSAGE, 1, [b"z" * 200_000])
    return [b"\x00" + one, b"\xff" + b"".join(bytes(piece) for piece in queue.take(1 << 20))]


def read_message(data: bytes) -> None:
    """A message of consensus: refused, or exactly what it says when it is encoded again."""
    try:
        shard, message = codec.decode_message(data)
    except codec.DecodeError:
        return
    again = b"".join(bytes(piece) for piece in codec.encode_message(shard, message))
    assert codec.decode_message(again) == (shard, message)


def message_seeds() -> list[bytes]:
    """One of each kind."""
    entries = (LogEntry(3, b"first"), LogEntry(4, b""), LogEntry(4, b"third" * 20))
    messages = [
        AppendEntries(4, 9, 17, 3, 16, entries),
        AppendEntries(4, 10, 20, 4, 19),
        AppendReply(4, 9, 20, 18, 0, 1_700_000_000_000),
        RequestVote(5, 20, 4, trial=True),
        VoteReply(5, granted=True, trial=False, clock_ms=1_700_000_000_000),
    ]
    return [b"".join(bytes(piece) for piece in codec.encode_message(2, one)) for one in messages]


def read_entry(data: bytes) -> None:
    """The payload of an entry, of a peer or of the log."""
    try:
        codec.decode_entry(7, data)
    except (codec.DecodeError, codec.UnknownEntry):
        return


def entry_seeds() -> list[bytes]:
    """Entries with a publish, a prepare, decisions and what has no bodies."""
    identity = FrameIdentity(0x1122334455667788, 5, 1_700_000_060_000)
    batch = Batch("orders", 1, 4, 2, 0, 6, 99, (0, 1_700_000_090_000))
    publish = commands.Publish(identity, "", "", (batch, Batch("orders", 2, 4, 1, 0, 3, 98)))
    prepare = commands.Prepare(identity, "bank", "alice", (batch,), 6_000)
    decision = commands.Decision(12, 0, 0x1122334455667788, 5, 0b101, 0b10)
    decide = commands.Decide("bank", "alice", "call", (decision,))
    lease = commands.Lease("workers", "orders", 1, 77, 100, 1 << 20, 30_000, False)
    joined = [
        [(publish, (b"abcdef", b"ghi"))],
        [(prepare, (b"abcdef",)), (decide, ()), (lease, ()), (commands.Barrier(), ())],
    ]
    return [b"".join(bytes(piece) for piece in codec.encode_entry(1_700_000_000_000, one)) for one in joined]


def read_hello(data: bytes) -> None:
    """A peer's first frame: refused, or one of the other members."""
    for certified in (None, "node-2"):
        try:
            assert IDENTITY.check(data, certified, None) in IDENTITY.peers
        except HelloRefused:
            continue


def hello_seeds() -> list[bytes]:
    """Hellos of a member and of a stranger."""
    return [
        Identity("tests", "node-2", 4, "1", ("node-1",)).hello("node-1"),
        Identity("others", "node-9", 8, "2", ("node-1",)).hello("node-1"),
    ]


def read_batches(data: bytes) -> None:
    """A publish frame of any client, in both ways of looking at records."""
    try:
        request = frames_pb2.PublishRequest.FromString(data)
    except ProtobufDecodeError:
        return
    for validate in (True, False):
        try:
            check_frame(request.batches, validate)
        except Refused:
            continue
        for batch in request.batches:
            rules = to_rules(batch, batch.header.queue, 4)
            assert rules.count == len(batch.header.record_lengths)
            if validate:
                typed = messaging_pb2.RecordBatch.FromString(batch.records)
                assert [record.ByteSize() for record in typed.records] <= list(batch.header.record_lengths)


def batch_seeds() -> list[bytes]:
    """A plain frame, and one that uses every field."""
    plain = messaging_pb2.Record(body=b"hello")
    rich = messaging_pb2.Record(
        key=b"k",
        tag="transfer",
        keys=["one", "two"],
        headers=[messaging_pb2.Header(name="content-type", value=b"text")],
        body=b"x" * 200,
        priority=3,
        born_time_ms=1_700_000_000_000,
        compression=messaging_pb2.COMPRESSION_LZ4,
        plain_bytes=4_000,
    )
    seeds = []
    for records in ([plain], [plain, rich]):
        header = messaging_pb2.BatchHeader(
            topic="orders",
            queue=1,
            queue_count=4,
            record_lengths=[record.ByteSize() for record in records],
            delivery_times_ms=[0] * len(records),
        )
        batch = messaging_pb2.Batch(header=header, records=messaging_pb2.RecordBatch(records=records))
        seeds.append(messaging_pb2.PublishRequest(producer_group="bank", batches=[batch]).SerializeToString())
    return seeds

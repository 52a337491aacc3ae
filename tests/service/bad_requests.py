"""Requests that must be refused, call by call, each with the name of its refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError, Message

from tallymq.proto import frames_pb2, messaging_pb2
from tests.service.running import batch, bodies

M = messaging_pb2
LONG = "n" * 256


@dataclass(frozen=True)
class Known:
    """What the table's requests are about: queues of one shard, of another, and a half batch in doubt."""

    queue: int
    other: int
    half: messaging_pb2.HalfBatch

    def batch(self, records: list[messaging_pb2.Record]) -> messaging_pb2.Batch:
        return batch("transfers", records, self.queue, 4)

    def handle(self, **changes: int) -> messaging_pb2.Handle:
        plain = {
            "shard": self.half.shard,
            "index": self.half.index,
            "batch": self.half.batch,
            "record": 0,
            "instance": 7,
            "sequence": 1,
        }
        return messaging_pb2.Handle(**plain | changes)

    def leased(self, **changes: int | str) -> messaging_pb2.LeasedRange:
        plain = {"topic": "transfers", "queue": self.queue, "lease": 1, "first_offset": 0, "count": 1}
        return messaging_pb2.LeasedRange(**plain | changes)


Make = Callable[[Known], Message | bytes]


def publish(*batches: messaging_pb2.Batch, **fields: object) -> messaging_pb2.PublishRequest:
    return M.PublishRequest(batches=batches, **fields)


def with_header(known: Known, change: Callable[[messaging_pb2.BatchHeader], None]) -> bytes:
    made = known.batch(bodies("a", "b"))
    change(made.header)
    return publish(made).SerializeToString()


def with_records(known: Known, records: bytes, lengths: list[int]) -> bytes:
    """Return a publish request whose batch is these bytes."""
    header = M.BatchHeader(topic="transfers", queue=known.queue, queue_count=4, record_lengths=lengths)
    inner = field(1, header.SerializeToString()) + field(2, records)
    return field(3, inner)


def field(number: int, value: bytes) -> bytes:
    """Return a length-delimited field."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))


def record_case(**fields: object) -> Make:
    return lambda known: publish(known.batch([M.Record(body=b"ok"), M.Record(**fields)]))


def headers(count: int, name: str = "h", value: bytes = b"") -> list[messaging_pb2.Header]:
    return [M.Header(name=name, value=value) for _ in range(count)]


RECORDS: list[tuple[str, Make]] = [
    ("TOO_MANY_HEADERS", record_case(headers=headers(129))),
    ("ILLEGAL_HEADER_NAME", record_case(headers=headers(1, LONG))),
    ("ILLEGAL_HEADER_NAME", record_case(headers=headers(1, ""))),
    ("ILLEGAL_HEADER_NAME", record_case(headers=headers(1, "é" * 128))),
    ("HEADERS_TOO_LARGE", record_case(headers=headers(2, "h", b"v" * 16_384))),
    ("KEY_TOO_LONG", record_case(key=b"k" * 1_025)),
    ("TAG_TOO_LONG", record_case(tag=LONG)),
    ("TAG_TOO_LONG", record_case(tag="é" * 128)),
    ("ILLEGAL_SEARCH_KEYS", record_case(keys=["k"] * 17)),
    ("ILLEGAL_SEARCH_KEYS", record_case(keys=[LONG])),
    ("ILLEGAL_SEARCH_KEYS", record_case(keys=[""])),
    ("ILLEGAL_RECORD", record_case(priority=10)),
    ("ILLEGAL_RECORD", record_case(compression=3)),
    ("ILLEGAL_RECORD", record_case(compression=1)),
    ("BATCH_TOO_LARGE", record_case(body=b"b" * 4_128_769)),
    ("BATCH_TOO_LARGE", record_case(body=b"b" * (5 << 20))),
]

BATCHES: list[tuple[str, Make]] = [
    ("MALFORMED_REQUEST", lambda _: b"\xff\xff\xff"),
    ("WRONG_BATCH_COUNT", lambda _: publish()),
    ("WRONG_BATCH_COUNT", lambda known: publish(*[known.batch(bodies("a"))] * 257)),
    ("QUEUE_TWICE", lambda known: publish(known.batch(bodies("a")), known.batch(bodies("b")))),
    ("SEVERAL_SHARDS", lambda k: publish(k.batch(bodies("a")), batch("transfers", bodies("b"), k.other, 4))),
    ("MISSING_FIELD", lambda _: publish(batch("", bodies("a")))),
    ("ILLEGAL_NAME", lambda _: publish(batch("two words", bodies("a")))),
    ("ILLEGAL_NAME", lambda _: publish(batch(LONG, bodies("a")))),
    ("ILLEGAL_NAME", lambda _: publish(batch("a/b/c", bodies("a")))),
    ("ILLEGAL_NAME", lambda known: publish(known.batch(bodies("a")), producer_group="!")),
    ("UNKNOWN_TOPIC", lambda _: publish(batch("nowhere", bodies("a")))),
    ("OUT_OF_RANGE", lambda _: publish(batch("transfers", bodies("a"), 4, 4))),
    ("QUEUE_COUNT_CHANGED", lambda _: publish(batch("transfers", bodies("a"), 0, 3))),
    ("UNKNOWN_QUEUE", lambda _: publish(batch("transfers", bodies("a"), 9, 10))),
    ("WRONG_RECORD_COUNT", lambda known: publish(known.batch([]))),
    ("WRONG_RECORD_COUNT", lambda k: with_header(k, lambda header: header.record_lengths.append(3))),
    ("WRONG_RECORD_COUNT", lambda k: with_header(k, lambda header: header.ClearField("record_lengths"))),
    ("WRONG_RECORD_COUNT", lambda known: publish(known.batch(bodies(*["a"] * 16_385)))),
    ("WRONG_RECORD_LENGTHS", lambda k: with_header(k, lambda header: header.record_lengths.__setitem__(0, 4))),
    ("WRONG_DELIVERY_TIMES", lambda k: with_header(k, lambda header: header.delivery_times_ms.append(1))),
    ("WRONG_DELIVERY_TIMES", lambda k: with_header(k, lambda header: header.delivery_times_ms.extend((1, -1)))),
    ("DELIVERY_TIME_TOO_FAR", lambda k: with_header(k, lambda h: h.delivery_times_ms.extend((1, 1 << 50)))),
    ("MALFORMED_BATCH", lambda known: with_records(known, b"\xff\xff", [1])),
    ("MALFORMED_BATCH", lambda known: with_records(known, field(1, b"\x2a\x7f"), [2])),
    ("MALFORMED_BATCH", lambda known: with_records(known, field(1, field(2, b"\xff\xfe")), [4])),
    ("MALFORMED_BATCH", lambda known: with_records(known, field(1, b"*\x01a") + field(2, b"x"), [3])),
    ("MALFORMED_BATCH", lambda known: with_records(known, b"\x0a\x83\x00*\x01a", [3])),
    ("REPEATED_FIELD", lambda k: field(3, field(2, b"") + k.batch(bodies("a")).SerializeToString())),
    ("REPEATED_FIELD", lambda k: field(2, b"g") + field(2, b"g") + publish(k.batch(bodies("a"))).SerializeToString()),
    ("REPEATED_FIELD", lambda k: field(1, b"") + field(1, b"") + publish(k.batch(bodies("a"))).SerializeToString()),
    ("REPEATED_FIELD", lambda k: with_repeated_queue(k)),
    ("DEADLINE_TOO_FAR", lambda k: publish(k.batch(bodies("a")), identity=M.FrameIdentity(deadline_ms=1 << 50))),
    ("OUT_OF_RANGE", lambda k: publish(k.batch(bodies("a")), identity=M.FrameIdentity(deadline_ms=-1))),
    ("DEADLINE_PASSED", lambda k: publish(k.batch(bodies("a")), identity=M.FrameIdentity(deadline_ms=1))),
    ("FRAME_DIFFERS", lambda k: publish(k.batch(bodies("a")), identity=M.FrameIdentity(instance=7, sequence=1))),
]


def with_repeated_queue(_known: Known) -> bytes:
    """A queue that stands twice, hidden from a comparison of lengths by one-item lists written without packing."""
    header = M.BatchHeader(topic="transfers", queue_count=4).SerializeToString()
    header += b"\x10\x01\x10\x01" + b"\x20\x03" + b"\x28\x01"
    assert len(header) == M.BatchHeader.FromString(header).ByteSize()
    return field(3, field(1, header) + field(2, field(1, b"*\x01a")))


def prepare(known: Known, **fields: object) -> messaging_pb2.PrepareRequest:
    plain = {"producer_group": "bank-a", "batches": [known.batch(bodies("a"))]}
    return M.PrepareRequest(**plain | fields)


PREPARE: list[tuple[str, Make]] = [
    ("MISSING_FIELD", lambda known: prepare(known, producer_group="")),
    ("ILLEGAL_NAME", lambda known: prepare(known, producer_group="bank a")),
    ("OUT_OF_RANGE", lambda known: prepare(known, check_after_ms=999)),
    ("OUT_OF_RANGE", lambda known: prepare(known, check_after_ms=86_400_001)),
    ("UNKNOWN_TOPIC", lambda known: prepare(known, batches=[batch("nowhere", bodies("a"))])),
    ("WRONG_BATCH_COUNT", lambda known: prepare(known, batches=[])),
]


def raw_of(make: Make, known: Known) -> bytes:
    """Return a case's request as bytes."""
    request = make(known)
    return request if isinstance(request, bytes) else request.SerializeToString()


def as_prepare(make: Make) -> Make:
    """Return a case of Publish as one of Prepare, whose fields have the same numbers but which wants a group."""

    def made(known: Known) -> bytes:
        raw = raw_of(make, known)
        try:
            has_group = frames_pb2.PublishRequest.FromString(raw).producer_group
        except DecodeError:
            return raw
        return raw if has_group else raw + field(2, b"bank-a")

    return made


PREPARED = [(name, as_prepare(make)) for name, make in BATCHES + RECORDS]


def decide(rpc: str, known: Known, handles: list[messaging_pb2.Handle], group: str = "bank-a") -> Message:
    kind = M.CommitRequest if rpc == "Commit" else M.RollBackRequest
    return kind(producer_group=group, handles=handles)


def decisions(rpc: str) -> list[tuple[str, Make]]:
    return [
        ("MALFORMED_REQUEST", lambda _: b"\x0a"),
        ("REPEATED_FIELD", lambda k: field(1, b"x") + decide(rpc, k, [k.handle()]).SerializeToString()),
        ("MISSING_FIELD", lambda k: decide(rpc, k, [k.handle()], "")),
        ("ILLEGAL_NAME", lambda k: decide(rpc, k, [k.handle()], "a b")),
        ("TOO_MANY_ITEMS", lambda k: decide(rpc, k, [])),
        ("TOO_MANY_ITEMS", lambda k: decide(rpc, k, [k.handle()] * 1_025)),
        ("SEVERAL_SHARDS", lambda k: decide(rpc, k, [k.handle(), k.handle(shard=(k.half.shard + 1) % 4)])),
        # So many that naming them all would be more than a call's trailers may carry.
        ("SEVERAL_SHARDS", lambda k: decide(rpc, k, [k.handle(shard=1 << 31 | each) for each in range(1_024)])),
        ("WRONG_HANDLE", lambda k: decide(rpc, k, [k.handle(shard=99)])),
        ("WRONG_HANDLE", lambda k: decide(rpc, k, [k.handle(instance=8)])),
        ("WRONG_HANDLE", lambda k: decide(rpc, k, [k.handle(sequence=2)])),
        ("WRONG_HANDLE", lambda k: decide(rpc, k, [k.handle(record=2)])),
        ("WRONG_HANDLE", lambda k: decide(rpc, k, [k.handle(record=20_000)])),
        ("HANDLE_EXPIRED", lambda k: decide(rpc, k, [k.handle(index=1 << 40)])),
        ("FOREIGN_HANDLE", lambda k: decide(rpc, k, [k.handle()], "bank-b")),
    ]


def ranges(rpc: str) -> list[tuple[str, Make]]:
    kind = {"Acknowledge": M.AcknowledgeRequest, "NegativeAcknowledge": M.NegativeAcknowledgeRequest}.get(
        rpc, M.ExtendRequest
    )
    extra = {"lease_ms": 5_000} if rpc == "Extend" else {}

    def make(known: Known, group: str = "bank-b", **changes: int | str) -> Message:
        return kind(consumer_group=group, ranges=[known.leased(**changes)], **extra)

    return [
        ("MALFORMED_REQUEST", lambda _: b"\x0a"),
        ("MISSING_FIELD", lambda k: make(k, "")),
        ("ILLEGAL_NAME", lambda k: make(k, "a b")),
        ("TOO_MANY_ITEMS", lambda _: kind(consumer_group="bank-b", **extra)),
        ("TOO_MANY_ITEMS", lambda k: kind(consumer_group="bank-b", ranges=[k.leased()] * 1_025, **extra)),
        ("OUT_OF_RANGE", lambda k: make(k, count=0)),
        ("OUT_OF_RANGE", lambda k: make(k, count=16_385)),
        ("MISSING_FIELD", lambda k: make(k, lease=0)),
        ("OUT_OF_RANGE", lambda k: make(k, first_offset=(1 << 64) - 1)),
        ("UNKNOWN_TOPIC", lambda k: make(k, topic="nowhere")),
        ("UNKNOWN_QUEUE", lambda k: make(k, queue=4)),
        ("UNKNOWN_GROUP", lambda k: make(k, "strangers")),
        (
            "SEVERAL_SHARDS",
            lambda k: kind(consumer_group="bank-b", ranges=[k.leased(), k.leased(queue=k.other)], **extra),
        ),
    ]


def fetch(**fields: object) -> Make:
    plain = {"consumer_group": "strangers", "topic": "transfers", "consumer": 1}
    return lambda _: M.FetchRequest(**plain | fields)


FETCH: list[tuple[str, Make]] = [
    ("MALFORMED_REQUEST", lambda _: b"\x0a"),
    ("MISSING_FIELD", fetch(consumer_group="")),
    ("ILLEGAL_NAME", fetch(consumer_group="a b")),
    ("MISSING_FIELD", fetch(topic="")),
    ("ILLEGAL_NAME", fetch(topic="a b")),
    ("UNKNOWN_TOPIC", fetch(topic="nowhere")),
    ("MISSING_FIELD", fetch(consumer=0)),
    ("OUT_OF_RANGE", fetch(records_max=16_385)),
    ("OUT_OF_RANGE", fetch(record_bytes_max=(3 << 20) + 1)),
    ("OUT_OF_RANGE", fetch(wait_ms=60_001)),
    ("OUT_OF_RANGE", fetch(lease_ms=999)),
    ("OUT_OF_RANGE", fetch(start_at=2)),
]

TABLE: list[tuple[str, str, Make]] = [
    *[("Publish", name, make) for name, make in BATCHES + RECORDS],
    *[("Prepare", name, make) for name, make in PREPARED + PREPARE],
    *[(rpc, name, make) for rpc in ("Commit", "RollBack") for name, make in decisions(rpc)],
    *[("Fetch", name, make) for name, make in FETCH],
    *[(rpc, name, make) for rpc in ("Acknowledge", "NegativeAcknowledge", "Extend") for name, make in ranges(rpc)],
    (
        "NegativeAcknowledge",
        "TEXT_TOO_LONG",
        lambda k: M.NegativeAcknowledgeRequest(consumer_group="bank-b", ranges=[k.leased()], reason="r" * 1_025),
    ),
    (
        "NegativeAcknowledge",
        "OUT_OF_RANGE",
        lambda k: M.NegativeAcknowledgeRequest(consumer_group="bank-b", ranges=[k.leased()], delay_ms=86_400_001),
    ),
    ("Extend", "OUT_OF_RANGE", lambda k: M.ExtendRequest(consumer_group="bank-b", ranges=[k.leased()])),
    ("Route", "TOO_MANY_ITEMS", lambda _: M.RouteRequest(topics=["t"] * 257)),
    ("Route", "ILLEGAL_NAME", lambda _: M.RouteRequest(topics=["a b"])),
]


def decision(known: Known, **changes: object) -> messaging_pb2.Decision:
    plain = {
        "shard": known.half.shard,
        "index": known.half.index,
        "batch": known.half.batch,
        "instance": 7,
        "sequence": 1,
        "commit_bits": b"\x01",
    }
    return M.Decision(**plain | changes)


DECISIONS: list[tuple[str, Callable[[Known], messaging_pb2.Decision]]] = [
    ("CONTRADICTION", lambda k: decision(k, roll_back_bits=b"\x01")),
    ("OUT_OF_RANGE", lambda k: decision(k, commit_bits=b"\x01" * 2_049)),
    ("WRONG_HANDLE", lambda k: decision(k, commit_bits=b"\x04")),
    ("WRONG_HANDLE", lambda k: decision(k, instance=8)),
    ("WRONG_HANDLE", lambda k: decision(k, shard=99)),
    ("HANDLE_EXPIRED", lambda k: decision(k, index=1 << 40)),
]

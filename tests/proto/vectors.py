"""Makes proto/vectors.json: examples by which a client in any language checks its own arithmetic.

`python tests/proto/vectors.py` writes the file anew. Nothing of ours computes here: ids are put together by hand, hash
and checksum come from their own libraries, and the tests compute them a second way.
"""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import google_crc32c
import xxhash
from google.protobuf.json_format import MessageToDict

from tallymq.proto import messaging_pb2 as messaging

PATH = Path(__file__).resolve().parents[2] / "proto" / "vectors.json"
QUEUE_COUNTS = (1, 2, 3, 4, 8, 64, 1000, 1024)
KEYS: tuple[tuple[str, bytes], ...] = (
    ("empty; a record without a key may go to any queue", b""),
    ("one byte", b"a"),
    ("ASCII", b"account-100042"),
    ("UTF-8", "李雷 → 韩梅梅".encode()),
    ("zero bytes count", b"a\x00b\x00"),
    ("31 bytes, below one stripe", bytes(range(31))),
    ("32 bytes, one stripe", bytes(range(32))),
    ("every byte", bytes(range(256))),
    ("1,024 bytes, the longest", bytes(number * 7 % 256 for number in range(1024))),
)
IDS = (
    (0x5FCA32B1908D4A7E, 7, 0),
    (0x5FCA32B1908D4A7E, 7, 1),
    (1, 0, 0),
    (0xFFFFFFFFFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
)
BIT_SETS = ((), (0,), (7,), (8,), (0, 1, 9), (16,), tuple(range(10)), (16_383,))
BATCHES: tuple[tuple[str, list[messaging.Record]], ...] = (
    ("one empty record", [messaging.Record()]),
    ("a body only", [messaging.Record(body=b"hello")]),
    (
        "two records, the second with every field",
        [
            messaging.Record(key=b"a", body=b"first"),
            messaging.Record(
                key="李雷".encode(),
                tag="transfer",
                keys=["order-1", "order-2"],
                headers=[messaging.Header(name="kind", value=b"\x00\xff"), messaging.Header(name="kind")],
                body=bytes(range(16)),
                priority=9,
                born_time_ms=1_795_365_296_123,
                compression=messaging.COMPRESSION_LZ4,
                plain_bytes=4096,
            ),
        ],
    ),
    ("a record of more than 127 bytes: its length takes two bytes", [messaging.Record(body=b"x" * 200)]),
)


def half_example() -> dict[str, Any]:
    """A decision for transactions of the second batch of a frame, whose first batch had three records."""
    return {
        "about": "A prepare frame had two batches, of 3 and of 12 records; the second is stored in shard 2 by the "
        "entry of Raft index 91, as its batch 1. Records 4 and 9 of that batch are committed, record 0 rolled back.",
        "half": {"shard": 2, "index": 91, "batch": 1, "queue": 5, "first_position": 3, "count": 12},
        "instance": f"{IDS[0][0]:016x}",
        "sequence": IDS[0][1],
        "commit_records": [4, 9],
        "commit_bits": "1002",
        "roll_back_records": [0],
        "roll_back_bits": "01",
        "transaction_ids": {str(record): identity(*IDS[0][:2], 3 + record) for record in (0, 4, 9)},
        "handle_of_record_4": base64.b16encode(
            messaging.Handle(
                shard=2, index=91, batch=1, record=4, instance=IDS[0][0], sequence=IDS[0][1]
            ).SerializeToString()
        )
        .decode()
        .lower(),
    }


def identity(instance: int, sequence: int, position: int) -> str:
    return struct.pack(">QII", instance, sequence, position).hex()


def bits(positions: tuple[int, ...]) -> str:
    content = bytearray(max(positions) // 8 + 1 if positions else 0)
    for position in positions:
        content[position // 8] |= 1 << position % 8
    return content.hex()


def batch(about: str, records: list[messaging.Record]) -> dict[str, Any]:
    content = messaging.RecordBatch(records=records).SerializeToString()
    as_dicts = [MessageToDict(record, preserving_proto_field_name=True) for record in records]
    return {
        "about": about,
        "records": as_dicts,
        "record_batch": content.hex(),
        "record_lengths": [record.ByteSize() for record in records],
        "crc32c": f"{google_crc32c.value(content):08x}",
    }


def vectors() -> dict[str, Any]:
    """All of it."""
    return {
        "about": "Numbers of 64 bits and bytes are hexadecimal; records are in the JSON form of Protocol Buffers. "
        "See messaging.proto for what each means.",
        "ids": [
            {"instance": f"{instance:016x}", "sequence": sequence, "position": position,
             "id": identity(instance, sequence, position)}
            for instance, sequence, position in IDS
        ],
        "queues": [
            {"about": about, "key": key.hex(), "xxh64": f"{xxhash.xxh64_intdigest(key, 0):016x}",
             "queue_by_count": {str(count): xxhash.xxh64_intdigest(key, 0) % count for count in QUEUE_COUNTS}}
            for about, key in KEYS
        ],
        "bit_sets": [{"records": list(positions), "bits": bits(positions)} for positions in BIT_SETS],
        "batches": [batch(about, records) for about, records in BATCHES],
        "decisions": [half_example()],
    }  # fmt: skip


if __name__ == "__main__":
    PATH.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

"""What proto/vectors.json tells other languages is true, and is what our own code computes."""

import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from tallymq import _records as sdk
from tallymq.proto import frames_pb2, messaging_pb2
from tallymq.service import batches as service_batches
from tallymq.service import validation
from tests.proto import vectors

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(vectors.PATH.read_text(encoding="utf-8"))
MASK = (1 << 64) - 1
PRIMES = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)


def rotate(value: int, count: int) -> int:
    return (value << count | value >> (64 - count)) & MASK


def mix(lane: int, word: int) -> int:
    return rotate((lane + word * PRIMES[1]) & MASK, 31) * PRIMES[0] & MASK


def stripes(content: bytes) -> tuple[int, int]:
    """The hash of all whole stripes of 32 bytes, and how many bytes they are."""
    lanes = [(PRIMES[0] + PRIMES[1]) & MASK, PRIMES[1], 0, -PRIMES[0] & MASK]
    taken = len(content) // 32 * 32
    for start in range(0, taken, 8):
        lane = start // 8 % 4
        lanes[lane] = mix(lanes[lane], int.from_bytes(content[start : start + 8], "little"))
    total = sum(rotate(lane, count) for lane, count in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
    for lane in lanes:
        total = ((total ^ mix(0, lane)) * PRIMES[0] + PRIMES[3]) & MASK
    return total, taken


def xxh64(content: bytes) -> int:
    """XXH64 with seed 0, written from its specification for this test."""
    total, place = stripes(content) if len(content) >= 32 else (PRIMES[4], 0)
    total = (total + len(content)) & MASK
    while place + 8 <= len(content):
        total ^= mix(0, int.from_bytes(content[place : place + 8], "little"))
        total = (rotate(total, 27) * PRIMES[0] + PRIMES[3]) & MASK
        place += 8
    if place + 4 <= len(content):
        total ^= int.from_bytes(content[place : place + 4], "little") * PRIMES[0] & MASK
        total = (rotate(total, 23) * PRIMES[1] + PRIMES[2]) & MASK
        place += 4
    for byte in content[place:]:
        total = rotate(total ^ byte * PRIMES[4] & MASK, 11) * PRIMES[0] & MASK
    total = (total ^ total >> 33) * PRIMES[1] & MASK
    total = (total ^ total >> 29) * PRIMES[2] & MASK
    return total ^ total >> 32


def crc32c(content: bytes) -> int:
    """CRC-32C, bit by bit."""
    remainder = 0xFFFFFFFF
    for byte in content:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF


def each(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "vector", [pytest.param(vector, id=str(n)) for n, vector in enumerate(VECTORS[kind])]
    )


def test_the_file_is_what_its_maker_makes() -> None:
    assert vectors.vectors() == VECTORS, "run: python tests/proto/vectors.py"


def test_the_second_way_knows_the_published_examples() -> None:
    assert xxh64(b"") == 0xEF46DB3751D8E999
    assert xxh64(b"Nobody inspects the spammish repetition") == 0xFBCEA83C8A378BF1
    assert crc32c(b"123456789") == 0xE3069283


@each("ids")
def test_ids_are_instance_sequence_and_position(vector: dict[str, Any]) -> None:
    instance, sequence, position = int(vector["instance"], 16), vector["sequence"], vector["position"]
    assert sdk.message_id(instance, sequence, position) == vector["id"]
    assert len(sdk.message_id_bytes(vector["id"])) == 16


@each("queues")
def test_a_key_has_one_queue(vector: dict[str, Any]) -> None:
    key = bytes.fromhex(vector["key"])
    assert f"{xxh64(key):016x}" == vector["xxh64"]
    for count, queue in vector["queue_by_count"].items():
        assert sdk.queue_of_key(key, int(count)) == queue == xxh64(key) % int(count)


@each("bit_sets")
def test_a_bit_set_is_little_endian(vector: dict[str, Any]) -> None:
    content = bytes.fromhex(vector["bits"])
    assert sdk.bit_positions(content) == vector["records"]
    number = sum(1 << position for position in vector["records"])
    assert sdk.bits_of(number) == validation.bits_to_bytes(number) == content
    assert validation.bits_of(content, "bits") == number


@each("batches")
def test_a_batch_is_these_bytes(vector: dict[str, Any]) -> None:
    content = bytes.fromhex(vector["record_batch"])
    records = [ParseDict(record, messaging_pb2.Record()) for record in vector["records"]]
    assert messaging_pb2.RecordBatch(records=records).SerializeToString() == content
    assert f"{crc32c(content):08x}" == vector["crc32c"]
    header = messaging_pb2.BatchHeader(topic="t", record_lengths=vector["record_lengths"])
    frame = frames_pb2.Batch(header=header, records=content)
    service_batches.check_batch(frame, validate_records=True)
    stored = service_batches.to_rules(frame, 0, 1)
    assert (stored.count, stored.length) == (len(records), len(content))
    assert f"{stored.crc32c:08x}" == vector["crc32c"]


@each("decisions")
def test_a_decision_names_its_transactions_by_bits(vector: dict[str, Any]) -> None:
    assert sdk.bit_positions(bytes.fromhex(vector["commit_bits"])) == vector["commit_records"]
    assert sdk.bit_positions(bytes.fromhex(vector["roll_back_bits"])) == vector["roll_back_records"]
    instance, half = int(vector["instance"], 16), vector["half"]
    for record, identity in vector["transaction_ids"].items():
        assert sdk.message_id(instance, vector["sequence"], half["first_position"] + int(record)) == identity
    handle = messaging_pb2.Handle.FromString(bytes.fromhex(vector["handle_of_record_4"]))
    assert (handle.shard, handle.index, handle.batch, handle.record) == (half["shard"], half["index"], half["batch"], 4)
    assert (handle.instance, handle.sequence) == (instance, vector["sequence"])

"""What a user sends, checked and encoded: once for each message, before it is joined with others.

Everything the service would refuse about one record is refused here, by the same name, so that nobody's frame is
refused because of another caller's record.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import xxhash

from tallymq.exceptions import refusal_error
from tallymq.proto import messaging_pb2
from tallymq.types import CONTENT_TYPE, JSON_TYPE, TEXT_TYPE, Body, Headers, utc_time

KEY_BYTES_MAX = 1_024
TAG_BYTES_MAX = 255
SEARCH_KEYS_MAX = 16
HEADERS_MAX = 128
NAME_BYTES_MAX = 255
HEADER_BYTES_MAX = 32 * 1024
PRIORITY_MAX = 9
RECORD_BYTES_MAX = 4_128_768 - 8
"""A batch's limit less the tag and length prefix of a batch with one record."""
DELIVERY_AHEAD_MAX = timedelta(days=40)
_NAME = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message, ready to be joined. `record` is an encoded tallymq.v1.Record."""

    topic: str
    key: bytes
    record: bytes
    delivery_time_ms: int = 0


def check_name(name: str, what: str) -> str:
    """Return the name, or raise IllegalName."""
    if len(name) > NAME_BYTES_MAX or _NAME.fullmatch(name) is None:
        raise refusal_error("ILLEGAL_NAME", f"{what} {name!r} is not a legal name.")
    return name


def encode_body(body: Body) -> tuple[bytes, bytes]:
    """Return the bytes and their content type ("" for bytes)."""
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), b""
    if isinstance(body, str):
        return body.encode("utf-8"), TEXT_TYPE
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8"), JSON_TYPE
    except (TypeError, ValueError) as error:
        raise TypeError(f"A body is bytes, a string, or something JSON can hold: {error}.") from error


def outgoing(
    topic: str,
    body: Body,
    *,
    key: str | bytes = b"",
    tag: str = "",
    keys: Sequence[str] = (),
    headers: Headers | None = None,
    priority: int = 0,
    deliver_at: datetime | None = None,
) -> Outgoing:
    """Check and encode one message. Raises the refusal the service would give."""
    check_name(topic, "Topic")
    payload, content_type = encode_body(body)
    key_bytes = key.encode("utf-8") if isinstance(key, str) else bytes(key)
    if len(key_bytes) > KEY_BYTES_MAX:
        raise refusal_error("KEY_TOO_LONG")
    if len(tag.encode("utf-8")) > TAG_BYTES_MAX:
        raise refusal_error("TAG_TOO_LONG")
    if len(keys) > SEARCH_KEYS_MAX or any(not 1 <= len(each.encode("utf-8")) <= NAME_BYTES_MAX for each in keys):
        raise refusal_error("ILLEGAL_SEARCH_KEYS")
    if not 0 <= priority <= PRIORITY_MAX:
        raise refusal_error("ILLEGAL_RECORD", f"Priority is 0 to {PRIORITY_MAX}, not {priority}.")
    record = messaging_pb2.Record(
        key=key_bytes,
        tag=tag,
        keys=keys,
        headers=_headers(headers, content_type),
        body=payload,
        priority=priority,
        born_time_ms=time.time_ns() // 1_000_000,
    ).SerializeToString()
    if len(record) > RECORD_BYTES_MAX:
        raise refusal_error("BATCH_TOO_LARGE", f"The message is {len(record)} bytes; at most {RECORD_BYTES_MAX}.")
    return Outgoing(topic, key_bytes, record, _delivery_time_ms(deliver_at))


def _headers(headers: Headers | None, content_type: bytes) -> list[messaging_pb2.Header]:
    if not headers:
        return [messaging_pb2.Header(name=CONTENT_TYPE, value=content_type)] if content_type else []
    values = {
        name: value.encode("utf-8") if isinstance(value, str) else bytes(value) for name, value in headers.items()
    }
    if content_type:
        values.setdefault(CONTENT_TYPE, content_type)
    if len(values) > HEADERS_MAX:
        raise refusal_error("TOO_MANY_HEADERS")
    sizes = [len(name.encode("utf-8")) for name in values]
    if any(not 1 <= size <= NAME_BYTES_MAX for size in sizes):
        raise refusal_error("ILLEGAL_HEADER_NAME")
    if sum(sizes) + sum(map(len, values.values())) > HEADER_BYTES_MAX:
        raise refusal_error("HEADERS_TOO_LARGE")
    return [messaging_pb2.Header(name=name, value=value) for name, value in values.items()]


def _delivery_time_ms(deliver_at: datetime | None) -> int:
    if deliver_at is None:
        return 0
    if deliver_at.tzinfo is None:
        raise ValueError("deliver_at is an aware time; give it a time zone, for example datetime.now(UTC) + ...")
    if deliver_at - datetime.now(UTC) > DELIVERY_AHEAD_MAX:
        raise refusal_error("DELIVERY_TIME_TOO_FAR")
    return max(1, round(deliver_at.timestamp() * 1000))


def queue_of_key(key: bytes, queue_count: int) -> int:
    """Return the queue of a routing key: XXH64(key, seed 0) modulo the queue count."""
    return xxhash.xxh64_intdigest(key, 0) % queue_count


def message_id(instance: int, sequence: int, position: int) -> str:
    """Return the 32 hexadecimal digits of a message's or transaction's id."""
    return f"{instance:016x}{sequence:08x}{position:08x}"


def message_id_bytes(identity: str) -> bytes:
    """Return the 16 bytes of an id."""
    return bytes.fromhex(identity)


def bit_positions(bits: bytes) -> list[int]:
    """Return the numbers of the bits that are set, ascending."""
    number = int.from_bytes(bits, "little")
    positions = []
    while number:
        lowest = number & -number
        positions.append(lowest.bit_length() - 1)
        number ^= lowest
    return positions


def bits_of(number: int) -> bytes:
    """Return a bit set as the wire has it."""
    return number.to_bytes((number.bit_length() + 7) // 8, "little")


def readable(record: messaging_pb2.Record) -> dict[str, object]:
    """Return what Message and HalfMessage say of the record itself. A header that stands twice has its last value."""
    return {
        "key": record.key.decode("utf-8", "replace"),
        "tag": record.tag,
        "keys": tuple(record.keys),
        "headers": {header.name: header.value for header in record.headers},
        "body": record.body,
        "priority": record.priority,
        "born_time": utc_time(record.born_time_ms) if record.born_time_ms else None,
    }

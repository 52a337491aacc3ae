"""Record batches as they arrive: refused when garbage, miscounted or over a limit; never encoded again.

Python's cost must be per batch, not per record: a batch is parsed by the protobuf library, its lengths are compared as
lists, and single records are looked at only where their size, or a rare field, makes a violation possible.
"""

from __future__ import annotations

from collections.abc import Sequence

import google_crc32c
from google.protobuf.message import DecodeError

from tallymq.proto import frames_pb2, messaging_pb2
from tallymq.service.errors import Refused
from tallymq.service.validation import QUEUE_COUNT_MAX, RECORDS_MAX, check_name
from tallymq.txn.types import Batch

BATCHES_MAX = 256
RECORD_BYTES_MAX = 4 * 1024 * 1024 - 64 * 1024
KEY_BYTES_MAX = 1_024
TAG_BYTES_MAX = 255
SEARCH_KEYS_MAX = 16
SEARCH_KEY_BYTES_MAX = 255
HEADERS_MAX = 128
HEADER_NAME_BYTES_MAX = 255
HEADERS_BYTES_MAX = 32 * 1024
PRIORITY_MAX = 9

_KNOWN_COMPRESSIONS = frozenset(messaging_pb2.Compression.values())


def check_frame(batches: Sequence[frames_pb2.Batch], validate_records: bool) -> None:
    """Refuse a frame with an illegal batch. Which shard the batches belong to is not looked at here."""
    if not 1 <= len(batches) <= BATCHES_MAX:
        raise Refused("WRONG_BATCH_COUNT", f"{len(batches)} batches")
    if sum(len(batch.records) for batch in batches) > RECORD_BYTES_MAX:
        raise Refused("BATCH_TOO_LARGE")
    for batch in batches:
        check_batch(batch, validate_records)
    chosen = [(batch.header.topic, batch.header.queue) for batch in batches if batch.header.queue_count]
    if len(set(chosen)) != len(chosen):
        raise Refused("QUEUE_TWICE")


def check_batch(batch: frames_pb2.Batch, validate_records: bool) -> None:
    """Refuse one illegal batch."""
    header = batch.header
    check_name(header.topic, "topic")
    if header.queue_count > QUEUE_COUNT_MAX:
        raise Refused("OUT_OF_RANGE", f"queue_count is {header.queue_count}, at most {QUEUE_COUNT_MAX} are allowed")
    if header.queue_count and header.queue >= header.queue_count:
        raise Refused("OUT_OF_RANGE", f"queue {header.queue} of {header.queue_count}")
    _check_delivery_times(header)
    lengths = _check_lengths(header, batch.records)
    if validate_records:
        _check_records(batch.records, lengths)


def to_rules(batch: frames_pb2.Batch, queue: int, queue_count: int) -> Batch:
    """Return what the rules and the log need of a checked batch; `start` is set by the log."""
    header, records = batch.header, batch.records
    return Batch(
        topic=header.topic,
        queue=queue,
        queue_count=queue_count,
        count=len(header.record_lengths),
        start=0,
        length=len(records),
        crc32c=int(google_crc32c.value(records)),
        delivery_times_ms=tuple(header.delivery_times_ms),
    )


def _check_delivery_times(header: messaging_pb2.BatchHeader) -> None:
    times = header.delivery_times_ms
    if times and (len(times) != len(header.record_lengths) or min(times) < 0):
        raise Refused("WRONG_DELIVERY_TIMES", f"{len(times)} times for {len(header.record_lengths)} records")


def _check_lengths(header: messaging_pb2.BatchHeader, records: bytes) -> list[int]:
    """Return the records' lengths; refuse a batch that is not exactly so many records of the stated lengths."""
    stated = list(header.record_lengths)
    if not 1 <= len(stated) <= RECORDS_MAX:
        raise Refused("WRONG_RECORD_COUNT", f"{len(stated)} record lengths")
    try:
        raw = frames_pb2.RawRecordBatch.FromString(records)
    except DecodeError:
        raise Refused("MALFORMED_BATCH", header.topic) from None
    lengths = list(map(len, raw.records))
    if len(lengths) != len(stated):
        raise Refused("WRONG_RECORD_COUNT", f"{len(lengths)} records, {len(stated)} record lengths")
    if lengths != stated:
        raise Refused("WRONG_RECORD_LENGTHS", header.topic)
    if encoded_size(lengths) != len(records):
        raise Refused("MALFORMED_BATCH", "something other than records, or a length in more bytes than it needs")
    return lengths


def encoded_size(lengths: Sequence[int]) -> int:
    """Return the size in bytes of a batch of records of these sizes."""
    if min(lengths) >= 128 and max(lengths) < 16_384:
        return sum(lengths) + 3 * len(lengths)
    return sum(lengths) + sum(1 + _varint_size(length) for length in lengths)


def _varint_size(value: int) -> int:
    return (value.bit_length() + 6) // 7 or 1


def _check_records(records: bytes, lengths: list[int]) -> None:
    try:
        typed = messaging_pb2.RecordBatch.FromString(records)
    except DecodeError:
        raise Refused("MALFORMED_BATCH", "a record is not an encoded Record") from None
    if _uses_rare_fields(records, len(lengths)):
        for record in typed.records:
            _check_record(record)
    elif max(lengths) > TAG_BYTES_MAX:
        for record, length in zip(typed.records, lengths, strict=True):
            if length > TAG_BYTES_MAX:
                _check_key_and_tag(record)


def _uses_rare_fields(records: bytes, count: int) -> bool:
    """Return whether any record has search keys, headers, a priority or compression: all in the library, no loop."""
    rare = frames_pb2.RareRecordBatch.FromString(records)
    rare.DiscardUnknownFields()
    return rare.ByteSize() != 2 * count


def _check_key_and_tag(record: messaging_pb2.Record) -> None:
    if len(record.key) > KEY_BYTES_MAX:
        raise Refused("KEY_TOO_LONG", f"{len(record.key)} bytes")
    if len(record.tag) > TAG_BYTES_MAX // 4 and len(record.tag.encode()) > TAG_BYTES_MAX:
        raise Refused("TAG_TOO_LONG", f"{len(record.tag.encode())} bytes")


def _check_record(record: messaging_pb2.Record) -> None:
    _check_key_and_tag(record)
    if record.keys:
        sizes = [len(key.encode()) for key in record.keys]
        if len(sizes) > SEARCH_KEYS_MAX or min(sizes) == 0 or max(sizes) > SEARCH_KEY_BYTES_MAX:
            raise Refused("ILLEGAL_SEARCH_KEYS", f"{len(sizes)} keys, the longest has {max(sizes)} bytes")
    if record.headers:
        _check_headers(record)
    if record.priority > PRIORITY_MAX:
        raise Refused("ILLEGAL_RECORD", f"priority is {record.priority}")
    if record.compression not in _KNOWN_COMPRESSIONS:
        raise Refused("ILLEGAL_RECORD", f"compression is {record.compression}")
    if record.compression and not record.plain_bytes:
        raise Refused("ILLEGAL_RECORD", "plain_bytes is missing")


def _check_headers(record: messaging_pb2.Record) -> None:
    if len(record.headers) > HEADERS_MAX:
        raise Refused("TOO_MANY_HEADERS", f"{len(record.headers)} headers")
    total = 0
    for header in record.headers:
        name_bytes = len(header.name.encode())
        if not 1 <= name_bytes <= HEADER_NAME_BYTES_MAX:
            raise Refused("ILLEGAL_HEADER_NAME", f"{name_bytes} bytes")
        total += name_bytes + len(header.value)
    if total > HEADERS_BYTES_MAX:
        raise Refused("HEADERS_TOO_LARGE", f"{total} bytes")

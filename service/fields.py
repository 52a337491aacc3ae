"""Whether a request says each thing once: the wire format lets a singular field stand twice, and readers then differ.

The cheap test comes first: a message that repeats nothing is exactly as long as the parsed message encoded again.
Only when lengths differ is the request walked field by field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from tallymq.proto import frames_pb2
from tallymq.service.errors import Refused

_Message = TypeVar("_Message", bound=Message)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def no_singles(_message: Message) -> int:
    """Return 0: for types without packed lists."""
    return 0


def decode(message_type: type[_Message], raw: bytes, singles: Callable[[_Message], int] = no_singles) -> _Message:
    """Return `raw` parsed; raises Refused MALFORMED_REQUEST or REPEATED_FIELD.

    `singles` counts the packed lists of one item. Such a list may legally be written a byte shorter than canonical,
    and a repetition takes two bytes or more: with two such lists the test of lengths could be deceived.
    """
    try:
        message = message_type.FromString(raw)
    except DecodeError:
        raise Refused("MALFORMED_REQUEST", f"not a {message_type.DESCRIPTOR.name}") from None
    if message.ByteSize() != len(raw) or singles(message) > 1:
        refuse_repeated(message_type.DESCRIPTOR, raw)
    return message


def singles_of_frame(request: frames_pb2.PublishRequest | frames_pb2.PrepareRequest) -> int:
    """Return how many packed lists of a frame have one item."""
    return _singles(request.batches)


def singles_of_produce(request: frames_pb2.ProduceRequest) -> int:
    """Return how many packed lists of a frame on a stream have one item."""
    kind = request.WhichOneof("request")
    return 0 if kind is None or kind == "decide" else _singles(getattr(request, kind).batches)


def _singles(batches: Iterable[frames_pb2.Batch]) -> int:
    headers = [batch.header for batch in batches]
    return sum((len(each.record_lengths) == 1) + (len(each.delivery_times_ms) == 1) for each in headers)


def refuse_repeated(descriptor: Any, raw: bytes) -> None:  # noqa: ANN401 - two classes
    """Raise Refused REPEATED_FIELD if a singular field of `raw`, or of a message within it, stands twice."""
    seen: set[str] = set()
    for number, wire_type, start, end in _walk(raw):
        field = descriptor.fields_by_number.get(number)
        if field is None:
            continue
        if not field.is_repeated:
            _note(field, seen)
        if field.message_type is not None and wire_type == _BYTES and not _holds_records(field):
            refuse_repeated(field.message_type, raw[start:end])


def _note(field: FieldDescriptor, seen: set[str]) -> None:
    """Count members of one oneof as one field."""
    slot = "oneof " + field.containing_oneof.name if field.containing_oneof is not None else field.name
    if slot in seen:
        raise Refused("REPEATED_FIELD", field.name)
    seen.add(slot)


def _holds_records(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.name == "RecordBatch"


def _walk(raw: bytes) -> list[tuple[int, int, int, int]]:
    """Return number, wire type, and where the value lies, of each field of a message that was parsed already."""
    fields: list[tuple[int, int, int, int]] = []
    position = 0
    while position < len(raw):
        tag, position = _varint(raw, position)
        wire_type = tag & 7
        start = position
        if wire_type == _VARINT:
            _, position = _varint(raw, position)
        elif wire_type == _FIXED64:
            position += 8
        elif wire_type == _BYTES:
            length, start = _varint(raw, position)
            position = start + length
        elif wire_type == _FIXED32:
            position += 4
        else:
            raise Refused("MALFORMED_REQUEST", "groups are not used here")
        fields.append((tag >> 3, wire_type, start, position))
    return fields


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7

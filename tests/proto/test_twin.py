"""The service's private schema says, on the wire, exactly what the public one says."""

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tallymq.proto import admin_pb2, frames_pb2, messaging_pb2

PUBLIC = {**messaging_pb2.DESCRIPTOR.message_types_by_name, **admin_pb2.DESCRIPTOR.message_types_by_name}
PRIVATE = frames_pb2.DESCRIPTOR.message_types_by_name

# Whose other half has another name, because it shows only some of its fields.
OTHER_NAMES = {"RawRecordBatch": "RecordBatch", "RareRecordBatch": "RecordBatch", "RareRecord": "Record"}
BYTES, STRING, ENUM, MESSAGE = (
    FieldDescriptor.TYPE_BYTES,
    FieldDescriptor.TYPE_STRING,
    FieldDescriptor.TYPE_ENUM,
    FieldDescriptor.TYPE_MESSAGE,
)
VARINTS = {ENUM, FieldDescriptor.TYPE_INT32}
LENGTH_DELIMITED = {BYTES, STRING, MESSAGE}
BATCH = "tallymq.v1.RecordBatch"


def same_on_the_wire(public: FieldDescriptor, private: FieldDescriptor) -> bool:
    """Whether the same bytes are both fields, whatever they hold."""
    if private.type == BYTES:
        return public.type in LENGTH_DELIMITED
    if private.type == MESSAGE and public.type == MESSAGE:
        there, here = public.message_type, private.message_type
        return there is here or OTHER_NAMES.get(here.name, here.name) == there.name
    return private.type == public.type or {private.type, public.type} <= VARINTS


def twins() -> list[tuple[Descriptor, Descriptor]]:
    return [(PUBLIC[OTHER_NAMES.get(name, name)], private) for name, private in PRIVATE.items()]


TWINS = [pytest.param(public, private, id=private.name) for public, private in twins()]


@pytest.mark.parametrize(("public", "private"), TWINS)
def test_every_private_field_is_its_public_one_by_number(public: Descriptor, private: Descriptor) -> None:
    for number, field in private.fields_by_number.items():
        other = public.fields_by_number[number]
        assert field.name == other.name
        assert field.is_repeated == other.is_repeated, field.name
        assert same_on_the_wire(other, field), field.name
        assert (field.containing_oneof and field.containing_oneof.name) == (
            other.containing_oneof and other.containing_oneof.name
        )


@pytest.mark.parametrize(("public", "private"), [pair for pair in TWINS if pair.id not in OTHER_NAMES])
def test_a_twin_lacks_no_field(public: Descriptor, private: Descriptor) -> None:
    assert set(private.fields_by_number) == set(public.fields_by_number)


@pytest.mark.parametrize(("public", "private"), [pair for pair in TWINS if pair.id not in OTHER_NAMES])
def test_a_batch_and_nothing_else_is_kept_as_bytes(public: Descriptor, private: Descriptor) -> None:
    for number, field in private.fields_by_number.items():
        other = public.fields_by_number[number]
        is_batch = other.type == MESSAGE and other.message_type.full_name == BATCH
        assert (field.type == BYTES) == (is_batch or other.type == BYTES), field.name


def reaches_a_batch(message: Descriptor, seen: frozenset[str] = frozenset()) -> bool:
    if message.full_name == BATCH:
        return True
    if message.full_name in seen:
        return False
    parts = [field.message_type for field in message.fields if field.type == MESSAGE]
    return any(reaches_a_batch(part, seen | {message.full_name}) for part in parts)


def test_every_message_that_holds_a_batch_has_a_twin() -> None:
    holding = {name for name, message in PUBLIC.items() if reaches_a_batch(message)}
    assert holding - {"RecordBatch"} == set(PRIVATE) - set(OTHER_NAMES)


def test_a_frame_of_either_schema_is_read_by_the_other() -> None:
    records = messaging_pb2.RecordBatch(records=[messaging_pb2.Record(key=b"k", body=b"b"), messaging_pb2.Record()])
    header = messaging_pb2.BatchHeader(topic="t", queue=1, queue_count=2, record_lengths=[6, 0])
    identity = messaging_pb2.FrameIdentity(instance=7, sequence=8, deadline_ms=9)
    frame = messaging_pb2.PrepareRequest(
        identity=identity, producer_group="g", batches=[messaging_pb2.Batch(header=header, records=records)]
    )
    public = messaging_pb2.ProduceRequest(correlation=3, prepare=frame)
    private = frames_pb2.ProduceRequest.FromString(public.SerializeToString())
    assert private.prepare.batches[0].records == records.SerializeToString()
    assert messaging_pb2.ProduceRequest.FromString(private.SerializeToString()) == public

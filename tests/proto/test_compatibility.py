"""Clients generated from an earlier version of the public schema go on working, and can read what it means."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto

from tests.proto import fingerprint
from tests.proto.schema import comments_of, public_schema

DOCUMENTED = ("tallymq/proto/messaging.proto", "tallymq/proto/admin.proto")


def test_nothing_a_client_relies_on_has_changed_or_gone() -> None:
    assert fingerprint.broken(fingerprint.recorded(), fingerprint.current()) == []


def test_additions_are_recorded() -> None:
    added = fingerprint.current().keys() - fingerprint.recorded().keys()
    assert not added, "run: python tests/proto/fingerprint.py"


@pytest.mark.parametrize(
    ("place", "instead"),
    [
        ("tallymq.v1.Record 5", "string body"),
        ("tallymq.v1.Record 5", "bytes payload"),
        ("tallymq.v1.Record 5", None),
        ("tallymq.replicated.v1.Entry 3", "int32 stamped_ms"),
        ("tallymq.v1.LeaseResult 2", "LEASE_RESULT_GONE"),
        ("tallymq.v1.ProduceRequest 2", "tallymq.v1.PublishRequest publish"),
        ("tallymq.v1.Messaging Fetch", "(tallymq.v1.FetchRequest) returns (stream tallymq.v1.FetchReply)"),
    ],
)
def test_the_guard_sees_a_change(place: str, instead: str | None) -> None:
    now = fingerprint.current()
    assert now.pop(place)
    if instead is not None:
        now[place] = instead
    assert len(fingerprint.broken(fingerprint.recorded(), now)) == 1


def test_the_guard_lets_an_addition_pass() -> None:
    assert (
        fingerprint.broken(fingerprint.recorded(), {**fingerprint.current(), "tallymq.v1.Record 10": "bytes x"}) == []
    )


Place = tuple[int, ...]


def message_places(message: DescriptorProto, place: Place, name: str) -> Iterator[tuple[Place, str]]:
    yield place, name
    for number, field in enumerate(message.field):
        yield (*place, 2, number), f"{name}.{field.name}"
    for number, oneof in enumerate(message.oneof_decl):
        yield (*place, 8, number), f"{name}.{oneof.name}"
    for number, nested in enumerate(message.nested_type):
        yield from message_places(nested, (*place, 3, number), f"{name}.{nested.name}")
    for number, enum in enumerate(message.enum_type):
        yield from enum_places(enum, (*place, 4, number), f"{name}.{enum.name}")


def enum_places(enum: EnumDescriptorProto, place: Place, name: str) -> Iterator[tuple[Place, str]]:
    yield place, name
    for number, value in enumerate(enum.value):
        yield (*place, 2, number), f"{name}.{value.name}"


def places(file: FileDescriptorProto) -> Iterator[tuple[Place, str]]:
    """Where protoc keeps the comment of each thing that wants one."""
    for number, message in enumerate(file.message_type):
        yield from message_places(message, (4, number), message.name)
    for number, enum in enumerate(file.enum_type):
        yield from enum_places(enum, (5, number), enum.name)
    for number, service in enumerate(file.service):
        yield (6, number), service.name
        for place, method in enumerate(service.method):
            yield (6, number, 2, place), f"{service.name}.{method.name}"


@pytest.mark.parametrize("name", DOCUMENTED)
def test_everything_in_the_public_schema_says_what_it_is(name: str) -> None:
    file = public_schema()[name]
    comments = comments_of(file)
    found = list(places(file))
    assert len(found) > 100
    assert [what for place, what in found if not comments.get(place, "")] == []

"""What clients, peers and disks out there rely on: every field's number, type and name, every enum value, every call.

`proto/fingerprint.json` records it. A change or a removal breaks clients that exist, peers of another version or
what lies on a disk, so the test refuses it; an addition breaks nobody, and is recorded by running this file:
`python tests/proto/fingerprint.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor, ServiceDescriptor

from tallymq.proto import admin_pb2, hello_pb2, messaging_pb2, raft_pb2, replicated_pb2, snapshot_pb2

PATH = Path(__file__).resolve().parents[2] / "proto" / "fingerprint.json"
PUBLIC = (messaging_pb2.DESCRIPTOR, admin_pb2.DESCRIPTOR)
# On disk, and between nodes of which one is already of the next version.
BETWEEN_VERSIONS = (replicated_pb2.DESCRIPTOR, raft_pb2.DESCRIPTOR, hello_pb2.DESCRIPTOR, snapshot_pb2.DESCRIPTOR)
PREFIX = "TYPE_"
TYPES = {
    value: name.removeprefix(PREFIX).lower() for name, value in vars(FieldDescriptor).items() if name.startswith(PREFIX)
}

Fingerprint = dict[str, str]
"""From the place of a thing ("tallymq.v1.Record 5") to what it is there ("bytes body")."""


def of_field(field: FieldDescriptor) -> str:
    kind = TYPES[field.type]
    if field.message_type is not None:
        kind = field.message_type.full_name
    elif field.enum_type is not None:
        kind = field.enum_type.full_name
    repeated = "repeated " if field.is_repeated else ""
    oneof = f" in {field.containing_oneof.name}" if field.containing_oneof else ""
    return f"{repeated}{kind} {field.name}{oneof}"


def of_message(message: Descriptor) -> Fingerprint:
    found = {f"{message.full_name} {field.number}": of_field(field) for field in message.fields}
    for nested in message.nested_types:
        found |= of_message(nested)
    for enum in message.enum_types:
        found |= of_enum(enum)
    return found


def of_enum(enum: EnumDescriptor) -> Fingerprint:
    return {f"{enum.full_name} {value.number}": value.name for value in enum.values}


def of_service(service: ServiceDescriptor) -> Fingerprint:
    found = {}
    for method in service.methods:
        takes = ("stream " if method.client_streaming else "") + method.input_type.full_name
        gives = ("stream " if method.server_streaming else "") + method.output_type.full_name
        found[f"{service.full_name} {method.name}"] = f"({takes}) returns ({gives})"
    return found


def of_file(file: FileDescriptor) -> Fingerprint:
    found: Fingerprint = {}
    for message in file.message_types_by_name.values():
        found |= of_message(message)
    for enum in file.enum_types_by_name.values():
        found |= of_enum(enum)
    for service in file.services_by_name.values():
        found |= of_service(service)
    return found


def current() -> Fingerprint:
    """The fingerprint of the schema as it is."""
    found: Fingerprint = {}
    for file in (*PUBLIC, *BETWEEN_VERSIONS):
        found |= of_file(file)
    return found


def recorded() -> Fingerprint:
    """The fingerprint as it was when it was last recorded."""
    loaded: Fingerprint = json.loads(PATH.read_text(encoding="utf-8"))
    return loaded


def broken(before: Fingerprint, now: Fingerprint) -> list[str]:
    """What was promised and is so no longer, in sentences."""
    return [
        f"{place} was {what!r} and is {now[place]!r}" if place in now else f"{place} was {what!r} and is gone"
        for place, what in before.items()
        if now.get(place) != what
    ]


def record() -> int:
    """Record additions; refuse anything else."""
    now = current()
    changes = broken(recorded(), now) if PATH.exists() else []
    if changes:
        sys.stderr.write("\n  ".join(("What is out there would break:", *changes, "")))
        return 1
    PATH.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(record())

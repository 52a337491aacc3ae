"""Requests of operators that must be refused, call by call, and what every call refuses whatever it is about."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from tallymq.proto import admin_pb2, messaging_pb2
from tests.service.bad_requests import LONG, Make, field, varint

A = admin_pb2
NAMELESS = [("MISSING_FIELD", ""), ("ILLEGAL_NAME", "a b"), ("ILLEGAL_NAME", "a/b/c"), ("ILLEGAL_NAME", LONG)]
SHORT, LONG_ID, STRANGE = b"1" * 15, b"1" * 17, b"0" * 16


def topics() -> Iterator[tuple[str, str, Make]]:
    for name, text in NAMELESS:
        yield "CreateTopic", name, lambda _, text=text: A.CreateTopicRequest(name=text)
        yield "DeleteTopic", name, lambda _, text=text: A.DeleteTopicRequest(name=text)
        yield "GetTopic", name, lambda _, text=text: A.GetTopicRequest(name=text)
    yield "CreateTopic", "OUT_OF_RANGE", lambda _: A.CreateTopicRequest(name="t", queue_count=1_025)
    yield "CreateTopic", "OUT_OF_RANGE", lambda _: settings(retention_ms=100 * 365 * 86_400_000 + 1)
    yield "CreateTopic", "OUT_OF_RANGE", lambda _: settings(retention_bytes=(1 << 62) + 1)
    yield "CreateTopic", "TOPIC_EXISTS", lambda _: A.CreateTopicRequest(name="transfers", queue_count=5)
    yield "DeleteTopic", "UNKNOWN_TOPIC", lambda _: A.DeleteTopicRequest(name="nowhere")
    yield "DeleteTopic", "TOPIC_IN_DOUBT", lambda _: A.DeleteTopicRequest(name="transfers")
    yield "GetTopic", "UNKNOWN_TOPIC", lambda _: A.GetTopicRequest(name="nowhere")
    yield "ListTopics", "TEXT_TOO_LONG", lambda _: A.ListTopicsRequest(after=LONG)
    yield "ListTopics", "OUT_OF_RANGE", lambda _: A.ListTopicsRequest(limit=1_001)
    yield "ListTopics", "OUT_OF_RANGE", lambda _: A.ListTopicsRequest(after="transfers", limit=(1 << 32) - 1)


def settings(**changes: int) -> admin_pb2.CreateTopicRequest:
    return A.CreateTopicRequest(name="t", settings=A.TopicSettings(**changes))


def groups() -> Iterator[tuple[str, str, Make]]:
    for name, text in NAMELESS:
        yield "PutGroup", name, lambda _, text=text: A.PutGroupRequest(name=text)
        yield "GetGroup", name, lambda _, text=text: A.GetGroupRequest(name=text)
        yield "ListDeadLetters", name, lambda _, text=text: A.ListDeadLettersRequest(group=text, topic="transfers")
        yield "ListDeadLetters", name, lambda _, text=text: A.ListDeadLettersRequest(group="bank-b", topic=text)
    for limits in (
        {"attempts_max": 1_001}, {"lease_ms": 999}, {"lease_ms": 43_200_001}, {"backoff_ms_min": 86_400_001},
        {"backoff_ms_max": 86_400_001}, {"backoff_ms_min": 9, "backoff_ms_max": 8},
    ):  # fmt: skip
        yield "PutGroup", "OUT_OF_RANGE", lambda _, limits=limits: group(**limits)
    yield "ListGroups", "TEXT_TOO_LONG", lambda _: A.ListGroupsRequest(after=LONG)
    yield "ListGroups", "OUT_OF_RANGE", lambda _: A.ListGroupsRequest(limit=1_001)
    yield "ListGroups", "OUT_OF_RANGE", lambda _: A.ListGroupsRequest(after="bank-b", limit=(1 << 32) - 1)
    yield "GetGroup", "UNKNOWN_GROUP", lambda _: A.GetGroupRequest(name="strangers")
    yield "ListDeadLetters", "UNKNOWN_TOPIC", lambda _: A.ListDeadLettersRequest(group="bank-b", topic="nowhere")
    yield "ListDeadLetters", "OUT_OF_RANGE", lambda _: letters(limit=1_001)


def group(**limits: int) -> admin_pb2.PutGroupRequest:
    return A.PutGroupRequest(name="g", settings=A.GroupSettings(**limits))


def letters(**fields: int) -> admin_pb2.ListDeadLettersRequest:
    return A.ListDeadLettersRequest(group="bank-b", topic="transfers", **fields)


def messages() -> Iterator[tuple[str, str, Make]]:
    for name, text in NAMELESS:
        yield "Browse", name, lambda _, text=text: A.BrowseRequest(topic=text)
    yield "Browse", "UNKNOWN_TOPIC", lambda _: A.BrowseRequest(topic="nowhere")
    yield "Browse", "UNKNOWN_QUEUE", lambda _: A.BrowseRequest(topic="transfers", queue=4)
    yield "Browse", "OUT_OF_RANGE", lambda _: A.BrowseRequest(topic="transfers", wait_ms=60_001)
    yield "Browse", "OUT_OF_RANGE", lambda _: A.BrowseRequest(topic="transfers", records_max=1_001)
    for message_id in (b"", SHORT, LONG_ID):
        yield "GetMessage", "ILLEGAL_ID", lambda _, given=message_id: A.GetMessageRequest(message_id=given)
    yield "GetMessage", "UNKNOWN_MESSAGE", lambda _: A.GetMessageRequest(message_id=STRANGE)


def transactions() -> Iterator[tuple[str, str, Make]]:
    for given in (b"", SHORT, LONG_ID):
        yield "GetTransaction", "ILLEGAL_ID", lambda _, given=given: A.GetTransactionRequest(transaction_id=given)
        yield "CheckTransaction", "ILLEGAL_ID", lambda _, given=given: A.CheckTransactionRequest(transaction_id=given)
        yield "DecideTransaction", "ILLEGAL_ID", lambda _, given=given: decision(transaction_id=given)
    yield "GetTransaction", "UNKNOWN_TRANSACTION", lambda _: A.GetTransactionRequest(transaction_id=STRANGE)
    yield "CheckTransaction", "UNKNOWN_TRANSACTION", lambda _: A.CheckTransactionRequest(transaction_id=STRANGE)
    yield "DecideTransaction", "UNKNOWN_TRANSACTION", lambda _: decision()
    for name, changes in (
        ("MISSING_FIELD", {"operator": ""}), ("MISSING_FIELD", {"reason": ""}),
        ("TEXT_TOO_LONG", {"operator": "o" * 65}), ("TEXT_TOO_LONG", {"reason": LONG}),
        ("TEXT_TOO_LONG", {"operator": "é" * 33}),
    ):  # fmt: skip
        yield "DecideTransaction", name, lambda _, changes=changes: decision(**changes)
    for changes in (
        {"after": b"elsewhere"}, {"after": b"\xff" * 20}, {"after": b"1" * 21}, {"limit": 1_001},
        {"older_ms": (1 << 52) + 1},
    ):  # fmt: skip
        yield "ListTransactions", "OUT_OF_RANGE", lambda _, changes=changes: A.ListTransactionsRequest(**changes)
    for text in ("a b", LONG):
        yield "ListTransactions", "ILLEGAL_NAME", lambda _, text=text: A.ListTransactionsRequest(producer_group=text)


def nodes() -> Iterator[tuple[str, str, Make]]:
    for text in ("a b", "a/b/c", LONG):
        yield "GetNode", "ILLEGAL_NAME", lambda _, text=text: A.GetNodeRequest(node=text)
    yield "GetNode", "UNKNOWN_NODE", lambda _: A.GetNodeRequest(node="node-9")
    yield "GetShard", "UNKNOWN_SHARD", lambda _: A.GetShardRequest(shard=4)
    for number in (4_096, (1 << 32) - 1):
        yield "GetShard", "OUT_OF_RANGE", lambda _, number=number: A.GetShardRequest(shard=number)
        yield "ListShards", "OUT_OF_RANGE", lambda _, number=number: A.ListShardsRequest(first_shard=number)
    yield "ListShards", "OUT_OF_RANGE", lambda _: A.ListShardsRequest(limit=1_001)


def decision(**changes: object) -> admin_pb2.DecideTransactionRequest:
    plain = {"transaction_id": STRANGE, "operator": "ann", "reason": "a test"}
    return A.DecideTransactionRequest(**plain | changes)


def unary_calls() -> Iterator[MethodDescriptor]:
    for file in (messaging_pb2, admin_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            yield from (method for method in service.methods if not method.client_streaming)


def whatever_it_is_about() -> Iterator[tuple[str, str, Make]]:
    """What every unary call must refuse: an end too soon, a string that is no text, a field that stands twice."""
    for method in unary_calls():
        for raw in (b"\x0a", b"\xff\xff\xff", b"\x0a\x02a", b"\x0b"):
            yield method.name, "MALFORMED_REQUEST", lambda _, raw=raw: raw
        for raw in twice(method.input_type):
            yield method.name, "REPEATED_FIELD", lambda _, raw=raw: raw
        for each in method.input_type.fields:
            if each.type == FieldDescriptor.TYPE_STRING:
                yield method.name, "MALFORMED_REQUEST", lambda _, each=each: field(each.number, b"\xff\xfe")


def twice(message: Descriptor) -> Iterator[bytes]:
    """Each singular field of a message, standing twice."""
    for each in message.fields:
        if not each.is_repeated:
            yield 2 * once(each)


def once(each: FieldDescriptor) -> bytes:
    if each.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        return field(each.number, b"a")
    if each.type == FieldDescriptor.TYPE_MESSAGE:
        return field(each.number, b"")
    if each.type == FieldDescriptor.TYPE_FIXED64:
        return varint(each.number << 3 | 1) + b"12345678"
    return varint(each.number << 3) + b"\x01"


ADMIN: list[tuple[str, str, Make]] = [*topics(), *groups(), *messages(), *transactions(), *nodes()]
ANY: list[tuple[str, str, Make]] = list(whatever_it_is_about())

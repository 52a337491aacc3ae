"""Every public field says its unit and its limits, and a request's limits are those that the service holds."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from tallymq.proto import admin_pb2, messaging_pb2
from tallymq.proto.refusals import BY_NAME
from tallymq.service import admin, admin_transactions, batches, errors, settings, subscription, validation
from tallymq.service.sessions import CLIENT_BYTES_MAX
from tallymq.txn import frame
from tests.proto.schema import comments_of, public_schema

F = FieldDescriptorProto
MAX = {
    F.TYPE_UINT32: (1 << 32) - 1, F.TYPE_FIXED32: (1 << 32) - 1, F.TYPE_UINT64: (1 << 64) - 1,
    F.TYPE_FIXED64: (1 << 64) - 1, F.TYPE_INT64: (1 << 63) - 1, F.TYPE_INT32: (1 << 31) - 1,
}  # fmt: skip
SIGNED = {F.TYPE_INT64, F.TYPE_INT32}
EXEMPT = {F.TYPE_MESSAGE, F.TYPE_ENUM, F.TYPE_BOOL}
FRAME_BYTES_MAX = batches.RECORD_BYTES_MAX

# What a number may be a number of: nothing else is a unit.
COUNTS = {
    "attempts", "checks", "consumers", "entries", "groups", "messages", "offsets", "queues", "records", "sessions",
    "shards", "topics", "transactions",
}  # fmt: skip
PLACES = {
    "batch number", "check number", "correlation", "CRC32C", "index", "lease token", "level", "position",
    "queue number", "random number", "sequence", "shard number", "term", "topic number",
}  # fmt: skip
UNITS = COUNTS | PLACES | {"ms", "Unix ms", "bytes", "offset"}
TEXTS = {"name", "text", "host:port"}
BINARY = {"anything", "bits", "id", "place"}
# Lists that are as long as something else is, with no limit of their own; only in replies.
AS_MANY = {"one for each node", "one for each queue it has leased from"}
AHEAD_MS = {"days": 24 * 60 * 60 * 1_000, "minutes": 60 * 1_000}
NUMBER = r"-?(?:\d{1,3}(?:,\d{3})*|2\^\d+(?: - 1)?)"
RANGE = re.compile(
    rf"(?P<or>0 or )?(?:(?P<low>{NUMBER}) to )?(?P<high>{NUMBER})(?: (?P<ahead>days|minutes) ahead)?(?P<bytes> bytes)?"
)


@dataclass(frozen=True)
class Limits:
    """What a comment states. `high` is a duration in ms where it is ahead of now."""

    unit: str
    low: int
    high: int
    or_zero: bool


def number(text: str) -> int:
    """Read 1,024 or 2^64 - 1."""
    power = re.fullmatch(r"(-?)2\^(\d+)( - 1)?", text)
    if power is None:
        return int(text.replace(",", ""))
    return (-1 if power[1] else 1) * (1 << int(power[2])) - (1 if power[3] else 0)


def limits(stated: str, units: set[str], in_bytes: bool) -> Limits:
    """Read `ms, 0 to 60,000`."""
    unit, comma, range_text = stated.partition(", ")
    assert comma, f"{stated!r} is not a unit and its limits"
    assert unit in units, f"{unit!r} is no unit of {sorted(units)}"
    found = RANGE.fullmatch(range_text)
    assert found, f"{range_text!r} are no limits"
    assert bool(found["bytes"]) == in_bytes, f"{range_text!r}: the length of a string is bytes, a number is none"
    assert found["low"] or in_bytes, f"{range_text!r} has one end only"
    high = number(found["high"]) * AHEAD_MS.get(found["ahead"], 1)
    low = number(found["low"]) if found["low"] else high
    assert low <= high
    return Limits(unit, low, high, bool(found["or"]))


@dataclass(frozen=True)
class Field:
    name: str
    descriptor: FieldDescriptorProto
    comment: str

    @property
    def is_list(self) -> bool:
        return self.descriptor.label == F.LABEL_REPEATED

    @property
    def stated(self) -> str:
        """What the brackets at the end of the comment hold."""
        found = re.fullmatch(r".*\S \[([^\[\]]+)\]", " ".join(self.comment.split()))
        assert found, f"{self.name} does not end with [unit, limits]: {self.comment!r}"
        return found[1]

    def elements(self) -> Limits | None:
        """How many elements a list may have; None where it is as long as something else is."""
        many = self.stated.partition("; ")[0]
        if many in AS_MANY:
            return None
        found = re.fullmatch(rf"({NUMBER}) to ({NUMBER}) elements", many)
        assert found, f"{self.name}: {many!r} is not how many elements"
        return Limits("elements", number(found[1]), number(found[2]), or_zero=False)

    def each(self) -> Limits:
        """What the field, or each element of it, may be."""
        stated = self.stated.partition("; ")[2] if self.is_list else self.stated
        if self.descriptor.type in (F.TYPE_STRING, F.TYPE_BYTES):
            return limits(stated, TEXTS if self.descriptor.type == F.TYPE_STRING else BINARY, in_bytes=True)
        return limits(stated, UNITS, in_bytes=False)


def fields() -> Iterator[Field]:
    for file in public_schema().values():
        comments = comments_of(file)
        for place, message in enumerate(file.message_type):
            assert not message.nested_type
            for position, descriptor in enumerate(message.field):
                name = f"{message.name}.{descriptor.name}"
                yield Field(name, descriptor, comments.get((4, place, 2, position), ""))


FIELDS = {field.name: field for field in fields()}
LISTS = [name for name, field in FIELDS.items() if field.is_list]
SIMPLE = [name for name, field in FIELDS.items() if field.descriptor.type not in EXEMPT]


def unit_by_name(name: str) -> str | None:
    """The unit that the end of a field's name promises."""
    if re.search(r"(_time|_times|_until|^time|deadline)_ms$", name):
        return "Unix ms"
    endings = {"ms": r"_ms(_min|_max)?$", "bytes": r"(_bytes(_max)?|_lengths)$", "offset": r"(^|_)offset$",
               "bits": r"_bits$", "host:port": r"_address$", "random number": r"^(instance|consumer)$",
               "sequence": r"^sequence$", "index": r"index$", "id": r"_id$", "term": r"^term$"}  # fmt: skip
    return next((unit for unit, ending in endings.items() if re.search(ending, name)), None)


@pytest.mark.parametrize("name", SIMPLE)
def test_a_field_states_its_unit_and_its_limits(name: str) -> None:
    field = FIELDS[name]
    each = field.each()
    kind = field.descriptor.type
    if kind in MAX:
        assert each.high <= MAX[kind]
        assert each.low >= (-(1 << 63) if kind in SIGNED else 0)
    else:
        assert 0 <= each.low <= each.high <= FRAME_BYTES_MAX
    promised = unit_by_name(field.descriptor.name)
    assert promised in (None, each.unit), f"{name} is called as {promised} and says {each.unit}"


@pytest.mark.parametrize("name", LISTS)
def test_a_list_states_how_many_elements_it_may_have(name: str) -> None:
    elements = FIELDS[name].elements()
    if elements is None:
        assert name.partition(".")[0] not in REQUESTED, "a list of a request has a limit of its own"
    else:
        assert 0 <= elements.low <= elements.high <= validation.RECORDS_MAX


def reached(message: Descriptor) -> Iterator[str]:
    yield message.name
    for field in message.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            yield from reached(field.message_type)


def requested() -> set[str]:
    """Messages that a caller sends, or that are within what it sends."""
    services = [*messaging_pb2.DESCRIPTOR.services_by_name.values(), *admin_pb2.DESCRIPTOR.services_by_name.values()]
    return {name for service in services for method in service.methods for name in reached(method.input_type)}


REQUESTED = requested()
LIST_MAX = {
    "Record.keys": batches.SEARCH_KEYS_MAX, "Record.headers": batches.HEADERS_MAX,
    "RecordBatch.records": validation.RECORDS_MAX, "BatchHeader.record_lengths": validation.RECORDS_MAX,
    "BatchHeader.delivery_times_ms": validation.RECORDS_MAX, "PublishRequest.batches": batches.BATCHES_MAX,
    "PrepareRequest.batches": batches.BATCHES_MAX, "DecideRequest.decisions": validation.DECISIONS_MAX,
    "CommitRequest.handles": validation.DECISIONS_MAX, "RollBackRequest.handles": validation.DECISIONS_MAX,
    "AcknowledgeRequest.ranges": validation.RANGES_MAX, "NegativeAcknowledgeRequest.ranges": validation.RANGES_MAX,
    "ExtendRequest.ranges": validation.RANGES_MAX, "RouteRequest.topics": 256,
}  # fmt: skip
SHARDS_MAX = next(setting.high for setting in settings.SETTINGS if setting.key == "shards")
LENGTH_MAX = {
    "Record.key": batches.KEY_BYTES_MAX, "Record.tag": batches.TAG_BYTES_MAX, "Record.body": FRAME_BYTES_MAX,
    "Record.keys": batches.SEARCH_KEY_BYTES_MAX, "Header.name": batches.HEADER_NAME_BYTES_MAX,
    "Header.value": batches.HEADERS_BYTES_MAX, "SessionHello.client": CLIENT_BYTES_MAX,
    "NegativeAcknowledgeRequest.reason": validation.REASON_BYTES_MAX,
    "DecideTransactionRequest.operator": admin_transactions.OPERATOR_BYTES_MAX,
    "DecideTransactionRequest.reason": admin_transactions.REASON_BYTES_MAX,
}  # fmt: skip
BY_UNIT = {"name": validation.NAME_BYTES_MAX, "bits": validation.BITS_BYTES_MAX, "id": validation.ID_BYTES,
           "place": admin_transactions._PLACE.size}  # fmt: skip
LEASE = (validation.LEASE_MS_MIN, validation.LEASE_MS_MAX)
# The ends of a range that are not those of the type.
RANGES = {
    "Record.priority": (0, batches.PRIORITY_MAX),
    "BatchHeader.queue_count": (0, validation.QUEUE_COUNT_MAX),
    "BatchHeader.record_lengths": (0, FRAME_BYTES_MAX),
    "BatchHeader.delivery_times_ms": (0, frame.DELIVERY_AHEAD_MS_MAX),
    "FrameIdentity.deadline_ms": (0, frame.DEADLINE_AHEAD_MS_MAX),
    "PrepareRequest.check_after_ms": (validation.CHECK_AFTER_MS_MIN, validation.CHECK_AFTER_MS_MAX),
    "Handle.record": (0, validation.RECORDS_MAX - 1),
    "SessionHello.instance": (1, None),
    "CheckAnswer.check": (1, None),
    "SubscribeStart.consumer": (1, None),
    "SubscribeStart.lease_ms": LEASE,
    "SubscribeStart.delivery_records_max": (0, validation.RECORDS_MAX),
    "Credit.records": (0, subscription.CREDIT_RECORDS_MAX),
    "Credit.record_bytes": (0, subscription.CREDIT_BYTES_MAX),
    "FetchRequest.consumer": (1, None),
    "FetchRequest.records_max": (0, validation.RECORDS_MAX),
    "FetchRequest.record_bytes_max": (0, validation.FETCH_BYTES_MAX),
    "FetchRequest.wait_ms": (0, validation.WAIT_MS_MAX),
    "FetchRequest.lease_ms": LEASE,
    "LeasedRange.lease": (1, None),
    "LeasedRange.first_offset": (0, (1 << 63) - 1),
    "LeasedRange.count": (1, validation.RECORDS_MAX),
    "NegativeAcknowledgeRequest.delay_ms": (0, validation.DELAY_MS_MAX),
    "ExtendRequest.lease_ms": LEASE,
    "TopicSettings.retention_ms": (0, admin.RETENTION_MS_MAX),
    "TopicSettings.retention_bytes": (0, 1 << 62),
    "CreateTopicRequest.queue_count": (0, validation.QUEUE_COUNT_MAX),
    "ListTopicsRequest.limit": (0, validation.LIMIT_MAX),
    "GroupSettings.attempts_max": (0, admin.ATTEMPTS_MAX),
    "GroupSettings.lease_ms": LEASE,
    "GroupSettings.backoff_ms_min": (0, validation.DELAY_MS_MAX),
    "GroupSettings.backoff_ms_max": (0, validation.DELAY_MS_MAX),
    "ListGroupsRequest.limit": (0, validation.LIMIT_MAX),
    "ListDeadLettersRequest.limit": (0, validation.LIMIT_MAX),
    "BrowseRequest.records_max": (0, validation.LIMIT_MAX),
    "BrowseRequest.wait_ms": (0, validation.WAIT_MS_MAX),
    "ListShardsRequest.limit": (0, validation.LIMIT_MAX),
    "ListTransactionsRequest.limit": (0, validation.LIMIT_MAX),
    "ListTransactionsRequest.older_ms": (0, admin_transactions.AGE_MS_MAX),
}
BY_NUMBER = {"queue number": (0, validation.QUEUE_COUNT_MAX - 1), "shard number": (0, SHARDS_MAX - 1)}


def held(field: Field, unit: str) -> tuple[int, int]:
    """The ends of the range that the service holds: what is not in the tables may be all that its type can say."""
    kind = field.descriptor.type
    low, high = RANGES.get(field.name, BY_NUMBER.get(unit, (-(1 << 63) if kind in SIGNED else 0, None)))
    return low, MAX[kind] if high is None else high


@pytest.mark.parametrize("name", [name for name in SIMPLE if name.partition(".")[0] in REQUESTED])
def test_a_requests_limits_are_those_the_service_holds(name: str) -> None:
    field = FIELDS[name]
    each = field.each()
    if field.descriptor.type in MAX:
        assert (each.low, each.high) == held(field, each.unit)
    else:
        assert each.high == (LENGTH_MAX[name] if name in LENGTH_MAX else BY_UNIT[each.unit])


@pytest.mark.parametrize("name", [name for name in LISTS if name.partition(".")[0] in REQUESTED])
def test_a_requests_lists_may_be_as_long_as_the_service_takes(name: str) -> None:
    elements = FIELDS[name].elements()
    assert elements is not None
    assert elements.high == LIST_MAX[name]


def test_the_tables_of_limits_name_fields_of_requests() -> None:
    there = {name for name in FIELDS if name.partition(".")[0] in REQUESTED}
    assert {*LIST_MAX, *LENGTH_MAX, *RANGES} <= there


def test_a_refusals_texts_keep_their_limits() -> None:
    for row in BY_NAME.values():
        said = errors.to_message(errors.Refused(row.name, "é" * 5_000, "h" * 200))
        for name in ("code", "name", "message", "hint", "leader_address"):
            each = FIELDS[f"Refusal.{name}"].each()
            assert each.low <= len(getattr(said, name).encode()) <= each.high, (row.name, name)


@pytest.mark.parametrize(
    "phrase",
    ["some number", "ms", "ms, small", "ms, up to 5", "things, 0 to 5", "ms, 5", "ms, 9 to 5", "ms, 0 to 5 bytes", ""],
)
def test_an_empty_phrase_is_no_limit(phrase: str) -> None:
    with pytest.raises(AssertionError):
        limits(phrase, UNITS, in_bytes=False)

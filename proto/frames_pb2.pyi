from tallymq.proto import messaging_pb2 as _messaging_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RawRecordBatch(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, records: _Optional[_Iterable[bytes]] = ...) -> None: ...

class RareRecord(_message.Message):
    __slots__ = ("keys", "headers", "priority", "compression", "plain_bytes")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    PLAIN_BYTES_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[bytes]
    headers: _containers.RepeatedScalarFieldContainer[bytes]
    priority: int
    compression: int
    plain_bytes: int
    def __init__(self, keys: _Optional[_Iterable[bytes]] = ..., headers: _Optional[_Iterable[bytes]] = ..., priority: _Optional[int] = ..., compression: _Optional[int] = ..., plain_bytes: _Optional[int] = ...) -> None: ...

class RareRecordBatch(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[RareRecord]
    def __init__(self, records: _Optional[_Iterable[_Union[RareRecord, _Mapping]]] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("header", "records")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    header: _messaging_pb2.BatchHeader
    records: bytes
    def __init__(self, header: _Optional[_Union[_messaging_pb2.BatchHeader, _Mapping]] = ..., records: _Optional[bytes] = ...) -> None: ...

class PublishRequest(_message.Message):
    __slots__ = ("identity", "producer_group", "batches")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_GROUP_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    identity: _messaging_pb2.FrameIdentity
    producer_group: str
    batches: _containers.RepeatedCompositeFieldContainer[Batch]
    def __init__(self, identity: _Optional[_Union[_messaging_pb2.FrameIdentity, _Mapping]] = ..., producer_group: _Optional[str] = ..., batches: _Optional[_Iterable[_Union[Batch, _Mapping]]] = ...) -> None: ...

class PrepareRequest(_message.Message):
    __slots__ = ("identity", "producer_group", "batches", "check_after_ms")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_GROUP_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    CHECK_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    identity: _messaging_pb2.FrameIdentity
    producer_group: str
    batches: _containers.RepeatedCompositeFieldContainer[Batch]
    check_after_ms: int
    def __init__(self, identity: _Optional[_Union[_messaging_pb2.FrameIdentity, _Mapping]] = ..., producer_group: _Optional[str] = ..., batches: _Optional[_Iterable[_Union[Batch, _Mapping]]] = ..., check_after_ms: _Optional[int] = ...) -> None: ...

class ProduceRequest(_message.Message):
    __slots__ = ("correlation", "publish", "prepare", "decide")
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    DECIDE_FIELD_NUMBER: _ClassVar[int]
    correlation: int
    publish: PublishRequest
    prepare: PrepareRequest
    decide: _messaging_pb2.DecideRequest
    def __init__(self, correlation: _Optional[int] = ..., publish: _Optional[_Union[PublishRequest, _Mapping]] = ..., prepare: _Optional[_Union[PrepareRequest, _Mapping]] = ..., decide: _Optional[_Union[_messaging_pb2.DecideRequest, _Mapping]] = ...) -> None: ...

class SessionReply(_message.Message):
    __slots__ = ("welcome", "check")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    welcome: _messaging_pb2.SessionWelcome
    check: Check
    def __init__(self, welcome: _Optional[_Union[_messaging_pb2.SessionWelcome, _Mapping]] = ..., check: _Optional[_Union[Check, _Mapping]] = ...) -> None: ...

class Check(_message.Message):
    __slots__ = ("check", "half", "instance", "sequence", "in_doubt_bits", "topic", "prepared_time_ms", "attempt", "records")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    HALF_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    IN_DOUBT_BITS_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PREPARED_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    check: int
    half: _messaging_pb2.HalfBatch
    instance: int
    sequence: int
    in_doubt_bits: bytes
    topic: str
    prepared_time_ms: int
    attempt: int
    records: bytes
    def __init__(self, check: _Optional[int] = ..., half: _Optional[_Union[_messaging_pb2.HalfBatch, _Mapping]] = ..., instance: _Optional[int] = ..., sequence: _Optional[int] = ..., in_doubt_bits: _Optional[bytes] = ..., topic: _Optional[str] = ..., prepared_time_ms: _Optional[int] = ..., attempt: _Optional[int] = ..., records: _Optional[bytes] = ...) -> None: ...

class SubscribeReply(_message.Message):
    __slots__ = ("correlation", "delivery", "lease", "refusal")
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    correlation: int
    delivery: Delivery
    lease: _messaging_pb2.LeaseReply
    refusal: _messaging_pb2.Refusal
    def __init__(self, correlation: _Optional[int] = ..., delivery: _Optional[_Union[Delivery, _Mapping]] = ..., lease: _Optional[_Union[_messaging_pb2.LeaseReply, _Mapping]] = ..., refusal: _Optional[_Union[_messaging_pb2.Refusal, _Mapping]] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("topic", "queue", "first_offset", "count", "attempt", "lease", "lease_until_ms", "instance", "sequence", "positions", "first_position", "visible_time_ms", "crc32c", "records")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    LEASE_UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    FIRST_POSITION_FIELD_NUMBER: _ClassVar[int]
    VISIBLE_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    queue: int
    first_offset: int
    count: int
    attempt: int
    lease: int
    lease_until_ms: int
    instance: int
    sequence: int
    positions: _containers.RepeatedScalarFieldContainer[int]
    first_position: int
    visible_time_ms: int
    crc32c: int
    records: bytes
    def __init__(self, topic: _Optional[str] = ..., queue: _Optional[int] = ..., first_offset: _Optional[int] = ..., count: _Optional[int] = ..., attempt: _Optional[int] = ..., lease: _Optional[int] = ..., lease_until_ms: _Optional[int] = ..., instance: _Optional[int] = ..., sequence: _Optional[int] = ..., positions: _Optional[_Iterable[int]] = ..., first_position: _Optional[int] = ..., visible_time_ms: _Optional[int] = ..., crc32c: _Optional[int] = ..., records: _Optional[bytes] = ...) -> None: ...

class FetchReply(_message.Message):
    __slots__ = ("deliveries",)
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    def __init__(self, deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ...) -> None: ...

class BrowseReply(_message.Message):
    __slots__ = ("deliveries", "next_offset")
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    next_offset: int
    def __init__(self, deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ..., next_offset: _Optional[int] = ...) -> None: ...

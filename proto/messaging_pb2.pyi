from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Compression(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPRESSION_NONE: _ClassVar[Compression]
    COMPRESSION_ZSTD: _ClassVar[Compression]
    COMPRESSION_LZ4: _ClassVar[Compression]

class StartAt(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    START_AT_EARLIEST: _ClassVar[StartAt]
    START_AT_LATEST: _ClassVar[StartAt]

class LeaseResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEASE_RESULT_UNSPECIFIED: _ClassVar[LeaseResult]
    LEASE_RESULT_OK: _ClassVar[LeaseResult]
    LEASE_RESULT_LOST: _ClassVar[LeaseResult]
COMPRESSION_NONE: Compression
COMPRESSION_ZSTD: Compression
COMPRESSION_LZ4: Compression
START_AT_EARLIEST: StartAt
START_AT_LATEST: StartAt
LEASE_RESULT_UNSPECIFIED: LeaseResult
LEASE_RESULT_OK: LeaseResult
LEASE_RESULT_LOST: LeaseResult

class Record(_message.Message):
    __slots__ = ("key", "tag", "keys", "headers", "body", "priority", "born_time_ms", "compression", "plain_bytes")
    KEY_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    BORN_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    PLAIN_BYTES_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    tag: str
    keys: _containers.RepeatedScalarFieldContainer[str]
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    body: bytes
    priority: int
    born_time_ms: int
    compression: Compression
    plain_bytes: int
    def __init__(self, key: _Optional[bytes] = ..., tag: _Optional[str] = ..., keys: _Optional[_Iterable[str]] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., body: _Optional[bytes] = ..., priority: _Optional[int] = ..., born_time_ms: _Optional[int] = ..., compression: _Optional[_Union[Compression, str]] = ..., plain_bytes: _Optional[int] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: bytes
    def __init__(self, name: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...

class RecordBatch(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...

class BatchHeader(_message.Message):
    __slots__ = ("topic", "queue", "queue_count", "record_lengths", "delivery_times_ms")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_COUNT_FIELD_NUMBER: _ClassVar[int]
    RECORD_LENGTHS_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_TIMES_MS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    queue: int
    queue_count: int
    record_lengths: _containers.RepeatedScalarFieldContainer[int]
    delivery_times_ms: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, topic: _Optional[str] = ..., queue: _Optional[int] = ..., queue_count: _Optional[int] = ..., record_lengths: _Optional[_Iterable[int]] = ..., delivery_times_ms: _Optional[_Iterable[int]] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("header", "records")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    header: BatchHeader
    records: RecordBatch
    def __init__(self, header: _Optional[_Union[BatchHeader, _Mapping]] = ..., records: _Optional[_Union[RecordBatch, _Mapping]] = ...) -> None: ...

class FrameIdentity(_message.Message):
    __slots__ = ("instance", "sequence", "deadline_ms")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    instance: int
    sequence: int
    deadline_ms: int
    def __init__(self, instance: _Optional[int] = ..., sequence: _Optional[int] = ..., deadline_ms: _Optional[int] = ...) -> None: ...

class PublishRequest(_message.Message):
    __slots__ = ("identity", "producer_group", "batches")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_GROUP_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    identity: FrameIdentity
    producer_group: str
    batches: _containers.RepeatedCompositeFieldContainer[Batch]
    def __init__(self, identity: _Optional[_Union[FrameIdentity, _Mapping]] = ..., producer_group: _Optional[str] = ..., batches: _Optional[_Iterable[_Union[Batch, _Mapping]]] = ...) -> None: ...

class PublishReply(_message.Message):
    __slots__ = ("identity", "batches", "repeated_frame")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FRAME_FIELD_NUMBER: _ClassVar[int]
    identity: FrameIdentity
    batches: _containers.RepeatedCompositeFieldContainer[StoredBatch]
    repeated_frame: bool
    def __init__(self, identity: _Optional[_Union[FrameIdentity, _Mapping]] = ..., batches: _Optional[_Iterable[_Union[StoredBatch, _Mapping]]] = ..., repeated_frame: _Optional[bool] = ...) -> None: ...

class StoredBatch(_message.Message):
    __slots__ = ("queue", "first_offset", "visible_count")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    VISIBLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    queue: int
    first_offset: int
    visible_count: int
    def __init__(self, queue: _Optional[int] = ..., first_offset: _Optional[int] = ..., visible_count: _Optional[int] = ...) -> None: ...

class PrepareRequest(_message.Message):
    __slots__ = ("identity", "producer_group", "batches", "check_after_ms")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_GROUP_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    CHECK_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    identity: FrameIdentity
    producer_group: str
    batches: _containers.RepeatedCompositeFieldContainer[Batch]
    check_after_ms: int
    def __init__(self, identity: _Optional[_Union[FrameIdentity, _Mapping]] = ..., producer_group: _Optional[str] = ..., batches: _Optional[_Iterable[_Union[Batch, _Mapping]]] = ..., check_after_ms: _Optional[int] = ...) -> None: ...

class PrepareReply(_message.Message):
    __slots__ = ("identity", "batches", "repeated_frame")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FRAME_FIELD_NUMBER: _ClassVar[int]
    identity: FrameIdentity
    batches: _containers.RepeatedCompositeFieldContainer[HalfBatch]
    repeated_frame: bool
    def __init__(self, identity: _Optional[_Union[FrameIdentity, _Mapping]] = ..., batches: _Optional[_Iterable[_Union[HalfBatch, _Mapping]]] = ..., repeated_frame: _Optional[bool] = ...) -> None: ...

class HalfBatch(_message.Message):
    __slots__ = ("shard", "index", "batch", "queue", "first_position", "count")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    FIRST_POSITION_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    shard: int
    index: int
    batch: int
    queue: int
    first_position: int
    count: int
    def __init__(self, shard: _Optional[int] = ..., index: _Optional[int] = ..., batch: _Optional[int] = ..., queue: _Optional[int] = ..., first_position: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("shard", "index", "batch", "instance", "sequence", "commit_bits", "roll_back_bits")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_BITS_FIELD_NUMBER: _ClassVar[int]
    ROLL_BACK_BITS_FIELD_NUMBER: _ClassVar[int]
    shard: int
    index: int
    batch: int
    instance: int
    sequence: int
    commit_bits: bytes
    roll_back_bits: bytes
    def __init__(self, shard: _Optional[int] = ..., index: _Optional[int] = ..., batch: _Optional[int] = ..., instance: _Optional[int] = ..., sequence: _Optional[int] = ..., commit_bits: _Optional[bytes] = ..., roll_back_bits: _Optional[bytes] = ...) -> None: ...

class DecideRequest(_message.Message):
    __slots__ = ("producer_group", "decisions")
    PRODUCER_GROUP_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    producer_group: str
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    def __init__(self, producer_group: _Optional[str] = ..., decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ...) -> None: ...

class DecideReply(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[DecisionResult]
    def __init__(self, results: _Optional[_Iterable[_Union[DecisionResult, _Mapping]]] = ...) -> None: ...

class DecisionResult(_message.Message):
    __slots__ = ("already_committed_bits", "already_rolled_back_bits", "refusal")
    ALREADY_COMMITTED_BITS_FIELD_NUMBER: _ClassVar[int]
    ALREADY_ROLLED_BACK_BITS_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    already_committed_bits: bytes
    already_rolled_back_bits: bytes
    refusal: Refusal
    def __init__(self, already_committed_bits: _Optional[bytes] = ..., already_rolled_back_bits: _Optional[bytes] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class Handle(_message.Message):
    __slots__ = ("shard", "index", "batch", "record", "instance", "sequence")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    shard: int
    index: int
    batch: int
    record: int
    instance: int
    sequence: int
    def __init__(self, shard: _Optional[int] = ..., index: _Optional[int] = ..., batch: _Optional[int] = ..., record: _Optional[int] = ..., instance: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class CommitRequest(_message.Message):
    __slots__ = ("producer_group", "handles")
    PRODUCER_GROUP_FIELD_NUMBER: _ClassVar[int]
    HANDLES_FIELD_NUMBER: _ClassVar[int]
    producer_group: str
    handles: _containers.RepeatedCompositeFieldContainer[Handle]
    def __init__(self, producer_group: _Optional[str] = ..., handles: _Optional[_Iterable[_Union[Handle, _Mapping]]] = ...) -> None: ...

class CommitReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RollBackRequest(_message.Message):
    __slots__ = ("producer_group", "handles")
    PRODUCER_GROUP_FIELD_NUMBER: _ClassVar[int]
    HANDLES_FIELD_NUMBER: _ClassVar[int]
    producer_group: str
    handles: _containers.RepeatedCompositeFieldContainer[Handle]
    def __init__(self, producer_group: _Optional[str] = ..., handles: _Optional[_Iterable[_Union[Handle, _Mapping]]] = ...) -> None: ...

class RollBackReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProduceRequest(_message.Message):
    __slots__ = ("correlation", "publish", "prepare", "decide")
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    DECIDE_FIELD_NUMBER: _ClassVar[int]
    correlation: int
    publish: PublishRequest
    prepare: PrepareRequest
    decide: DecideRequest
    def __init__(self, correlation: _Optional[int] = ..., publish: _Optional[_Union[PublishRequest, _Mapping]] = ..., prepare: _Optional[_Union[PrepareRequest, _Mapping]] = ..., decide: _Optional[_Union[DecideRequest, _Mapping]] = ...) -> None: ...

class ProduceReply(_message.Message):
    __slots__ = ("correlation", "publish", "prepare", "decide", "refusal")
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    DECIDE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    correlation: int
    publish: PublishReply
    prepare: PrepareReply
    decide: DecideReply
    refusal: Refusal
    def __init__(self, correlation: _Optional[int] = ..., publish: _Optional[_Union[PublishReply, _Mapping]] = ..., prepare: _Optional[_Union[PrepareReply, _Mapping]] = ..., decide: _Optional[_Union[DecideReply, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("code", "name", "message", "hint", "definite", "retryable", "leader_address", "time_ms")
    CODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    DEFINITE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    LEADER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    code: str
    name: str
    message: str
    hint: str
    definite: bool
    retryable: bool
    leader_address: str
    time_ms: int
    def __init__(self, code: _Optional[str] = ..., name: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ..., definite: _Optional[bool] = ..., retryable: _Optional[bool] = ..., leader_address: _Optional[str] = ..., time_ms: _Optional[int] = ...) -> None: ...

class SessionRequest(_message.Message):
    __slots__ = ("hello", "answer")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    hello: SessionHello
    answer: CheckAnswer
    def __init__(self, hello: _Optional[_Union[SessionHello, _Mapping]] = ..., answer: _Optional[_Union[CheckAnswer, _Mapping]] = ...) -> None: ...

class SessionHello(_message.Message):
    __slots__ = ("producer_group", "instance", "wants_records", "client")
    PRODUCER_GROUP_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    WANTS_RECORDS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    producer_group: str
    instance: int
    wants_records: bool
    client: str
    def __init__(self, producer_group: _Optional[str] = ..., instance: _Optional[int] = ..., wants_records: _Optional[bool] = ..., client: _Optional[str] = ...) -> None: ...

class CheckAnswer(_message.Message):
    __slots__ = ("check", "commit_bits", "roll_back_bits")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    COMMIT_BITS_FIELD_NUMBER: _ClassVar[int]
    ROLL_BACK_BITS_FIELD_NUMBER: _ClassVar[int]
    check: int
    commit_bits: bytes
    roll_back_bits: bytes
    def __init__(self, check: _Optional[int] = ..., commit_bits: _Optional[bytes] = ..., roll_back_bits: _Optional[bytes] = ...) -> None: ...

class SessionReply(_message.Message):
    __slots__ = ("welcome", "check")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    welcome: SessionWelcome
    check: Check
    def __init__(self, welcome: _Optional[_Union[SessionWelcome, _Mapping]] = ..., check: _Optional[_Union[Check, _Mapping]] = ...) -> None: ...

class SessionWelcome(_message.Message):
    __slots__ = ("node", "cluster")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    node: str
    cluster: str
    def __init__(self, node: _Optional[str] = ..., cluster: _Optional[str] = ...) -> None: ...

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
    half: HalfBatch
    instance: int
    sequence: int
    in_doubt_bits: bytes
    topic: str
    prepared_time_ms: int
    attempt: int
    records: RecordBatch
    def __init__(self, check: _Optional[int] = ..., half: _Optional[_Union[HalfBatch, _Mapping]] = ..., instance: _Optional[int] = ..., sequence: _Optional[int] = ..., in_doubt_bits: _Optional[bytes] = ..., topic: _Optional[str] = ..., prepared_time_ms: _Optional[int] = ..., attempt: _Optional[int] = ..., records: _Optional[_Union[RecordBatch, _Mapping]] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("correlation", "start", "credit", "acknowledge", "negative_acknowledge", "extend")
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    EXTEND_FIELD_NUMBER: _ClassVar[int]
    correlation: int
    start: SubscribeStart
    credit: Credit
    acknowledge: AcknowledgeRequest
    negative_acknowledge: NegativeAcknowledgeRequest
    extend: ExtendRequest
    def __init__(self, correlation: _Optional[int] = ..., start: _Optional[_Union[SubscribeStart, _Mapping]] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ..., acknowledge: _Optional[_Union[AcknowledgeRequest, _Mapping]] = ..., negative_acknowledge: _Optional[_Union[NegativeAcknowledgeRequest, _Mapping]] = ..., extend: _Optional[_Union[ExtendRequest, _Mapping]] = ...) -> None: ...

class SubscribeStart(_message.Message):
    __slots__ = ("consumer_group", "topic", "consumer", "lease_ms", "start_at", "delivery_records_max")
    CONSUMER_GROUP_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    START_AT_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_RECORDS_MAX_FIELD_NUMBER: _ClassVar[int]
    consumer_group: str
    topic: str
    consumer: int
    lease_ms: int
    start_at: StartAt
    delivery_records_max: int
    def __init__(self, consumer_group: _Optional[str] = ..., topic: _Optional[str] = ..., consumer: _Optional[int] = ..., lease_ms: _Optional[int] = ..., start_at: _Optional[_Union[StartAt, str]] = ..., delivery_records_max: _Optional[int] = ...) -> None: ...

class Credit(_message.Message):
    __slots__ = ("records", "record_bytes")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    RECORD_BYTES_FIELD_NUMBER: _ClassVar[int]
    records: int
    record_bytes: int
    def __init__(self, records: _Optional[int] = ..., record_bytes: _Optional[int] = ...) -> None: ...

class SubscribeReply(_message.Message):
    __slots__ = ("correlation", "delivery", "lease", "refusal")
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    correlation: int
    delivery: Delivery
    lease: LeaseReply
    refusal: Refusal
    def __init__(self, correlation: _Optional[int] = ..., delivery: _Optional[_Union[Delivery, _Mapping]] = ..., lease: _Optional[_Union[LeaseReply, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

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
    records: RecordBatch
    def __init__(self, topic: _Optional[str] = ..., queue: _Optional[int] = ..., first_offset: _Optional[int] = ..., count: _Optional[int] = ..., attempt: _Optional[int] = ..., lease: _Optional[int] = ..., lease_until_ms: _Optional[int] = ..., instance: _Optional[int] = ..., sequence: _Optional[int] = ..., positions: _Optional[_Iterable[int]] = ..., first_position: _Optional[int] = ..., visible_time_ms: _Optional[int] = ..., crc32c: _Optional[int] = ..., records: _Optional[_Union[RecordBatch, _Mapping]] = ...) -> None: ...

class FetchRequest(_message.Message):
    __slots__ = ("consumer_group", "topic", "consumer", "records_max", "record_bytes_max", "wait_ms", "lease_ms", "start_at")
    CONSUMER_GROUP_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    RECORDS_MAX_FIELD_NUMBER: _ClassVar[int]
    RECORD_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    START_AT_FIELD_NUMBER: _ClassVar[int]
    consumer_group: str
    topic: str
    consumer: int
    records_max: int
    record_bytes_max: int
    wait_ms: int
    lease_ms: int
    start_at: StartAt
    def __init__(self, consumer_group: _Optional[str] = ..., topic: _Optional[str] = ..., consumer: _Optional[int] = ..., records_max: _Optional[int] = ..., record_bytes_max: _Optional[int] = ..., wait_ms: _Optional[int] = ..., lease_ms: _Optional[int] = ..., start_at: _Optional[_Union[StartAt, str]] = ...) -> None: ...

class FetchReply(_message.Message):
    __slots__ = ("deliveries",)
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    def __init__(self, deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ...) -> None: ...

class LeasedRange(_message.Message):
    __slots__ = ("topic", "queue", "lease", "first_offset", "count")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    topic: str
    queue: int
    lease: int
    first_offset: int
    count: int
    def __init__(self, topic: _Optional[str] = ..., queue: _Optional[int] = ..., lease: _Optional[int] = ..., first_offset: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class AcknowledgeRequest(_message.Message):
    __slots__ = ("consumer_group", "ranges")
    CONSUMER_GROUP_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    consumer_group: str
    ranges: _containers.RepeatedCompositeFieldContainer[LeasedRange]
    def __init__(self, consumer_group: _Optional[str] = ..., ranges: _Optional[_Iterable[_Union[LeasedRange, _Mapping]]] = ...) -> None: ...

class NegativeAcknowledgeRequest(_message.Message):
    __slots__ = ("consumer_group", "ranges", "delay_ms", "reason", "dead_letter")
    CONSUMER_GROUP_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    consumer_group: str
    ranges: _containers.RepeatedCompositeFieldContainer[LeasedRange]
    delay_ms: int
    reason: str
    dead_letter: bool
    def __init__(self, consumer_group: _Optional[str] = ..., ranges: _Optional[_Iterable[_Union[LeasedRange, _Mapping]]] = ..., delay_ms: _Optional[int] = ..., reason: _Optional[str] = ..., dead_letter: _Optional[bool] = ...) -> None: ...

class ExtendRequest(_message.Message):
    __slots__ = ("consumer_group", "ranges", "lease_ms")
    CONSUMER_GROUP_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    consumer_group: str
    ranges: _containers.RepeatedCompositeFieldContainer[LeasedRange]
    lease_ms: int
    def __init__(self, consumer_group: _Optional[str] = ..., ranges: _Optional[_Iterable[_Union[LeasedRange, _Mapping]]] = ..., lease_ms: _Optional[int] = ...) -> None: ...

class LeaseReply(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedScalarFieldContainer[LeaseResult]
    def __init__(self, results: _Optional[_Iterable[_Union[LeaseResult, str]]] = ...) -> None: ...

class RouteRequest(_message.Message):
    __slots__ = ("topics",)
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    topics: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, topics: _Optional[_Iterable[str]] = ...) -> None: ...

class RouteReply(_message.Message):
    __slots__ = ("cluster", "nodes", "shards", "topics", "time_ms")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    nodes: _containers.RepeatedCompositeFieldContainer[RouteNode]
    shards: _containers.RepeatedCompositeFieldContainer[RouteShard]
    topics: _containers.RepeatedCompositeFieldContainer[RouteTopic]
    time_ms: int
    def __init__(self, cluster: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[RouteNode, _Mapping]]] = ..., shards: _Optional[_Iterable[_Union[RouteShard, _Mapping]]] = ..., topics: _Optional[_Iterable[_Union[RouteTopic, _Mapping]]] = ..., time_ms: _Optional[int] = ...) -> None: ...

class RouteNode(_message.Message):
    __slots__ = ("node", "client_address")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    node: str
    client_address: str
    def __init__(self, node: _Optional[str] = ..., client_address: _Optional[str] = ...) -> None: ...

class RouteShard(_message.Message):
    __slots__ = ("shard", "leader", "term")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    shard: int
    leader: str
    term: int
    def __init__(self, shard: _Optional[int] = ..., leader: _Optional[str] = ..., term: _Optional[int] = ...) -> None: ...

class RouteTopic(_message.Message):
    __slots__ = ("topic", "queue_shards")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    QUEUE_SHARDS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    queue_shards: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, topic: _Optional[str] = ..., queue_shards: _Optional[_Iterable[int]] = ...) -> None: ...

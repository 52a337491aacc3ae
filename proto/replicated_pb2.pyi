from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Entry(_message.Message):
    __slots__ = ("format_version", "rules_version", "stamped_ms", "commands")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    RULES_VERSION_FIELD_NUMBER: _ClassVar[int]
    STAMPED_MS_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    rules_version: int
    stamped_ms: int
    commands: _containers.RepeatedCompositeFieldContainer[Command]
    def __init__(self, format_version: _Optional[int] = ..., rules_version: _Optional[int] = ..., stamped_ms: _Optional[int] = ..., commands: _Optional[_Iterable[_Union[Command, _Mapping]]] = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("barrier", "publish", "prepare", "decide", "record_checks", "lease", "acknowledge", "negative_acknowledge", "extend", "expire", "create_topic", "delete_topic", "undelete_topic", "remove_topic", "ensure_queue", "drop_queue", "put_group", "confirm_delete", "trim_queue")
    BARRIER_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    DECIDE_FIELD_NUMBER: _ClassVar[int]
    RECORD_CHECKS_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    EXTEND_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TOPIC_FIELD_NUMBER: _ClassVar[int]
    DELETE_TOPIC_FIELD_NUMBER: _ClassVar[int]
    UNDELETE_TOPIC_FIELD_NUMBER: _ClassVar[int]
    REMOVE_TOPIC_FIELD_NUMBER: _ClassVar[int]
    ENSURE_QUEUE_FIELD_NUMBER: _ClassVar[int]
    DROP_QUEUE_FIELD_NUMBER: _ClassVar[int]
    PUT_GROUP_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_DELETE_FIELD_NUMBER: _ClassVar[int]
    TRIM_QUEUE_FIELD_NUMBER: _ClassVar[int]
    barrier: Barrier
    publish: Publish
    prepare: Prepare
    decide: Decide
    record_checks: RecordChecks
    lease: Lease
    acknowledge: Acknowledge
    negative_acknowledge: NegativeAcknowledge
    extend: Extend
    expire: Expire
    create_topic: CreateTopic
    delete_topic: DeleteTopic
    undelete_topic: UndeleteTopic
    remove_topic: RemoveTopic
    ensure_queue: EnsureQueue
    drop_queue: DropQueue
    put_group: PutGroup
    confirm_delete: ConfirmDelete
    trim_queue: TrimQueue
    def __init__(self, barrier: _Optional[_Union[Barrier, _Mapping]] = ..., publish: _Optional[_Union[Publish, _Mapping]] = ..., prepare: _Optional[_Union[Prepare, _Mapping]] = ..., decide: _Optional[_Union[Decide, _Mapping]] = ..., record_checks: _Optional[_Union[RecordChecks, _Mapping]] = ..., lease: _Optional[_Union[Lease, _Mapping]] = ..., acknowledge: _Optional[_Union[Acknowledge, _Mapping]] = ..., negative_acknowledge: _Optional[_Union[NegativeAcknowledge, _Mapping]] = ..., extend: _Optional[_Union[Extend, _Mapping]] = ..., expire: _Optional[_Union[Expire, _Mapping]] = ..., create_topic: _Optional[_Union[CreateTopic, _Mapping]] = ..., delete_topic: _Optional[_Union[DeleteTopic, _Mapping]] = ..., undelete_topic: _Optional[_Union[UndeleteTopic, _Mapping]] = ..., remove_topic: _Optional[_Union[RemoveTopic, _Mapping]] = ..., ensure_queue: _Optional[_Union[EnsureQueue, _Mapping]] = ..., drop_queue: _Optional[_Union[DropQueue, _Mapping]] = ..., put_group: _Optional[_Union[PutGroup, _Mapping]] = ..., confirm_delete: _Optional[_Union[ConfirmDelete, _Mapping]] = ..., trim_queue: _Optional[_Union[TrimQueue, _Mapping]] = ...) -> None: ...

class Configuration(_message.Message):
    __slots__ = ("format_version", "voters", "learners")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    VOTERS_FIELD_NUMBER: _ClassVar[int]
    LEARNERS_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    voters: _containers.RepeatedCompositeFieldContainer[Place]
    learners: _containers.RepeatedCompositeFieldContainer[Place]
    def __init__(self, format_version: _Optional[int] = ..., voters: _Optional[_Iterable[_Union[Place, _Mapping]]] = ..., learners: _Optional[_Iterable[_Union[Place, _Mapping]]] = ...) -> None: ...

class Place(_message.Message):
    __slots__ = ("member", "node", "host", "port")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    member: str
    node: str
    host: str
    port: int
    def __init__(self, member: _Optional[str] = ..., node: _Optional[str] = ..., host: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("instance", "sequence", "deadline_ms")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    instance: int
    sequence: int
    deadline_ms: int
    def __init__(self, instance: _Optional[int] = ..., sequence: _Optional[int] = ..., deadline_ms: _Optional[int] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("topic", "queue", "queue_count", "count", "start", "length", "crc32c", "delivery_times_ms")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_COUNT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_TIMES_MS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    queue: int
    queue_count: int
    count: int
    start: int
    length: int
    crc32c: int
    delivery_times_ms: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, topic: _Optional[str] = ..., queue: _Optional[int] = ..., queue_count: _Optional[int] = ..., count: _Optional[int] = ..., start: _Optional[int] = ..., length: _Optional[int] = ..., crc32c: _Optional[int] = ..., delivery_times_ms: _Optional[_Iterable[int]] = ...) -> None: ...

class Barrier(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Publish(_message.Message):
    __slots__ = ("identity", "producer_group", "principal", "batches")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_GROUP_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    producer_group: str
    principal: str
    batches: _containers.RepeatedCompositeFieldContainer[Batch]
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ..., producer_group: _Optional[str] = ..., principal: _Optional[str] = ..., batches: _Optional[_Iterable[_Union[Batch, _Mapping]]] = ...) -> None: ...

class Prepare(_message.Message):
    __slots__ = ("identity", "producer_group", "principal", "batches", "check_after_ms")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_GROUP_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    CHECK_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    producer_group: str
    principal: str
    batches: _containers.RepeatedCompositeFieldContainer[Batch]
    check_after_ms: int
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ..., producer_group: _Optional[str] = ..., principal: _Optional[str] = ..., batches: _Optional[_Iterable[_Union[Batch, _Mapping]]] = ..., check_after_ms: _Optional[int] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("index", "batch", "instance", "sequence", "commit", "roll_back")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    ROLL_BACK_FIELD_NUMBER: _ClassVar[int]
    index: int
    batch: int
    instance: int
    sequence: int
    commit: bytes
    roll_back: bytes
    def __init__(self, index: _Optional[int] = ..., batch: _Optional[int] = ..., instance: _Optional[int] = ..., sequence: _Optional[int] = ..., commit: _Optional[bytes] = ..., roll_back: _Optional[bytes] = ...) -> None: ...

class Decide(_message.Message):
    __slots__ = ("producer_group", "principal", "decided_by", "decisions")
    PRODUCER_GROUP_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    producer_group: str
    principal: str
    decided_by: str
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    def __init__(self, producer_group: _Optional[str] = ..., principal: _Optional[str] = ..., decided_by: _Optional[str] = ..., decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ...) -> None: ...

class CheckSent(_message.Message):
    __slots__ = ("index", "batch", "next_check_ms", "counted")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    NEXT_CHECK_MS_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    index: int
    batch: int
    next_check_ms: int
    counted: bool
    def __init__(self, index: _Optional[int] = ..., batch: _Optional[int] = ..., next_check_ms: _Optional[int] = ..., counted: _Optional[bool] = ...) -> None: ...

class RecordChecks(_message.Message):
    __slots__ = ("checks",)
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    checks: _containers.RepeatedCompositeFieldContainer[CheckSent]
    def __init__(self, checks: _Optional[_Iterable[_Union[CheckSent, _Mapping]]] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("group", "topic", "queue", "consumer", "records_max", "record_bytes_max", "lease_ms", "start_at_latest")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_FIELD_NUMBER: _ClassVar[int]
    RECORDS_MAX_FIELD_NUMBER: _ClassVar[int]
    RECORD_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    START_AT_LATEST_FIELD_NUMBER: _ClassVar[int]
    group: str
    topic: str
    queue: int
    consumer: int
    records_max: int
    record_bytes_max: int
    lease_ms: int
    start_at_latest: bool
    def __init__(self, group: _Optional[str] = ..., topic: _Optional[str] = ..., queue: _Optional[int] = ..., consumer: _Optional[int] = ..., records_max: _Optional[int] = ..., record_bytes_max: _Optional[int] = ..., lease_ms: _Optional[int] = ..., start_at_latest: _Optional[bool] = ...) -> None: ...

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

class Acknowledge(_message.Message):
    __slots__ = ("group", "ranges")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    group: str
    ranges: _containers.RepeatedCompositeFieldContainer[LeasedRange]
    def __init__(self, group: _Optional[str] = ..., ranges: _Optional[_Iterable[_Union[LeasedRange, _Mapping]]] = ...) -> None: ...

class NegativeAcknowledge(_message.Message):
    __slots__ = ("group", "ranges", "delay_ms", "reason", "dead_letter")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    group: str
    ranges: _containers.RepeatedCompositeFieldContainer[LeasedRange]
    delay_ms: int
    reason: str
    dead_letter: bool
    def __init__(self, group: _Optional[str] = ..., ranges: _Optional[_Iterable[_Union[LeasedRange, _Mapping]]] = ..., delay_ms: _Optional[int] = ..., reason: _Optional[str] = ..., dead_letter: _Optional[bool] = ...) -> None: ...

class Extend(_message.Message):
    __slots__ = ("group", "ranges", "lease_ms")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    group: str
    ranges: _containers.RepeatedCompositeFieldContainer[LeasedRange]
    lease_ms: int
    def __init__(self, group: _Optional[str] = ..., ranges: _Optional[_Iterable[_Union[LeasedRange, _Mapping]]] = ..., lease_ms: _Optional[int] = ...) -> None: ...

class Expire(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class CreateTopic(_message.Message):
    __slots__ = ("name", "queue_shards", "retention_ms", "retention_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUEUE_SHARDS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_MS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    queue_shards: _containers.RepeatedScalarFieldContainer[int]
    retention_ms: int
    retention_bytes: int
    def __init__(self, name: _Optional[str] = ..., queue_shards: _Optional[_Iterable[int]] = ..., retention_ms: _Optional[int] = ..., retention_bytes: _Optional[int] = ...) -> None: ...

class DeleteTopic(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class UndeleteTopic(_message.Message):
    __slots__ = ("name", "topic_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    topic_id: int
    def __init__(self, name: _Optional[str] = ..., topic_id: _Optional[int] = ...) -> None: ...

class RemoveTopic(_message.Message):
    __slots__ = ("name", "topic_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    topic_id: int
    def __init__(self, name: _Optional[str] = ..., topic_id: _Optional[int] = ...) -> None: ...

class EnsureQueue(_message.Message):
    __slots__ = ("topic", "topic_id", "queue", "queue_count", "retention_ms", "retention_bytes", "metadata_index")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_COUNT_FIELD_NUMBER: _ClassVar[int]
    RETENTION_MS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_BYTES_FIELD_NUMBER: _ClassVar[int]
    METADATA_INDEX_FIELD_NUMBER: _ClassVar[int]
    topic: str
    topic_id: int
    queue: int
    queue_count: int
    retention_ms: int
    retention_bytes: int
    metadata_index: int
    def __init__(self, topic: _Optional[str] = ..., topic_id: _Optional[int] = ..., queue: _Optional[int] = ..., queue_count: _Optional[int] = ..., retention_ms: _Optional[int] = ..., retention_bytes: _Optional[int] = ..., metadata_index: _Optional[int] = ...) -> None: ...

class DropQueue(_message.Message):
    __slots__ = ("topic", "topic_id", "queue", "limit", "metadata_index")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    METADATA_INDEX_FIELD_NUMBER: _ClassVar[int]
    topic: str
    topic_id: int
    queue: int
    limit: int
    metadata_index: int
    def __init__(self, topic: _Optional[str] = ..., topic_id: _Optional[int] = ..., queue: _Optional[int] = ..., limit: _Optional[int] = ..., metadata_index: _Optional[int] = ...) -> None: ...

class ConfirmDelete(_message.Message):
    __slots__ = ("name", "topic_id", "deletion")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    DELETION_FIELD_NUMBER: _ClassVar[int]
    name: str
    topic_id: int
    deletion: int
    def __init__(self, name: _Optional[str] = ..., topic_id: _Optional[int] = ..., deletion: _Optional[int] = ...) -> None: ...

class PutGroup(_message.Message):
    __slots__ = ("name", "attempts_max", "lease_ms", "backoff_ms_min", "backoff_ms_max", "new_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_MAX_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_MS_MIN_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_MS_MAX_FIELD_NUMBER: _ClassVar[int]
    NEW_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    attempts_max: int
    lease_ms: int
    backoff_ms_min: int
    backoff_ms_max: int
    new_only: bool
    def __init__(self, name: _Optional[str] = ..., attempts_max: _Optional[int] = ..., lease_ms: _Optional[int] = ..., backoff_ms_min: _Optional[int] = ..., backoff_ms_max: _Optional[int] = ..., new_only: _Optional[bool] = ...) -> None: ...

class TrimQueue(_message.Message):
    __slots__ = ("topic", "topic_id", "queue", "first_offset", "limit")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    topic: str
    topic_id: int
    queue: int
    first_offset: int
    limit: int
    def __init__(self, topic: _Optional[str] = ..., topic_id: _Optional[int] = ..., queue: _Optional[int] = ..., first_offset: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

from tallymq.proto import messaging_pb2 as _messaging_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TopicState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOPIC_STATE_UNSPECIFIED: _ClassVar[TopicState]
    TOPIC_STATE_READY: _ClassVar[TopicState]
    TOPIC_STATE_DELETING: _ClassVar[TopicState]

class TransactionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSACTION_STATE_UNSPECIFIED: _ClassVar[TransactionState]
    TRANSACTION_STATE_IN_DOUBT: _ClassVar[TransactionState]
    TRANSACTION_STATE_COMMITTED: _ClassVar[TransactionState]
    TRANSACTION_STATE_ROLLED_BACK: _ClassVar[TransactionState]
TOPIC_STATE_UNSPECIFIED: TopicState
TOPIC_STATE_READY: TopicState
TOPIC_STATE_DELETING: TopicState
TRANSACTION_STATE_UNSPECIFIED: TransactionState
TRANSACTION_STATE_IN_DOUBT: TransactionState
TRANSACTION_STATE_COMMITTED: TransactionState
TRANSACTION_STATE_ROLLED_BACK: TransactionState

class TopicSettings(_message.Message):
    __slots__ = ("retention_ms", "retention_bytes")
    RETENTION_MS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_BYTES_FIELD_NUMBER: _ClassVar[int]
    retention_ms: int
    retention_bytes: int
    def __init__(self, retention_ms: _Optional[int] = ..., retention_bytes: _Optional[int] = ...) -> None: ...

class Topic(_message.Message):
    __slots__ = ("name", "id", "queue_shards", "settings", "state", "queues")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_SHARDS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    id: int
    queue_shards: _containers.RepeatedScalarFieldContainer[int]
    settings: TopicSettings
    state: TopicState
    queues: _containers.RepeatedCompositeFieldContainer[Queue]
    def __init__(self, name: _Optional[str] = ..., id: _Optional[int] = ..., queue_shards: _Optional[_Iterable[int]] = ..., settings: _Optional[_Union[TopicSettings, _Mapping]] = ..., state: _Optional[_Union[TopicState, str]] = ..., queues: _Optional[_Iterable[_Union[Queue, _Mapping]]] = ...) -> None: ...

class Queue(_message.Message):
    __slots__ = ("queue", "shard", "leader", "first_offset", "next_offset", "in_doubt", "delayed", "record_bytes")
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    IN_DOUBT_FIELD_NUMBER: _ClassVar[int]
    DELAYED_FIELD_NUMBER: _ClassVar[int]
    RECORD_BYTES_FIELD_NUMBER: _ClassVar[int]
    queue: int
    shard: int
    leader: str
    first_offset: int
    next_offset: int
    in_doubt: int
    delayed: int
    record_bytes: int
    def __init__(self, queue: _Optional[int] = ..., shard: _Optional[int] = ..., leader: _Optional[str] = ..., first_offset: _Optional[int] = ..., next_offset: _Optional[int] = ..., in_doubt: _Optional[int] = ..., delayed: _Optional[int] = ..., record_bytes: _Optional[int] = ...) -> None: ...

class CreateTopicRequest(_message.Message):
    __slots__ = ("name", "queue_count", "settings")
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUEUE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    queue_count: int
    settings: TopicSettings
    def __init__(self, name: _Optional[str] = ..., queue_count: _Optional[int] = ..., settings: _Optional[_Union[TopicSettings, _Mapping]] = ...) -> None: ...

class CreateTopicReply(_message.Message):
    __slots__ = ("topic",)
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    topic: Topic
    def __init__(self, topic: _Optional[_Union[Topic, _Mapping]] = ...) -> None: ...

class DeleteTopicRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteTopicReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTopicsRequest(_message.Message):
    __slots__ = ("after", "limit")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    after: str
    limit: int
    def __init__(self, after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListTopicsReply(_message.Message):
    __slots__ = ("topics",)
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    topics: _containers.RepeatedCompositeFieldContainer[Topic]
    def __init__(self, topics: _Optional[_Iterable[_Union[Topic, _Mapping]]] = ...) -> None: ...

class GetTopicRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetTopicReply(_message.Message):
    __slots__ = ("topic",)
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    topic: Topic
    def __init__(self, topic: _Optional[_Union[Topic, _Mapping]] = ...) -> None: ...

class GroupSettings(_message.Message):
    __slots__ = ("attempts_max", "lease_ms", "backoff_ms_min", "backoff_ms_max")
    ATTEMPTS_MAX_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_MS_MIN_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_MS_MAX_FIELD_NUMBER: _ClassVar[int]
    attempts_max: int
    lease_ms: int
    backoff_ms_min: int
    backoff_ms_max: int
    def __init__(self, attempts_max: _Optional[int] = ..., lease_ms: _Optional[int] = ..., backoff_ms_min: _Optional[int] = ..., backoff_ms_max: _Optional[int] = ...) -> None: ...

class Group(_message.Message):
    __slots__ = ("name", "settings", "queues", "consumers")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    CONSUMERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    settings: GroupSettings
    queues: _containers.RepeatedCompositeFieldContainer[GroupQueue]
    consumers: int
    def __init__(self, name: _Optional[str] = ..., settings: _Optional[_Union[GroupSettings, _Mapping]] = ..., queues: _Optional[_Iterable[_Union[GroupQueue, _Mapping]]] = ..., consumers: _Optional[int] = ...) -> None: ...

class GroupQueue(_message.Message):
    __slots__ = ("topic", "queue", "floor_offset", "next_offset", "end_offset", "leased", "waiting", "dead_letters")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    FLOOR_OFFSET_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LEASED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    queue: int
    floor_offset: int
    next_offset: int
    end_offset: int
    leased: int
    waiting: int
    dead_letters: int
    def __init__(self, topic: _Optional[str] = ..., queue: _Optional[int] = ..., floor_offset: _Optional[int] = ..., next_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., leased: _Optional[int] = ..., waiting: _Optional[int] = ..., dead_letters: _Optional[int] = ...) -> None: ...

class PutGroupRequest(_message.Message):
    __slots__ = ("name", "settings")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    settings: GroupSettings
    def __init__(self, name: _Optional[str] = ..., settings: _Optional[_Union[GroupSettings, _Mapping]] = ...) -> None: ...

class PutGroupReply(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: Group
    def __init__(self, group: _Optional[_Union[Group, _Mapping]] = ...) -> None: ...

class ListGroupsRequest(_message.Message):
    __slots__ = ("after", "limit")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    after: str
    limit: int
    def __init__(self, after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListGroupsReply(_message.Message):
    __slots__ = ("groups",)
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[Group]
    def __init__(self, groups: _Optional[_Iterable[_Union[Group, _Mapping]]] = ...) -> None: ...

class GetGroupRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetGroupReply(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: Group
    def __init__(self, group: _Optional[_Union[Group, _Mapping]] = ...) -> None: ...

class ListDeadLettersRequest(_message.Message):
    __slots__ = ("group", "topic", "limit")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    group: str
    topic: str
    limit: int
    def __init__(self, group: _Optional[str] = ..., topic: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListDeadLettersReply(_message.Message):
    __slots__ = ("dead_letters",)
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    dead_letters: _containers.RepeatedCompositeFieldContainer[DeadLetter]
    def __init__(self, dead_letters: _Optional[_Iterable[_Union[DeadLetter, _Mapping]]] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("topic", "queue", "offset", "attempts", "reason", "time_ms")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    queue: int
    offset: int
    attempts: int
    reason: str
    time_ms: int
    def __init__(self, topic: _Optional[str] = ..., queue: _Optional[int] = ..., offset: _Optional[int] = ..., attempts: _Optional[int] = ..., reason: _Optional[str] = ..., time_ms: _Optional[int] = ...) -> None: ...

class BrowseRequest(_message.Message):
    __slots__ = ("topic", "queue", "offset", "records_max", "wait_ms", "from_end")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    RECORDS_MAX_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    FROM_END_FIELD_NUMBER: _ClassVar[int]
    topic: str
    queue: int
    offset: int
    records_max: int
    wait_ms: int
    from_end: int
    def __init__(self, topic: _Optional[str] = ..., queue: _Optional[int] = ..., offset: _Optional[int] = ..., records_max: _Optional[int] = ..., wait_ms: _Optional[int] = ..., from_end: _Optional[int] = ...) -> None: ...

class BrowseReply(_message.Message):
    __slots__ = ("deliveries", "next_offset")
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[_messaging_pb2.Delivery]
    next_offset: int
    def __init__(self, deliveries: _Optional[_Iterable[_Union[_messaging_pb2.Delivery, _Mapping]]] = ..., next_offset: _Optional[int] = ...) -> None: ...

class GetMessageRequest(_message.Message):
    __slots__ = ("message_id",)
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    message_id: bytes
    def __init__(self, message_id: _Optional[bytes] = ...) -> None: ...

class GetMessageReply(_message.Message):
    __slots__ = ("transaction", "topic", "queue", "record")
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    transaction: Transaction
    topic: str
    queue: int
    record: _messaging_pb2.Record
    def __init__(self, transaction: _Optional[_Union[Transaction, _Mapping]] = ..., topic: _Optional[str] = ..., queue: _Optional[int] = ..., record: _Optional[_Union[_messaging_pb2.Record, _Mapping]] = ...) -> None: ...

class Transaction(_message.Message):
    __slots__ = ("transaction_id", "handle", "state", "topic", "queue", "producer_group", "prepared_time_ms", "checks", "next_check_time_ms", "decided_by", "decided_time_ms")
    TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_GROUP_FIELD_NUMBER: _ClassVar[int]
    PREPARED_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CHECK_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    DECIDED_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    transaction_id: bytes
    handle: _messaging_pb2.Handle
    state: TransactionState
    topic: str
    queue: int
    producer_group: str
    prepared_time_ms: int
    checks: int
    next_check_time_ms: int
    decided_by: str
    decided_time_ms: int
    def __init__(self, transaction_id: _Optional[bytes] = ..., handle: _Optional[_Union[_messaging_pb2.Handle, _Mapping]] = ..., state: _Optional[_Union[TransactionState, str]] = ..., topic: _Optional[str] = ..., queue: _Optional[int] = ..., producer_group: _Optional[str] = ..., prepared_time_ms: _Optional[int] = ..., checks: _Optional[int] = ..., next_check_time_ms: _Optional[int] = ..., decided_by: _Optional[str] = ..., decided_time_ms: _Optional[int] = ...) -> None: ...

class ListTransactionsRequest(_message.Message):
    __slots__ = ("in_doubt", "older_ms", "producer_group", "limit", "after")
    IN_DOUBT_FIELD_NUMBER: _ClassVar[int]
    OLDER_MS_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_GROUP_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    in_doubt: bool
    older_ms: int
    producer_group: str
    limit: int
    after: bytes
    def __init__(self, in_doubt: _Optional[bool] = ..., older_ms: _Optional[int] = ..., producer_group: _Optional[str] = ..., limit: _Optional[int] = ..., after: _Optional[bytes] = ...) -> None: ...

class ListTransactionsReply(_message.Message):
    __slots__ = ("transactions", "next", "in_doubt_total")
    TRANSACTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    IN_DOUBT_TOTAL_FIELD_NUMBER: _ClassVar[int]
    transactions: _containers.RepeatedCompositeFieldContainer[Transaction]
    next: bytes
    in_doubt_total: int
    def __init__(self, transactions: _Optional[_Iterable[_Union[Transaction, _Mapping]]] = ..., next: _Optional[bytes] = ..., in_doubt_total: _Optional[int] = ...) -> None: ...

class GetTransactionRequest(_message.Message):
    __slots__ = ("transaction_id",)
    TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    transaction_id: bytes
    def __init__(self, transaction_id: _Optional[bytes] = ...) -> None: ...

class GetTransactionReply(_message.Message):
    __slots__ = ("transaction",)
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    transaction: Transaction
    def __init__(self, transaction: _Optional[_Union[Transaction, _Mapping]] = ...) -> None: ...

class CheckTransactionRequest(_message.Message):
    __slots__ = ("transaction_id",)
    TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    transaction_id: bytes
    def __init__(self, transaction_id: _Optional[bytes] = ...) -> None: ...

class CheckTransactionReply(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: int
    def __init__(self, sessions: _Optional[int] = ...) -> None: ...

class DecideTransactionRequest(_message.Message):
    __slots__ = ("transaction_id", "commit", "operator", "reason")
    TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    transaction_id: bytes
    commit: bool
    operator: str
    reason: str
    def __init__(self, transaction_id: _Optional[bytes] = ..., commit: _Optional[bool] = ..., operator: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class DecideTransactionReply(_message.Message):
    __slots__ = ("transaction",)
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    transaction: Transaction
    def __init__(self, transaction: _Optional[_Union[Transaction, _Mapping]] = ...) -> None: ...

class GetClusterStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetClusterStatusReply(_message.Message):
    __slots__ = ("cluster", "node", "version", "nodes", "shards")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    node: str
    version: str
    nodes: _containers.RepeatedCompositeFieldContainer[NodeStatus]
    shards: _containers.RepeatedCompositeFieldContainer[ShardStatus]
    def __init__(self, cluster: _Optional[str] = ..., node: _Optional[str] = ..., version: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[NodeStatus, _Mapping]]] = ..., shards: _Optional[_Iterable[_Union[ShardStatus, _Mapping]]] = ...) -> None: ...

class NodeStatus(_message.Message):
    __slots__ = ("node", "client_address", "peer_address", "connected")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    node: str
    client_address: str
    peer_address: str
    connected: bool
    def __init__(self, node: _Optional[str] = ..., client_address: _Optional[str] = ..., peer_address: _Optional[str] = ..., connected: _Optional[bool] = ...) -> None: ...

class ShardStatus(_message.Message):
    __slots__ = ("shard", "leader", "term", "majority_index", "applied_index", "last_index", "in_doubt", "health")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    MAJORITY_INDEX_FIELD_NUMBER: _ClassVar[int]
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    LAST_INDEX_FIELD_NUMBER: _ClassVar[int]
    IN_DOUBT_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    shard: int
    leader: str
    term: int
    majority_index: int
    applied_index: int
    last_index: int
    in_doubt: int
    health: str
    def __init__(self, shard: _Optional[int] = ..., leader: _Optional[str] = ..., term: _Optional[int] = ..., majority_index: _Optional[int] = ..., applied_index: _Optional[int] = ..., last_index: _Optional[int] = ..., in_doubt: _Optional[int] = ..., health: _Optional[str] = ...) -> None: ...

class ListNodesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListNodesReply(_message.Message):
    __slots__ = ("cluster", "node", "nodes")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    node: str
    nodes: _containers.RepeatedCompositeFieldContainer[NodeStatus]
    def __init__(self, cluster: _Optional[str] = ..., node: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[NodeStatus, _Mapping]]] = ...) -> None: ...

class GetNodeRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class GetNodeReply(_message.Message):
    __slots__ = ("cluster", "node", "report")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    node: NodeStatus
    report: NodeReport
    def __init__(self, cluster: _Optional[str] = ..., node: _Optional[_Union[NodeStatus, _Mapping]] = ..., report: _Optional[_Union[NodeReport, _Mapping]] = ...) -> None: ...

class NodeReport(_message.Message):
    __slots__ = ("version", "time_ms", "uptime_ms", "free_bytes", "free_bytes_min", "log_bytes", "refusal", "certificates", "connected_nodes", "shards_led")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    UPTIME_MS_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_MIN_FIELD_NUMBER: _ClassVar[int]
    LOG_BYTES_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATES_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_NODES_FIELD_NUMBER: _ClassVar[int]
    SHARDS_LED_FIELD_NUMBER: _ClassVar[int]
    version: str
    time_ms: int
    uptime_ms: int
    free_bytes: int
    free_bytes_min: int
    log_bytes: int
    refusal: str
    certificates: _containers.RepeatedCompositeFieldContainer[CertificateStatus]
    connected_nodes: _containers.RepeatedScalarFieldContainer[str]
    shards_led: int
    def __init__(self, version: _Optional[str] = ..., time_ms: _Optional[int] = ..., uptime_ms: _Optional[int] = ..., free_bytes: _Optional[int] = ..., free_bytes_min: _Optional[int] = ..., log_bytes: _Optional[int] = ..., refusal: _Optional[str] = ..., certificates: _Optional[_Iterable[_Union[CertificateStatus, _Mapping]]] = ..., connected_nodes: _Optional[_Iterable[str]] = ..., shards_led: _Optional[int] = ...) -> None: ...

class CertificateStatus(_message.Message):
    __slots__ = ("shown_to", "end_time_ms")
    SHOWN_TO_FIELD_NUMBER: _ClassVar[int]
    END_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    shown_to: str
    end_time_ms: int
    def __init__(self, shown_to: _Optional[str] = ..., end_time_ms: _Optional[int] = ...) -> None: ...

class ListShardsRequest(_message.Message):
    __slots__ = ("first_shard", "limit")
    FIRST_SHARD_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    first_shard: int
    limit: int
    def __init__(self, first_shard: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListShardsReply(_message.Message):
    __slots__ = ("cluster", "node", "shards")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    node: str
    shards: _containers.RepeatedCompositeFieldContainer[ShardReport]
    def __init__(self, cluster: _Optional[str] = ..., node: _Optional[str] = ..., shards: _Optional[_Iterable[_Union[ShardReport, _Mapping]]] = ...) -> None: ...

class GetShardRequest(_message.Message):
    __slots__ = ("shard",)
    SHARD_FIELD_NUMBER: _ClassVar[int]
    shard: int
    def __init__(self, shard: _Optional[int] = ...) -> None: ...

class GetShardReply(_message.Message):
    __slots__ = ("cluster", "node", "shard")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    node: str
    shard: ShardReport
    def __init__(self, cluster: _Optional[str] = ..., node: _Optional[str] = ..., shard: _Optional[_Union[ShardReport, _Mapping]] = ...) -> None: ...

class ShardReport(_message.Message):
    __slots__ = ("status", "leads", "voters", "learners", "base_index", "waiting_bytes", "oldest_in_doubt_time_ms", "time_ms", "peers")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LEADS_FIELD_NUMBER: _ClassVar[int]
    VOTERS_FIELD_NUMBER: _ClassVar[int]
    LEARNERS_FIELD_NUMBER: _ClassVar[int]
    BASE_INDEX_FIELD_NUMBER: _ClassVar[int]
    WAITING_BYTES_FIELD_NUMBER: _ClassVar[int]
    OLDEST_IN_DOUBT_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    status: ShardStatus
    leads: bool
    voters: _containers.RepeatedScalarFieldContainer[str]
    learners: _containers.RepeatedScalarFieldContainer[str]
    base_index: int
    waiting_bytes: int
    oldest_in_doubt_time_ms: int
    time_ms: int
    peers: _containers.RepeatedCompositeFieldContainer[PeerCopy]
    def __init__(self, status: _Optional[_Union[ShardStatus, _Mapping]] = ..., leads: _Optional[bool] = ..., voters: _Optional[_Iterable[str]] = ..., learners: _Optional[_Iterable[str]] = ..., base_index: _Optional[int] = ..., waiting_bytes: _Optional[int] = ..., oldest_in_doubt_time_ms: _Optional[int] = ..., time_ms: _Optional[int] = ..., peers: _Optional[_Iterable[_Union[PeerCopy, _Mapping]]] = ...) -> None: ...

class PeerCopy(_message.Message):
    __slots__ = ("node", "connected", "synced_index", "behind_entries", "silent_ms", "waits_for_snapshot")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    SYNCED_INDEX_FIELD_NUMBER: _ClassVar[int]
    BEHIND_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    SILENT_MS_FIELD_NUMBER: _ClassVar[int]
    WAITS_FOR_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    node: str
    connected: bool
    synced_index: int
    behind_entries: int
    silent_ms: int
    waits_for_snapshot: bool
    def __init__(self, node: _Optional[str] = ..., connected: _Optional[bool] = ..., synced_index: _Optional[int] = ..., behind_entries: _Optional[int] = ..., silent_ms: _Optional[int] = ..., waits_for_snapshot: _Optional[bool] = ...) -> None: ...

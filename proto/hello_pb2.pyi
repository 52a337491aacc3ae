from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Hello(_message.Message):
    __slots__ = ("format_version", "cluster", "node", "shard_count", "software_version", "to_node")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    SHARD_COUNT_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    TO_NODE_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    cluster: str
    node: str
    shard_count: int
    software_version: str
    to_node: str
    def __init__(self, format_version: _Optional[int] = ..., cluster: _Optional[str] = ..., node: _Optional[str] = ..., shard_count: _Optional[int] = ..., software_version: _Optional[str] = ..., to_node: _Optional[str] = ...) -> None: ...

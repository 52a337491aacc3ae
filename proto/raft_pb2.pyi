from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Message(_message.Message):
    __slots__ = ("format_version", "shard", "append_entries", "append_reply", "request_vote", "vote_reply", "timeout_now", "farewell", "from_member", "to_member")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    APPEND_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    APPEND_REPLY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_VOTE_FIELD_NUMBER: _ClassVar[int]
    VOTE_REPLY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_NOW_FIELD_NUMBER: _ClassVar[int]
    FAREWELL_FIELD_NUMBER: _ClassVar[int]
    FROM_MEMBER_FIELD_NUMBER: _ClassVar[int]
    TO_MEMBER_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    shard: int
    append_entries: AppendEntries
    append_reply: AppendReply
    request_vote: RequestVote
    vote_reply: VoteReply
    timeout_now: TimeoutNow
    farewell: Farewell
    from_member: str
    to_member: str
    def __init__(self, format_version: _Optional[int] = ..., shard: _Optional[int] = ..., append_entries: _Optional[_Union[AppendEntries, _Mapping]] = ..., append_reply: _Optional[_Union[AppendReply, _Mapping]] = ..., request_vote: _Optional[_Union[RequestVote, _Mapping]] = ..., vote_reply: _Optional[_Union[VoteReply, _Mapping]] = ..., timeout_now: _Optional[_Union[TimeoutNow, _Mapping]] = ..., farewell: _Optional[_Union[Farewell, _Mapping]] = ..., from_member: _Optional[str] = ..., to_member: _Optional[str] = ...) -> None: ...

class AppendEntries(_message.Message):
    __slots__ = ("term", "sequence", "previous_index", "previous_term", "majority_index", "entry_terms", "entry_lengths")
    TERM_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_INDEX_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_TERM_FIELD_NUMBER: _ClassVar[int]
    MAJORITY_INDEX_FIELD_NUMBER: _ClassVar[int]
    ENTRY_TERMS_FIELD_NUMBER: _ClassVar[int]
    ENTRY_LENGTHS_FIELD_NUMBER: _ClassVar[int]
    term: int
    sequence: int
    previous_index: int
    previous_term: int
    majority_index: int
    entry_terms: _containers.RepeatedScalarFieldContainer[int]
    entry_lengths: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, term: _Optional[int] = ..., sequence: _Optional[int] = ..., previous_index: _Optional[int] = ..., previous_term: _Optional[int] = ..., majority_index: _Optional[int] = ..., entry_terms: _Optional[_Iterable[int]] = ..., entry_lengths: _Optional[_Iterable[int]] = ...) -> None: ...

class AppendReply(_message.Message):
    __slots__ = ("term", "sequence", "proven_index", "synced_index", "reset_index", "clock_ms")
    TERM_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PROVEN_INDEX_FIELD_NUMBER: _ClassVar[int]
    SYNCED_INDEX_FIELD_NUMBER: _ClassVar[int]
    RESET_INDEX_FIELD_NUMBER: _ClassVar[int]
    CLOCK_MS_FIELD_NUMBER: _ClassVar[int]
    term: int
    sequence: int
    proven_index: int
    synced_index: int
    reset_index: int
    clock_ms: int
    def __init__(self, term: _Optional[int] = ..., sequence: _Optional[int] = ..., proven_index: _Optional[int] = ..., synced_index: _Optional[int] = ..., reset_index: _Optional[int] = ..., clock_ms: _Optional[int] = ...) -> None: ...

class RequestVote(_message.Message):
    __slots__ = ("term", "last_index", "last_term", "trial")
    TERM_FIELD_NUMBER: _ClassVar[int]
    LAST_INDEX_FIELD_NUMBER: _ClassVar[int]
    LAST_TERM_FIELD_NUMBER: _ClassVar[int]
    TRIAL_FIELD_NUMBER: _ClassVar[int]
    term: int
    last_index: int
    last_term: int
    trial: bool
    def __init__(self, term: _Optional[int] = ..., last_index: _Optional[int] = ..., last_term: _Optional[int] = ..., trial: _Optional[bool] = ...) -> None: ...

class VoteReply(_message.Message):
    __slots__ = ("term", "granted", "trial", "clock_ms")
    TERM_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    TRIAL_FIELD_NUMBER: _ClassVar[int]
    CLOCK_MS_FIELD_NUMBER: _ClassVar[int]
    term: int
    granted: bool
    trial: bool
    clock_ms: int
    def __init__(self, term: _Optional[int] = ..., granted: _Optional[bool] = ..., trial: _Optional[bool] = ..., clock_ms: _Optional[int] = ...) -> None: ...

class TimeoutNow(_message.Message):
    __slots__ = ("term",)
    TERM_FIELD_NUMBER: _ClassVar[int]
    term: int
    def __init__(self, term: _Optional[int] = ...) -> None: ...

class Farewell(_message.Message):
    __slots__ = ("term", "index")
    TERM_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    term: int
    index: int
    def __init__(self, term: _Optional[int] = ..., index: _Optional[int] = ...) -> None: ...

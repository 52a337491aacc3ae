from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SnapshotFrame(_message.Message):
    __slots__ = ("format_version", "shard", "from_member", "to_member", "term", "attempt", "offer", "want", "pieces", "ending", "ack", "installed", "refused", "body_wanted", "body_found")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    FROM_MEMBER_FIELD_NUMBER: _ClassVar[int]
    TO_MEMBER_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    WANT_FIELD_NUMBER: _ClassVar[int]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    ENDING_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    INSTALLED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    BODY_WANTED_FIELD_NUMBER: _ClassVar[int]
    BODY_FOUND_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    shard: int
    from_member: str
    to_member: str
    term: int
    attempt: int
    offer: Offer
    want: Want
    pieces: Pieces
    ending: Ending
    ack: Ack
    installed: Installed
    refused: Refused
    body_wanted: BodyWanted
    body_found: BodyFound
    def __init__(self, format_version: _Optional[int] = ..., shard: _Optional[int] = ..., from_member: _Optional[str] = ..., to_member: _Optional[str] = ..., term: _Optional[int] = ..., attempt: _Optional[int] = ..., offer: _Optional[_Union[Offer, _Mapping]] = ..., want: _Optional[_Union[Want, _Mapping]] = ..., pieces: _Optional[_Union[Pieces, _Mapping]] = ..., ending: _Optional[_Union[Ending, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., installed: _Optional[_Union[Installed, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ..., body_wanted: _Optional[_Union[BodyWanted, _Mapping]] = ..., body_found: _Optional[_Union[BodyFound, _Mapping]] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("index", "base_term", "configuration", "stamped_ms", "state_format")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BASE_TERM_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    STAMPED_MS_FIELD_NUMBER: _ClassVar[int]
    STATE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    index: int
    base_term: int
    configuration: bytes
    stamped_ms: int
    state_format: int
    def __init__(self, index: _Optional[int] = ..., base_term: _Optional[int] = ..., configuration: _Optional[bytes] = ..., stamped_ms: _Optional[int] = ..., state_format: _Optional[int] = ...) -> None: ...

class Want(_message.Message):
    __slots__ = ("bodies_after", "pairs_after")
    BODIES_AFTER_FIELD_NUMBER: _ClassVar[int]
    PAIRS_AFTER_FIELD_NUMBER: _ClassVar[int]
    bodies_after: int
    pairs_after: bytes
    def __init__(self, bodies_after: _Optional[int] = ..., pairs_after: _Optional[bytes] = ...) -> None: ...

class Pieces(_message.Message):
    __slots__ = ("number", "bodies", "key_lengths", "value_lengths")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BODIES_FIELD_NUMBER: _ClassVar[int]
    KEY_LENGTHS_FIELD_NUMBER: _ClassVar[int]
    VALUE_LENGTHS_FIELD_NUMBER: _ClassVar[int]
    number: int
    bodies: _containers.RepeatedCompositeFieldContainer[BodyPiece]
    key_lengths: _containers.RepeatedScalarFieldContainer[int]
    value_lengths: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, number: _Optional[int] = ..., bodies: _Optional[_Iterable[_Union[BodyPiece, _Mapping]]] = ..., key_lengths: _Optional[_Iterable[int]] = ..., value_lengths: _Optional[_Iterable[int]] = ...) -> None: ...

class BodyPiece(_message.Message):
    __slots__ = ("index", "term", "start", "total_length", "offset", "length", "crc32c", "damaged")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    TOTAL_LENGTH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FIELD_NUMBER: _ClassVar[int]
    index: int
    term: int
    start: int
    total_length: int
    offset: int
    length: int
    crc32c: int
    damaged: bool
    def __init__(self, index: _Optional[int] = ..., term: _Optional[int] = ..., start: _Optional[int] = ..., total_length: _Optional[int] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ..., crc32c: _Optional[int] = ..., damaged: _Optional[bool] = ...) -> None: ...

class Ending(_message.Message):
    __slots__ = ("number", "pairs", "digest")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    number: int
    pairs: int
    digest: bytes
    def __init__(self, number: _Optional[int] = ..., pairs: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class Installed(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BodyWanted(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class BodyFound(_message.Message):
    __slots__ = ("index", "entry_term", "start", "found")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ENTRY_TERM_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    index: int
    entry_term: int
    start: int
    found: bool
    def __init__(self, index: _Optional[int] = ..., entry_term: _Optional[int] = ..., start: _Optional[int] = ..., found: _Optional[bool] = ...) -> None: ...

"""Targets that read what a disk gave back."""

from __future__ import annotations

import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import get_args, get_origin

import msgspec

from tallymq.raftlog import payloads
from tallymq.raftlog.data_directory import DataDirectory
from tallymq.raftlog.errors import DirectoryFormatUnknown, DirectoryRefused, LogDamaged, LogFull
from tallymq.raftlog.locations import Location, decode_location, encode_location
from tallymq.raftlog.log import LogSettings, NodeLog
from tallymq.raftlog.log_mark import LogMark, ShardMark, decode_mark, encode_mark
from tallymq.raftlog.payloads import Base, Position, RoundStart, SegmentStart
from tallymq.raftlog.records import BLOCK_BYTES, HEADER_BYTES, Kind, Record, encode_header, round_up, verify_next
from tallymq.raftlog.segments import segment_name
from tallymq.raftlog.store import MemoryStore
from tallymq.txn import draft, state
from tallymq.txn.types import Reference
from tests.support.memory_disk import Content, MemoryDisk

SALT = 0x0123_4567_89AB_CDEF
SEGMENT_BYTES = 16 * 1024
SETTINGS = LogSettings(draw_salt=lambda: SALT, segment_bytes=SEGMENT_BYTES, open_files_max=2)


def read_record(data: bytes) -> None:
    """Bytes where a record should be: none, an incomplete one, or one that lies wholly within them."""
    for salt in (SALT, 0):
        found = verify_next(salt, 4096, 0, data, 0, 1 << 20)
        assert found is None or isinstance(found, Record) or found > len(data)
        if isinstance(found, Record):
            assert len(found.payload) + HEADER_BYTES <= len(data)


def record_seeds() -> list[bytes]:
    """Sound ones."""
    seeds = []
    for salt, kind in ((SALT, Kind.ENTRY), (0, Kind.HARD_STATE)):
        header, _ = encode_header(salt, 0, 4096, kind, (b"payload",), 7, shard=1, term=2, index=3)
        seeds.append(header + b"payload")
    return seeds


def recover_bytes(data: bytes) -> None:
    """A log some of whose bytes are others: its node starts, or says that the log is damaged."""
    content = bytearray(_sound_log())
    for at in range(0, min(len(data) - 2, 300), 3):
        offset, value = struct.unpack_from("<HB", data, at)
        content[offset % len(content)] = value
    _recover(bytes(content))


def recover_records(data: bytes) -> None:
    """A log whose records are sound, and say anything at all: its node starts, or says why it does not."""
    _recover(_log_of(data))


def _recover(content: bytes) -> None:
    disk = MemoryDisk({segment_name(1, SALT): Content(content)})
    try:
        log = NodeLog.open(disk, MemoryStore(), SETTINGS)
    except (LogDamaged, LogFull, DirectoryFormatUnknown):
        return
    for shard in (0, 1, 2):
        known = log.shard_state(shard)
        assert known.last_index <= max(known.base_index, known.last_index)
        if known.last_index > known.base_index:
            log.read_entry(shard, known.last_index)
    log.close()


def _log_of(data: bytes) -> bytes:
    """One segment, one round, and the records that `data` describes: kind, shard, term, index, payload length."""
    start = SegmentStart(1, 1, Position(0, 0), 0, Position(0, 0))
    payload = payloads.encode_segment(start)
    header, crc = encode_header(SALT, 0, 0, Kind.SEGMENT, (payload,), len(payload))
    segment = bytearray(header + payload)
    segment += bytes(round_up(len(segment)) - len(segment))
    begin = len(segment)
    described, at = [], 0
    while at + 6 <= len(data) and len(described) < 64:
        kind, shard, term, index, length = struct.unpack_from("<BBBHB", data, at)
        described.append((kind, shard, term, index, data[at + 6 : at + 6 + length]))
        at += 6 + length
    length = HEADER_BYTES + payloads.ROUND_PAYLOAD_BYTES + sum(HEADER_BYTES + len(one[4]) for one in described)
    round_payload = payloads.encode_round(RoundStart(length, Position(0, 0)))
    header, crc = encode_header(SALT, crc, begin, Kind.ROUND, (round_payload,), len(round_payload), index=1)
    segment += header + round_payload
    for kind, shard, term, index, body in described:
        header, crc = encode_header(
            SALT, crc, len(segment), _any_kind(kind), (body,), len(body), shard=shard, term=term, index=index
        )
        segment += header + body
    return bytes(segment) + bytes(max(SEGMENT_BYTES - len(segment), BLOCK_BYTES))


def _any_kind(kind: int) -> Kind:
    """The kind of a record; numbers that nobody knows pass for what they are."""
    return Kind(kind) if kind in set(Kind) else kind  # type: ignore[return-value]  # what a later version may write


@cache
def _sound_log() -> bytes:
    """The first segment of a node that lived a little."""
    disk = MemoryDisk()
    log = NodeLog.open(disk, MemoryStore(), SETTINGS)
    for shard in (0, 1):
        log.append_hard_state(shard, 1, "node-1")
    for index in range(1, 9):
        log.append_entry(index % 2, (index + 1) // 2, 1, [b"payload %d" % index])
        written = log.write_round()
        log.sync()
        if written is not None:
            log.note_synced(written)
    log.close()
    return bytes(disk.files[segment_name(1, SALT)].data)


def log_byte_seeds() -> list[bytes]:
    """No change, one in the first block, and several."""
    return [b"", struct.pack("<HB", 10, 1), b"".join(struct.pack("<HB", 4096 * n + 17, n) for n in range(1, 5))]


def log_record_seeds() -> list[bytes]:
    """One record of each kind."""

    def described(kind: int, shard: int, term: int, index: int, payload: bytes) -> bytes:
        return struct.pack("<BBBHB", kind, shard, term, index, len(payload)) + payload

    base = payloads.encode_base(Base(5, 2, 1, b"configuration"))
    one_each = [
        described(Kind.HARD_STATE, 0, 1, 0, b"node-1"),
        described(Kind.ENTRY, 0, 1, 1, b"payload"),
        described(Kind.ENTRY, 0, 1, 2, b"payload"),
        described(Kind.TRUNCATE, 0, 0, 2, b""),
        described(Kind.BASE, 1, 2, 5, base),
        described(Kind.ENTRY, 1, 2, 6, b"x"),
        described(Kind.BODY_COPY, 1, 2, 3, b"copy"),
        described(Kind.SEAL, 0, 0, 0, b""),
    ]
    return [b"".join(one_each), *one_each]


def read_payload(data: bytes) -> None:
    """Payloads of the log's own records."""
    decoders = (payloads.decode_segment, payloads.decode_round, lambda packed: payloads.decode_base(1, 1, packed))
    for decode in decoders:
        try:
            decode(data)
        except struct.error:
            continue


def payload_seeds() -> list[bytes]:
    """One of each."""
    return [
        payloads.encode_segment(SegmentStart(1, 2, Position(1, 4096), 7, Position(1, 2048))),
        payloads.encode_round(RoundStart(400, Position(1, 4096))),
        payloads.encode_base(Base(5, 2, 1, b"configuration")),
    ]


def read_mark(data: bytes) -> None:
    """The log's mark in the store: refused, or what it says when it is encoded again."""
    try:
        mark = decode_mark(data)
    except (DirectoryFormatUnknown, struct.error, UnicodeDecodeError):
        return
    assert decode_mark(encode_mark(mark)) == mark


def mark_seeds() -> list[bytes]:
    """Without shards and with two."""
    shards = {0: ShardMark(7, 3, "node-2", Base()), 5: ShardMark(9, 4, "", Base(4, 2, 1, b"configuration"))}
    return [encode_mark(LogMark(Position(2, 8192), 40, 99, Position(2, 4096), known)) for known in ({}, shards)]


def read_location(data: bytes) -> None:
    """Where an entry lies."""
    try:
        location = decode_location(data)
    except struct.error:
        return
    assert encode_location(location) == data


def location_seeds() -> list[bytes]:
    """One."""
    return [encode_location(Location(3, 8192, 700, 5))]


@cache
def _shapes() -> tuple[type[msgspec.Struct], ...]:
    """Every shape that a shard's state is made of."""
    found = [one for one in vars(state).values() if isinstance(one, type) and issubclass(one, state.Struct)]
    return tuple(sorted((one for one in found if one is not state.Struct), key=lambda one: one.__name__))


def read_state(data: bytes) -> None:
    """A value of the store, as any shape of the rules' state: refused, or encoded again to the same."""
    for shape in _shapes():
        try:
            value = draft.decode(data, shape)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
            continue
        assert draft.decode(msgspec.msgpack.encode(value), shape) == value


def state_seeds() -> list[bytes]:
    """One value of every shape."""
    return [msgspec.msgpack.encode(_sample(shape)) for shape in _shapes()]


def _sample(kind: object) -> object:
    """Some value of an annotated type."""
    simple: dict[object, object] = {int: 5, str: "orders", bytes: b"\x05", bool: True}
    if kind in simple:
        return simple[kind]
    if get_origin(kind) is tuple:
        return (_sample(get_args(kind)[0]),)
    if kind is Reference or (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return kind(*[_sample(field.type) for field in msgspec.structs.fields(kind)])
    raise TypeError(f"no sample of {kind}")


@cache
def _folder() -> Path:
    """A folder in memory where the machine has one."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="tallymq-fuzz-", dir=memory if memory.is_dir() else None)) / "data"


def read_identity(data: bytes) -> None:
    """node.json: this node's, or refused with a sentence."""
    folder = _folder()
    folder.mkdir(exist_ok=True)
    (folder / "node.json").write_bytes(data)
    try:
        directory = DataDirectory(folder, node="node-1", cluster="tests", shard_count=4)
    except DirectoryRefused:
        return
    assert not directory.is_new
    directory.close()


def identity_seeds() -> list[bytes]:
    """This node's, and one of a time when the number of shards was not written down."""
    return [
        b'{"format": 1, "cluster": "tests", "node": "node-1", "shard_count": 4}',
        b'{"format": 1, "cluster": "tests", "node": "node-1"}',
    ]

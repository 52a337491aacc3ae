"""Bytes of what nodes say to each other (`messages.py`) and of what they replicate (`txn.commands.Entry`).

Rule 1: bytes from a peer or a disk are parsed strictly; anything unexpected is a DecodeError, never a guess.
Rule 2: an entry this version cannot understand is an UnknownEntry, which stops the shard; it is never skipped.
Rule 3: bodies and payloads are passed on by reference: encoders return buffers to be written one after the other.

Both encodings are `header length (u32, little-endian) | protobuf header | raw bytes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct as Layout
from typing import Any, NamedTuple, TypeVar, cast, get_args

import msgspec
from google.protobuf.message import DecodeError as ProtobufDecodeError
from google.protobuf.message import Message as Protobuf

from tallymq.proto import raft_pb2, replicated_pb2
from tallymq.raftlog.membership import incarnation_of
from tallymq.raftlog.messages import (
    AppendEntries,
    AppendReply,
    Farewell,
    LogEntry,
    Message,
    Payload,
    RequestVote,
    TimeoutNow,
    VoteReply,
)
from tallymq.raftlog.settings import FRAME_BYTES_MAX
from tallymq.txn import commands
from tallymq.txn.types import RULES_VERSION, Batch

FORMAT_VERSION = 1
"""Of messages and entries. Written into each; a greater one is refused."""

HEADER_BYTES_MAX = 4 << 20
ENTRIES_MAX = 4096
"""In one message; a message is also bounded in bytes by who sends it."""

MEMBER_LENGTH_MAX = 128
NUMBER_MAX = (1 << 63) - 1
"""Of terms, indexes and sequences: what fits a signed 64-bit integer everywhere."""

LENGTH = Layout("<I")

M = TypeVar("M", bound=Protobuf)


class DecodeError(ValueError):
    """These bytes are not what they should be; nothing of them was used."""


class UnknownEntry(ValueError):
    """The entry needs a newer version of this program; the shard stops until it is installed."""


# Messages


class Addressed(NamedTuple):
    """A message with the shard and the member ids it speaks of; an id is "" where the frame says none."""

    shard: int
    message: Message
    from_member: str
    to_member: str


def encode_message(shard: int, message: Message, from_member: str = "", to_member: str = "") -> list[Payload]:
    """Return the buffers of one frame: the header with its length, then each entry's payload as it is."""
    header = raft_pb2.Message(format_version=FORMAT_VERSION, shard=shard, from_member=from_member, to_member=to_member)
    payloads: list[Payload] = []
    if isinstance(message, AppendEntries):
        append = header.append_entries
        append.term = message.term
        append.sequence = message.sequence
        append.previous_index = message.previous_index
        append.previous_term = message.previous_term
        append.majority_index = message.majority_index
        append.entry_terms.extend(entry.term for entry in message.entries)
        payloads = [entry.payload for entry in message.entries]
        append.entry_lengths.extend(len(payload) for payload in payloads)
        append.SetInParent()
    elif isinstance(message, AppendReply):
        header.append_reply.CopyFrom(raft_pb2.AppendReply(**msgspec.structs.asdict(message)))
    elif isinstance(message, RequestVote):
        header.request_vote.CopyFrom(raft_pb2.RequestVote(**msgspec.structs.asdict(message)))
    elif isinstance(message, VoteReply):
        header.vote_reply.CopyFrom(raft_pb2.VoteReply(**msgspec.structs.asdict(message)))
    elif isinstance(message, TimeoutNow):
        header.timeout_now.CopyFrom(raft_pb2.TimeoutNow(**msgspec.structs.asdict(message)))
    else:
        header.farewell.CopyFrom(raft_pb2.Farewell(**msgspec.structs.asdict(message)))
    packed = header.SerializeToString()
    return [LENGTH.pack(len(packed)) + packed, *payloads]


def decode_message(frame: Payload) -> tuple[int, Message]:
    """Return (shard, message) of one frame; payloads are views of `frame`. Raises DecodeError."""
    return decode_addressed(frame)[:2]


def decode_addressed(frame: Payload) -> Addressed:
    """Return a frame's message and whom it is from and for; payloads are views of `frame`. Raises DecodeError."""
    whole = memoryview(frame)
    if len(whole) > FRAME_BYTES_MAX:
        raise DecodeError(f"frame of {len(whole)} bytes, more than {FRAME_BYTES_MAX}")
    header, rest = _split(whole, raft_pb2.Message)
    if header.format_version != FORMAT_VERSION:
        raise DecodeError(f"message format {header.format_version}, this program speaks {FORMAT_VERSION}")
    for member in (header.from_member, header.to_member):
        if member and (len(member) > MEMBER_LENGTH_MAX or incarnation_of(member) < 0):
            raise DecodeError("a member id that is none")
    return Addressed(header.shard, _message(header, rest), header.from_member, header.to_member)


def _message(header: raft_pb2.Message, rest: memoryview) -> Message:
    kind = header.WhichOneof("kind")
    if kind == "append_entries":
        return _append_entries(header.append_entries, rest)
    if len(rest):
        raise DecodeError("bytes after a message that carries no entries")
    if kind == "append_reply":
        return _append_reply(header.append_reply)
    if kind == "request_vote":
        vote = header.request_vote
        _bounded(vote.term, vote.last_index, vote.last_term)
        if not vote.last_term <= vote.term or vote.term == 0:
            raise DecodeError("a vote is asked for in a term below the log's")
        return RequestVote(vote.term, vote.last_index, vote.last_term, vote.trial)
    if kind == "vote_reply":
        reply = header.vote_reply
        _bounded(reply.term, reply.clock_ms)
        return VoteReply(reply.term, reply.granted, reply.trial, reply.clock_ms)
    if kind == "timeout_now":
        _of_a_leader(header.timeout_now.term)
        return TimeoutNow(header.timeout_now.term)
    if kind == "farewell":
        _of_a_leader(header.farewell.term)
        _bounded(header.farewell.index)
        return Farewell(header.farewell.term, header.farewell.index)
    raise DecodeError("a message of no known kind")


def _of_a_leader(term: int) -> None:
    _bounded(term)
    if term == 0:
        raise DecodeError("a leader in term 0")


def _append_entries(append: raft_pb2.AppendEntries, rest: memoryview) -> AppendEntries:
    terms, lengths = list(append.entry_terms), list(append.entry_lengths)
    if len(terms) != len(lengths) or len(terms) > ENTRIES_MAX:
        raise DecodeError("terms and lengths of the entries do not agree")
    if sum(lengths) != len(rest):
        raise DecodeError("lengths of the entries are not those of their bytes")
    _bounded(append.sequence, append.previous_index + len(terms), append.majority_index, append.term)
    last = append.previous_term
    for term in [*terms, append.term]:
        if term < last:
            raise DecodeError("terms of the entries go back")
        last = term
    if append.term == 0 or (append.previous_index == 0 and append.previous_term != 0) or 0 in terms:
        raise DecodeError("an entry or a leader in term 0")
    entries, start = [], 0
    for term, length in zip(terms, lengths, strict=True):
        entries.append(LogEntry(term, rest[start : start + length]))
        start += length
    return AppendEntries(
        append.term,
        append.sequence,
        append.previous_index,
        append.previous_term,
        append.majority_index,
        tuple(entries),
    )


def _append_reply(reply: raft_pb2.AppendReply) -> AppendReply:
    _bounded(reply.term, reply.sequence, reply.proven_index, reply.synced_index, reply.reset_index, reply.clock_ms)
    if reply.synced_index > reply.proven_index:
        raise DecodeError("more synced than proven")
    return AppendReply(
        reply.term, reply.sequence, reply.proven_index, reply.synced_index, reply.reset_index, reply.clock_ms
    )


def _bounded(*numbers: int) -> None:
    for number in numbers:
        if not 0 <= number <= NUMBER_MAX:
            raise DecodeError(f"number out of range: {number}")


def _split(whole: memoryview, header_type: type[M]) -> tuple[M, memoryview]:
    """Return the parsed header and what follows it."""
    if len(whole) < LENGTH.size:
        raise DecodeError("shorter than a header length")
    (length,) = LENGTH.unpack_from(whole)
    end = LENGTH.size + length
    if length > HEADER_BYTES_MAX or end > len(whole):
        raise DecodeError(f"header of {length} bytes in {len(whole)}")
    try:
        return header_type.FromString(bytes(whole[LENGTH.size : end])), whole[end:]
    except ProtobufDecodeError as error:
        raise DecodeError("header is not what it should be") from error


# Entries


class _Field(NamedTuple):
    name: str
    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]


def _bits_to_bytes(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def _bytes_to_bits(packed: bytes) -> int:
    return int.from_bytes(packed, "little")


def _same(value: Any) -> Any:  # noqa: ANN401 - scalars of every type
    return value


class _Plan:
    """How one Struct of the rules and its protobuf twin turn into each other: same field names, in the same order."""

    def __init__(self, struct: type[msgspec.Struct]) -> None:
        self.struct = struct
        self.twin: type[Protobuf] = getattr(replicated_pb2, struct.__name__)
        self.fields = tuple(self._field(field.name, field.type) for field in msgspec.structs.fields(struct))

    def _field(self, name: str, kind: Any) -> _Field:  # noqa: ANN401 - any annotation
        if self.struct is commands.Decision and name in ("commit", "roll_back"):
            return _Field(name, _bits_to_bytes, _bytes_to_bits)
        inner = (get_args(kind) or (kind,))[0]
        if not (isinstance(inner, type) and issubclass(inner, msgspec.Struct)):
            return _Field(name, _same, tuple if get_args(kind) else _same)
        plan = _plan(inner)
        if not get_args(kind):
            return _Field(name, plan.pack, plan.unpack)
        return _Field(
            name,
            lambda values: [plan.pack(value) for value in values],
            lambda values: tuple([plan.unpack(value) for value in values]),
        )

    def pack(self, value: msgspec.Struct) -> Protobuf:
        return self.twin(**{field.name: field.pack(getattr(value, field.name)) for field in self.fields})

    def unpack(self, message: Protobuf) -> msgspec.Struct:
        return self.struct(*[field.unpack(getattr(message, field.name)) for field in self.fields])


_plans: dict[type[msgspec.Struct], _Plan] = {}


def _plan(struct: type[msgspec.Struct]) -> _Plan:
    if struct not in _plans:
        _plans[struct] = _Plan(struct)
    return _plans[struct]


def _kind(struct: type[msgspec.Struct]) -> str:
    """Name of the command in the oneof: CreateTopic is create_topic."""
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in struct.__name__).lstrip("_")


_KIND_OF: dict[type[msgspec.Struct], str] = {struct: _kind(struct) for struct in get_args(commands.Command)}
_PLAN_OF: dict[str, _Plan] = {kind: _plan(struct) for struct, kind in _KIND_OF.items()}


def encode_entry(stamped_ms: int, joined: Sequence[tuple[commands.Command, Sequence[Payload]]]) -> list[Payload]:
    """Return the buffers of one entry's payload: the header with each batch's start filled in, then the bodies.

    `joined`: each command with one body for each of its batches, in order. Raises ValueError where they do not agree.
    """
    version = commands.rules_version(command for command, _ in joined)
    header = replicated_pb2.Entry(format_version=FORMAT_VERSION, rules_version=version, stamped_ms=stamped_ms)
    bodies: list[Payload] = []
    batches: list[replicated_pb2.Batch] = []
    for command, command_bodies in joined:
        kind = _KIND_OF[type(command)]
        packed = replicated_pb2.Command(**cast("dict[str, Any]", {kind: _PLAN_OF[kind].pack(command)}))
        header.commands.append(packed)
        own = getattr(getattr(header.commands[-1], kind), "batches", ())
        if [batch.length for batch in own] != [len(body) for body in command_bodies]:
            raise ValueError("bodies are not those of the command's batches")
        batches.extend(own)
        bodies.extend(command_bodies)
    # The start is of fixed width, so filling it in leaves the header's length as it is; 0 would take no room.
    for batch in batches:
        batch.start = 1
    start = LENGTH.size + header.ByteSize()
    for batch in batches:
        batch.start = start
        start += batch.length
    header_bytes = header.SerializeToString()
    return [LENGTH.pack(len(header_bytes)) + header_bytes, *bodies]


def decode_entry(index: int, payload: Payload) -> commands.Entry:
    """Return the entry stored at `index`; bodies are not touched. Raises DecodeError, UnknownEntry."""
    whole = memoryview(payload)
    header, _ = _split(whole, replicated_pb2.Entry)
    if header.format_version > FORMAT_VERSION or header.rules_version > RULES_VERSION:
        raise UnknownEntry(
            f"entry {index} has format {header.format_version} and rules {header.rules_version}, this program knows "
            f"{FORMAT_VERSION} and {RULES_VERSION}; install the version that the other nodes run"
        )
    return commands.Entry(
        index, header.stamped_ms, tuple([_command(index, packed, len(whole)) for packed in header.commands])
    )


def _command(index: int, packed: replicated_pb2.Command, payload_bytes: int) -> commands.Command:
    kind = packed.WhichOneof("kind")
    if kind is None:
        raise UnknownEntry(f"entry {index} has a command of an unknown kind; install the version the other nodes run")
    command = cast("commands.Command", _PLAN_OF[kind].unpack(getattr(packed, kind)))
    for batch in cast("tuple[Batch, ...]", getattr(command, "batches", ())):
        if batch.start < LENGTH.size or batch.start + batch.length > payload_bytes:
            raise DecodeError(f"entry {index} has a batch outside its own bytes")
    return command

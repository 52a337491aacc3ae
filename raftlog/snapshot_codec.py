"""Bytes of what nodes say about snapshots: `crc32c | header length | protobuf header | raw bytes`, all little-endian.

Rule 1: a peer may be hostile: every length, count and number is checked before it is used, and nothing is copied that
was not. What does not fit is a DecodeError; nothing of the frame was used then.
Rule 2: the checksum covers the whole frame, so what a node's memory or a link without TLS spoilt is found here.
Rule 3: keys are those of the rules, without a shard's prefix: no peer can name a key outside the state it sends.
"""

from __future__ import annotations

from struct import Struct as Layout

import google_crc32c
from google.protobuf.message import DecodeError as ProtobufDecodeError

from tallymq.proto import snapshot_pb2
from tallymq.raftlog.codec import NUMBER_MAX, DecodeError
from tallymq.raftlog.messages import Payload
from tallymq.raftlog.settings import FRAME_BYTES_MAX, PAYLOAD_BYTES_MAX, SHARDS_MAX
from tallymq.raftlog.snapshot_messages import (
    Ack,
    BodyFound,
    BodyPiece,
    BodyWanted,
    Ending,
    Envelope,
    Installed,
    Offer,
    Pieces,
    Refused,
    SnapshotMessage,
    Want,
)

FORMAT_VERSION = 1
HEADER_BYTES_MAX = 1 << 20
PIECES_MAX = 4096
"""Bodies, or pairs, in one message."""
KEY_BYTES_MAX = 4096
"""Of the rules' keys: names of topics and groups, and some numbers."""
MEMBER_BYTES_MAX = 128
CONFIGURATION_BYTES_MAX = 64 * 1024
DIGEST_BYTES = 32

_CRC = Layout("<I")
_LENGTH = Layout("<I")


def encode_snapshot(envelope: Envelope) -> list[Payload]:
    """Return the buffers of one frame's payload."""
    message = envelope.message
    header = snapshot_pb2.SnapshotFrame(
        format_version=FORMAT_VERSION,
        shard=envelope.shard,
        from_member=envelope.from_member,
        to_member=envelope.to_member,
        term=envelope.term,
        attempt=getattr(message, "attempt", 0),
    )
    raw = _fill(header, message)
    packed = header.SerializeToString()
    head = _LENGTH.pack(len(packed)) + packed
    crc = google_crc32c.value(head)
    for piece in raw:
        crc = google_crc32c.extend(crc, piece)
    return [_CRC.pack(crc) + head, *raw]


def _fill(header: snapshot_pb2.SnapshotFrame, message: SnapshotMessage) -> list[bytes]:
    """Put a message into the header; return its raw bytes."""
    match message:
        case Offer():
            header.offer.index, header.offer.base_term = message.index, message.base_term
            header.offer.configuration, header.offer.stamped_ms = message.configuration, message.stamped_ms
            header.offer.state_format = message.state_format
        case Want():
            header.want.bodies_after, header.want.pairs_after = message.bodies_after, message.pairs_after
            header.want.SetInParent()
        case Pieces():
            return _fill_pieces(header.pieces, message)
        case Ending():
            header.ending.number, header.ending.pairs = message.number, message.pairs
            header.ending.digest = message.digest
        case Ack():
            header.ack.number = message.number
            header.ack.SetInParent()
        case Installed():
            header.installed.index = message.index
        case Refused():
            header.refused.SetInParent()
        case BodyWanted():
            header.body_wanted.index = message.index
        case BodyFound():
            found = header.body_found
            found.index, found.entry_term = message.index, message.entry_term
            found.start, found.found = message.start, message.found
            return [message.data]
    return []


def _fill_pieces(header: snapshot_pb2.Pieces, message: Pieces) -> list[bytes]:
    header.number = message.number
    raw: list[bytes] = []
    for body in message.bodies:
        header.bodies.add(
            index=body.index,
            term=body.term,
            start=body.start,
            total_length=body.total_length,
            offset=body.offset,
            length=len(body.data),
            crc32c=body.crc32c,
            damaged=body.damaged,
        )
        raw.append(body.data)
    for key, value in message.pairs:
        header.key_lengths.append(len(key))
        header.value_lengths.append(len(value))
        raw += (key, value)
    return raw


def decode_snapshot(payload: Payload) -> Envelope:
    """Read the payload of one frame. Raises DecodeError for anything that `encode_snapshot` would not have made."""
    whole = memoryview(payload)
    if len(whole) > FRAME_BYTES_MAX or len(whole) < _CRC.size + _LENGTH.size:
        raise DecodeError(f"a snapshot's frame of {len(whole)} bytes")
    (crc,) = _CRC.unpack_from(whole)
    if google_crc32c.value(bytes(whole[_CRC.size :])) != crc:
        raise DecodeError("a snapshot's frame fails its checksum")
    (length,) = _LENGTH.unpack_from(whole, _CRC.size)
    begin = _CRC.size + _LENGTH.size
    if length > HEADER_BYTES_MAX or begin + length > len(whole):
        raise DecodeError(f"a header of {length} bytes in {len(whole)}")
    try:
        header = snapshot_pb2.SnapshotFrame.FromString(bytes(whole[begin : begin + length]))
    except ProtobufDecodeError as error:
        raise DecodeError("the header of a snapshot's frame is not what it should be") from error
    return _envelope(header, whole[begin + length :])


def _envelope(header: snapshot_pb2.SnapshotFrame, raw: memoryview) -> Envelope:
    if header.format_version != FORMAT_VERSION:
        raise DecodeError(f"snapshot format {header.format_version}, this program speaks {FORMAT_VERSION}")
    if header.shard >= SHARDS_MAX or max(len(header.from_member), len(header.to_member)) > MEMBER_BYTES_MAX:
        raise DecodeError("a snapshot of a shard or member that cannot be")
    _check_numbers(header.term, header.attempt)
    message = _message(header, raw)
    return Envelope(header.shard, header.from_member, header.to_member, header.term, message)


def _message(header: snapshot_pb2.SnapshotFrame, raw: memoryview) -> SnapshotMessage:
    kind, attempt = header.WhichOneof("kind"), header.attempt
    if kind == "pieces":
        return _pieces(attempt, header.pieces, raw)
    if kind == "body_found":
        return _body_found(header.body_found, raw)
    if len(raw):
        raise DecodeError("raw bytes after a message that has none")
    if kind == "offer":
        return _offer(attempt, header.offer, header.term)
    if kind == "ending":
        return _ending(attempt, header.ending)
    if kind == "body_wanted":
        _check_entry(header.body_wanted.index, 1)
        return BodyWanted(header.body_wanted.index)
    return _answer(kind, header)


def _answer(kind: str | None, header: snapshot_pb2.SnapshotFrame) -> SnapshotMessage:
    """Read what a follower says."""
    attempt = header.attempt
    match kind:
        case "want":
            _check_numbers(header.want.bodies_after)
            _check_key(len(header.want.pairs_after))
            return Want(attempt, header.want.bodies_after, header.want.pairs_after)
        case "ack":
            _check_numbers(header.ack.number)
            return Ack(attempt, header.ack.number)
        case "installed":
            _check_numbers(header.installed.index)
            return Installed(attempt, header.installed.index)
        case "refused":
            return Refused(attempt)
    raise DecodeError("a word about snapshots of no known kind")


def _offer(attempt: int, offer: snapshot_pb2.Offer, term: int) -> Offer:
    _check_entry(offer.index, offer.base_term)
    if offer.base_term > term or attempt == 0:
        raise DecodeError("a snapshot of a later term than its sender's, or of no attempt")
    if len(offer.configuration) > CONFIGURATION_BYTES_MAX:
        raise DecodeError(f"a configuration of {len(offer.configuration)} bytes")
    _check_numbers(offer.stamped_ms)
    return Offer(attempt, offer.index, offer.base_term, offer.configuration, offer.stamped_ms, offer.state_format)


def _ending(attempt: int, ending: snapshot_pb2.Ending) -> Ending:
    _check_numbers(ending.number, ending.pairs)
    if len(ending.digest) != DIGEST_BYTES or ending.number == 0:
        raise DecodeError("an ending without a digest or a number")
    return Ending(attempt, ending.number, ending.pairs, ending.digest)


def _pieces(attempt: int, header: snapshot_pb2.Pieces, raw: memoryview) -> Pieces:
    _check_numbers(header.number)
    count = len(header.key_lengths)
    if count != len(header.value_lengths) or max(count, len(header.bodies)) > PIECES_MAX:
        raise DecodeError("too many pieces, or keys without values")
    if header.number == 0 or (count > 0) == (len(header.bodies) > 0):
        raise DecodeError("pieces without a number, of both kinds, or of none")
    sizes = [*header.key_lengths, *header.value_lengths, *[body.length for body in header.bodies]]
    if sum(sizes) != len(raw):
        raise DecodeError("lengths of the pieces are not those of their bytes")
    if count:
        return Pieces(attempt, header.number, pairs=_pairs(header, raw))
    return Pieces(attempt, header.number, bodies=_bodies(header, raw))


def _pairs(header: snapshot_pb2.Pieces, raw: memoryview) -> tuple[tuple[bytes, bytes], ...]:
    pairs: list[tuple[bytes, bytes]] = []
    at, last = 0, b""
    for key_length, value_length in zip(header.key_lengths, header.value_lengths, strict=True):
        if key_length == 0:
            raise DecodeError("an empty key")
        _check_key(key_length)
        key = bytes(raw[at : at + key_length])
        if key <= last:
            raise DecodeError("keys that do not ascend")
        at += key_length + value_length
        pairs.append((key, bytes(raw[at - value_length : at])))
        last = key
    return tuple(pairs)


def _bodies(header: snapshot_pb2.Pieces, raw: memoryview) -> tuple[BodyPiece, ...]:
    bodies: list[BodyPiece] = []
    at, last = 0, 0
    for body in header.bodies:
        _check_entry(body.index, body.term)
        if body.start + body.total_length > PAYLOAD_BYTES_MAX or body.offset + body.length > body.total_length:
            raise DecodeError("a part of a body outside of it")
        if body.index <= last or (body.length == 0) != body.damaged:
            raise DecodeError("bodies that do not ascend, or without bytes")
        bodies.append(
            BodyPiece(
                body.index,
                body.term,
                body.start,
                body.total_length,
                body.offset,
                bytes(raw[at : at + body.length]),
                body.crc32c,
                body.damaged,
            )
        )
        at += body.length
        last = body.index
    return tuple(bodies)


def _body_found(header: snapshot_pb2.BodyFound, raw: memoryview) -> BodyFound:
    _check_entry(header.index, header.entry_term if header.found else 1)
    if header.start + len(raw) > PAYLOAD_BYTES_MAX or header.found != (len(raw) > 0):
        raise DecodeError("a body that no entry can have")
    return BodyFound(header.index, header.entry_term, header.start, bytes(raw), header.found)


def _check_numbers(*numbers: int) -> None:
    for number in numbers:
        if not 0 <= number <= NUMBER_MAX:
            raise DecodeError(f"number out of range: {number}")


def _check_entry(index: int, term: int) -> None:
    _check_numbers(index, term)
    if index == 0 or term == 0:
        raise DecodeError("an entry of index or term 0")


def _check_key(length: int) -> None:
    if length > KEY_BYTES_MAX:
        raise DecodeError(f"a key of {length} bytes")

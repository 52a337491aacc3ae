"""What nodes say about snapshots survives its bytes, and nothing else is ever taken for it."""

import random
from collections.abc import Callable

import google_crc32c
import pytest

from tallymq.proto import snapshot_pb2
from tallymq.raftlog.codec import DecodeError
from tallymq.raftlog.settings import PAYLOAD_BYTES_MAX
from tallymq.raftlog.snapshot_codec import KEY_BYTES_MAX, PIECES_MAX, decode_snapshot, encode_snapshot
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

MESSAGES: tuple[SnapshotMessage, ...] = (
    Offer(1, 900, 4, b"configuration", 1_700_000_000_000),
    Want(1),
    Want(3, 77, b"key"),
    Pieces(1, 1, bodies=(BodyPiece(5, 2, 10, 300, 0, b"x" * 100), BodyPiece(6, 2, 0, 3, 0, b"abc", 99))),
    Pieces(1, 2, bodies=(BodyPiece(7, 2, 10, 300, 100, b"", 0, damaged=True),)),
    Pieces(1, 3, pairs=((b"a", b"1"), (b"a\0", b""), (b"b", b"2" * 1000))),
    Ending(1, 4, 3, bytes(range(32))),
    Ack(1, 4),
    Ack(2, 0),
    Installed(1, 900),
    Refused(9),
    BodyWanted(5),
    BodyFound(5, 2, 30, b"bytes", found=True),
    BodyFound(5),
)


def framed(message: SnapshotMessage) -> bytes:
    return b"".join(encode_snapshot(Envelope(3, "n1", "n2+5", 7, message)))


def with_header(change: Callable[[snapshot_pb2.SnapshotFrame], object], message: SnapshotMessage, raw: bytes) -> bytes:
    """A sound frame whose header a hostile peer changed."""
    frame = framed(message)
    length = int.from_bytes(frame[4:8], "little")
    header = snapshot_pb2.SnapshotFrame.FromString(frame[8 : 8 + length])
    change(header)
    packed = header.SerializeToString()
    rest = len(packed).to_bytes(4, "little") + packed + raw
    return google_crc32c.value(rest).to_bytes(4, "little") + rest


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives_its_bytes(message: SnapshotMessage) -> None:
    assert decode_snapshot(framed(message)) == Envelope(3, "n1", "n2+5", 7, message)
    assert decode_snapshot(memoryview(framed(message))).message == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_flipped_bit_and_every_cut_is_found(message: SnapshotMessage) -> None:
    frame = framed(message)
    for at in range(len(frame)):
        with pytest.raises(DecodeError):
            decode_snapshot(frame[:at])
        flipped = bytearray(frame)
        flipped[at] ^= 1 << at % 8
        with pytest.raises(DecodeError):
            decode_snapshot(bytes(flipped))


HOSTILE: dict[str, tuple[SnapshotMessage, bytes, Callable[[snapshot_pb2.SnapshotFrame], object]]] = {
    "another format": (Ack(1, 1), b"", lambda h: setattr(h, "format_version", 2)),
    "a shard that cannot be": (Ack(1, 1), b"", lambda h: setattr(h, "shard", 5000)),
    "a member of many bytes": (Ack(1, 1), b"", lambda h: setattr(h, "from_member", "n" * 200)),
    "a term out of range": (Ack(1, 1), b"", lambda h: setattr(h, "term", 1 << 63)),
    "no kind": (Refused(1), b"", lambda h: h.ClearField("refused")),
    "raw bytes where there are none": (Ack(1, 1), b"x", lambda h: None),
    "a snapshot of a later term than its leader's": (Offer(1, 9, 4), b"", lambda h: setattr(h.offer, "base_term", 8)),
    "a snapshot of nothing": (Offer(1, 9, 4), b"", lambda h: setattr(h.offer, "index", 0)),
    "a large configuration": (Offer(1, 9, 4), b"", lambda h: setattr(h.offer, "configuration", bytes(65_537))),
    "a short digest": (Ending(1, 4, 3, bytes(32)), b"", lambda h: setattr(h.ending, "digest", b"short")),
    "keys going back": (Pieces(1, 1, pairs=((b"b", b""), (b"c", b""))), b"ba", lambda h: None),
    "a key twice": (Pieces(1, 1, pairs=((b"b", b""), (b"c", b""))), b"bb", lambda h: None),
    "a key without a value": (Pieces(1, 1, pairs=((b"b", b"x"),)), b"bx", lambda h: h.pieces.key_lengths.append(0)),
    "an empty key": (Pieces(1, 1, pairs=((b"b", b""),)), b"", lambda h: h.pieces.key_lengths.__setitem__(0, 0)),
    "a value past the end": (
        Pieces(1, 1, pairs=((b"b", b"x"),)),
        b"bx",
        lambda h: h.pieces.value_lengths.__setitem__(0, 9),
    ),
    "a long key": (
        Pieces(1, 1, pairs=((b"b", b""),)),
        bytes(KEY_BYTES_MAX + 1),
        lambda h: h.pieces.key_lengths.__setitem__(0, KEY_BYTES_MAX + 1),
    ),
    "too many pairs": (
        Pieces(1, 1, pairs=((b"b", b""),)),
        bytes(PIECES_MAX + 1),
        lambda h: (h.pieces.key_lengths.extend([1] * PIECES_MAX), h.pieces.value_lengths.extend([0] * PIECES_MAX)),
    ),
    "bodies and pairs": (
        Pieces(1, 1, bodies=(BodyPiece(5, 2, 0, 1, 0, b"x"),)),
        b"xk",
        lambda h: (h.pieces.key_lengths.append(1), h.pieces.value_lengths.append(0)),
    ),
    "pieces of nothing": (Pieces(1, 1, pairs=((b"b", b""),)), b"", lambda h: h.ClearField("pieces")),
    "a body larger than any entry": (
        Pieces(1, 1, bodies=(BodyPiece(5, 2, 0, 1, 0, b"x"),)),
        b"x",
        lambda h: setattr(h.pieces.bodies[0], "total_length", PAYLOAD_BYTES_MAX + 1),
    ),
    "a part outside its body": (
        Pieces(1, 1, bodies=(BodyPiece(5, 2, 0, 1, 0, b"x"),)),
        b"x",
        lambda h: setattr(h.pieces.bodies[0], "offset", 1),
    ),
    "bodies going back": (
        Pieces(1, 1, bodies=(BodyPiece(5, 2, 0, 1, 0, b"x"), BodyPiece(6, 2, 0, 1, 0, b"y"))),
        b"xy",
        lambda h: setattr(h.pieces.bodies[1], "index", 4),
    ),
    "a body that was found and has no bytes": (BodyFound(5), b"", lambda h: setattr(h.body_found, "found", True)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_hostile_peer_says_is_refused(name: str) -> None:
    message, raw, change = HOSTILE[name]
    with pytest.raises(DecodeError):
        decode_snapshot(with_header(change, message, raw))


def test_random_bytes_are_refused_and_never_crash() -> None:
    chance = random.Random(5)
    frames = [framed(message) for message in MESSAGES]
    for _ in range(3_000):
        frame = bytearray(chance.choice(frames))
        for _ in range(chance.randint(1, 4)):
            frame[chance.randrange(4, len(frame))] = chance.randrange(256)
        # With a checksum that fits, so that the decoder's own checks are what is tried.
        frame[:4] = google_crc32c.value(bytes(frame[4:])).to_bytes(4, "little")
        try:
            envelope = decode_snapshot(bytes(frame))
        except DecodeError:
            continue
        assert b"".join(encode_snapshot(envelope))

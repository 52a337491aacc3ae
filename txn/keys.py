"""Where everything of a shard lies: a letter, then parts of fixed width, big-endian, so that order is by number.

A name stands only at the end of a key, or behind its length, so no name is the beginning of another's range.
`place` is a queue of one topic (12 bytes), `seat` a group's place on that queue (20 bytes).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from functools import lru_cache

_PLACE = struct.Struct(">QI")
_SEAT = struct.Struct(">QIQ")
_HALF = struct.Struct(">QI")
_DUE = struct.Struct(">Q")
_DECISION = struct.Struct(">QII")
_DELAYED = struct.Struct(">QQI")
_TIMER = struct.Struct(">QB")
_WAITING = struct.Struct(">QQ")

NUMBER_MAX = (1 << 64) - 1
"""The greatest number a part of eight bytes holds."""

_LAST = b"\xff" * 64

COUNTS = b"Z"
TOPICS = b"T"
GROUPS = b"G"
QUEUES = b"Q"
ENTRIES = b"E"
DELAYED = b"Y"
CURSORS = b"C"
PIECES = b"P"
WAITING = b"V"
DEAD_LETTERS = b"D"
FRAMES = b"F"
HALVES = b"H"
TIMES = b"W"
DECISIONS = b"R"
BODIES = b"B"
IN_DOUBT = b"U"
CHECKS = b"K"
TIMERS = b"X"


class Timer(IntEnum):
    """What a timer is for."""

    PIECE = 1
    DELAYED = 2
    HALF = 3
    FRAME = 4


def end_of(prefix: bytes) -> bytes:
    """Return a key behind all keys of this room that begin with `prefix`: no part of a key is longer than 64 bytes.

    Names are UTF-8, where the byte 255 never stands; numbers of 64 bytes there are none.
    """
    return prefix + _LAST


def topic_key(name: str) -> bytes:
    """Metadata: a topic by its name."""
    return TOPICS + name.encode()


def group_key(name: str) -> bytes:
    """Return the key of a consumer group by its name."""
    return GROUPS + name.encode()


@lru_cache(maxsize=4096)
def queue_key(topic: str, queue: int) -> bytes:
    """Return the key of a queue that this shard owns."""
    name = topic.encode()
    return b"%b%b%b%b" % (QUEUES, len(name).to_bytes(4, "big"), name, queue.to_bytes(4, "big"))


def queue_name(key: bytes) -> tuple[str, int]:
    """Return topic and number of a queue from its key."""
    return key[5:-4].decode(), int.from_bytes(key[-4:], "big")


def place_of(topic_id: int, queue: int) -> bytes:
    """Return the part of keys that names a queue."""
    return _PLACE.pack(topic_id, queue)


def seat_of(topic_id: int, queue: int, group_number: int) -> bytes:
    """Return the part of keys that names a group's place on a queue."""
    return _SEAT.pack(topic_id, queue, group_number)


def entry_key(place: bytes, last_offset: int) -> bytes:
    """Queue entry by its last offset: the first key at or above an offset is the entry that holds it."""
    return ENTRIES + place + _DUE.pack(last_offset)


def delayed_key(place: bytes, due_ms: int, index: int, batch: int) -> bytes:
    """Records of one batch that become visible at one time."""
    return DELAYED + place + _DELAYED.pack(due_ms, index, batch)


def cursor_key(seat: bytes) -> bytes:
    """Where a group stands on a queue."""
    return CURSORS + seat


def piece_key(seat: bytes, last_offset: int) -> bytes:
    """Outstanding messages of a group, by the last offset of the piece."""
    return PIECES + seat + _DUE.pack(last_offset)


def waiting_key(seat: bytes, due_ms: int, last_offset: int) -> bytes:
    """A piece that waits for its next attempt, by the time it is due."""
    return WAITING + seat + _WAITING.pack(due_ms, last_offset)


def dead_key(seat: bytes, last_offset: int) -> bytes:
    """Dead letters of a group out of one batch, by the last offset."""
    return DEAD_LETTERS + seat + _DUE.pack(last_offset)


def half_key(index: int, batch: int) -> bytes:
    """Return the key of a half batch."""
    return HALVES + _HALF.pack(index, batch)


def half_name(key: bytes) -> tuple[int, int]:
    """Return index and batch from the end of a key that ends with them."""
    index, batch = _HALF.unpack(key[-12:])
    return index, batch


def in_doubt_key(index: int, batch: int) -> bytes:
    """Mark of a half batch with transactions in doubt, so that these can be listed without the decided ones."""
    return IN_DOUBT + _HALF.pack(index, batch)


def times_key(index: int, batch: int) -> bytes:
    """Delivery times of a half batch; apart, because they never change and may be long."""
    return TIMES + _HALF.pack(index, batch)


def decision_key(index: int, batch: int, number: int) -> bytes:
    """Who decided what of a half batch, in order; apart, because a batch may be decided record by record."""
    return DECISIONS + _DECISION.pack(index, batch, number)


def frame_key(instance: int, sequence: int) -> bytes:
    """Return the key of a stored frame by its identity."""
    return FRAMES + _HALF.pack(instance, sequence)


def body_key(index: int) -> bytes:
    """How many things refer to the bodies of one Raft entry."""
    return BODIES + _DUE.pack(index)


def check_key(due_ms: int, index: int, batch: int) -> bytes:
    """When a half batch is to be checked next."""
    return CHECKS + _DELAYED.pack(due_ms, index, batch)


def timer_key(due_ms: int, timer: Timer, rest: bytes) -> bytes:
    """Something to be done by Expire once `due_ms` is reached."""
    return TIMERS + _TIMER.pack(due_ms, timer) + rest


def timer_parts(key: bytes) -> tuple[int, int, bytes]:
    """Return due time, kind and rest of a timer's key."""
    due_ms, timer = _TIMER.unpack(key[1:10])
    return due_ms, timer, key[10:]


def number_at(key: bytes, start: int) -> int:
    """Return the number of eight bytes that stands at `start` of a key; below zero, from its end."""
    number: int = _DUE.unpack_from(key, start)[0]
    return number


def number_part(number: int) -> bytes:
    """Return the part of keys that holds one number."""
    return _DUE.pack(number)


def seat_queue(seat: bytes) -> int:
    """Return the queue's number from a seat."""
    return int.from_bytes(seat[8:12], "big")


def due_before(prefix: bytes, due_ms: int) -> bytes:
    """Return the end of the range of keys `prefix` + due times up to and including `due_ms`."""
    return prefix + _DUE.pack(due_ms + 1)


def half_part(index: int, batch: int) -> bytes:
    """Return the part of keys that names a half batch, or a frame by instance and sequence."""
    return _HALF.pack(index, batch)

"""Leasing: messages of a queue go to one consumer of a group for a time, first what is due again, then what is new.

Rule 5: a message is leased to one consumer at a time, and every lease of a group on a queue has a token of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from tallymq.txn import bits, keys
from tallymq.txn.commands import Lease
from tallymq.txn.draft import Draft
from tallymq.txn.outcomes import Leased, LeasedPiece, Refusal
from tallymq.txn.piece import cut_out, delete_piece, entries_at, put_piece
from tallymq.txn.state import CursorState, GroupState, Mark, PieceState, QueueEntry, QueueState
from tallymq.txn.transaction import append_visible

RECORDS_MAX = 16_384
"""Of one lease, whatever is asked: it bounds the bits of a piece, and with them the largest value of a group."""

_CHUNK = 64
"""Waiting pieces read at once; each holds a message at least, so the records wanted bound them all."""


class Room:
    """How much a reader still takes. The first record always fits, whatever its size."""

    def __init__(self, records_max: int, record_bytes_max: int) -> None:
        self.records = max(records_max, 1)
        self.record_bytes = max(record_bytes_max, 0)
        self.is_empty = True

    def take(self, entry: QueueEntry, count: int) -> int:
        """Return how many of `count` records of an entry fit, and count them as taken.

        Sizes within a batch are not known here; each record counts as an equal part of it.
        """
        reference = entry.source.reference
        fitting = min(count, self.records)
        if fitting * reference.length > self.record_bytes * reference.count:
            fitting = self.record_bytes * reference.count // reference.length
            if fitting == 0 and self.is_empty:
                fitting = 1
        if fitting:
            self.is_empty = False
            self.records -= fitting
            self.record_bytes = max(self.record_bytes - fitting * reference.length // reference.count, 0)
        return fitting


def read_pieces(
    draft: Draft, topic: str, place: bytes, piece: PieceState, outstanding: int, room: Room
) -> tuple[list[LeasedPiece], int]:
    """Return what of a piece fits, as runs within one batch each, and the bits of it that were taken."""
    found: list[LeasedPiece] = []
    taken = 0
    queue = keys.seat_queue(place)
    entries = entries_at(draft, place, piece.first_offset + bits.first(outstanding))
    entry = next(entries)
    for start, run in bits.runs(outstanding):
        offset, end = piece.first_offset + start, piece.first_offset + start + run
        while offset < end:
            while entry.first_offset + entry.count <= offset:
                entry = next(entries)
            assert entry.first_offset <= offset, "an outstanding offset without its queue entry"
            wanted = min(end, entry.first_offset + entry.count) - offset
            count = room.take(entry, wanted)
            if count:
                found.append(leased_piece(topic, queue, entry, offset, count, piece))
                taken |= bits.full(count) << (offset - piece.first_offset)
            if count < wanted:
                return found, taken
            offset += count
    return found, taken


def leased_piece(topic: str, queue: int, entry: QueueEntry, offset: int, count: int, piece: PieceState) -> LeasedPiece:
    """Return `count` records of a queue entry from `offset` on, with the piece's attempt and lease."""
    source = entry.source
    selected = bits.unpack(entry.selected) if entry.selected else bits.full(source.reference.count)
    return LeasedPiece(
        topic=topic,
        queue=queue,
        first_offset=offset,
        count=count,
        attempt=piece.attempt,
        lease=piece.lease,
        lease_until_ms=piece.due_ms,
        reference=source.reference,
        selected=bits.pick(selected, offset - entry.first_offset, count),
        instance=source.instance,
        sequence=source.sequence,
        first_position=source.first_position,
        visible_ms=entry.visible_ms,
    )


def lease(draft: Draft, command: Lease) -> Leased | Refusal:
    """Lease what there is, as far as it fits."""
    group = draft.get(keys.group_key(command.group), GroupState)
    if group is None:
        return Refusal.UNKNOWN_GROUP
    append_visible(draft)
    queue = draft.get(keys.queue_key(command.topic, command.queue), QueueState)
    if queue is None:
        return Refusal.UNKNOWN_QUEUE
    if queue.dropping:
        return Refusal.TOPIC_DELETING
    seat = keys.seat_of(queue.topic_id, command.queue, group.number)
    known = draft.get(keys.cursor_key(seat), CursorState)
    cursor = known
    if cursor is None:
        start = queue.next_offset if command.start_at_latest else queue.first_offset
        cursor = CursorState(command.group, command.topic, start)
    room = Room(min(command.records_max, RECORDS_MAX), command.record_bytes_max)
    stamp = PieceState(
        first_offset=0,
        outstanding=b"",
        attempt=1,
        lease=cursor.lease_last + 1,
        due_ms=draft.stamped_ms + (command.lease_ms or group.lease_ms),
        consumer=command.consumer,
    )
    cursor, again = _lease_waiting(draft, seat, cursor, stamp, room)
    cursor, fresh = _lease_new(draft, seat, cursor, queue, stamp, room)
    found = again + fresh
    if found:
        cursor = replace(cursor, lease_last=stamp.lease)
    if cursor is not known:
        draft.put(keys.cursor_key(seat), cursor)
    return Leased(tuple(found), next_due_ms(draft, seat))


def _lease_waiting(
    draft: Draft, seat: bytes, cursor: CursorState, stamp: PieceState, room: Room
) -> tuple[CursorState, list[LeasedPiece]]:
    found: list[LeasedPiece] = []
    if cursor.waiting == 0:
        return cursor, found
    for last_offset in _due(draft, seat):
        if room.records == 0:
            break
        piece = draft.get(keys.piece_key(seat, last_offset), PieceState)
        assert piece is not None, "a waiting key without its piece"
        outstanding = bits.unpack(piece.outstanding)
        leased = replace(stamp, first_offset=piece.first_offset, attempt=piece.attempt + 1)
        pieces, taken = read_pieces(draft, cursor.topic, seat[:12], leased, outstanding, room)
        if taken == 0:
            break
        if taken == outstanding:
            delete_piece(draft, seat, last_offset, piece)
        else:
            cut_out(draft, seat, last_offset, piece, taken)
        put_piece(draft, seat, taken, leased)
        count = taken.bit_count()
        cursor = replace(cursor, waiting=cursor.waiting - count, leased=cursor.leased + count)
        found += pieces
    return cursor, found


def _due(draft: Draft, seat: bytes) -> Iterator[int]:
    """Yield the last offsets of the pieces whose next attempt is due, longest due first."""
    start = keys.waiting_key(seat, 0, 0)
    end = keys.due_before(start[:-16], draft.stamped_ms)
    while True:
        due = draft.range(start, end, _CHUNK, Mark)
        for key, _ in due:
            yield keys.number_at(key, -8)
        if len(due) < _CHUNK:
            return
        start = due[-1][0] + b"\0"


def _lease_new(
    draft: Draft, seat: bytes, cursor: CursorState, queue: QueueState, stamp: PieceState, room: Room
) -> tuple[CursorState, list[LeasedPiece]]:
    start = max(cursor.next_offset, queue.first_offset)
    wanted = min(queue.next_offset - start, room.records)
    if wanted <= 0:
        return cursor, []
    leased = replace(stamp, first_offset=start)
    pieces, taken = read_pieces(draft, cursor.topic, seat[:12], leased, bits.full(wanted), room)
    put_piece(draft, seat, taken, leased)
    count = taken.bit_count()
    if count:
        cursor = replace(cursor, next_offset=start + count, leased=cursor.leased + count)
    return cursor, pieces


def next_due_ms(draft: Draft, seat: bytes) -> int:
    """Return when the next redelivery to a group is due, 0 if none waits."""
    start = keys.waiting_key(seat, 0, 0)
    waiting = draft.range(start, keys.end_of(start[:-16]), 1, Mark)
    return keys.number_at(waiting[0][0], -16) if waiting else 0

"""Pieces: outstanding messages of one group that share an attempt, a lease and a time.

Rule 4: an offset below the cursor is in exactly one place: in a piece (leased or waiting), among the dead letters, or
acknowledged. Pieces never overlap, so the piece that holds an offset is the first one whose last offset is not below
it; and the floor, the first offset not done with, is the first offset of the first piece.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from tallymq.txn import bits, keys
from tallymq.txn.draft import Draft
from tallymq.txn.group import backoff_ms
from tallymq.txn.state import MARK, CursorState, DeadState, GroupState, PieceState, QueueEntry

_CHUNK = 16
"""Keys read at once where nobody knows how many will be wanted."""

LEASE_ENDED = "lease ended"
"""The reason of a dead letter whose last consumer said nothing."""


def span(first_offset: int, outstanding: int) -> tuple[int, int, int]:
    """Return first offset, last offset and bits, without the bits below the first."""
    below = bits.first(outstanding)
    outstanding >>= below
    first_offset += below
    return first_offset, first_offset + outstanding.bit_length() - 1, outstanding


def put_piece(draft: Draft, seat: bytes, outstanding: int, piece: PieceState) -> None:
    """Store a piece with these bits (counted from its first offset), and what wakes it; nothing if there are none."""
    if outstanding == 0:
        return
    first_offset, last_offset, outstanding = span(piece.first_offset, outstanding)
    piece = replace(piece, first_offset=first_offset, outstanding=bits.pack(outstanding))
    draft.put(keys.piece_key(seat, last_offset), piece)
    draft.put_timer(piece.due_ms, keys.Timer.PIECE, seat + keys.number_part(last_offset))
    if piece.lease == 0:
        draft.put(keys.waiting_key(seat, piece.due_ms, last_offset), MARK)


def delete_piece(draft: Draft, seat: bytes, last_offset: int, piece: PieceState) -> None:
    """Remove a piece and what wakes it."""
    draft.delete(keys.piece_key(seat, last_offset))
    draft.delete(keys.timer_key(piece.due_ms, keys.Timer.PIECE, seat + keys.number_part(last_offset)))
    if piece.lease == 0:
        draft.delete(keys.waiting_key(seat, piece.due_ms, last_offset))


def overlapping(draft: Draft, seat: bytes, start: int, end: int) -> Iterator[tuple[int, PieceState]]:
    """Yield (last offset, piece) of the pieces that span any of the offsets [start, end), from below."""
    until = keys.end_of(keys.piece_key(seat, 0)[:-8])
    while True:
        pairs = draft.range(keys.piece_key(seat, start), until, _CHUNK, PieceState)
        for key, piece in pairs:
            if piece.first_offset >= end:
                return
            yield keys.number_at(key, -8), piece
        if len(pairs) < _CHUNK:
            return
        start = keys.number_at(pairs[-1][0], -8) + 1


def floor_of(draft: Draft, seat: bytes, cursor: CursorState) -> int:
    """Return the first offset that a group has not done with: that of its first piece, else the next one to lease."""
    start = keys.piece_key(seat, 0)
    pieces = draft.range(start, keys.end_of(start[:-8]), 1, PieceState)
    return pieces[0][1].first_offset if pieces else cursor.next_offset


def within(piece: PieceState, start: int, end: int) -> int:
    """Return the piece's outstanding bits at offsets [start, end), counted from its first offset."""
    outstanding = bits.unpack(piece.outstanding)
    low = max(start - piece.first_offset, 0)
    high = min(max(end - piece.first_offset, 0), outstanding.bit_length())
    return outstanding & (bits.full(high) >> low << low)


def cut_out(draft: Draft, seat: bytes, last_offset: int, piece: PieceState, middle: int) -> None:
    """Take the bits `middle`, all there are from the first to the last of them, out of a piece.

    What is left below and above become two pieces, so that a piece made of the middle overlaps neither.
    """
    delete_piece(draft, seat, last_offset, piece)
    outstanding = bits.unpack(piece.outstanding)
    low = bits.full(bits.first(middle))
    high = bits.full(middle.bit_length())
    put_piece(draft, seat, outstanding & low, piece)
    put_piece(draft, seat, outstanding & ~high, piece)


def entries_at(draft: Draft, place: bytes, offset: int) -> Iterator[QueueEntry]:
    """Yield the queue entries from the one that holds `offset` on."""
    until = keys.end_of(keys.entry_key(place, 0)[:-8])
    chunk = 2
    while True:
        pairs = draft.range(keys.entry_key(place, offset), until, chunk, QueueEntry)
        for _, entry in pairs:
            yield entry
        if len(pairs) < chunk:
            return
        offset = keys.number_at(pairs[-1][0], -8) + 1
        chunk = min(chunk * 4, 256)


def retry_or_bury(
    draft: Draft,
    group: GroupState,
    seat: bytes,
    cursor: CursorState,
    piece: PieceState,
    outstanding: int,
    *,
    due_ms: int,
    reason: str,
    dead_letter: bool,
) -> CursorState:
    """Let leased messages, already cut out of their piece, wait until `due_ms` (0: the group's back-off) or die."""
    count = outstanding.bit_count()
    cursor = replace(cursor, leased=cursor.leased - count)
    if dead_letter or piece.attempt >= group.attempts_max:
        bury(draft, seat, piece, outstanding, reason)
        return replace(cursor, dead_letters=cursor.dead_letters + count)
    due_ms = due_ms or draft.stamped_ms + backoff_ms(group, piece.attempt)
    put_piece(draft, seat, outstanding, replace(piece, lease=0, consumer=0, due_ms=due_ms))
    if due_ms <= draft.stamped_ms:
        draft.grew(cursor.topic, keys.seat_queue(seat), cursor.group)
    return replace(cursor, waiting=cursor.waiting + count)


def bury(draft: Draft, seat: bytes, piece: PieceState, outstanding: int, reason: str) -> None:
    """Put messages among the dead letters, by reference."""
    first_offset, last_offset, outstanding = span(piece.first_offset, outstanding)
    for entry in entries_at(draft, seat[:12], first_offset):
        if entry.first_offset > last_offset:
            break
        low = max(entry.first_offset - first_offset, 0)
        high = entry.first_offset + entry.count - first_offset
        here = outstanding & (bits.full(high) >> low << low)
        if here == 0:
            continue
        dead_first, dead_last, here = span(first_offset, here)
        dead = DeadState(dead_first, bits.pack(here), piece.attempt, reason, draft.stamped_ms, entry)
        draft.put(keys.dead_key(seat, dead_last), dead)
        draft.need_body(entry.source.reference.index)

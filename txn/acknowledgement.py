"""What consumers say of their leases: done, again please, more time please.

Rule 6: only the token that holds a message may speak of it. Saying again what is so already is fine. A range is taken
whole or refused whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from tallymq.txn import bits, keys
from tallymq.txn.commands import Acknowledge, Extend, LeasedRange, NegativeAcknowledge
from tallymq.txn.draft import Draft
from tallymq.txn.outcomes import RangesDone, Refusal
from tallymq.txn.piece import LEASE_ENDED, cut_out, delete_piece, overlapping, put_piece, retry_or_bury, within
from tallymq.txn.state import CursorState, DeadState, GroupState, PieceState, QueueState


@dataclass(frozen=True, slots=True)
class _Held:
    """Messages of a range that its token still holds: bits `touched` of the piece that ends at `last_offset`."""

    last_offset: int
    piece: PieceState
    touched: int


_Change = Callable[[GroupState, bytes, CursorState, _Held], CursorState]


def acknowledge(draft: Draft, command: Acknowledge) -> RangesDone | Refusal:
    """Messages are done with."""

    def change(group: GroupState, seat: bytes, cursor: CursorState, held: _Held) -> CursorState:
        delete_piece(draft, seat, held.last_offset, held.piece)
        put_piece(draft, seat, bits.unpack(held.piece.outstanding) ^ held.touched, held.piece)
        return replace(cursor, leased=cursor.leased - held.touched.bit_count())

    return _each(draft, command.group, command.ranges, change)


def negative_acknowledge(draft: Draft, command: NegativeAcknowledge) -> RangesDone | Refusal:
    """Messages must come again, or are dead letters: asked for, or because it was the last attempt."""
    due_ms = draft.stamped_ms + command.delay_ms if command.delay_ms else 0

    def change(group: GroupState, seat: bytes, cursor: CursorState, held: _Held) -> CursorState:
        cut_out(draft, seat, held.last_offset, held.piece, held.touched)
        return retry_or_bury(
            draft,
            group,
            seat,
            cursor,
            held.piece,
            held.touched,
            due_ms=due_ms,
            reason=command.reason or LEASE_ENDED,
            dead_letter=command.dead_letter,
        )

    return _each(draft, command.group, command.ranges, change)


def extend(draft: Draft, command: Extend) -> RangesDone | Refusal:
    """Leases end later (or sooner): `lease_ms` from now."""

    def change(group: GroupState, seat: bytes, cursor: CursorState, held: _Held) -> CursorState:
        cut_out(draft, seat, held.last_offset, held.piece, held.touched)
        due_ms = draft.stamped_ms + (command.lease_ms or group.lease_ms)
        put_piece(draft, seat, held.touched, replace(held.piece, due_ms=due_ms))
        return cursor

    return _each(draft, command.group, command.ranges, change)


def _each(draft: Draft, name: str, ranges: tuple[LeasedRange, ...], change: _Change) -> RangesDone | Refusal:
    group = draft.get(keys.group_key(name), GroupState)
    if group is None:
        return Refusal.UNKNOWN_GROUP
    return RangesDone(tuple([_one(draft, group, leased, change) for leased in ranges]))


def _one(draft: Draft, group: GroupState, leased: LeasedRange, change: _Change) -> Refusal | None:
    queue = draft.get(keys.queue_key(leased.topic, leased.queue), QueueState)
    if queue is None or queue.dropping:
        return Refusal.UNKNOWN_QUEUE
    seat = keys.seat_of(queue.topic_id, leased.queue, group.number)
    cursor = draft.get(keys.cursor_key(seat), CursorState)
    if cursor is None or not _was_leased(cursor, leased):
        return Refusal.LEASE_LOST
    held = _held(draft, seat, cursor, leased)
    if held is None:
        return Refusal.LEASE_LOST
    for part in held:
        cursor = change(group, seat, cursor, part)
    if held:
        draft.put(keys.cursor_key(seat), cursor)
    return None


def _was_leased(cursor: CursorState, leased: LeasedRange) -> bool:
    return (
        1 <= leased.lease <= cursor.lease_last
        and leased.count >= 1
        and leased.first_offset + leased.count <= cursor.next_offset
    )


def _held(draft: Draft, seat: bytes, cursor: CursorState, leased: LeasedRange) -> list[_Held] | None:
    """Return what of the range the token holds, None if another lease, or none, holds any of it."""
    start, end = leased.first_offset, leased.first_offset + leased.count
    held: list[_Held] = []
    for last_offset, piece in overlapping(draft, seat, start, end):
        touched = within(piece, start, end)
        if touched == 0:
            continue
        if piece.lease != leased.lease:
            return None
        held.append(_Held(last_offset, piece, touched))
    if cursor.dead_letters and _any_dead(draft, seat, start, end):
        return None
    return held


def _any_dead(draft: Draft, seat: bytes, start: int, end: int) -> bool:
    """Return whether any offset of [start, end) is a dead letter: it was given up, so saying "done" is too late."""
    until = keys.end_of(keys.dead_key(seat, 0)[:-8])
    for _, dead in draft.range(keys.dead_key(seat, start), until, end - start, DeadState):
        if dead.first_offset >= end:
            return False
        low = max(start - dead.first_offset, 0)
        if bits.unpack(dead.outstanding) & (bits.full(end - dead.first_offset) >> low << low):
            return True
    return False

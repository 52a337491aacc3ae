"""Timers: what falls due is done by a replicated command, so every replica does it at the same place of the log.

Rule 7: a timer does what is due now, if it still is; done again, it does nothing.
"""

from __future__ import annotations

from tallymq.txn import bits, frame, keys, queue, transaction
from tallymq.txn.commands import Expire
from tallymq.txn.draft import Draft
from tallymq.txn.outcomes import Expired
from tallymq.txn.piece import LEASE_ENDED, delete_piece, retry_or_bury
from tallymq.txn.state import CursorState, GroupState, Mark, PieceState


def expire(draft: Draft, command: Expire) -> Expired:
    """Handle the timers that are due, earliest first."""
    limit = max(command.limit, 1)
    due = draft.range(keys.TIMERS, keys.due_before(keys.TIMERS, draft.stamped_ms), limit, Mark)
    handled = 0
    for key, _ in due:
        if handled >= limit:
            break
        handled += _fire(draft, key, limit - handled)
    return Expired(handled, next_timer_ms(draft))


def next_timer_ms(draft: Draft) -> int:
    """Return when the earliest timer is due, 0 if there is none."""
    first = draft.range(keys.TIMERS, keys.end_of(keys.TIMERS), 1, Mark)
    return keys.number_at(first[0][0], 1) if first else 0


def _fire(draft: Draft, key: bytes, limit: int) -> int:
    """Handle one timer; return how much work that was, at least 1."""
    due_ms, timer, rest = keys.timer_parts(key)
    if timer == keys.Timer.HALF:
        forgotten, complete = transaction.forget(draft, rest, limit)
        if complete:
            draft.delete(key)
        return max(forgotten, 1)
    draft.delete(key)
    if timer == keys.Timer.PIECE:
        _end_piece(draft, due_ms, rest)
    elif timer == keys.Timer.DELAYED:
        queue.release(draft, due_ms, rest)
    elif timer == keys.Timer.FRAME:
        frame.forget(draft, *keys.half_name(rest))
    else:
        raise ValueError(f"a timer of unknown kind {timer}")
    return 1


def _end_piece(draft: Draft, due_ms: int, rest: bytes) -> None:
    """End a lease that ran out, or wake the group for messages whose next attempt is due."""
    seat, last_offset = rest[:20], keys.number_at(rest, -8)
    piece = draft.get(keys.piece_key(seat, last_offset), PieceState)
    cursor = draft.get(keys.cursor_key(seat), CursorState)
    if piece is None or cursor is None or piece.due_ms != due_ms:
        return
    if piece.lease == 0:
        draft.grew(cursor.topic, keys.seat_queue(seat), cursor.group)
        return
    group = draft.get(keys.group_key(cursor.group), GroupState)
    assert group is not None, "a group stands on a queue, so it is there"
    delete_piece(draft, seat, last_offset, piece)
    outstanding = bits.unpack(piece.outstanding)
    cursor = retry_or_bury(
        draft, group, seat, cursor, piece, outstanding, due_ms=0, reason=LEASE_ENDED, dead_letter=False
    )
    draft.put(keys.cursor_key(seat), cursor)

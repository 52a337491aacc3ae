"""A draft reads as if its changes were written, and says at the end what they are."""

import random

from tallymq.txn.draft import Draft
from tallymq.txn.state import CursorState, Mark
from tallymq.txn.types import ChecksDue, Delete, Put, TimersDue
from tests.support.view import SortedView


def cursor(number: int) -> CursorState:
    return CursorState("g", "t", number)


def draft_of(view: SortedView) -> Draft:
    return Draft(view, 1, 1, metadata_shard=True)


def test_ranges_see_the_changes_of_the_entry() -> None:
    for seed in range(200):
        choose = random.Random(seed)
        view = SortedView()
        expected: dict[bytes, CursorState] = {}
        draft = draft_of(view)
        for step in range(60):
            key = bytes((65, choose.randrange(20)))
            if choose.random() < 0.5:
                draft.put(key, cursor(step))
                expected[key] = cursor(step)
            elif choose.random() < 0.5:
                draft.delete(key)
                expected.pop(key, None)
            elif choose.random() < 0.3:
                view.fold(draft.effects())
                draft = draft_of(view)
            low, high, limit = choose.randrange(20), choose.randrange(20), choose.randrange(1, 8)
            start, end = bytes((65, low)), bytes((65, high))
            found = draft.range(start, end, limit, CursorState)
            assert found == sorted(pair for pair in expected.items() if start <= pair[0] < end)[:limit]
            assert draft.get(key, CursorState) == expected.get(key)


def test_of_two_changes_of_a_key_the_later_one_is_the_effect() -> None:
    draft = draft_of(SortedView())
    draft.put(b"A", cursor(1))
    draft.delete(b"A")
    draft.delete(b"B")
    draft.put(b"B", Mark())
    assert draft.effects() == (Delete(b"A"), Put(b"B", b"\x90"))


def test_of_several_due_times_the_earliest_is_announced() -> None:
    draft = draft_of(SortedView())
    for due_ms in (30, 10, 20):
        draft.check_set(due_ms)
    assert draft.effects() == (ChecksDue(10),)
    assert not any(isinstance(effect, TimersDue) for effect in draft.effects())

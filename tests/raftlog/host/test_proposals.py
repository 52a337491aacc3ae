"""Many callers become one entry, in order, within bounds."""

from tallymq.raftlog.proposals import COMMANDS_MAX, Proposals, command_bytes
from tallymq.txn.commands import Acknowledge, Barrier, Decide, Decision, LeasedRange, NegativeAcknowledge

SMALL = command_bytes(Barrier())


def test_all_that_wait_become_one_entry_in_the_order_they_came() -> None:
    proposals: Proposals[int] = Proposals(1 << 20, 1 << 30)
    for caller in range(20):
        assert proposals.add(Barrier(), (b"x" * caller,), caller)
    taken = proposals.take()
    assert [proposal.waiter for proposal in taken] == list(range(20))
    assert [len(proposal.bodies[0]) for proposal in taken] == list(range(20))
    assert not proposals


def test_an_entry_stays_within_its_size_and_no_command_is_split() -> None:
    proposals: Proposals[int] = Proposals(10_000, 1 << 30)
    for caller, size in enumerate((4000, 4000, 4000, 50_000, 1)):
        proposals.add(Barrier(), (bytes(size),), caller)
    entries = []
    while proposals:
        entries.append([proposal.waiter for proposal in proposals.take()])
    assert entries == [[0, 1], [2], [3], [4]]


def test_an_entry_holds_so_many_commands_at_most() -> None:
    proposals: Proposals[int] = Proposals(1 << 30, 1 << 30)
    for caller in range(COMMANDS_MAX + 1):
        proposals.add(Barrier(), (), caller)
    assert len(proposals.take()) == COMMANDS_MAX
    assert len(proposals.take()) == 1


def test_what_is_in_flight_counts_until_it_is_answered() -> None:
    proposals: Proposals[int] = Proposals(10_000, 10_000)
    assert proposals.add(Barrier(), (bytes(9_000),), 1)
    assert not proposals.add(Barrier(), (bytes(9_000),), 2)
    taken = proposals.take()
    assert not proposals.add(Barrier(), (bytes(9_000),), 3)
    proposals.release(taken)
    assert proposals.held_bytes == 0
    assert proposals.add(Barrier(), (bytes(9_000),), 4)


def test_what_was_not_taken_can_be_withdrawn_and_counts_no_more() -> None:
    proposals: Proposals[int] = Proposals(SMALL, 10_000)
    for caller in range(3):
        proposals.add(Barrier(), (), caller)
    taken = proposals.take()
    assert [proposal.waiter for proposal in proposals.withdraw()] == [1, 2]
    assert proposals.held_bytes == taken[0].size == SMALL


def test_large_bit_sets_are_counted() -> None:
    decide = Decide("g", "p", "call", (Decision(1, 0, 1, 1, (1 << 80_000) - 1, 0),))
    assert command_bytes(decide) > 10_000


def test_names_and_reasons_are_counted() -> None:
    ranges = tuple(LeasedRange("t" * 255, 1, 1, 1, 1) for _ in range(1000))
    assert command_bytes(Acknowledge("g", ranges)) > 255_000
    assert command_bytes(NegativeAcknowledge("g", (), 0, "r" * 1000, False)) > 1_000

"""One shard's view of the log: where it starts, what of it is durable."""

import pytest

from tallymq.raftlog.journal import Journal
from tests.raftlog.consensus.memory_log import MemoryLog


def filled(*terms: int) -> tuple[MemoryLog, Journal]:
    log = MemoryLog()
    journal = Journal(log, 1)
    for term in terms:
        journal.append(term, (b"x",))
    return log, journal


def test_every_node_starts_behind_the_same_entry_that_nobody_wrote() -> None:
    log, journal = filled()
    assert (len(journal), journal[0], journal[-1]) == (1, (b"", 0, 0), (b"", 0, 0))
    assert log.write_round() is None
    assert journal.append(1, (b"a", b"b")) == 1
    assert journal.read(1) == b"ab"


def test_an_entry_is_durable_when_its_round_is() -> None:
    log, journal = filled(1, 1)
    first = log.write_round()
    journal.append(1, (b"y",))
    second = log.write_round()
    assert journal.synced_index() == 0
    log.note_synced(first)
    assert journal.synced_index() == 2
    log.note_synced(second)
    assert journal.synced_index() == 3


def test_a_truncation_takes_durability_back() -> None:
    log, journal = filled(1, 1, 1)
    log.sync_all()
    assert journal.synced_index() == 3
    journal.truncate(2)
    journal.append(2, (b"other",))
    journal.append(2, (b"other",))
    assert journal.synced_index() == 1
    assert (journal.last_index, journal.last_term) == (3, 2)
    log.sync_all()
    assert journal.synced_index() == 3


def test_the_base_and_what_is_not_there_cannot_be_truncated() -> None:
    _, journal = filled(1, 1)
    for index in (-1, 0, 3):
        with pytest.raises(ValueError, match="truncate"):
            journal.truncate(index)
    journal.truncate(1)
    assert (journal.last_index, journal.last_term) == (0, 0)


def test_a_run_of_one_term_is_found_from_any_of_its_entries() -> None:
    _, journal = filled(1, 1, 3, 3, 3, 7)
    found = [[journal.first_of_term(index, low) for index in range(low, 7)] for low in (1, 4)]
    assert found == [[1, 1, 3, 3, 3, 6], [4, 4, 6]]


def test_term_and_vote_are_durable_when_their_round_is() -> None:
    log, journal = filled()
    assert journal.hard_state_synced()
    journal.setCurrentTerm(4, "b")
    assert not journal.hard_state_synced()
    written = log.write_round()
    assert not journal.hard_state_synced()
    log.note_synced(written)
    assert journal.hard_state_synced()
    again = Journal(log.cut(), 1)
    assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (4, "b")


def test_no_majority_index_is_remembered_that_could_lie_beyond_the_log() -> None:
    log, journal = filled(1, 1)
    assert journal.getRaftCommitIndex() == 0
    assert Journal(log.cut(), 1).last_index == 0


def test_a_journal_goes_on_behind_a_dropped_prefix() -> None:
    log, journal = filled(1, 1, 2, 2, 3)
    log.sync_all()
    journal.append(3, (b"not synced",))
    log.drop_prefix(1, 3, 2, b"")
    journal.rebase()
    assert (journal.base_index, journal.base_term, journal.last_index, journal.synced_index()) == (3, 2, 6, 5)
    assert [journal.term_at(index) for index in range(8)] == [None, None, None, 2, 2, 3, 3, None]
    assert (len(journal), journal[0], journal[1]) == (4, (b"", 3, 2), (b"", 4, 2))
    assert journal.first_of_term(6, 4) == 5
    journal.deleteEntriesFrom(2)
    assert (journal.last_index, journal.synced_index()) == (4, 4)
    with pytest.raises(ValueError, match="truncate"):
        journal.truncate(3)
    assert journal.append(4, (b"y",)) == 5


def test_a_journal_stands_still_until_it_is_told_that_its_log_begins_anew() -> None:
    log, journal = filled(1, 1)
    log.sync_all()
    assert journal.synced_index() == 2
    journal.append(1, (b"not synced",))
    log.append_base(1, 5, 2, 1, b"", [(1, b""), (1, b""), (1, b""), (1, b""), (2, b"")])
    assert journal.is_switching
    assert journal.synced_index() == 2
    for change in (lambda: journal.append(2, (b"x",)), lambda: journal.truncate(1)):
        with pytest.raises(RuntimeError, match="begins anew"):
            change()
    log.sync_all()
    assert journal.synced_index() == 2
    journal.rebase()
    assert (journal.base_index, journal.last_index, journal.last_term, journal.synced_index()) == (5, 5, 2, 5)
    assert journal.append(2, (b"x",)) == 6
    assert journal.synced_index() == 5

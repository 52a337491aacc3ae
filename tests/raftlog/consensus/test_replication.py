"""Entries on their way: windows, resets, slow and lost messages."""

from dataclasses import replace

import pytest

from tallymq.raftlog.consensus_progress import Progress
from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.messages import AppendEntries, AppendReply, LogEntry
from tests.raftlog.consensus.world import SETTINGS, SHARD, World


def appends(world: World, target: str) -> list[AppendEntries]:
    return [m for s, t, m in world.in_flight if t == target and isinstance(m, AppendEntries)]


def test_what_is_on_its_way_to_a_follower_is_bounded_in_bytes() -> None:
    settings = replace(SETTINGS, append_bytes_max=1_000, in_flight_bytes_max=4_000)
    world = World("ab", manual=True, settings=settings)
    leader = world.elect("a")
    world.in_flight.clear()
    for _ in range(100):
        world.propose(leader, b"x" * 100)
    sent = sum(len(entry.payload) for message in appends(world, "b") for entry in message.entries)
    assert 4_000 <= sent < 4_000 + 1_000
    world.deliver()
    assert world.nodes["b"].consensus.last_index == leader.consensus.last_index


def test_messages_hold_whole_entries_up_to_a_number_of_bytes() -> None:
    settings = replace(SETTINGS, append_bytes_max=1_000)
    world = World("ab", settings=settings)
    assert world.run(5_000, lambda: world.leader() is not None)
    leader = world.leader()
    follower = next(node for node in world.nodes.values() if node is not leader)
    follower.crash()
    leader.consensus.disconnected(follower.name)
    for size in (300, 300, 300, 300, 5_000, 10, 10):
        world.propose(leader, b"x" * size)
    follower.start()
    leader.consensus.connected(follower.name)
    world.sent.clear()
    assert world.run(5_000, lambda: follower.consensus.last_index == leader.consensus.last_index)
    messages = [m for _, _, m in world.sent if isinstance(m, AppendEntries) and m.entries]
    sizes = [[len(entry.payload) for entry in message.entries] for message in messages]
    assert [300, 300, 300] in sizes
    assert all(sum(one) <= 1_000 or len(one) == 1 for one in sizes)


def test_after_a_reset_only_empty_messages_are_sent_until_the_logs_agree() -> None:
    world = World("ab", manual=True)
    leader = world.elect("a")
    world.in_flight.clear()
    for _ in range(10):
        world.propose(leader, b"x" * 1000)
    world.in_flight.clear()
    for _ in range(5):
        world.now += world.settings.heartbeat_ms
        leader.consensus.tick()
    # Nothing was answered for an election time-out: what was sent is taken for lost.
    world.in_flight.clear()
    world.now += world.settings.heartbeat_ms
    leader.consensus.tick()
    for _ in range(3):
        world.propose(leader, b"more")
    assert [m.entries for m in appends(world, "b")] == [()]
    world.deliver()
    assert world.nodes["b"].consensus.last_index == leader.consensus.last_index


def test_a_conflict_goes_back_over_the_whole_term_in_one_step() -> None:
    world = World("abc", manual=True)
    follower = world.nodes["b"]
    mine = tuple(LogEntry(2, b"%d" % number) for number in range(500))
    follower.consensus.received("a", AppendEntries(2, 1, 0, 0, 0, (LogEntry(1, b"shared"), *mine)))
    follower.sync()
    follower.consensus.received("c", AppendEntries(3, 1, 400, 3, 0))
    follower.sync()
    assert world.in_flight[-1][2].reset_index == 2
    follower.consensus.received("c", AppendEntries(3, 2, 1, 1, 0, (LogEntry(3, b"theirs"),)))
    assert follower.log.shard_state(SHARD).entries == [(1, b"shared"), (3, b"theirs")]


def test_a_gap_is_answered_with_where_the_log_ends() -> None:
    world = World("abc", manual=True)
    follower = world.nodes["b"]
    follower.consensus.received("a", AppendEntries(2, 7, 400, 2, 0))
    follower.sync()
    assert world.in_flight[-1][2] == AppendReply(2, 7, 0, 0, 1)


def test_the_majority_index_goes_no_further_than_what_the_message_proves() -> None:
    world = World("abc", manual=True)
    follower = world.nodes["b"]
    follower.consensus.received("a", AppendEntries(1, 1, 0, 0, 0, (LogEntry(1, b"1"), LogEntry(1, b"never shared"))))
    follower.sync()
    world.majority_checked = False
    follower.consensus.received("c", AppendEntries(2, 1, 1, 1, 2))
    follower.sync()
    assert follower.consensus.majority_index == 1
    assert [payload for _, payload in follower.state] == [b"1"]


def test_the_last_of_several_resets_does_not_undo_the_first() -> None:
    progress = Progress(next_index=100, now_ms=0)
    first, second = progress.next_sequence(), progress.next_sequence()
    assert progress.refused(first, 50)
    assert not progress.refused(second, 100)
    assert progress.next_index == 50
    probe = progress.next_sequence()
    progress.answered(probe, 49, 49, 1)
    assert (progress.probing, progress.next_index) == (False, 50)


@pytest.mark.parametrize("claimed", [0, 1, 10])
def test_what_a_follower_has_durably_is_not_asked_about_again(claimed: int) -> None:
    progress = Progress(next_index=21, now_ms=0)
    progress.answered(progress.next_sequence(), 20, 10, 1)
    assert progress.refused(progress.next_sequence(), claimed)
    assert progress.next_index == 11
    assert progress.synced_index == 10
    assert progress.proven_index == 10, "the rest a power cut may have taken"


def test_a_follower_that_lost_what_was_not_synced_gets_it_again() -> None:
    world = World("ab", manual=True)
    leader, follower = world.elect("a"), world.nodes["b"]
    for _ in range(5):
        world.propose(leader, b"x")
    world.deliver()
    assert follower.consensus.last_index == leader.consensus.last_index
    world.in_flight.clear()
    follower.crash()
    follower.start()
    assert follower.consensus.last_index == 1
    for _ in range(3):
        world.now += world.settings.heartbeat_ms
        leader.consensus.tick()
        world.deliver()
    assert follower.consensus.last_index == leader.consensus.last_index
    for _ in range(3):
        follower.sync()
        leader.sync()
        world.deliver()
    assert len(world.acknowledged) == 5


def test_followers_hear_at_once_how_far_they_may_apply() -> None:
    world = World("abc")
    assert world.run(5_000, lambda: world.leader() is not None)
    world.run(1_000)
    leader = world.leader()
    world.propose(leader, b"x")
    done = world.run(90, lambda: all(node.state[-1][1] == b"x" for node in world.nodes.values()))
    assert done, "without waiting for a heartbeat, that is: twice there and back, and a sync on each side"


def test_a_follower_that_cannot_apply_takes_no_more_and_is_sent_it_again() -> None:
    world = World("ab", settings=replace(SETTINGS, append_bytes_max=1_000))
    assert world.run(5_000, lambda: world.leader() is not None)
    leader = world.leader()
    follower = next(node for node in world.nodes.values() if node is not leader)
    follower.may_append = False
    had = follower.consensus.last_index
    for number in range(5):
        world.propose(leader, b"%d" % number)
    world.run(3 * SETTINGS.election_ms_max, lambda: False)
    assert follower.consensus.last_index == had
    assert leader.consensus.is_leader, "it answers all the same, so nobody takes it for dead"
    follower.may_append = True
    assert world.run(5_000, lambda: follower.consensus.applied_index == leader.consensus.last_index > had)


@pytest.mark.parametrize("at", ["the search for where the logs agree", "an entry a follower needs"])
def test_damage_met_on_the_way_stops_the_shard_and_not_the_node(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("ab", manual=True)
    leader = world.elect("a")

    def damaged(*_place: int) -> bytes:
        raise BodyDamaged("entry 1 is damaged")

    if at.startswith("an entry"):
        world.deliver()
        monkeypatch.setattr(leader.log, "read_entry", damaged)
        world.propose(leader, b"x")
        node = leader
    else:
        node = world.nodes["b"]
        monkeypatch.setattr(node.log, "term_at", damaged)
        node.consensus.received("a", AppendEntries(9, 1, 1, 1, 0, (LogEntry(9, b"x"),)))
    assert "entry 1 is damaged" in node.consensus.health

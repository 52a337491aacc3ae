"""Logs that begin later than others: who is behind gets a snapshot, who is not gets entries, and nothing is guessed."""

from dataclasses import replace

import pytest

from tallymq.raftlog.messages import AppendEntries, AppendReply, LogEntry, RequestVote, VoteReply
from tests.raftlog.consensus.world import SETTINGS, SHARD, Node, World


def tick(world: World, node: Node, times: int = 1) -> None:
    for _ in range(times):
        world.now += world.settings.heartbeat_ms
        node.consensus.tick()
        settle(world)


def settle(world: World) -> None:
    for _ in range(4):
        world.deliver()
        for node in world.nodes.values():
            if node.alive:
                node.sync()


def led(entries: int, without: str = "") -> tuple[World, Node]:
    """Node a leads and has applied so many entries, of which the nodes in `without` have none."""
    world = World("abc", manual=True)
    for name in without:
        world.nodes[name].alive = False
    leader = world.elect("a")
    for number in range(entries):
        world.propose(leader, b"%d" % number)
    settle(world)
    leader.flushed = len(leader.state)
    for name in without:
        world.nodes[name].alive = True
    world.in_flight.clear()
    return world, leader


def sent_to(world: World, name: str) -> list[AppendEntries]:
    return [m for s, t, m in world.in_flight if t == name and isinstance(m, AppendEntries)]


def snapshot(leader: Node) -> tuple[list[tuple[int, bytes]], tuple[int, bytes]]:
    return list(leader.state), (leader.state[-1][0], b"")


def test_a_follower_behind_the_log_is_named_once_and_then_hears_heartbeats_only() -> None:
    world, leader = led(20, without="c")
    leader.drop_prefix(15)
    tick(world, leader, 3)
    assert leader.behind == ["c"]
    world.propose(leader, b"more")
    world.in_flight.clear()
    for _ in range(20):
        world.now += world.settings.heartbeat_ms
        leader.consensus.tick()
        assert [(m.previous_index, m.previous_term, m.entries) for m in sent_to(world, "c")] == [(0, 0, ())]
        world.deliver()
    assert leader.behind == ["c"]
    assert leader.consensus.is_leader
    assert world.nodes["c"].consensus.leader == "a"
    assert world.nodes["c"].consensus.last_index == 0


def test_after_its_snapshot_a_follower_gets_what_follows() -> None:
    world, leader = led(20, without="c")
    leader.drop_prefix(15)
    tick(world, leader, 3)
    follower = world.nodes["c"]
    history, base = snapshot(leader)
    world.propose(leader, b"after")
    assert follower.install("a", leader.consensus.term, history, base)
    follower.sync()
    # What the follower itself says of it is lost: the sender's word is enough.
    world.in_flight.clear()
    leader.consensus.snapshot_done("c", len(history))
    assert sent_to(world, "c")[-1].previous_index == len(history)
    settle(world)
    tick(world, leader)
    assert follower.state == leader.state


def test_a_follower_that_says_it_has_the_base_needs_nobody_elses_word() -> None:
    world, leader = led(20, without="c")
    leader.drop_prefix(15)
    tick(world, leader, 3)
    follower = world.nodes["c"]
    assert follower.install("a", leader.consensus.term, *snapshot(leader))
    follower.sync()
    assert follower.consensus.applied_index == leader.consensus.applied_index
    world.propose(leader, b"after")
    settle(world)
    assert follower.state == leader.state
    assert leader.behind == ["c"]


def test_after_a_failure_another_snapshot_is_asked_for_but_not_at_once() -> None:
    world, leader = led(20, without="c")
    leader.drop_prefix(15)
    tick(world, leader, 3)
    leader.consensus.snapshot_done("c", 0)
    leader.consensus.tick()
    world.now += world.settings.heartbeat_ms - 1
    leader.consensus.tick()
    assert leader.behind == ["c"]
    tick(world, leader)
    assert leader.behind == ["c", "c"]
    leader.consensus.snapshot_done("b", 0)
    tick(world, leader, 3)
    assert leader.behind == ["c", "c"], "and b waits for none"


def test_a_link_that_comes_and_goes_asks_for_no_second_snapshot() -> None:
    world, leader = led(20, without="c")
    leader.drop_prefix(15)
    tick(world, leader, 3)
    for _ in range(3):
        leader.consensus.disconnected("c")
        tick(world, leader)
        leader.consensus.connected("c")
        tick(world, leader)
    assert leader.behind == ["c"]


def test_a_conflict_that_goes_back_below_the_base_is_first_looked_for_at_the_base() -> None:
    world, leader = led(20)
    # Node c has everything but does not know how far a majority has it; so it offers to begin all over.
    follower = world.nodes["c"]
    follower.crash()
    follower.start()
    leader.drop_prefix(15)
    shard = leader.consensus._shard
    progress = shard.progress["c"]
    progress.probe(21)
    refusal = AppendReply(leader.consensus.term, progress.next_sequence(), 0, 0, reset_index=2)
    progress.synced_index = 0
    leader.consensus.received("c", refusal)
    assert sent_to(world, "c")[-1].previous_index == 15
    settle(world)
    tick(world, leader, 2)
    assert leader.behind == []
    assert follower.consensus.applied_index == leader.consensus.applied_index


def test_a_prefix_may_go_while_its_entries_are_on_their_way() -> None:
    world, leader = led(20, without="c")
    world.now += world.settings.heartbeat_ms
    leader.consensus.tick()
    for _ in range(3):
        world.deliver(lambda s, t, m: "c" in (s, t) and not (isinstance(m, AppendEntries) and m.entries))
        world.nodes["c"].sync()
    assert any(m.entries for m in sent_to(world, "c"))
    leader.drop_prefix(15)
    world.propose(leader, b"more")
    settle(world)
    tick(world, leader, 3)
    assert leader.behind == []
    assert world.nodes["c"].state == leader.state


def test_of_a_message_that_begins_below_the_base_only_the_rest_is_taken() -> None:
    world, leader = led(20)
    follower, term = world.nodes["c"], leader.consensus.term
    follower.flushed = 15
    follower.drop_prefix(15)
    entries = [LogEntry(*entry) for entry in follower.log.shard_state(SHARD).entries]
    last = follower.consensus.last_index
    new = LogEntry(term, b"new")
    world.in_flight.clear()
    world.majority_checked = False
    follower.consensus.received("a", AppendEntries(term, 1_000, 3, entries[2].term, 0, (*entries[3:], new)))
    assert follower.consensus.last_index == last + 1
    follower.consensus.received("a", AppendEntries(term, 1_001, 3, entries[2].term, 0, tuple(entries[3:8])))
    assert [m.reset_index for s, t, m in world.in_flight] == [0, 0]
    follower.sync()
    follower.crash()
    follower.start()
    follower.consensus.received("a", AppendEntries(term, 1_002, 3, entries[2].term, 0, tuple(entries[3:8])))
    assert world.in_flight[-1][2].proven_index == 15
    assert follower.consensus.health == "ok"
    others = [LogEntry(term + 1, entry.payload) for entry in entries[3:]]
    follower.consensus.received("b", AppendEntries(term + 1, 1, 3, entries[2].term, 0, tuple(others)))
    assert "another entry 15" in follower.consensus.health


def test_from_base_to_switch_a_node_takes_nothing_applies_nothing_and_wants_no_vote() -> None:
    world, leader = led(20, without="c")
    follower = world.nodes["c"]
    term = leader.consensus.term
    assert follower.consensus.heard_leader("a", term)
    follower.sync()
    assert follower.install("a", term, *snapshot(leader))
    world.in_flight.clear()
    follower.consensus.received("a", AppendEntries(term, 9, 0, 0, 3, (LogEntry(1, b"x"),)))
    follower.consensus.synced()
    world.now += 10 * world.settings.election_ms_max
    follower.consensus.tick()
    assert not [m for s, t, m in world.in_flight if isinstance(m, RequestVote)]
    follower.consensus._shard.trial_votes = {"c"}
    for peer in "ab":
        follower.consensus.received(peer, VoteReply(term + 1, granted=True, trial=True))
        follower.consensus.received(peer, VoteReply(term, granted=True))
    assert follower.state == []
    assert follower.consensus.next_deadline_ms > world.now
    assert not [m for s, t, m in world.in_flight if isinstance(m, RequestVote)]
    assert not follower.consensus.may_restore(0)
    follower.sync()
    assert follower.consensus.applied_index == len(leader.state)
    assert follower.state == leader.state
    assert follower.consensus.majority_index == len(leader.state)
    assert follower.consensus.base_index == follower.consensus.last_index == len(leader.state)
    for _ in range(3):
        world.now += world.settings.election_ms_max + 1
        follower.consensus.tick()
    assert [m for s, t, m in world.in_flight if isinstance(m, RequestVote)]


def test_nothing_of_the_old_log_is_applied_once_a_new_one_was_begun() -> None:
    world = World("abc", manual=True)
    world.majority_checked = False
    node = world.nodes["c"]
    held = tuple(LogEntry(1, b"%d" % number) for number in range(6))
    node.consensus.received("a", AppendEntries(2, 1, 0, 0, 5, held))
    node.consensus._shard._may_apply = lambda: False
    node.sync()
    assert (node.consensus.majority_index, node.consensus.applied_index) == (5, 0)
    assert node.install("a", 2, [(1, b"%d" % number) for number in range(4)], (1, b""))
    node.log.sync_all()
    node.consensus._shard._may_apply = lambda: True
    node.consensus.synced()
    assert (node.state, node.consensus.health) == ([], "ok")
    node._use_synced()
    assert node.consensus.applied_index == 5


def test_a_prefix_may_go_before_all_of_it_was_sent() -> None:
    settings = replace(SETTINGS, append_bytes_max=100, in_flight_bytes_max=200)
    world = World("abc", manual=True, settings=settings)
    leader = world.elect("a")
    for number in range(20):
        world.propose(leader, b"x" * 100 + b"%d" % number)
    for _ in range(30):
        world.deliver(lambda s, t, m: "c" not in (s, t))
        leader.sync()
        world.nodes["b"].sync()
    world.in_flight = [item for item in world.in_flight if item[1] == "c"][:2]
    world.deliver(rounds=1)
    world.nodes["c"].sync()
    world.deliver(lambda s, t, m: t == "a", rounds=1)
    progress = leader.consensus._shard.progress["c"]
    assert 0 < progress.proven_index < progress.next_index <= 10
    leader.flushed = len(leader.state)
    leader.drop_prefix(15)
    before = len(world.in_flight)
    leader.consensus.tick()
    for _ in range(3):
        leader.consensus.synced()
    assert len(world.in_flight) <= before + 2, "it does not say over and over what cannot be used"
    tick(world, leader, 3)
    assert (leader.behind, leader.consensus.health) == (["c"], "ok")


def test_the_majority_index_does_not_pass_what_a_full_follower_left_out() -> None:
    world = World("abc", manual=True)
    node = world.nodes["c"]
    node.may_append = False
    node.consensus.received("a", AppendEntries(1, 1, 0, 0, 2, (LogEntry(1, b"x"), LogEntry(1, b"y"))))
    assert (node.consensus.last_index, node.consensus.majority_index) == (0, 0)


@pytest.mark.parametrize("synced", [True, False])
def test_a_power_cut_at_the_switch_leaves_one_whole_log(synced: bool) -> None:
    world, leader = led(20, without="c")
    follower = world.nodes["c"]
    assert follower.install("a", leader.consensus.term, *snapshot(leader))
    if synced:
        follower.log.sync_all()
    follower.crash()
    follower.start()
    assert follower.consensus.health == "ok"
    assert follower.consensus.applied_index == (len(leader.state) if synced else 0)
    for peer in "ab":
        follower.consensus.connected(peer)
    if not synced:
        leader.drop_prefix(15)
        tick(world, leader, 4)
        assert leader.behind == ["c"]
    else:
        world.propose(leader, b"after")
        tick(world, leader, 4)
        settle(world)
        assert (follower.state, leader.behind) == (leader.state, [])


def test_entries_behind_the_base_stay_only_if_they_follow_it() -> None:
    for term_held in (1, 2):
        world = World("abc", manual=True)
        node = world.nodes["c"]
        held = tuple(LogEntry(term_held, b"%d" % number) for number in range(6))
        node.consensus.received("a", AppendEntries(2, 1, 0, 0, 0, held))
        node.sync()
        history = [(1, b"%d" % number) for number in range(4)]
        assert node.install("a", 2, history, (1, b""))
        node.sync()
        assert node.consensus.applied_index == 4
        assert node.consensus.last_index == (6 if term_held == 1 else 4)
        world.majority_checked = False
        node.consensus.received("b", AppendEntries(3, 1, 4, 1, 5, (LogEntry(3, b"next"),)))
        node.sync()
        assert node.state == [*history, (3, b"next")]


def test_a_snapshot_frame_is_a_sign_of_life_of_the_present_leader_only() -> None:
    world = World("abc", manual=True)
    node = world.nodes["c"]
    node.consensus.received("b", RequestVote(4, 9, 3))
    node.sync()
    assert not node.consensus.heard_leader("b", 3)
    assert not node.consensus.heard_leader("x", 9)
    assert node.consensus.heard_leader("b", 4)
    assert node.consensus.leader == "b"
    world.now += world.settings.election_ms_min
    assert node.consensus.heard_leader("b", 4)
    world.now += world.settings.election_ms_min - 1
    node.consensus.tick()
    assert node.consensus.leader == "b", "the election timer began anew"
    assert node.consensus.heard_leader("a", 6)
    assert (node.consensus.term, node.consensus.leader) == (6, "a")


def test_a_leader_and_whoever_has_applied_as_much_restore_nothing() -> None:
    world, leader = led(20)
    follower = world.nodes["c"]
    assert not leader.consensus.may_restore(10_000)
    assert not follower.consensus.may_restore(follower.consensus.applied_index)
    assert follower.consensus.may_restore(follower.consensus.applied_index + 1)
    with pytest.raises(ValueError, match="follower"):
        leader.consensus.restored(10_000)
    with pytest.raises(ValueError, match="restored up to"):
        follower.consensus.restored(follower.consensus.applied_index - 1)


def test_a_log_that_forgot_its_beginning_starts_again_elects_and_truncates() -> None:
    world, _ = led(20)
    for node in world.nodes.values():
        node.flushed = 18
        node.drop_prefix(18)
        node.sync()
        node.crash()
        node.start()
        assert (node.consensus.base_index, node.consensus.applied_index) == (18, 18)
    again = world.elect("b")
    world.propose(again, b"only here")
    world.in_flight.clear()
    again.sync()
    other = world.elect("c")
    world.propose(other, b"x")
    settle(world)
    tick(world, other, 3)
    settle(world)
    assert world.nodes["a"].state == world.nodes["b"].state == world.nodes["c"].state
    assert (other.consensus.health, again.consensus.health) == ("ok", "ok")


def test_a_snapshot_of_an_ended_leadership_means_nothing() -> None:
    world, leader = led(20, without="c")
    leader.drop_prefix(15)
    tick(world, leader, 3)
    leader.consensus.received("b", AppendEntries(leader.consensus.term + 1, 1, 0, 0, 0))
    leader.consensus.snapshot_done("c", 20)
    leader.consensus.snapshot_done("c", 0)
    assert leader.consensus.health == "ok"

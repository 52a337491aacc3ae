"""Who leads: trials, stale terms, silent followers, and senders that are nobody's business."""

from tallymq.raftlog.consensus import ProposalKind
from tallymq.raftlog.messages import AppendEntries, AppendReply, LogEntry, RequestVote, VoteReply
from tests.raftlog.consensus.world import SHARD, World


def led(names: str = "abc", seed: int = 0) -> tuple[World, object]:
    world = World(names, seed=seed)
    assert world.run(5_000, lambda: world.leader() is not None)
    world.run(500)
    return world, world.leader()


def test_a_node_that_was_cut_off_comes_back_without_deposing_anyone() -> None:
    world, leader = led()
    lonely = next(name for name in world.names if name != leader.name)
    world.block(lonely)
    world.run(20_000)
    term = leader.consensus.term
    assert world.nodes[lonely].consensus.term == term, "it asked, and never entered another term"
    world.heal()
    world.run(5_000)
    assert world.leader() is leader
    assert leader.consensus.term == term


def test_who_hears_a_leader_promises_no_vote() -> None:
    world = World("abc", manual=True)
    follower = world.nodes["b"]
    follower.consensus.received("a", AppendEntries(1, 1, 0, 0, 0))
    follower.sync()
    world.in_flight.clear()
    follower.consensus.received("c", RequestVote(2, 9, 9, trial=True))
    world.now += world.settings.election_ms_min
    follower.consensus.received("c", RequestVote(2, 9, 9, trial=True))
    assert [(m.granted, m.term) for s, t, m in world.in_flight] == [(False, 1), (True, 2)]
    assert follower.consensus.term == 1, "a trial changes nobody's term"


def test_a_shorter_or_older_log_gets_no_vote() -> None:
    world = World("abc", manual=True)
    voter = world.nodes["b"]
    voter.consensus.received("a", AppendEntries(3, 1, 0, 0, 0, (LogEntry(2, b"x"), LogEntry(3, b"y"))))
    voter.sync()
    world.now += 10_000
    world.in_flight.clear()
    for last in ((1, 3), (9, 2), (2, 3)):
        for trial in (True, False):
            voter.consensus.received("c", RequestVote(8 if trial else 7, *last, trial))
            voter.sync()
    assert [m.granted for s, t, m in world.in_flight] == [False, False, False, False, True, True]


def test_a_stale_leader_is_told_and_steps_down() -> None:
    world = World("abc", manual=True)
    leader = world.elect("a")
    world.in_flight.clear()
    outcomes = world.propose(leader, b"x")
    world.in_flight.clear()
    other = world.nodes["b"]
    other.consensus.received("c", RequestVote(9, 99, 9))
    other.sync()
    world.in_flight.clear()
    other.consensus.received("a", AppendEntries(leader.consensus.term, 1, 0, 0, 0))
    world.deliver()
    assert not leader.consensus.is_leader
    assert leader.consensus.term == 9
    assert leader.roles == [True, False]
    assert [outcome.kind for outcome in outcomes] == [ProposalKind.UNKNOWN]


def test_messages_of_strangers_are_dropped() -> None:
    world = World("abc", manual=True)
    node = world.nodes["a"]
    for stranger in ("x", "a", ""):
        node.consensus.received(stranger, AppendEntries(5, 1, 0, 0, 1, (LogEntry(5, b"x"),)))
        node.consensus.received(stranger, RequestVote(6, 9, 9))
        node.consensus.connected(stranger)
        node.consensus.disconnected(stranger)
    node.sync()
    assert node.consensus.term == 0
    assert node.consensus.last_index == 0
    assert world.in_flight == []


def test_a_second_leader_in_one_term_stops_the_shard() -> None:
    world = World("abc", manual=True)
    node = world.nodes["b"]
    node.consensus.received("a", AppendEntries(1, 1, 0, 0, 0))
    node.consensus.received("c", AppendEntries(1, 1, 0, 0, 0))
    assert "two leaders" in node.consensus.health
    assert node.consensus.next_deadline_ms > world.now + 1_000_000


def test_a_leader_that_contradicts_what_a_majority_has_stops_the_shard_and_truncates_nothing() -> None:
    world = World("abc", manual=True)
    world.majority_checked = False
    node = world.nodes["b"]
    node.consensus.received("a", AppendEntries(1, 1, 0, 0, 2, (LogEntry(1, b"x"), LogEntry(1, b"y"))))
    node.sync()
    node.consensus.received("c", AppendEntries(2, 1, 1, 1, 2, (LogEntry(2, b"z"),)))
    assert "another entry 2" in node.consensus.health
    assert node.log.shard_state(SHARD).entries == [(1, b"x"), (1, b"y")]


def test_an_answer_about_entries_that_do_not_exist_stops_the_shard() -> None:
    world = World("abc", manual=True)
    leader = world.elect("a")
    leader.consensus.received("b", AppendReply(leader.consensus.term, 9, 1_000, 1_000))
    assert leader.consensus.health != "ok"
    assert not leader.consensus.is_leader


def test_entries_of_an_earlier_term_are_not_counted_by_themselves() -> None:
    # Figure 8 of the Raft paper: an old entry on a majority may still be replaced.
    world = World("abc", manual=True)
    node = world.nodes["a"]
    node.consensus.received("b", AppendEntries(1, 1, 0, 0, 0, (LogEntry(1, b"old"),)))
    node.sync()
    world.now += 5_000
    node.consensus.tick()
    node.consensus.received("c", VoteReply(2, granted=True, trial=True))
    node.sync()
    node.consensus.received("c", VoteReply(2, granted=True))
    assert node.consensus.is_leader
    node.sync()
    node.consensus.received("c", AppendReply(2, 1, 1, 1))
    assert node.consensus.majority_index == 0
    assert not node.consensus.is_ready
    world.majority_checked = False
    node.consensus.received("c", AppendReply(2, 2, 2, 2))
    assert node.consensus.majority_index == 2
    assert node.consensus.is_ready
    assert [payload for _, payload in node.state] == [b"old", b""]


def test_a_node_alone_leads_at_once_and_sleeps_when_nothing_is_due() -> None:
    world = World("a", manual=True)
    node = world.nodes["a"]
    assert node.consensus.next_deadline_ms <= world.now
    node.consensus.tick()
    assert node.consensus.is_leader
    node.sync()
    assert node.consensus.is_ready
    assert node.roles == [True]
    assert node.consensus.next_deadline_ms > world.now + 1_000_000


def test_a_healthy_leader_stays_and_an_idle_shard_says_little() -> None:
    world, leader = led()
    term, before = leader.consensus.term, len(world.sent)
    world.run(10_000)
    assert (world.leader(), leader.consensus.term) == (leader, term)
    heartbeats = 10_000 // world.settings.heartbeat_ms * 2
    assert len(world.sent) - before <= 2 * heartbeats + 8

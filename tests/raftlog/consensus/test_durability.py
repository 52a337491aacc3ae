"""The three traps of tracking durability by index, and the order of term, vote and message."""

from tallymq.raftlog.consensus import ProposalKind
from tallymq.raftlog.messages import AppendEntries, AppendReply, LogEntry, RequestVote, VoteReply
from tests.raftlog.consensus.world import SHARD, World


def test_a_node_alone_acknowledges_only_after_its_sync() -> None:
    world = World("a", manual=True)
    node = world.nodes["a"]
    node.consensus.tick()
    assert node.consensus.is_leader
    outcomes = world.propose(node, b"x")
    for _ in range(100):
        world.now += 1_000
        node.consensus.tick()
    assert outcomes == []
    assert node.state == []
    node.sync()
    assert [outcome.kind for outcome in outcomes] == [ProposalKind.APPLIED]


def test_an_index_that_was_durable_is_not_so_once_another_entry_took_its_place() -> None:
    world = World("abc", manual=True)
    world.majority_checked = False
    follower = world.nodes["b"]
    old = AppendEntries(4, 1, 0, 0, 0, (LogEntry(4, b"one"), LogEntry(4, b"two"), LogEntry(4, b"three")))
    follower.consensus.received("a", old)
    follower.sync()
    assert world.in_flight[-1][2] == AppendReply(4, 0, 3, 3)
    new = AppendEntries(5, 1, 1, 4, 3, (LogEntry(5, b"other two"), LogEntry(5, b"other three")))
    follower.consensus.received("c", new)
    # Term 5 is not synced either, so nothing of it has left; a heartbeat changes nothing about that.
    follower.consensus.received("c", AppendEntries(5, 2, 3, 5, 3))
    assert world.in_flight[-1][2].term == 4
    assert follower.consensus.applied_index == 1, "only what is durable here is applied, whoever else has it"
    follower.sync()
    assert [m.synced_index for s, t, m in world.in_flight if t == "c"] == [1, 1, 3]
    assert [payload for _, payload in follower.state] == [b"one", b"other two", b"other three"]


def test_an_index_that_was_durable_is_not_so_after_a_truncation_in_a_synced_term() -> None:
    world = World("abc", manual=True)
    follower = world.nodes["b"]
    follower.consensus.received("a", AppendEntries(4, 1, 0, 0, 0, (LogEntry(4, b"one"), LogEntry(4, b"two"))))
    follower.sync()
    follower.consensus.received("c", AppendEntries(5, 1, 2, 5, 0))
    follower.sync()
    world.in_flight.clear()
    follower.consensus.received("c", AppendEntries(5, 2, 0, 0, 0, (LogEntry(4, b"one"), LogEntry(5, b"other"))))
    assert [m for s, t, m in world.in_flight] == [AppendReply(5, 2, 2, 1)]
    world.in_flight.clear()
    follower.crash()
    follower.start()
    assert follower.log.shard_state(SHARD).entries == [(4, b"one"), (4, b"two")]


def test_what_a_majority_has_is_not_applied_here_before_it_is_synced_here() -> None:
    world = World("abc", manual=True)
    leader = world.elect("a")
    world.in_flight.clear()
    follower = world.nodes["b"]
    applied = follower.consensus.applied_index
    world.propose(leader, b"x")
    for _ in range(4):
        world.deliver()
        leader.sync()
        world.nodes["c"].sync()
    assert leader.state[-1][1] == b"x"
    world.deliver()
    assert follower.consensus.majority_index > applied
    assert follower.consensus.applied_index == applied
    follower.sync()
    assert follower.state[-1][1] == b"x"


def test_a_heartbeat_is_answered_at_once_however_slow_the_disk() -> None:
    world = World("abc", manual=True)
    leader = world.elect("a")
    for _ in range(60):
        world.now += world.settings.heartbeat_ms
        world.propose(leader, b"x")
        for node in world.nodes.values():
            node.consensus.tick()
        world.deliver()
    assert leader.consensus.is_leader, "six seconds without a sync are no reason to elect another one"
    for node in world.nodes.values():
        node.sync()
    world.deliver()
    for node in world.nodes.values():
        node.sync()
    assert len(world.acknowledged) == 60


def test_no_message_of_a_term_leaves_before_the_term_is_synced() -> None:
    world = World("abc", manual=True)
    node = world.nodes["a"]
    world.now += 1_000
    node.consensus.tick()
    assert [m.trial for s, t, m in world.in_flight] == [True, True]
    world.in_flight.clear()
    node.consensus.received("b", VoteReply(1, granted=True, trial=True))
    assert node.consensus.term == 1
    assert world.in_flight == []
    # What comes in is used all the same: only what goes out is held.
    node.consensus.received("c", AppendEntries(2, 1, 0, 0, 0, (LogEntry(2, b"x"),)))
    assert node.consensus.leader == "c"
    assert world.in_flight == []
    node.sync()
    assert {type(m) for s, t, m in world.in_flight} == {AppendReply}
    assert {m.term for s, t, m in world.in_flight} == {2}


def test_a_vote_asked_for_again_is_given_again_and_to_nobody_else() -> None:
    world = World("abc", manual=True)
    voter = world.nodes["b"]
    for _ in range(2):
        voter.consensus.received("a", RequestVote(3, 0, 0))
        voter.sync()
    voter.consensus.received("c", RequestVote(3, 0, 0))
    assert [(t, m.granted) for s, t, m in world.in_flight] == [("a", True), ("a", True), ("c", False)]


def test_a_restarted_node_continues_in_its_term_with_its_vote_and_its_state() -> None:
    world = World("abc", manual=True)
    leader = world.elect("a")
    world.propose(leader, b"x")
    for _ in range(4):
        world.deliver()
        for node in world.nodes.values():
            node.sync()
    term, state = leader.consensus.term, leader.state[:]
    leader.flushed = 1
    leader.crash()
    leader.start()
    assert leader.consensus.term == term
    assert leader.consensus.applied_index == 1
    assert leader.consensus.last_index == len(state)
    world.elect("b")
    world.deliver()
    leader.sync()
    assert leader.state[: len(state)] == state, "replayed from the log, each entry once"


def test_the_sync_of_an_earlier_round_releases_nothing_of_a_later_term() -> None:
    world = World("abc", manual=True)
    node = world.nodes["a"]
    node.consensus.received("b", AppendEntries(1, 1, 0, 0, 0))
    earlier = node.log.write_round()
    node.consensus.received("c", RequestVote(2, 0, 0))
    node.log.note_synced(earlier)
    node.consensus.synced()
    assert world.in_flight == []
    node.sync()
    assert [(t, m.term) for s, t, m in world.in_flight] == [("c", 2)]

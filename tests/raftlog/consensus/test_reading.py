"""Reads without entries: whoever was deposed answers none, and everything acknowledged before is seen."""

import pytest

from tallymq.raftlog import consensus_reading
from tallymq.raftlog.consensus import ReadKind
from tallymq.raftlog.messages import AppendEntries, AppendReply
from tests.raftlog.consensus.test_transfer import led, settle
from tests.raftlog.consensus.world import World


def test_a_read_waits_for_a_majority_that_answers_after_it_was_asked_for() -> None:
    world, leader, _ = led()
    told: list[ReadKind] = []
    # An answer under way since before: it says nothing of what happened since.
    world.now += world.settings.heartbeat_ms
    leader.consensus.tick()
    world.deliver(lambda s, t, m: s == "a")
    early = [item for item in world.in_flight if item[1] == "a"]
    world.in_flight = [item for item in world.in_flight if item[1] != "a"]
    leader.consensus.read_index(told.append)
    for source, _, message in early:
        leader.consensus.received(source, message)
    assert told == []
    world.deliver(lambda s, t, m: "c" not in (s, t))
    assert told == [ReadKind.READY]


def test_a_deposed_leader_that_does_not_know_answers_no_read() -> None:
    world, leader, _ = led()
    told: list[ReadKind] = []
    world.block("a")
    other = world.nodes["b"]
    world.now += world.settings.election_ms_max + 1
    other.consensus.tick()
    for _ in range(8):
        world.deliver(lambda s, t, m: "a" not in (s, t))
        for name in "bc":
            world.nodes[name].sync()
    assert other.consensus.is_ready
    assert leader.consensus.is_leader
    leader.consensus.read_index(told.append)
    leader.consensus.received("b", AppendReply(leader.consensus.term - 1, 10_000, 1, 1))
    assert told == []
    world.deliver()
    assert told == [ReadKind.NOT_LEADER]


def test_nothing_is_read_before_an_entry_of_the_own_term_is_applied() -> None:
    world, _, _ = led()
    told: list[ReadKind] = []
    other = world.nodes["b"]
    world.now += 2 * world.settings.election_ms_max
    other.consensus.tick()
    for _ in range(3):
        world.deliver(lambda s, t, m: not isinstance(m, AppendEntries))
        for node in world.nodes.values():
            node.sync()
    assert other.consensus.is_leader
    assert not other.consensus.is_ready
    other.consensus.read_index(told.append)
    world.deliver()
    world.deliver()
    assert told == []
    settle(world)
    assert other.consensus.is_ready
    assert told == [ReadKind.READY]


def test_a_read_sees_what_was_acknowledged_before_it() -> None:
    world, leader, _ = led()
    world.propose(leader, b"seen")
    settle(world)
    assert world.acknowledged
    seen: list[bool] = []
    leader.consensus.read_index(lambda kind: seen.append((leader.consensus.term, b"seen") in leader.state))
    settle(world)
    assert seen == [True]


def test_reads_of_one_moment_share_a_round() -> None:
    world, leader, _ = led()
    told: list[ReadKind] = []
    before = len(world.sent)
    for _ in range(100):
        leader.consensus.read_index(told.append)
    assert len(world.sent) - before == 2, "one message to each follower; 99 reads wait for the next round"
    world.deliver()
    assert told == [ReadKind.READY] * 100
    assert len(world.sent) - before <= 8


def test_a_read_that_came_during_a_round_is_not_answered_by_it() -> None:
    world, leader, _ = led()
    told: list[str] = []
    leader.consensus.read_index(lambda kind: told.append("first"))
    world.deliver(lambda s, t, m: t != "a")
    leader.consensus.read_index(lambda kind: told.append("second"))
    answers = [item for item in world.in_flight if item[1] == "a"]
    world.in_flight.clear()
    for source, _, message in answers:
        leader.consensus.received(source, message)
    assert told == ["first"]
    world.deliver()
    assert told == ["first", "second"]


def test_a_node_alone_reads_at_once_and_a_follower_does_not() -> None:
    world = World("a", manual=True)
    node, told = world.elect("a"), []
    node.consensus.read_index(told.append)
    assert told == [ReadKind.READY]
    world, _, _ = led()
    world.nodes["b"].consensus.read_index(told.append)
    assert told == [ReadKind.READY, ReadKind.NOT_LEADER]


def test_reads_that_wait_are_bounded_and_told_when_the_leader_steps_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consensus_reading, "READS_MAX", 3)
    world, leader, _ = led()
    told: list[ReadKind] = []
    for _ in range(5):
        leader.consensus.read_index(told.append)
    assert told == [ReadKind.OVERLOADED] * 2
    leader.consensus.received("b", AppendEntries(leader.consensus.term + 1, 1, 0, 0, 0))
    assert told[2:] == [ReadKind.NOT_LEADER] * 3
    assert leader.consensus._shard.reads == 0
    assert world.names


def test_a_read_waits_until_what_a_majority_had_is_applied() -> None:
    world, leader, _ = led()
    told: list[ReadKind] = []
    leader.consensus._shard._may_apply = lambda: False
    world.propose(leader, b"x")
    settle(world)
    assert leader.consensus.majority_index > leader.consensus.applied_index
    leader.consensus.read_index(told.append)
    settle(world)
    assert told == []
    leader.consensus._shard._may_apply = lambda: True
    leader.consensus.tick()
    assert told == [ReadKind.READY]

"""Leadership handed over: without an election time-out, without a caller left in doubt, and never by halves."""

import pytest

from tallymq.raftlog.consensus import ProposalKind
from tallymq.raftlog.membership import AddLearner, Refusal, Remove
from tallymq.raftlog.messages import AppendEntries, TimeoutNow
from tests.raftlog.consensus.world import Node, World


def settle(world: World, rounds: int = 4) -> None:
    for _ in range(rounds):
        world.deliver()
        for node in world.nodes.values():
            if node.alive:
                node.sync()


def led() -> tuple[World, Node, list[Refusal | None]]:
    world = World("abc", manual=True)
    leader = world.elect("a")
    settle(world)
    world.in_flight.clear()
    return world, leader, []


def test_the_one_meant_leads_at_once_and_no_time_passes() -> None:
    world, leader, told = led()
    before = world.now
    leader.consensus.transfer("c", told.append)
    settle(world)
    assert world.nodes["c"].consensus.is_ready
    assert (told, world.now) == ([None], before)
    assert leader.consensus.leader == "c"
    assert not leader.consensus.is_transferring


def test_it_waits_until_the_successor_has_everything_durably_and_every_caller_has_heard() -> None:
    world, leader, told = led()
    outcomes = world.propose(leader, b"before")
    leader.consensus.transfer("c", told.append)
    assert leader.consensus.is_transferring
    late = world.propose(leader, b"late")
    assert [outcome.kind for outcome in late] == [ProposalKind.NOT_LEADER]
    for _ in range(3):
        world.deliver()
        leader.sync()
        world.nodes["b"].sync()
    assert [outcome.kind for outcome in outcomes] == [ProposalKind.APPLIED], "a and b are a majority"
    assert not [m for s, t, m in world.sent if isinstance(m, TimeoutNow)], "c has it, but not durably"
    settle(world, 8)
    assert world.nodes["c"].consensus.is_ready
    assert told == [None]


def test_what_does_not_come_about_in_time_is_given_up_and_the_leader_goes_on() -> None:
    world, leader, told = led()
    world.nodes["c"].alive = False
    leader.consensus.transfer("c", told.append)
    term = leader.consensus.term
    for _ in range(world.settings.election_ms_max // world.settings.heartbeat_ms):
        assert told == []
        world.now += world.settings.heartbeat_ms
        leader.consensus.tick()
        settle(world, 2)
    assert told == [Refusal.NOT_IN_TIME]
    outcomes = world.propose(leader, b"on we go")
    settle(world)
    assert [outcome.kind for outcome in outcomes] == [ProposalKind.APPLIED]
    assert leader.consensus.term == term


def test_a_lost_word_is_said_again() -> None:
    world, leader, told = led()
    leader.consensus.transfer("c", told.append)
    world.in_flight.clear()
    world.now += world.settings.heartbeat_ms
    leader.consensus.tick()
    settle(world)
    assert told == [None]
    assert world.nodes["c"].consensus.is_ready


@pytest.mark.parametrize("to", ["a", "x", ""])
def test_only_to_another_voter_only_by_the_leader_and_one_at_a_time(to: str) -> None:
    world, leader, told = led()
    leader.consensus.transfer(to, told.append)
    world.nodes["b"].consensus.transfer("c", told.append)
    world.nodes["c"].alive = False
    leader.consensus.transfer("c", told.append)
    leader.consensus.transfer("b", told.append)
    assert told == [Refusal.NOT_A_VOTER, Refusal.NOT_LEADER, Refusal.TRANSFER_IN_PROGRESS]
    leader.consensus.propose_configuration(Remove("c"), lambda outcome: told.append(outcome.result))
    assert told[-1] is Refusal.TRANSFER_IN_PROGRESS


def test_a_learner_takes_over_nothing() -> None:
    world, leader, told = led()
    node = world.add_node("d")
    leader.consensus.propose_configuration(AddLearner("d", "h", 1), lambda outcome: None)
    for _ in range(3):
        world.now += world.settings.heartbeat_ms
        leader.consensus.tick()
        settle(world)
    assert node.consensus.applied_index == leader.consensus.applied_index
    leader.consensus.transfer(node.consensus.member, told.append)
    assert told == [Refusal.NOT_A_VOTER]
    node.consensus.received("a", TimeoutNow(leader.consensus.term), node.consensus.member)
    assert node.consensus.term == leader.consensus.term


def test_the_word_counts_only_from_the_leader_of_the_term() -> None:
    world, leader, _ = led()
    node = world.nodes["c"]
    term = leader.consensus.term
    node.consensus.received("b", TimeoutNow(term))
    node.consensus.received("a", TimeoutNow(term - 1))
    assert node.consensus.term == term
    leader.consensus.received("b", TimeoutNow(term))
    assert leader.consensus.is_leader


def test_the_best_successor_has_most_of_the_log_and_can_be_reached() -> None:
    world, leader, _ = led()
    world.nodes["b"].alive = False
    world.propose(leader, b"x")
    settle(world)
    assert leader.consensus.best_successor == "c"
    leader.consensus.disconnected("c")
    assert leader.consensus.best_successor == "b"
    leader.consensus.disconnected("b")
    assert leader.consensus.best_successor == ""


def test_a_leader_deposed_meanwhile_has_handed_over_as_far_as_it_can_tell() -> None:
    world, leader, told = led()
    world.nodes["c"].alive = False
    leader.consensus.transfer("c", told.append)
    leader.consensus.received("b", AppendEntries(leader.consensus.term + 1, 1, 0, 0, 0))
    assert told == [None]

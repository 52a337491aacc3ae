"""Members come and go while the shard works: who counts is what the log says, and nobody else."""

import pytest

from tallymq.raftlog.consensus import ProposalKind, ProposalOutcome
from tallymq.raftlog.consensus_configuration import Configurations
from tallymq.raftlog.membership import (
    AddLearner,
    Change,
    Configuration,
    Demote,
    Place,
    Promote,
    Refusal,
    Remove,
    encode_configuration,
    founding,
)
from tallymq.raftlog.messages import AppendEntries, Farewell, LogEntry, RequestVote, TimeoutNow, VoteReply
from tests.raftlog.consensus.world import SHARD, Node, World


def settle(world: World, rounds: int = 4, without: str = "") -> None:
    for _ in range(rounds):
        world.deliver(lambda s, t, m: not {*s[:1], *t[:1]} & set(without))
        for node in world.nodes.values():
            if node.alive:
                node.sync()


def beat(world: World, node: Node, times: int = 3, without: str = "") -> None:
    for _ in range(times):
        world.now += world.settings.heartbeat_ms
        node.consensus.tick()
        settle(world, 2, without)


def change(world: World, node: Node, wanted: Change) -> list[ProposalOutcome]:
    outcomes: list[ProposalOutcome] = []
    node.consensus.propose_configuration(wanted, outcomes.append)
    return outcomes


def refusal(world: World, node: Node, wanted: Change) -> Refusal:
    before = node.consensus.last_index
    (outcome,) = change(world, node, wanted)
    assert (outcome.kind, node.consensus.last_index) == (ProposalKind.REFUSED, before)
    assert isinstance(outcome.result, Refusal)
    return outcome.result


def with_learner(names: str = "abc") -> tuple[World, Node, Node, str]:
    world = World(names, manual=True)
    leader = world.elect("a")
    node = world.add_node("d")
    outcomes = change(world, leader, AddLearner("d", "host", 7071))
    settle(world)
    beat(world, leader)
    assert [outcome.kind for outcome in outcomes] == [ProposalKind.APPLIED]
    return world, leader, node, f"d+{outcomes[0].index}"


def test_a_learner_is_sent_everything_and_counts_for_nothing() -> None:
    world, leader, node, member = with_learner()
    assert node.consensus.member == member
    assert node.state == leader.state
    world.block("bc")
    outcomes = world.propose(leader, b"only the learner hears this")
    settle(world, without="bc")
    assert node.consensus.last_index == leader.consensus.last_index
    assert outcomes == []
    world.now += 10 * world.settings.election_ms_max
    node.consensus.tick()
    node.sync()
    assert not [m for s, t, m in world.in_flight if s == member and isinstance(m, RequestVote)]
    assert node.consensus.next_deadline_ms > world.now + 1_000_000
    leader.consensus.tick()
    assert not leader.consensus.is_leader, "who hears only from learners leads nobody"


def test_a_voter_counts_from_the_moment_its_entry_is_appended() -> None:
    world, leader, node, member = with_learner("a")
    outcomes = change(world, leader, Promote(member))
    leader.sync()
    assert outcomes == [], "one of two is no majority any more"
    assert leader.consensus.configuration.voter_names == {"a", member}
    settle(world)
    beat(world, leader, 1)
    assert [outcome.kind for outcome in outcomes] == [ProposalKind.APPLIED]
    assert node.consensus.configuration == leader.consensus.configuration
    assert node.consensus.configuration_index == outcomes[0].index


def test_nobody_is_promoted_who_lacks_the_log() -> None:
    world, leader, node, member = with_learner()
    world.in_flight.clear()
    node.alive = False
    for number in range(1_100):
        world.propose(leader, b"%d" % number)
        leader.sync()
    settle(world)
    assert leader.consensus.lag_entries(member) >= 1_025
    assert refusal(world, leader, Promote(member)) is Refusal.NOT_CAUGHT_UP
    node.alive = True
    leader.consensus.disconnected("d")
    leader.consensus.connected("d")
    beat(world, leader)
    assert leader.consensus.has_caught_up(member)
    assert change(world, leader, Promote(member)) == []


def test_one_change_at_a_time_and_none_before_an_entry_of_the_own_term() -> None:
    world, leader, _, member = with_learner()
    change(world, leader, Promote(member))
    assert refusal(world, leader, Remove("c")) is Refusal.CHANGE_IN_PROGRESS
    settle(world)
    assert leader.consensus.applied_index == leader.consensus.last_index
    other = world.nodes["b"]
    assert refusal(world, other, Remove("c")) is Refusal.NOT_LEADER
    world.now += 2 * world.settings.election_ms_max
    other.consensus.tick()
    for _ in range(3):
        world.deliver(lambda s, t, m: not isinstance(m, AppendEntries))
        for node in world.nodes.values():
            node.sync()
    assert other.consensus.is_leader
    assert refusal(world, other, Remove("c")) is Refusal.NOT_READY


def test_what_would_leave_no_majority_that_can_be_heard_is_refused() -> None:
    world = World("abc", manual=True)
    leader = world.elect("a")
    world.nodes["c"].alive = False
    for _ in range(30):
        beat(world, leader, 1, without="c")
    assert refusal(world, leader, Remove("b")) is Refusal.WOULD_LOSE_QUORUM
    assert refusal(world, leader, Demote("b")) is Refusal.WOULD_LOSE_QUORUM
    outcomes = change(world, leader, Remove("c"))
    settle(world)
    assert [outcome.kind for outcome in outcomes] == [ProposalKind.APPLIED]


def test_a_truncation_brings_back_who_counted_before() -> None:
    world = World("abc", manual=True)
    leader, other = world.elect("a"), world.nodes["b"]
    change(world, leader, Remove("c"))
    world.in_flight.clear()
    assert leader.consensus.configuration.voter_names == {"a", "b"}
    term = leader.consensus.term
    last = other.consensus.last_index
    leader.consensus.received("b", AppendEntries(term + 1, 1, last, term, 0, (LogEntry(term + 1, b""),)))
    assert leader.consensus.configuration.voter_names == {"a", "b", "c"}
    assert leader.consensus.configuration_index == 0
    assert leader.consensus._shard.peers == ("b", "c")


@pytest.mark.parametrize("where", ["unapplied", "applied", "base"])
def test_a_restart_finds_who_counts(where: str) -> None:
    world, leader, node, member = with_learner()
    change(world, leader, Promote(member))
    settle(world)
    beat(world, leader, 1)
    expected = leader.consensus.configuration
    for one in (leader, node):
        one.flushed = 0 if where == "unapplied" else len(one.state)
        if where == "base":
            one.drop_prefix(one.flushed, one.consensus.configuration_at(one.flushed))
            one.sync()
        one.crash()
        one.start()
        assert one.consensus.configuration == expected
        assert one.consensus.configuration_at(one.consensus.last_index) == encode_configuration(expected)
        assert one.consensus.configuration_at(1) == (encode_configuration(expected) if where == "base" else b"")
    assert node.consensus.member == member


def test_a_removed_member_is_told_and_disturbs_nobody() -> None:
    world = World("abc", manual=True)
    leader, gone = world.elect("a"), world.nodes["c"]
    change(world, leader, Remove("c"))
    settle(world)
    beat(world, leader)
    assert gone.consensus.is_removed
    term = leader.consensus.term
    for _ in range(3):
        world.now += 2 * world.settings.election_ms_max
        gone.consensus.tick()
    assert not [m for s, t, m in world.in_flight if s == "c"]
    assert (leader.consensus.term, leader.consensus.leader) == (term, "a")


def test_a_removed_member_that_missed_it_is_told_when_it_asks_for_votes() -> None:
    world = World("abc", manual=True)
    leader, gone = world.elect("a"), world.nodes["c"]
    world.in_flight.clear()
    gone.alive = False
    change(world, leader, Remove("c"))
    settle(world)
    gone.alive = True
    assert not gone.consensus.is_removed
    world.now += 2 * world.settings.election_ms_max
    leader.consensus._shard.progress["b"].heard_ms = world.now
    gone.consensus.tick()
    settle(world)
    assert gone.consensus.is_removed
    assert leader.consensus.is_leader


def test_a_farewell_comes_only_by_an_entry_that_is_applied_and_only_to_who_is_out() -> None:
    world = World("abc", manual=True)
    leader = world.elect("a")
    change(world, leader, Remove("c"))
    world.in_flight.clear()
    leader.consensus.received("c", RequestVote(9, 9, 9, trial=True))
    assert not [m for s, t, m in world.in_flight if isinstance(m, Farewell)]
    follower = world.nodes["b"]
    follower.consensus.received("a", Farewell(leader.consensus.term - 1, 99))
    assert not follower.consensus.is_removed


def test_a_leader_that_is_removed_leads_until_a_majority_has_the_entry_and_names_who_follows() -> None:
    world = World("abc", manual=True)
    leader = world.elect("a")
    outcomes = change(world, leader, Remove("a"))
    leader.sync()
    world.nodes["b"].alive = False
    settle(world, 1)
    assert leader.consensus.is_leader
    assert outcomes == [], "one of b and c is no majority, and a itself does not count"
    world.nodes["b"].alive = True
    leader.consensus.disconnected("b")
    leader.consensus.connected("b")
    for _ in range(3):
        world.deliver(lambda s, t, m: not isinstance(m, TimeoutNow))
        for node in world.nodes.values():
            node.sync()
    assert [outcome.kind for outcome in outcomes] == [ProposalKind.APPLIED]
    assert not leader.consensus.is_leader
    assert [m for s, t, m in world.in_flight if isinstance(m, TimeoutNow)]
    settle(world)
    assert [name for name in "bc" if world.nodes[name].consensus.is_ready], "and no election time-out passed"


def test_messages_to_an_earlier_incarnation_are_dropped() -> None:
    world, leader, node, member = with_learner()
    term = leader.consensus.term
    before = node.consensus.last_index
    world.in_flight.clear()
    for former in ("d", "d+1", "e+9", "a"):
        node.consensus.received("a", AppendEntries(term + 5, 1, 0, 0, 0, (LogEntry(1, b"x"),)), former)
        node.consensus.received("a", RequestVote(term + 5, 99, term + 4), former)
    node.sync()
    assert (node.consensus.term, node.consensus.last_index, world.in_flight) == (term, before, [])
    node.consensus.received("a", AppendEntries(term, 1, 0, 0, 0), "d+900")
    assert node.consensus.member == "d+900"
    node.consensus.received("a", AppendEntries(term + 5, 1, 0, 0, 0), member)
    assert node.consensus.term == term


def test_a_node_that_lost_its_disk_does_not_speak_as_the_member_it_was() -> None:
    world = World("abc", manual=True)
    leader = world.elect("a")
    wiped = world.add_node("d")
    wiped.consensus.received("a", RequestVote(9, 99, 8), "d")
    wiped.consensus.received("a", RequestVote(9, 99, 8))
    wiped.sync()
    assert (wiped.consensus.term, wiped.consensus.member) == (0, "")
    assert leader.consensus.is_leader


def test_only_who_may_have_been_added_since_is_heard_from_outside() -> None:
    world = World("abc", manual=True)
    node = world.nodes["b"]
    configuration = Configuration((*founding(()).voters, *[Place(n, n, "", 0) for n in "abc"]), ())
    entry = LogEntry(1, encode_configuration(configuration))
    node.consensus.received("a", AppendEntries(1, 1, 0, 0, 0, (LogEntry(1, b""), entry)))
    node.sync()
    world.in_flight.clear()
    world.now += world.settings.election_ms_max
    node.consensus.received("d+2", RequestVote(5, 9, 4))
    node.consensus.received("x", RequestVote(5, 9, 4))
    node.sync()
    assert (node.consensus.term, world.in_flight) == (1, [])
    node.consensus.received("d+3", RequestVote(5, 9, 4))
    node.sync()
    assert [(t, m.granted) for s, t, m in world.in_flight if isinstance(m, VoteReply)] == [("d+3", True)]


def test_an_entry_that_says_nothing_sound_of_the_members_stops_the_shard() -> None:
    world = World("abc", manual=True)
    node = world.nodes["b"]
    node.consensus.received("a", AppendEntries(1, 1, 0, 0, 0, (LogEntry(1, b"\xff\xff\xff\xffgarbage"),)))
    assert "who the members are" in node.consensus.health
    assert node.consensus.last_index == 0


def test_the_base_of_a_snapshot_says_who_counts_whatever_was_in_the_log() -> None:
    founders = founding((Place("a", "a", "", 0),))
    other = encode_configuration(founding((Place("b", "b", "", 0),)))
    noted = Configurations(founders)
    noted.note(5, other)
    noted.rebase(7, b"", is_anew=True)
    assert (noted.newest, noted.newest_index) == (founders, 0)
    noted.note(9, other)
    noted.rebase(9, b"")
    assert (noted.payload_at(9), noted.newest_index) == (other, 9)


def ask(world: World, leader: Node, number: int) -> bool:
    """Some work and now and then a change or a transfer; whether the members changed."""
    world.propose(leader, b"%d" % number)
    now, before = leader.consensus.configuration, leader.consensus.configuration_index
    picks: list[Change] = [AddLearner(world.chance.choice("de"), "h", 1)]
    picks += [Promote(place.member) for place in now.learners]
    picks += [Remove(place.member) for place in now.places if len(now.voters) > 3 or place in now.learners]
    if world.chance.random() < 0.3:
        change(world, leader, world.chance.choice(picks))
    if world.chance.random() < 0.05:
        leader.consensus.transfer(leader.consensus.best_successor, lambda refused: None)
    return leader.consensus.configuration_index != before


def disturb(world: World) -> None:
    what = world.chance.random()
    nodes = list(world.nodes.values())
    if what < 0.03:
        world.chance.choice([node for node in nodes if node.alive]).crash(chance=world.chance)
    elif what < 0.06:
        world.block(world.chance.choice(sorted(world.nodes)))
    elif what > 0.9:
        world.heal()
    for node in nodes:
        if not node.alive and world.chance.random() < 0.1:
            node.start()


@pytest.mark.parametrize("seed", range(12))
def test_members_change_under_faults_and_nothing_acknowledged_is_lost(seed: int) -> None:
    world = World("abc", seed=seed)
    for name in "de":
        world.add_node(name)
    changes = 0
    for number in range(500):
        leader = world.leader()
        changes += leader is not None and ask(world, leader, number)
        world.run(world.chance.randint(5, 100))
        disturb(world)
    for node in world.nodes.values():
        if not node.alive:
            node.start()
    world.heal()
    assert world.run(20_000, lambda: world.leader() is not None), f"seed {seed}"
    leader = world.leader()
    assert leader is not None
    outcomes = world.propose(leader, b"the end")
    assert world.run(20_000, lambda: bool(outcomes)), f"seed {seed}"
    world.check_all()
    assert changes > 3
    assert len(world.acknowledged) > 20
    entries = leader.log.shard_state(SHARD).entries
    assert all(entries[index - 1][1] == payload for index, payload in world.acknowledged.items())


def test_a_leader_does_not_wait_for_its_learners() -> None:
    world, leader, node, _ = with_learner("a")
    node.alive = False
    outcomes = world.propose(leader, b"alone")
    leader.sync()
    assert [outcome.kind for outcome in outcomes] == [ProposalKind.APPLIED]


def test_a_learners_vote_elects_nobody() -> None:
    world, _, _, member = with_learner()
    other = world.nodes["b"]
    world.now += 2 * world.settings.election_ms_max
    other.consensus.tick()
    other.consensus.received(member, VoteReply(other.consensus.term + 1, granted=True, trial=True))
    assert other.consensus._shard.voted_for != "b"
    other.consensus.received("c", VoteReply(other.consensus.term + 1, granted=True, trial=True))
    other.sync()
    other.consensus.received(member, VoteReply(other.consensus.term, granted=True))
    assert not other.consensus.is_leader
    other.consensus.received("c", VoteReply(other.consensus.term, granted=True))
    assert other.consensus.is_leader

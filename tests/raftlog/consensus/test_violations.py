"""What pysyncobj does wrong as shipped, and what ours does in the same place.

The first test of each pair says that stock still has the fault: if it no longer does, its cure here needs a new reason.
"""

import pytest
from pysyncobj.journal import FileJournal

from tallymq.raftlog.consensus import ProposalKind
from tallymq.raftlog.messages import AppendEntries, AppendReply, RequestVote, VoteReply
from tests.raftlog.consensus.stock import StockWorld, among
from tests.raftlog.consensus.world import SHARD, World


def entries(node) -> list[tuple[int, bytes]]:
    return node.log.shard_state(SHARD).entries


def within(names: str):
    return lambda source, target, message: source in names and target in names


# V1: a repeated AppendEntries


def test_stock_forgets_acknowledged_entries_when_a_message_comes_twice(monkeypatch) -> None:
    world = StockWorld(monkeypatch, "abc")
    leader = world.elect("a")
    world.run(0.3)
    leader.put("first")
    leader.doTick(0)
    early = next(m for s, t, m in world.queue if t == "b" and m["type"] == "append_entries" and m["entries"])
    acknowledged = []
    for number in range(5):
        leader.put(number, callback=lambda result, error: acknowledged.append(error))
    world.run(0.3, among("ab"), "ab")
    end = world.log("b")[-1]
    assert acknowledged == [0] * 5
    world.give("a", "b", early)
    assert world.log("b")[-1] < end


def test_a_message_that_comes_twice_changes_nothing() -> None:
    world = World("abc", manual=True)
    leader = world.elect("a")
    world.propose(leader, b"first")
    early = next(m for s, t, m in world.in_flight if t == "b" and isinstance(m, AppendEntries) and m.entries)
    for number in range(5):
        world.propose(leader, b"%d" % number)
    for _ in range(4):
        world.deliver(within("ab"))
        leader.sync()
        world.nodes["b"].sync()
    before = entries(world.nodes["b"])[:]
    assert len(world.acknowledged) == 6
    world.nodes["b"].consensus.received("a", early)
    assert entries(world.nodes["b"]) == before


# V5: an answer of an earlier leadership


def test_stock_counts_an_answer_of_an_earlier_leadership(monkeypatch) -> None:
    world = StockWorld(monkeypatch, "abcde")
    leader = world.elect("a")
    world.run(0.3)
    for number in range(10):
        leader.put(number)
    leader.doTick(0)
    world.deliver(lambda s, t, m: (s, t) == ("a", "b"))
    late = [item for item in world.queue if item[:2] == ("b", "a") and item[2]["type"] == "next_node_idx"]
    world.queue.clear()
    world.elect("c", among("cde"), "cde")
    world.run(0.6, among("acde"), "acde")
    world.elect("a", among("acd"), "acd")
    for item in late:
        world.give(*item)
    acknowledged = []
    for number in range(3):
        leader.put(("new", number), callback=lambda result, error: acknowledged.append(error))
    world.run(0.2, among("ac"), "ac")
    holders = [name for name in "abcde" if world.log(name)[-1] == world.log("a")[-1]]
    assert acknowledged
    assert holders == ["a", "c"]


def test_an_answer_of_an_earlier_leadership_counts_for_nothing() -> None:
    world = World("abcde", manual=True)
    leader = world.elect("a")
    for number in range(10):
        world.propose(leader, b"old %d" % number)
    world.deliver(lambda s, t, m: (s, t) == ("a", "b"))
    world.nodes["b"].sync()
    late = [m for s, t, m in world.in_flight if (s, t) == ("b", "a") and isinstance(m, AppendReply)]
    assert max(m.synced_index for m in late) == leader.consensus.last_index
    world.in_flight.clear()
    world.block("ab")
    _elect_among(world, "c", "cde")
    _catch_up(world, "c", "acd")
    _elect_among(world, "a", "acd")
    world.in_flight.clear()
    for message in late:
        leader.consensus.received("b", message)
    outcomes = world.propose(leader, b"new")
    for _ in range(4):
        world.deliver(within("ac"))
        leader.sync()
        world.nodes["c"].sync()
    assert leader.consensus.is_leader
    assert outcomes == []


def _elect_among(world: World, name: str, names: str) -> None:
    node = world.nodes[name]
    for _ in range(20):
        world.now += world.settings.election_ms_max + 1
        for other in names:
            # One that leads and hears from nobody gives up.
            if other == name or world.nodes[other].consensus.is_leader:
                world.nodes[other].consensus.tick()
        for _ in range(12):
            world.deliver(within(names))
            for other in names:
                world.nodes[other].sync()
        if node.consensus.is_ready:
            return
    raise AssertionError("no leader")


def _catch_up(world: World, leader: str, names: str) -> None:
    for _ in range(6):
        world.now += world.settings.heartbeat_ms
        world.nodes[leader].consensus.tick()
        world.deliver(within(names))
        for other in names:
            world.nodes[other].sync()


# V6: a majority index beyond the log


def test_stock_acknowledges_alone_after_its_journal_lost_its_end(monkeypatch, tmp_path) -> None:
    journal = FileJournal(str(tmp_path / "a"))
    journal.add(b"\x01", 1, 0)
    journal.add(b"\x01", 2, 1)
    journal.setRaftCommitIndex(50)
    journal.setCurrentTerm(1, None)
    journal._destroy()
    world = StockWorld(monkeypatch, "abc", journals=tmp_path)
    leader = world.elect("a")
    acknowledged = []
    leader.put("alone", callback=lambda result, error: acknowledged.append(error))
    world.run(0.2, lambda s, t, m: False, "a")
    assert acknowledged == [0]


def test_nobody_acknowledges_alone_whatever_it_had_known_before() -> None:
    world = World("abc", manual=True)
    leader = world.elect("a")
    for number in range(20):
        world.propose(leader, b"%d" % number)
    world.in_flight.clear()
    leader.crash()
    leader.start()
    assert leader.consensus.majority_index <= leader.consensus.last_index
    leader = world.elect("a")
    outcomes = world.propose(leader, b"alone")
    leader.sync()
    world.now += 50
    leader.consensus.tick()
    assert outcomes == []


# V7: a vote that is forgotten


def test_stock_votes_twice_once_its_vote_file_is_lost(monkeypatch, tmp_path) -> None:
    request = {"type": "request_vote", "term": 5, "last_log_index": 99, "last_log_term": 4}
    world = StockWorld(monkeypatch, "abc", journals=tmp_path)
    world.give("a", "b", request)
    assert [t for s, t, m in world.queue if m["type"] == "response_vote"] == ["a"]
    world.nodes["b"]._SyncObj__raftLog._destroy()
    # What a power cut leaves of a file that was never synced.
    (tmp_path / "b.meta").write_bytes(b"")
    world = StockWorld(monkeypatch, "abc", journals=tmp_path)
    world.give("c", "b", request)
    assert [t for s, t, m in world.queue if m["type"] == "response_vote"] == ["c"]


@pytest.mark.parametrize("synced", [True, False])
def test_a_vote_leaves_only_once_no_power_cut_can_take_it_back(synced: bool) -> None:
    world = World("abc", manual=True)
    voter = world.nodes["b"]
    voter.consensus.received("a", RequestVote(5, 9, 4))
    if synced:
        voter.sync()
    voter.crash()
    voter.start()
    voter.consensus.received("c", RequestVote(5, 9, 4))
    voter.sync()
    granted = [t for s, t, m in world.in_flight if isinstance(m, VoteReply) and m.granted]
    assert granted == (["a"] if synced else ["c"])


# D5: votes counted by message


def test_stock_is_elected_by_one_voter_that_says_so_twice(monkeypatch) -> None:
    world = StockWorld(monkeypatch, "abcde")
    world.candidate_next("a")
    world.now += 0.05
    world.nodes["a"].doTick(0)
    for _ in range(2):
        world.give("b", "a", {"type": "response_vote", "term": 1})
    assert world.nodes["a"]._isLeader()


def test_a_voter_counts_once_however_often_it_says_so() -> None:
    world = World("abcde", manual=True)
    node = world.nodes["a"]
    world.now += 1_000
    node.consensus.tick()
    for peer in "bbbcc":
        node.consensus.received(peer, VoteReply(1, granted=True, trial=True))
    node.sync()
    assert node.consensus.term == 1
    for _ in range(3):
        node.consensus.received("b", VoteReply(1, granted=True))
    assert not node.consensus.is_leader
    node.consensus.received("c", VoteReply(1, granted=True))
    assert node.consensus.is_leader


# L1: the last of several resets


def test_stock_never_brings_back_a_follower_with_one_entry_of_its_own(monkeypatch) -> None:
    world = StockWorld(monkeypatch, "abc", appendEntriesBatchSizeBytes=64)
    leader = world.elect("b")
    leader.put("only here")
    world.run(0.1, lambda s, t, m: False, "b")
    leader = world.elect("a", among("ac"), "ac")
    for number in range(30):
        leader.put("x" * 40 + str(number))
    world.run(1.0, among("ac"), "ac")
    world.candidate_next("nobody")
    world.run(20.0)
    assert world.nodes["a"]._isLeader()
    assert world.log("b")[-1] != world.log("a")[-1]


def test_a_follower_with_entries_of_its_own_is_brought_back() -> None:
    world = World("abc")
    assert world.run(5_000, lambda: world.leader() is not None)
    old = world.leader()
    assert old is not None
    world.block(old.name)
    for number in range(3):
        world.propose(old, b"only here %d" % number)
    assert world.run(5_000, lambda: world.leader() not in (None, old))
    new = world.leader()
    assert new is not None
    for number in range(300):
        world.propose(new, b"x" * 10_000 + b"%d" % number)
    world.run(1_000)
    world.heal()
    assert world.run(2_000, lambda: entries(old) == entries(new))
    world.check_all()


# Callers of what only one node had


def test_a_caller_learns_that_the_outcome_is_not_known_when_its_leader_steps_down() -> None:
    world = World("abc")
    assert world.run(5_000, lambda: world.leader() is not None)
    leader = world.leader()
    assert leader is not None
    world.block(leader.name)
    outcomes = world.propose(leader, b"nobody else hears this")
    assert world.run(world.settings.election_ms_max + world.settings.heartbeat_ms, lambda: bool(outcomes))
    assert [outcome.kind for outcome in outcomes] == [ProposalKind.UNKNOWN]
    world.run(3_000)
    world.heal()
    world.run(3_000)
    assert len(outcomes) == 1

"""What pysyncobj does wrong within one node, and what ours does in the same place (see `test_violations.py`)."""

import contextlib
import os
from dataclasses import replace

import pytest

from tallymq.raftlog.codec import DecodeError, decode_message
from tallymq.raftlog.consensus import ProposalKind
from tests.raftlog.consensus.stock import StockWorld
from tests.raftlog.consensus.world import SETTINGS, SHARD, World


class CallerMistakeError(Exception):
    pass


# U1: a callback that raises


def test_stock_applies_an_entry_again_when_its_caller_raises(monkeypatch) -> None:
    world = StockWorld(monkeypatch, "a")
    node = world.elect("a")
    calls = []

    def caller(result, error):
        calls.append(result)
        raise CallerMistakeError

    node.put("once", callback=caller)
    for _ in range(6):
        with contextlib.suppress(CallerMistakeError):
            world.run(0.05)
    assert node.seen == ["once"] * 2


def test_an_entry_is_applied_once_whatever_its_caller_does() -> None:
    world = World("a", manual=True)
    node = world.elect("a")

    noted = []

    def caller(outcome):
        noted.append(node.consensus.applied_index - outcome.index)
        raise CallerMistakeError

    node.consensus.propose([b"once"], caller)
    outcomes = world.propose(node, b"next")
    node.sync()
    assert [payload for _, payload in node.state] == [b"", b"once", b"next"]
    assert [outcome.kind for outcome in outcomes] == [ProposalKind.APPLIED]
    assert noted == [0], "noted as applied before its caller hears of it"
    assert node.consensus.callback_failures == 1
    assert node.consensus.health == "ok"


# D7: rules that raise


def test_stock_tries_an_entry_that_cannot_be_applied_for_ever(monkeypatch) -> None:
    world = StockWorld(monkeypatch, "a")
    node = world.elect("a")
    attempts = []

    def broken(value, **options):
        attempts.append(value)
        raise CallerMistakeError

    node._idToMethod = dict.fromkeys(node._idToMethod, broken)
    node.put("poison")
    for _ in range(5):
        with contextlib.suppress(CallerMistakeError):
            world.run(0.05)
    assert len(attempts) > 2


def test_an_entry_that_cannot_be_applied_stops_its_shard_and_loses_nothing() -> None:
    world = World("abc", manual=True)
    leader = world.elect("a")
    attempts = []

    def broken(index, term, payload):
        attempts.append(index)
        raise CallerMistakeError

    leader.consensus._shard._apply = broken
    outcomes = [world.propose(leader, payload) for payload in (b"poison", b"behind it")]
    for _ in range(4):
        world.deliver()
        for node in world.nodes.values():
            node.sync()
    assert len(attempts) == 1
    assert "CallerMistakeError" in leader.consensus.health
    assert not leader.consensus.is_leader
    assert [outcome.kind for waiter in outcomes for outcome in waiter] == [ProposalKind.UNKNOWN] * 2
    assert leader.log.durable(SHARD).entries[-1][1] == b"behind it"
    late = world.propose(leader, b"too late")
    assert [outcome.kind for outcome in late] == [ProposalKind.NOT_LEADER]
    assert world.nodes["b"].consensus.health == "ok"


# U3: entries above the chunk size


def test_stock_cannot_send_an_entry_of_about_two_chunks(monkeypatch) -> None:
    world = StockWorld(monkeypatch, "ab")
    node = world.elect("a")
    node._applyCommand(b"z" * (2 * 65536 - 5), None, 1)
    with pytest.raises(EOFError):
        world.run(0.3)
    assert world.log("b")[-1] != world.log("a")[-1]


@pytest.mark.parametrize("size", [2 * 65536 - 4, 2 * 65536, 200_000, 3 << 20])
def test_an_entry_of_any_size_is_sent_whole(size: int) -> None:
    world = World("ab", settings=replace(SETTINGS, append_bytes_max=65536))
    assert world.run(5_000, lambda: world.leader() is not None)
    leader = world.leader()
    assert leader is not None
    outcomes = world.propose(leader, b"z" * size)
    assert world.run(5_000, lambda: bool(outcomes))
    assert world.run(5_000, lambda: all(node.state[-1][1] == b"z" * size for node in world.nodes.values()))


# U12: the pipe that wakes


def test_stock_raises_after_it_queued_the_call_when_nobody_ticks(monkeypatch) -> None:
    world = StockWorld(monkeypatch, "a", commandsQueueSize=1_000_000)
    node = world.elect("a")
    queued = []
    with contextlib.suppress(OSError):
        for number in range(70_000):
            queued.append(number)
            node.put(number)
    assert 60_000 < len(queued) < 70_000


def test_proposals_are_bounded_in_bytes_and_each_is_told_what_became_of_it() -> None:
    world = World("a", manual=True, settings=replace(SETTINGS, unapplied_bytes_max=700_000))
    node = world.elect("a")
    outcomes = []
    for _ in range(70_001):
        node.consensus.propose([b"0123456789"], outcomes.append)
    assert [outcome.kind for outcome in outcomes] == [ProposalKind.OVERLOADED]
    while node.consensus.applied_index < node.consensus.last_index:
        node.sync()
    assert sum(outcome.kind is ProposalKind.APPLIED for outcome in outcomes) == 70_000
    later = world.propose(node, b"room again")
    node.sync()
    assert [outcome.kind for outcome in later] == [ProposalKind.APPLIED]


def test_a_node_holds_no_descriptor_and_no_thread_of_its_own() -> None:
    before = set(os.listdir("/proc/self/fd"))
    worlds = [World("abc", manual=True) for _ in range(10)]
    assert len(worlds) == 10
    assert len(set(os.listdir("/proc/self/fd")) - before) <= 1, "one is the listing itself"


# D8: a leader that nobody follows


def test_stock_calls_itself_leader_for_half_a_minute_after_everyone_left(monkeypatch) -> None:
    world = StockWorld(monkeypatch, "abc")
    leader = world.elect("a")
    world.run(20.0, lambda s, t, m: False, "a")
    assert leader._isLeader()


def test_a_leader_that_hears_from_nobody_gives_up_within_an_election_time() -> None:
    world = World("abc")
    assert world.run(5_000, lambda: world.leader() is not None)
    leader = world.leader()
    assert leader is not None
    world.block(leader.name)
    bound = world.settings.election_ms_max + world.settings.heartbeat_ms
    assert world.run(bound, lambda: not leader.consensus.is_leader)
    assert leader.roles[-1] is False


# D9: nothing is synced


def test_stock_acknowledges_without_a_sync(monkeypatch, tmp_path) -> None:
    synced = []
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, synced.append)
    world = StockWorld(monkeypatch, "a", journals=tmp_path)
    node = world.elect("a")
    acknowledged = []
    node.put("x", callback=lambda result, error: acknowledged.append(error))
    world.run(0.2)
    assert acknowledged == [0]
    assert synced == []


@pytest.mark.parametrize("names", ["a", "abc"])
def test_nothing_is_acknowledged_before_it_is_synced(names: str) -> None:
    world = World(names, manual=True)
    leader = world.elect("a")
    outcomes = world.propose(leader, b"x")
    for _ in range(5):
        world.now += 50
        leader.consensus.tick()
        world.deliver()
    assert outcomes == []
    for node in world.nodes.values():
        node.sync()
    world.deliver()
    assert [outcome.kind for outcome in outcomes] == [ProposalKind.APPLIED]


# S1: what a peer can make us run


@pytest.mark.parametrize(
    "frame",
    [b"cos\nmkdir\n(S'/proc/never'\ntR.", b"\x80\x02cos\nmkdir\nX\x0b\x00\x00\x00/proc/never\x85R.", b"\x80\x04}\x94."],
)
def test_a_pickled_message_is_refused_and_not_looked_into(frame: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_message(frame)

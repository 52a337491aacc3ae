"""Aimed schedules: the traps of a group sync, and a crash right after a vote. Each is red where the code is broken."""

from collections.abc import Callable

import pytest

from tallymq.raftlog.consensus import ConsensusSettings
from tallymq.raftlog.consensus_applying import Applying
from tallymq.raftlog.journal import Journal
from tallymq.raftlog.messages import AppendEntries, Message
from tallymq.txn.commands import Barrier
from tallymq.txn.outcomes import Done
from tests.simulator.node import Caller, Node
from tests.simulator.run import run_with
from tests.simulator.shape import SECOND_US, Fault, Shape
from tests.simulator.watch import Violation
from tests.simulator.world import World

Break = Callable[[pytest.MonkeyPatch], None]
SHARD = 1


def world_of(nodes: int) -> World:
    """A world without clients and faults, whose shard is led."""
    settings = ConsensusSettings(heartbeat_ms=150, election_ms_min=600, election_ms_max=1_200, append_bytes_max=1)
    world = World(1, Shape(nodes=nodes, sync_us=(500, 2_000), consensus=settings), [])
    world.start_nodes()
    assert world.pass_time(20 * SECOND_US, lambda: world.leader(SHARD) is not None)
    world.pass_time(SECOND_US)
    return world


def leader_of(world: World) -> Node:
    leader = world.leader(SHARD)
    assert leader is not None
    return leader


def propose(node: Node) -> list[object]:
    """What the caller is told, as it is told."""
    told: list[object] = []
    caller = Caller(lambda result, error: told.append(error or result))
    node.do(node.life, node.handles[SHARD].propose_for, caller, Barrier())
    return told


def single_node_answers_after_its_sync() -> None:
    """Trap 1: one node is its own majority, and the stock tick acknowledges before anything is on its disk."""
    world = world_of(1)
    node = leader_of(world)
    node.slow_sync_us = 5 * SECOND_US
    told = propose(node)
    world.pass_time(4 * SECOND_US)
    if told:
        raise Violation("durability: it answered before it had synced")
    world.pass_time(8 * SECOND_US)
    assert told == [Done()]


def an_index_once_synced_is_not_what_took_its_place() -> None:
    """Trap 2: an entry synced in one term is overwritten in the next; the index was durable, the new entry is not."""
    world = world_of(3)
    old = leader_of(world)
    others = [name for name in world.names if name != old.name]
    block = [(old.name, name) for name in others] + [(name, old.name) for name in others]
    world.network.block(block)
    lost = propose(old)
    world.pass_time(SECOND_US // 10)
    assert world.pass_time(20 * SECOND_US, lambda: world.leader(SHARD) not in (None, old))
    new = leader_of(world)
    assert new is not old
    told = [propose(new), propose(new)]
    world.pass_time(SECOND_US)
    old.slow_sync_us = 3 * SECOND_US
    world.network.unblock(block)
    world.pass_time(20 * SECOND_US)
    assert told == [[Done()], [Done()]]
    assert lost != [Done()]
    assert old.members[SHARD].applied_index == new.members[SHARD].applied_index


def a_follower_applies_only_what_it_has_synced() -> None:
    """Trap 3: the message that carries an entry may say that a majority has it; this node has it in memory only."""
    world = world_of(3)
    leader = leader_of(world)
    follower = next(node for node in world.nodes.values() if node is not leader)
    before = follower.members[SHARD].applied_index
    follower.slow_sync_us = 3 * SECOND_US
    told = propose(leader)
    world.pass_time(2 * SECOND_US)
    assert told == [Done()]
    assert follower.members[SHARD].applied_index == before
    world.pass_time(8 * SECOND_US)
    assert follower.members[SHARD].applied_index > before


def a_voter_that_loses_its_power_keeps_its_term_and_vote() -> None:
    """Right after a vote left, the voter's power is cut, the candidate cut off, and another one asks in that term."""
    names = ("a", "b", "c")
    for seed in range(2):
        # Whoever leads is cut off, again and again, so that somebody asks; each node is aimed at in turn.
        faults = [
            Fault((2 + 4 * step) * SECOND_US + ahead, kind, (names[(step + seed) % 3], "b", "c"), 2 * SECOND_US)
            for step in range(4)
            for ahead, kind in ((0, "vote, then a second candidate"), (1, "term ends"))
        ]
        report = run_with(seed, Shape(chaos_us=20 * SECOND_US, producers=1, consumers=2), faults)
        if report.violation:
            raise Violation(report.violation)


def around(world: World, node: Node) -> list[tuple[str, str]]:
    """Every direction into this node and out of it."""
    others = [name for name in world.names if name != node.name]
    return [(node.name, name) for name in others] + [(name, node.name) for name in others]


def an_entry_of_an_older_term_is_not_counted() -> None:
    """A majority holds an entry of an older term, the leader's own is nowhere else yet: another log may still win."""
    world = world_of(3)
    first = leader_of(world)
    term, send = first.members[SHARD].term, world.network.send
    world.network.block(around(world, first))
    propose(first)
    index = first.members[SHARD].last_index

    def send_only_older_entries(source: str, target: str, shard: int, message: Message | bytes) -> None:
        entries = message.entries if isinstance(message, AppendEntries) else ()
        if shard != SHARD or all(entry.term <= term for entry in entries):
            send(source, target, shard, message)

    world.network.send = send_only_older_entries  # type: ignore[method-assign]
    others = [node for node in world.nodes.values() if node is not first]
    assert world.pass_time(20 * SECOND_US, lambda: any(node.members[SHARD].is_leader for node in others))
    second = next(node for node in others if node.members[SHARD].is_leader)
    world.pass_time(SECOND_US // 10)
    world.network.block(around(world, second))
    world.network.unblock(around(world, first))
    third = next(node for node in others if node is not second)
    assert world.pass_time(20 * SECOND_US, lambda: len(third.shadow.durable[SHARD].terms) == index)
    world.pass_time(SECOND_US // 2)
    world.network.block(around(world, first))
    world.network.unblock(around(world, second))
    world.network.send = send  # type: ignore[method-assign]
    assert world.pass_time(20 * SECOND_US, lambda: world.leader(SHARD) is second)


def check_that_it_holds(scenario: Callable[[], None]) -> None:
    """A scenario raises Violation, or fails an assertion of its own."""
    scenario()


def count_what_is_not_synced(patch: pytest.MonkeyPatch) -> None:
    def _count(self: Applying) -> None:
        synced = sorted([self.journal.last_index, *[item.synced_index for item in self.progress.values()]])
        self.majority_index = max(self.majority_index, synced[(len(synced) - 1) // 2])

    patch.setattr(Applying, "_count", _count)
    apply_what_is_not_synced(patch)


def apply_what_is_not_synced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Applying, "may_be_applied", lambda self: self.majority_index)


def trust_an_index_once_synced(patch: pytest.MonkeyPatch) -> None:
    def truncate(self: Journal, from_index: int) -> None:
        self._log.append_truncate(self._shard, from_index)
        self.last_index = from_index - 1
        self.last_term = self.term_known(self.last_index)

    patch.setattr(Journal, "truncate", truncate)


def count_older_terms(patch: pytest.MonkeyPatch) -> None:
    def _count(self: Applying) -> None:
        synced = sorted([self.journal.synced_index(), *[item.synced_index for item in self.progress.values()]])
        self.majority_index = max(self.majority_index, synced[(len(synced) - 1) // 2])

    patch.setattr(Applying, "_count", _count)


def keep_term_and_vote_in_memory(patch: pytest.MonkeyPatch) -> None:
    def set_current_term(self: Journal, term: int, voted_for: str | None) -> None:
        self._term, self._voted_for = term, voted_for or ""

    patch.setattr(Journal, "setCurrentTerm", set_current_term)


TRAPS: dict[str, tuple[Callable[[], None], Break]] = {
    "a single node": (single_node_answers_after_its_sync, count_what_is_not_synced),
    "an index once synced": (an_index_once_synced_is_not_what_took_its_place, trust_an_index_once_synced),
    "a follower": (a_follower_applies_only_what_it_has_synced, apply_what_is_not_synced),
    "an older term": (an_entry_of_an_older_term_is_not_counted, count_older_terms),
    "a vote": (a_voter_that_loses_its_power_keeps_its_term_and_vote, keep_term_and_vote_in_memory),
}


@pytest.mark.parametrize("name", TRAPS)
def test_nothing_counts_before_it_may(name: str) -> None:
    check_that_it_holds(TRAPS[name][0])


@pytest.mark.parametrize("name", TRAPS)
def test_each_trap_catches_the_code_that_falls_into_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario, break_it = TRAPS[name]
    break_it(monkeypatch)
    with pytest.raises(Violation):
        scenario()

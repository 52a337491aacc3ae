"""When a new leader's state may be used."""

from dataclasses import replace

from tallymq.raftlog.messages import AppendEntries, AppendReply, LogEntry, RequestVote, VoteReply
from tests.raftlog.consensus.world import SETTINGS, World


def test_a_leader_is_ready_only_once_it_has_applied_an_entry_of_its_own_term() -> None:
    world = World("abc", settings=replace(SETTINGS, apply_entries_max=1), manual=True)
    node = world.nodes["b"]
    node.consensus.received("a", AppendEntries(1, 1, 0, 0, 0, (LogEntry(1, b"x"), LogEntry(1, b"y"))))
    node.sync()
    world.now += 10_000
    node.consensus.tick()
    [term] = {m.term for _, _, m in world.in_flight if isinstance(m, RequestVote)}
    node.consensus.received("c", VoteReply(term, True, trial=True))
    node.sync()
    node.consensus.received("c", VoteReply(term, True))
    node.sync()
    assert node.consensus.is_leader
    world.in_flight.clear()
    world.majority_checked = False
    own = node.consensus.last_index
    sent = [m for s, t, m in world.sent if t == "c" and isinstance(m, AppendEntries)]
    node.consensus.received("c", AppendReply(term, sent[-1].sequence, own - 1, own - 1))
    node.consensus.received("c", AppendReply(term, 0, own, own))
    seen = []
    for _ in range(5):
        node.consensus.tick()
        seen.append((node.consensus.applied_index, list(node.roles), node.consensus.is_ready))
    assert [(roles, ready) for applied, roles, ready in seen if applied < own] != [], "older entries were applied first"
    assert all(roles == ([True] if applied >= own else []) for applied, roles, _ in seen)
    assert all(ready is (applied >= own) for applied, _, ready in seen)
    assert seen[-1][0] == own

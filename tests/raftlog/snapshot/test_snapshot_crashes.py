"""Either end of a snapshot dies at any step: there is always one whole state, and in the end the right one."""

import random

import pytest

from tallymq.raftlog.snapshot import SnapshotSettings
from tests.raftlog.snapshot.pair import SHARD, CrashError, Node, Pair2, check_equal, fill, is_done, started

SMALL = SnapshotSettings(bytes_per_s=1 << 30, message_bytes=400, window_bytes=1_600, retry_ms=100, patience_ms=2_000)


def everything_of(node: Node) -> tuple[str, int]:
    return node.state(), node.applied


class Fuse:
    """Ends a node at its n-th step: a write or sync of its disk or store, or a message it sends."""

    def __init__(self, pair: Pair2, victim: str, moment: str, steps: int) -> None:
        self._victim = victim
        self._left = steps
        node = pair.nodes[victim]
        setattr(node.disk, moment, self.burn)
        setattr(node.store, moment, self.burn)
        setattr(pair, f"{moment}_send", self.burn)

    def burn(self, what: str) -> None:
        if what in "ab" and what != self._victim:
            return
        self._left -= 1
        if self._left == 0:
            raise CrashError


def disarm(pair: Pair2) -> None:
    pair.before_send = pair.after_send = lambda source: None
    for node in pair.nodes.values():
        node.disk.before = node.disk.after = node.store.before = node.store.after = lambda what: None


def revive(pair: Pair2, victim: str, *, power: bool) -> Node:
    """Open what a crash left; the leader is told whom to send to, as its consensus would tell it."""
    disarm(pair)
    node = pair.crash(victim, power=power)
    pair.a.place.done.clear()
    pair.a.snapshots.behind("b")
    pair.heal()
    return node


@pytest.mark.parametrize("victim", ["b", "a"])
@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_step_there_is_one_whole_state_and_in_the_end_the_right_one(
    victim: str, power: bool, moment: str
) -> None:
    crashes = 0
    for last in range(1, 10_000):
        pair = started(14, SMALL)
        pair.a.flush()
        fill_follower(pair)
        pair.b.flush()
        old, new = everything_of(pair.b), everything_of(pair.a)
        Fuse(pair, victim, moment, last)
        try:
            pair.run(lambda p=pair: is_done(p))
        except CrashError:
            crashes += 1
            node = revive(pair, victim, power=power)
            assert everything_of(node) in ((old, new) if victim == "b" else (new,))
            pair.run(lambda p=pair: is_done(p))
            check_equal(pair)
            continue
        check_equal(pair)
        break
    assert crashes >= (40 if victim == "b" else 12)


@pytest.mark.parametrize("seed", range(24))
def test_however_often_either_end_or_the_link_fails_the_follower_gets_there(seed: int) -> None:
    chance = random.Random(seed)
    pair = started(30, SMALL)
    pair.a.flush()
    fill_follower(pair)
    pair.b.flush()
    whole = {everything_of(pair.b), everything_of(pair.a)}
    for _ in range(8):
        what = chance.choice(("a", "b", "b", "link"))
        if what == "link":
            for _ in range(chance.randint(1, 20)):
                pair.step()
            pair.cut()
            for _ in range(chance.randint(1, 50)):
                pair.step()
            pair.heal()
            continue
        Fuse(pair, what, chance.choice(("before", "after")), chance.randint(1, 80))
        try:
            pair.run(lambda: is_done(pair))
            disarm(pair)
        except CrashError:
            revive(pair, what, power=chance.random() < 0.5)
            assert everything_of(pair.b) in whole
        if chance.random() < 0.3:
            fill(pair.a, 3, first=1000 * (1 + chance.randrange(1000)))
            pair.a.flush()
            whole.add(everything_of(pair.a))
            pair.a.place.done.clear()
            pair.a.snapshots.behind("b")
    pair.run(lambda: pair.a.snapshots.sender.floor() == 0 and not pair.b.surplus())
    pair.a.place.done.clear()
    pair.a.snapshots.behind("b")
    pair.run(lambda: is_done(pair))
    check_equal(pair)


def fill_follower(pair: Pair2) -> None:
    """The follower has the first entries, and some that nobody else has."""
    for index in range(1, 4):
        payload = pair.a.log.read_entry(SHARD, index)
        term = pair.a.log.term_at(SHARD, index)
        assert term is not None
        pair.b.log.append_entry(SHARD, index, term, [payload])
        pair.b.sync()
        pair.b.replica.apply(index, term, payload)
    pair.b.log.append_entry(SHARD, 4, 2, [b"of a leader that nobody followed"])
    pair.b.sync()

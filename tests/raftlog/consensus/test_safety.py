"""Random histories: whatever the network, the disks and the power do, nothing that was acknowledged is lost."""

import random

import pytest

from tallymq.raftlog.consensus import ProposalKind
from tests.raftlog.consensus.world import SHARD, World

VIRTUAL_MS = 60_000
HEALED_MS_MAX = 10_000


def disturb(world: World, chance: random.Random) -> None:
    """One fault, or the end of one."""
    nodes = list(world.nodes.values())
    alive = [node for node in nodes if node.alive]
    dead = [node for node in nodes if not node.alive]
    what = chance.random()
    if what < 0.2 and alive:
        chance.choice(alive).crash(chance=chance)
    elif what < 0.55 and dead:
        chance.choice(dead).start()
    elif what < 0.6:
        for node in alive:
            node.crash(chance=chance if chance.random() < 0.5 else None)
    elif what < 0.75:
        names = "".join(chance.sample(world.names, chance.randint(1, len(world.names) // 2)))
        world.block(names, one_way=chance.random() < 0.3)
    elif what < 0.9:
        world.heal(reconnect=chance.random() < 0.5)
    else:
        world.loss = chance.choice((0.0, 0.0, 0.1, 0.3))
        world.duplicates = chance.choice((0.0, 0.1))
        world.delay_ms = chance.choice(((1, 5), (1, 60), (1, 400)))
        world.slow_sync = chance.choice((0.0, 0.0, 0.2))


def work(world: World, chance: random.Random, number: int, *, forgetful: bool) -> None:
    """Propose to whoever thinks it leads, old leaders included; now and then a store flushes."""
    leading = [node for node in world.nodes.values() if node.alive and node.consensus.is_leader]
    if leading:
        size = chance.choice((8, 8, 200, 5000))
        world.propose(chance.choice(leading), b"%d:" % number + b"x" * size)
    node = chance.choice(list(world.nodes.values()))
    if chance.random() < 0.1:
        node.flushed = len(node.state)
    if forgetful and node.alive and node.flushed > node.consensus.base_index and chance.random() < 0.2:
        node.drop_prefix(chance.randint(node.consensus.base_index + 1, node.flushed))


def simulate(seed: int, nodes: str, virtual_ms: int = VIRTUAL_MS, *, forgetful: bool = False) -> World:
    chance = random.Random(f"faults {seed}")
    world = World(nodes, seed=seed)
    number, end, next_fault = 0, world.now + virtual_ms, world.now + 2_000
    while world.now < end:
        number += 1
        work(world, chance, number, forgetful=forgetful)
        world.run(chance.randint(5, 120))
        if world.now >= next_fault:
            disturb(world, chance)
            next_fault = world.now + chance.randint(50, 2_500)
    world.check_all()
    return world


def recover(world: World) -> None:
    """Everything works again: a proposal must be applied on every node within the bound."""
    world.loss = world.duplicates = world.slow_sync = 0.0
    world.delay_ms = (1, 5)
    for node in world.nodes.values():
        if not node.alive:
            node.start()
    world.heal()
    assert world.run(HEALED_MS_MAX, lambda: world.leader() is not None), f"seed {world.seed}: no leader"
    leader = world.leader()
    assert leader is not None
    outcomes = world.propose(leader, b"the end")
    last = [(leader.consensus.term, b"the end")]
    assert world.run(HEALED_MS_MAX, lambda: all(node.state[-1:] == last for node in world.nodes.values()))
    assert [outcome.kind for outcome in outcomes] == [ProposalKind.APPLIED]


@pytest.mark.parametrize("forgetful", [False, True], ids=["whole logs", "logs that forget"])
@pytest.mark.parametrize("seed", range(30))
def test_nothing_acknowledged_is_lost_and_no_two_nodes_differ(seed: int, forgetful: bool) -> None:
    world = simulate(seed, "abcde" if seed % 5 == 4 else "abc", forgetful=forgetful)
    recover(world)
    world.check_all()
    assert len(world.acknowledged) > 20, "a history in which nothing happens proves nothing"
    for node in world.nodes.values():
        assert [node.state[index - 1][1] for index in world.acknowledged] == list(world.acknowledged.values())
        assert node.log.shard_state(SHARD).entries[: len(node.state)] == node.state

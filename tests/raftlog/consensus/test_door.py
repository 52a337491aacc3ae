"""Exactly one release of pysyncobj is let in, and none of its faults."""

import ast
import random
import threading
from pathlib import Path

import pysyncobj.syncobj
import pytest

from tallymq.raftlog import consensus_door
from tallymq.raftlog.consensus_door import OPEN, REPLACED, SHUT, Engine, EngineRefused, StockMethodCalled, check_engine
from tallymq.raftlog.journal import Journal
from tests.raftlog.consensus.memory_log import MemoryLog
from tests.raftlog.consensus.world import World

SOURCE = Path(pysyncobj.syncobj.__file__).read_bytes()
# What a stock method must not reach: clocks, chance, pickles, files, threads, pipes, and the queue that feeds them.
FORBIDDEN = {
    "monotonicTime",
    "time",
    "random",
    "pickle",
    "os",
    "open",
    "__serializer",
    "__pipeNotifier",
    "__commandsQueue",
    "_poller",
}


def engine() -> Engine:
    return Engine(
        node="a",
        journal=Journal(MemoryLog(), 0),
        send=lambda peer, message: None,
        now_ms=lambda: 0,
        chance=random.Random(1),
        election_ms_min=10,
        election_ms_max=20,
    )


def test_the_release_the_overrides_were_written_for_is_let_in() -> None:
    check_engine(consensus_door.VERSION, SOURCE)


@pytest.mark.parametrize(
    ("version", "source"),
    [("0.3.16", SOURCE), ("0.4.0", SOURCE), (consensus_door.VERSION, SOURCE + b"\n"), (consensus_door.VERSION, b"")],
)
def test_any_other_release_or_source_is_refused_with_what_to_do(version: str, source: bytes) -> None:
    with pytest.raises(EngineRefused, match=r"pip install --force-reinstall pysyncobj==0\.3\.17"):
        check_engine(version, source)


def test_every_stock_method_that_reaches_outside_has_a_cure() -> None:
    stock = next(node for node in ast.parse(SOURCE).body if isinstance(node, ast.ClassDef) and node.name == "SyncObj")
    reaching = set()
    for method in stock.body:
        if not isinstance(method, ast.FunctionDef):
            continue
        names = {node.id for node in ast.walk(method) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(method) if isinstance(node, ast.Attribute)}
        if names & FORBIDDEN:
            name = method.name
            reaching.add("_SyncObj" + name if name.startswith("__") and not name.endswith("__") else name)
    assert reaching
    assert reaching - {*SHUT, *REPLACED, *OPEN} == set()


def test_every_cure_stands_in_the_place_of_a_stock_method() -> None:
    for name in (*SHUT, *REPLACED):
        assert callable(getattr(pysyncobj.syncobj.SyncObj, name)), name
        assert getattr(Engine, name) is not getattr(pysyncobj.syncobj.SyncObj, name), name


@pytest.mark.parametrize("name", SHUT)
def test_a_stock_method_with_a_fault_does_not_run(name: str) -> None:
    with pytest.raises(StockMethodCalled):
        getattr(engine(), name)()


def test_the_stock_tick_and_the_stock_transport_lead_to_ours() -> None:
    world = World("a", manual=True)
    shard = world.nodes["a"].consensus._shard
    shard.doTick(0)
    assert world.nodes["a"].consensus.is_leader


def test_time_and_chance_come_from_outside(monkeypatch) -> None:
    def forbidden(*arguments: object) -> float:
        raise AssertionError("the module's own clock or chance was asked")

    world = World("abc", seed=5)
    monkeypatch.setattr(pysyncobj.syncobj, "monotonicTime", forbidden)
    monkeypatch.setattr(pysyncobj.syncobj.random, "random", forbidden)
    assert world.run(5_000, lambda: world.leader() is not None)
    leader = world.leader()
    assert leader is not None
    outcomes = world.propose(leader, b"x")
    assert world.run(5_000, lambda: bool(outcomes))


def test_no_thread_is_started() -> None:
    before = threading.active_count()
    engine()
    assert threading.active_count() == before


def test_the_same_seed_is_the_same_history() -> None:
    def history(seed: int) -> list[object]:
        world = World("abc", seed=seed)
        world.loss = 0.2
        world.run(5_000)
        return world.sent

    assert history(7) == history(7)
    assert history(7) != history(8)

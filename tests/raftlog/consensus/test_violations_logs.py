"""What pysyncobj does wrong with snapshots, journals and members, and what ours does in the same place."""

import os
import shutil
from pathlib import Path
from random import Random

import pytest
from pysyncobj.journal import FileJournal
from pysyncobj.node import Node as StockNode
from pysyncobj.serializer import SERIALIZER_STATE

from tallymq.raftlog.consensus import ProposalKind
from tallymq.raftlog.locations import Location, decode_location, encode_location
from tallymq.raftlog.log_shard import ShardLog
from tallymq.raftlog.membership import AddLearner, Refusal
from tallymq.raftlog.payloads import Position, SegmentStart, decode_segment, encode_segment
from tallymq.raftlog.store import MemoryStore
from tests.raftlog.consensus.stock import StockWorld
from tests.raftlog.consensus.world import SHARD, Node, World
from tests.support.logs import append, apply_all, finish_round, open_log
from tests.support.memory_disk import MemoryDisk


class Killed(BaseException):
    """Stands for kill -9."""


def flushed(node: Node) -> None:
    node.flushed = len(node.state)


# V2: a deposed leader rejoins through a snapshot


def test_stock_acknowledges_what_exists_nowhere_when_it_comes_back_through_a_snapshot(monkeypatch) -> None:
    world = StockWorld(monkeypatch, "abc", logCompactionMinEntries=20, logCompactionBatchSize=2048)
    old = world.elect("a")
    for number in range(3):
        old.put(f"before {number}")
    world.run(0.3)
    others = lambda source, target, message: "a" not in (source, target)  # noqa: E731
    for name in "bc":
        world.transports["a"]._onNodeDisconnected(StockNode(name))
        world.transports[name]._onNodeDisconnected(StockNode("a"))
    acknowledged = []
    for number in range(3):
        old.put(f"lost {number}", callback=lambda result, error: acknowledged.append(error))
    world.run(4.0, others)
    new = next(world.nodes[name] for name in "bc" if world.nodes[name]._isLeader())
    for _ in range(60):
        new.put(os.urandom(100).hex())
    world.run(1.0, others)
    new.forceLogCompaction()
    world.run(0.5, others)
    assert acknowledged == []
    for name in "bc":
        world.transports["a"]._onNodeConnected(StockNode(name))
        world.transports[name]._onNodeConnected(StockNode("a"))
    for _ in range(60):
        world.now += 0.05
        for node in world.nodes.values():
            node.doTick(0)
        # Two messages a tick reach the old leader, as with any snapshot that takes more than one read.
        given, waiting = 0, []
        while world.queue:
            source, target, message = world.queue.pop(0)
            if target == "a" and given == 2:
                waiting.append((source, target, message))
                continue
            given += target == "a"
            world.give(source, target, message)
        world.queue = waiting
    assert 0 in acknowledged
    assert not [value for value in new.seen if str(value).startswith("lost")]


def test_a_deposed_leader_that_comes_back_through_a_snapshot_acknowledges_nothing() -> None:
    world = World("abc", seed=3)
    assert world.run(5_000, lambda: world.leader() is not None)
    old = world.leader()
    assert old is not None
    world.block(old.name)
    outcomes = [world.propose(old, b"lost %d" % number) for number in range(3)]
    assert world.run(5_000, lambda: world.leader() not in (None, old))
    new = world.leader()
    assert new is not None
    for number in range(60):
        world.propose(new, b"%d" % number)
    world.run(1_000)
    for node in world.nodes.values():
        if node is not old:
            flushed(node)
            node.drop_prefix(node.flushed - 1)
    world.heal()
    assert world.run(10_000, lambda: old.state == new.state)
    assert new.behind or any(node.behind for node in world.nodes.values())
    assert {kind for told in outcomes for kind in (outcome.kind for outcome in told)} == {ProposalKind.UNKNOWN}
    assert not [payload for _, payload in new.state if payload.startswith(b"lost")]
    world.check_all()


# V3: all are killed while a dump runs


def test_stock_loses_acknowledged_entries_when_it_is_killed_while_a_dump_runs(monkeypatch, tmp_path) -> None:
    options = {"fullDumpFile": str(tmp_path / "dump"), "useFork": False}
    world = StockWorld(monkeypatch, "a", journals=tmp_path, **options)
    node = world.elect("a")
    for number in range(10):
        node.put(number)
    world.run(0.3)
    node.forceLogCompaction()
    node._SyncObj__tryLogCompaction()
    # The child that writes the dump is not done yet, as far as the parent knows.
    monkeypatch.setattr(node._SyncObj__serializer, "checkSerializing", lambda: (SERIALIZER_STATE.SERIALIZING, None))
    acknowledged = []
    for number in range(100):
        node.put(f"later {number}", callback=lambda result, error: acknowledged.append(error))
    world.run(0.3)
    assert acknowledged == [0] * 100
    end = world.log("a")[-1]
    node._SyncObj__raftLog._destroy()
    again = StockWorld(monkeypatch, "a", journals=tmp_path, **options)
    again.run(0.1)
    assert again.log("a")[-1][0] < end[0] - 90


@pytest.mark.parametrize("seed", range(6))
def test_all_killed_while_snapshots_and_prefixes_are_under_way_lose_nothing(seed: int) -> None:
    world = World("abc", seed=seed)
    chance = Random(seed)
    for number in range(12):
        assert world.run(10_000, lambda: world.leader() is not None)
        leader = world.leader()
        assert leader is not None
        for part in range(10):
            world.propose(leader, b"%d %d" % (number, part))
        world.run(200)
        flushed(leader)
        if leader.flushed > leader.consensus.base_index:
            leader.drop_prefix(leader.flushed)
        behind = next(node for node in world.nodes.values() if node is not leader)
        behind.crash()
        behind.start()
        world.run(chance.randint(1, 300))
        for node in world.nodes.values():
            node.crash(chance=chance)
        for node in world.nodes.values():
            node.start()
    world.run(5_000)
    world.check_all()
    assert len(world.acknowledged) > 60
    for node in world.nodes.values():
        assert [node.state[index - 1][1] for index in world.acknowledged] == list(world.acknowledged.values())


# V4: a kill inside the rewrite of the journal


def stock_journal(path: Path, count: int, size: int = 100) -> None:
    journal = FileJournal(str(path))
    for index in range(1, count + 1):
        journal.add(b"\x00" + bytes([64 + index % 64]) * size, index, 1)
    journal._destroy()


@pytest.mark.parametrize("writes", [2, 40, 150])
def test_stock_loses_the_end_of_its_journal_when_killed_inside_a_rewrite(tmp_path, writes: int) -> None:
    stock_journal(tmp_path / "journal", 200)
    journal = FileJournal(str(tmp_path / "journal"))
    file, left = journal._FileJournal__journalFile, [writes]
    write = file.write

    def killed(offset, values) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        write(offset, values)

    file.write = killed
    with pytest.raises(Killed):
        journal.deleteEntriesTo(100)
    shutil.copy(tmp_path / "journal", tmp_path / "found")
    found = FileJournal(str(tmp_path / "found"))
    assert len(found) == 0 or found[-1][1] < 200


def test_a_prefix_that_goes_takes_nothing_behind_it_along() -> None:
    for seed in range(20):
        disk, store = MemoryDisk(), MemoryStore()
        log = open_log(disk, store)
        for index in range(1, 201):
            append(log, SHARD, b"x" * 100 + b"%d" % index)
        finish_round(log)
        apply_all(log, store, SHARD, 150)
        store.write(log.flush_mark({SHARD: 150}))
        store.flush()
        log.flushes.completed()
        log.drop_prefix(SHARD, 100, 1, b"")
        log.write_round()
        found = open_log(disk.power_cut(Random(seed)), store, seed=2)
        state = found.shard_state(SHARD)
        assert state.base_index in (0, 100)
        assert state.last_index == 200
        assert [found.read_entry(SHARD, index)[100:] for index in range(101, 201)] == [
            b"%d" % index for index in range(101, 201)
        ]


# U4: torn pages


def test_stock_takes_a_torn_page_for_entries_or_does_not_start(tmp_path) -> None:
    stock_journal(tmp_path / "torn", 5, 8000)
    data = bytearray((tmp_path / "torn").read_bytes())
    data[4096 * 2 : 4096 * 3] = bytes(4096)
    (tmp_path / "torn").write_bytes(data)
    opened = FileJournal(str(tmp_path / "torn"))
    assert [index for command, index, _ in opened[:] if command.count(0) > 1], "zeros inside a command"
    data[4096 * 3 : 4096 * 4] = bytes(4096)
    (tmp_path / "torn").write_bytes(data)
    with pytest.raises(Exception):  # noqa: B017 - whatever it is, the node does not start
        FileJournal(str(tmp_path / "torn"))


def test_a_torn_end_is_cut_and_never_taken_for_entries() -> None:
    cut = set()
    for seed in range(60):
        disk, store = MemoryDisk(), MemoryStore()
        log = open_log(disk, store)
        for index in range(1, 6):
            append(log, SHARD, bytes([64 + index]) * 8000)
        finish_round(log)
        for index in range(6, 11):
            append(log, SHARD, bytes([64 + index]) * 8000)
        log.write_round()
        found = open_log(disk.power_cut(Random(seed)), store, seed=2)
        last = found.shard_state(SHARD).last_index
        assert 5 <= last <= 10
        for index in range(1, last + 1):
            assert found.read_entry(SHARD, index) == bytes([64 + index]) * 8000
        cut.add(last)
    assert {5, 10} <= cut, "some lost all that was not synced, some nothing"


# U5: four gigabytes


def test_stock_holds_an_entry_it_could_not_write_once_its_journal_has_four_gigabytes(tmp_path) -> None:
    journal = FileJournal(str(tmp_path / "big"))
    journal.add(b"\x00a", 1, 1)
    journal._FileJournal__currentOffset = 2**32 - 100
    file = journal._FileJournal__journalFile
    write = file.write
    file.write = lambda offset, values: write(offset, values) if offset < 1000 else None
    with pytest.raises(Exception):  # noqa: B017 - struct.error, of no documented kind
        journal.add(b"\x00" + b"b" * 200, 2, 1)
    assert len(journal) == 2


def test_a_place_in_the_log_has_no_limit_of_four_gigabytes() -> None:
    far = Position(1 << 33, 1 << 40)
    start = SegmentStart(1, far.segment, far, 1 << 40, far)
    assert decode_segment(encode_segment(start)) == start
    location = Location(far.segment, far.offset, 200, 1 << 40)
    assert decode_location(encode_location(location)) == location
    shard = ShardLog()
    assert shard.append(1, location, 1 << 40, 200) == 1
    assert shard.location_of(1) is not None
    assert tuple(shard.location_of(1) or ())[:2] == far


# V8: two changes of the members at once


def test_stock_lets_two_changes_of_the_members_run_at_once(monkeypatch) -> None:
    world = StockWorld(monkeypatch, "abc", dynamicMembershipChange=True)
    leader = world.elect("a")
    world.run(0.3)
    end = leader._SyncObj__raftCommitIndex
    leader.addNodeToCluster(StockNode("d"))
    leader.addNodeToCluster(StockNode("e"))
    leader.doTick(0)
    assert leader._SyncObj__raftCommitIndex == end, "neither is on a majority"
    assert {node.id for node in leader._SyncObj__otherNodes} == {"b", "c", "d", "e"}


def test_two_changes_of_the_members_are_never_under_way_at_once() -> None:
    world = World("abc", manual=True)
    leader = world.elect("a")
    told = []
    for name in "de":
        leader.consensus.propose_configuration(AddLearner(name, "h", 1), told.append)
    assert [outcome.result for outcome in told] == [Refusal.CHANGE_IN_PROGRESS]
    assert {place.node for place in leader.consensus.configuration.places} == {"a", "b", "c", "d"}

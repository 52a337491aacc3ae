"""A damaged body is found, never served, and repaired from another node; that costs no vote and loses nothing."""

import pytest

from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.keys import location_key
from tallymq.raftlog.locations import decode_location
from tallymq.raftlog.records import HEADER_BYTES
from tallymq.raftlog.snapshot_messages import BodyFound, BodyWanted, Envelope
from tallymq.txn import queries
from tallymq.txn.types import Reference
from tests.raftlog.snapshot.pair import SHARD, TERM, TOPIC, Node, Pair2, fill, is_done, started


def references(node: Node) -> list[Reference]:
    return [piece.reference for piece in queries.browse(node.replica.view, TOPIC, SHARD, 0, 1_000)]


def damage(node: Node, reference: Reference) -> None:
    """Flip a bit of one body on a node's disk."""
    value = node.store.get(location_key(SHARD, reference.index))
    assert value is not None
    place = decode_location(value)
    (content,) = [content for name, content in node.disk.files.items() if int(name.split("-")[1], 16) == place.segment]
    content.data[place.offset + HEADER_BYTES + place.prefix_bytes + reference.start - place.start] ^= 4
    content.synchronize()


def read(node: Node, reference: Reference) -> bytes | None:
    """Read as a shard's handle does: what is damaged is asked for."""
    try:
        return node.read(reference)
    except (AssertionError, BodyDamaged):
        node.snapshots.damaged(reference)
        return None


def equal_pair(*, by_snapshot: bool) -> Pair2:
    pair = started(20)
    if by_snapshot:
        pair.run(lambda: is_done(pair))
        return pair
    pair.a.snapshots.stop()
    for index in range(1, pair.a.applied + 1):
        term = pair.a.log.term_at(SHARD, index)
        assert term is not None
        payload = pair.a.log.read_entry(SHARD, index)
        pair.b.log.append_entry(SHARD, index, term, [payload])
        pair.b.sync()
        pair.b.replica.apply(index, term, payload)
    return pair


@pytest.mark.parametrize("by_snapshot", [True, False])
def test_a_damaged_body_is_repaired_from_another_node(by_snapshot: bool) -> None:
    pair = equal_pair(by_snapshot=by_snapshot)
    pair.b.flush()
    wanted = references(pair.b)
    whole = {reference: pair.b.read(reference) for reference in wanted}
    for reference in wanted[3:6]:
        damage(pair.b, reference)
        assert read(pair.b, reference) is None
    term, vote = pair.b.log.shard_state(SHARD).term, pair.b.log.shard_state(SHARD).voted_for
    pair.run(lambda: pair.b.snapshots.repair.repaired_count == 3)
    for _ in range(2):
        assert {reference: pair.b.read(reference) for reference in wanted} == whole
        if not by_snapshot:
            # Raft reads them, too.
            for reference in wanted:
                assert pair.b.log.read_entry(SHARD, reference.index) == pair.a.log.read_entry(SHARD, reference.index)
        assert (pair.b.log.shard_state(SHARD).term, pair.b.log.shard_state(SHARD).voted_for) == (term, vote)
        pair.b.flush()
        pair.crash("b", power=True)


def test_different_damaged_bodies_on_all_nodes_stop_nothing() -> None:
    pair = equal_pair(by_snapshot=True)
    wanted = references(pair.a)
    whole = {reference: pair.a.read(reference) for reference in wanted}
    for place, reference in enumerate(wanted):
        node = pair.a if place % 2 else pair.b
        damage(node, reference)
        assert read(node, reference) is None
    count = len(wanted)
    pair.run(lambda: sum(node.snapshots.repair.repaired_count for node in pair.nodes.values()) == count)
    for node in pair.nodes.values():
        assert {reference: node.read(reference) for reference in wanted} == whole


def test_a_body_that_nobody_has_is_not_served_and_asked_for_again_when_it_is_read_again() -> None:
    pair = equal_pair(by_snapshot=True)
    reference = references(pair.b)[2]
    damage(pair.a, reference)
    damage(pair.b, reference)
    for times in (1, 2):
        assert read(pair.b, reference) is None
        pair.run(lambda t=times: pair.b.snapshots.repair.unrepaired_count == t)
    asked = [message for source, message in pair.sent if source == "b" and isinstance(message, BodyWanted)]
    assert len(asked) == 2
    assert read(pair.b, reference) is None


def test_a_node_that_does_not_answer_is_given_up_and_asked_again_later() -> None:
    pair = equal_pair(by_snapshot=True)
    reference = references(pair.b)[2]
    damage(pair.b, reference)
    pair.cut()
    assert read(pair.b, reference) is None
    pair.run(lambda: pair.b.snapshots.repair.unrepaired_count == 1)
    pair.heal()
    assert read(pair.b, reference) is None
    pair.run(lambda: pair.b.snapshots.repair.repaired_count == 1)
    assert pair.b.read(reference) == pair.a.read(reference)


@pytest.mark.parametrize("power", [False, True])
def test_killed_before_the_copy_is_synced_nothing_points_at_it(power: bool) -> None:
    pair = equal_pair(by_snapshot=True)
    pair.b.flush()
    reference = references(pair.b)[4]
    damage(pair.b, reference)
    assert read(pair.b, reference) is None
    pair.a.snapshots.received(
        "b", Envelope(SHARD, "b", "a", TERM, next(m for _, m in reversed(pair.sent) if isinstance(m, BodyWanted)))
    )
    _, answer = pair.sent[-1]
    pair.b.snapshots.received("a", Envelope(SHARD, "a", "b", TERM, answer))
    before = pair.b.store.get(location_key(SHARD, reference.index))
    pair.b.log.write_round()
    pair.b.snapshots.tick()
    assert pair.b.store.get(location_key(SHARD, reference.index)) == before
    pair.crash("b", power=power)
    assert read(pair.b, reference) is None
    pair.run(lambda: pair.b.snapshots.repair.repaired_count == 1)
    assert pair.b.read(reference) == pair.a.read(reference)


@pytest.mark.parametrize("spoilt", ["another body", "too little", "another term", "unasked", "another node"])
def test_an_answer_that_is_not_the_body_is_not_taken(spoilt: str) -> None:
    pair = equal_pair(by_snapshot=True)
    reference = references(pair.b)[4]
    payload = pair.a.log.read_entry(SHARD, reference.index)
    term = pair.a.log.term_at(SHARD, reference.index)
    assert term is not None
    damage(pair.b, reference)
    pair.cut()
    if spoilt != "unasked":
        assert read(pair.b, reference) is None
    answers = {
        "another body": BodyFound(reference.index, term, 0, bytes(len(payload)), found=True),
        "too little": BodyFound(reference.index, term, 0, payload[: reference.start + 1], found=True),
        "another term": BodyFound(reference.index, term + 1, 0, payload, found=True),
    }
    answer = answers.get(spoilt, BodyFound(reference.index, term, 0, payload, found=True))
    source = "c" if spoilt == "another node" else "a"
    pair.b.snapshots.received(source, Envelope(SHARD, source, "b", TERM, answer))
    for _ in range(5):
        pair.step()
    assert pair.b.snapshots.repair.repaired_count == 0
    assert read(pair.b, reference) is None


def test_what_is_not_applied_here_is_not_repaired_by_asking() -> None:
    pair = Pair2()
    fill(pair.a, 10)
    reference = references(pair.a)[-1]
    pair.b.snapshots.damaged(reference)
    assert pair.sent == []

"""A follower is rebuilt, byte for byte, whatever happens to the link or to either end; there is always one state."""

import pytest

from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.keys import location_key
from tallymq.raftlog.snapshot import SnapshotSettings
from tallymq.raftlog.snapshot_messages import Ack, BodyPiece, Ending, Envelope, Installed, Offer, Pieces, Refused, Want
from tests.raftlog.snapshot.pair import SETTINGS, SHARD, TERM, Pair2, check_equal, fill, is_done, revived, started


def test_a_wiped_follower_gets_the_state_and_every_body_byte_for_byte() -> None:
    pair = started()
    pair.run(lambda: is_done(pair))
    check_equal(pair)
    assert len(pair.a.bodies()) > 20
    assert pair.a.place.done == [("b", pair.a.applied)]
    assert pair.a.log.flushes.pins == 0
    state = pair.b.log.shard_state(SHARD)
    assert (state.generation, state.configuration) == (1, b"members at %d" % pair.a.applied)
    assert (state.term, state.voted_for) == (0, ""), "term and vote are nobody else's"
    assert (pair.b.place.restored_to, pair.b.installed) == ([pair.a.applied], 1)


def test_what_was_installed_is_there_after_a_power_cut_and_goes_on() -> None:
    pair = started()
    pair.run(lambda: is_done(pair))
    pair.crash("b", power=True)
    check_equal(pair)
    fill(pair.a, 5, first=100)
    for index in range(pair.b.applied + 1, pair.a.applied + 1):
        payload = pair.a.log.read_entry(SHARD, index)
        pair.b.log.append_entry(SHARD, index, 9, [payload])
        pair.b.sync()
        pair.b.replica.apply(index, 9, payload)
    assert pair.b.state() == pair.a.state()
    pair.b.flush()
    pair.crash("b", power=True)
    assert pair.b.state() == pair.a.state()
    assert pair.b.bodies() == pair.a.bodies()


def test_messages_and_what_is_on_its_way_are_bounded() -> None:
    pair = started(80)
    worst = 0

    def done() -> bool:
        nonlocal worst
        flying = sum(len(frame) for source, _, frame in pair.queue if source == "a")
        worst = max(worst, flying)
        return is_done(pair)

    pair.run(done)
    assert worst <= 2 * SETTINGS.window_bytes
    sizes = [len(message.pairs) for _, message in pair.sent if isinstance(message, Pieces)]
    assert len(sizes) > 10


def test_a_snapshot_keeps_to_the_rate_it_is_given() -> None:
    settings = SnapshotSettings(
        bytes_per_s=20_000, message_bytes=1_000, window_bytes=8_000, retry_ms=500, patience_ms=60_000
    )
    pair = started(40, settings)
    begun_ms = pair.now_ms
    pair.run(lambda: is_done(pair), steps=10_000)
    took_s = (pair.now_ms - begun_ms) / 1000
    assert pair.a.snapshots.sender.sent_bytes / took_s <= 20_000 * 1.1


def test_the_leader_goes_on_while_it_sends_and_the_snapshot_stays_what_it_was() -> None:
    pair = started(40)
    pair.run(lambda: any(isinstance(message, Pieces) for _, message in pair.sent))
    assert pair.a.log.flushes.pins == 1, "what is read must not go"
    index, state = pair.a.applied, pair.a.state()
    fill(pair.a, 20, first=200)
    pair.run(lambda: is_done(pair))
    assert (pair.b.applied, pair.b.state()) == (index, state)
    assert pair.a.state() != state


@pytest.mark.parametrize("after", [1, 4, 9, 14])
def test_after_a_lost_link_only_what_is_missing_is_sent(after: int) -> None:
    pair = started(60)
    pair.run(lambda: sum(isinstance(message, Ack) for _, message in pair.sent) >= after)
    stage = pair.b.snapshots.receiver.stage
    assert stage is not None
    pair.cut()
    for _ in range(10):
        pair.step()
    pair.heal()
    marked = len(pair.sent)
    pair.run(lambda: is_done(pair))
    check_equal(pair)
    again = [message for _, message in pair.sent[marked:]]
    wants = [message for message in again if isinstance(message, Want)]
    assert wants[0].bodies_after >= stage.bodies_after
    assert wants[0].pairs_after >= stage.pairs_after
    resent = [body.index for message in again if isinstance(message, Pieces) for body in message.bodies]
    assert all(index > stage.bodies_after for index in resent)


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("after", [2, 8, 16])
def test_a_follower_that_restarts_goes_on_with_what_it_had_flushed(after: int, power: bool) -> None:
    pair = started(60)
    pair.run(lambda: sum(isinstance(message, Ack) for _, message in pair.sent) >= after)
    pair.b.flush()
    stage = pair.b.snapshots.receiver.stage
    assert stage is not None
    old = pair.b.state()
    pair.crash("b", power=power)
    assert pair.b.snapshots.receiver.stage is not None
    assert pair.b.state() == old, "a stage is not the state"
    pair.heal()
    marked = len(pair.sent)
    pair.run(lambda: is_done(pair))
    check_equal(pair)
    wants = [message for _, message in pair.sent[marked:] if isinstance(message, Want)]
    assert wants[0].bodies_after >= stage.bodies_after > 0


@pytest.mark.parametrize("after", [2, 8, 16])
def test_another_reader_of_the_same_state_goes_on_where_the_first_one_was(after: int) -> None:
    pair = started(60)
    pair.a.flush()
    pair.run(lambda: sum(isinstance(message, Ack) for _, message in pair.sent) >= after)
    stage = pair.b.snapshots.receiver.stage
    assert stage is not None
    pair.crash("a", power=True)
    pair.a.snapshots.behind("b")
    marked = len(pair.sent)
    pair.run(lambda: is_done(pair))
    check_equal(pair)
    resent = [body.index for _, m in pair.sent[marked:] if isinstance(m, Pieces) for body in m.bodies]
    assert all(index > stage.bodies_after for index in resent)


def test_a_later_snapshot_keeps_the_bodies_that_came_with_an_earlier_one() -> None:
    pair = started(60)
    pair.a.flush()
    pair.run(lambda: any(isinstance(m, Pieces) and m.pairs for _, m in pair.sent))
    had = pair.b.snapshots.receiver.stage
    assert had is not None
    pair.run(lambda: (pair.b.snapshots.receiver.stage or had).pairs_after > b"")
    pair.crash("a", power=False)
    fill(pair.a, 10, first=300)
    pair.a.snapshots.behind("b")
    marked = len(pair.sent)
    pair.run(lambda: is_done(pair))
    check_equal(pair)
    resent = [body.index for _, m in pair.sent[marked:] if isinstance(m, Pieces) for body in m.bodies]
    assert min(resent) > had.index


def test_entries_after_the_base_stay_if_the_entry_at_the_base_has_its_term() -> None:
    for term_at_base, stays in ((None, True), (1, False)):
        pair = started(12)
        index = pair.a.applied
        pair.run(lambda p=pair: any(isinstance(message, Offer) for _, message in p.sent))
        for number in range(1, index + 3):
            real = pair.a.log.term_at(SHARD, number) if number <= index else 9
            term = real if number != index or term_at_base is None else term_at_base
            assert term is not None
            pair.b.log.append_entry(SHARD, number, term, [b"whatever"])
        pair.b.sync()
        pair.run(lambda p=pair: is_done(p))
        for _ in range(2):
            assert pair.b.log.shard_state(SHARD).last_index == (index + 2 if stays else index)
            assert pair.b.log.shard_state(SHARD).last_term == (9 if stays else pair.a.log.term_at(SHARD, index))
            pair.crash("b", power=True)


def test_a_snapshot_not_above_what_is_applied_is_not_taken() -> None:
    pair = started(10)
    pair.run(lambda: is_done(pair))
    pair.a.place.done.clear()
    pair.a.snapshots.behind("b")
    marked = len(pair.sent)
    pair.run(lambda: bool(pair.a.place.done))
    assert pair.a.place.done == [("b", pair.a.applied)]
    assert [type(message) for _, message in pair.sent[marked:]] == [Offer, Installed]
    assert pair.b.replica.generation == 1


def test_a_later_generation_replaces_the_one_before() -> None:
    pair = started(10)
    pair.run(lambda: is_done(pair))
    fill(pair.a, 20, first=50)
    pair.a.place.done.clear()
    pair.a.snapshots.behind("b")
    pair.run(lambda: is_done(pair))
    check_equal(pair)
    assert pair.b.replica.generation == 2
    pair.crash("b", power=True)
    check_equal(pair)


def test_a_leader_of_an_older_term_is_refused() -> None:
    pair = started(10)
    pair.b.place.term = TERM + 1
    for _ in range(30):
        pair.step()
    assert pair.b.snapshots.receiver.stage is None
    assert not any(isinstance(message, Want) for _, message in pair.sent)


def test_a_state_of_another_format_is_refused() -> None:
    pair = Pair2()
    pair.b.snapshots.received("a", Envelope(SHARD, "a", "b", TERM, Offer(1, 50, 2, state_format=1)))
    assert [message for _, message in pair.sent] == [Refused(1)]
    assert pair.b.snapshots.receiver.stage is None


def test_whoever_stops_leading_sends_nothing_more_and_holds_nothing() -> None:
    pair = started(40)
    pair.run(lambda: any(isinstance(message, Pieces) for _, message in pair.sent))
    pair.a.place.is_leader = False
    pair.step()
    marked = sum(source == "a" for source, _ in pair.sent)
    for _ in range(50):
        pair.step()
    assert sum(source == "a" for source, _ in pair.sent) == marked
    assert pair.a.snapshots.sender.floor() == 0
    assert pair.a.log.flushes.pins == 0
    assert pair.a.place.done == []


def test_a_silent_follower_is_given_up_in_the_end() -> None:
    pair = started(10)
    pair.cut()
    pair.run(lambda: bool(pair.a.place.done))
    assert pair.a.place.done == [("b", 0)]
    assert pair.a.snapshots.sender.floor() == 0


def test_a_stalled_store_of_the_follower_makes_it_wait_and_nothing_more() -> None:
    pair = started(40)
    pair.run(lambda: any(isinstance(message, Pieces) for _, message in pair.sent))
    pair.b.store.stalled = True
    for _ in range(60):
        pair.step()
    assert pair.b.applied == 0
    pair.b.store.stalled = False
    pair.run(lambda: is_done(pair))
    check_equal(pair)


def test_a_body_that_the_sender_cannot_read_does_not_stop_the_snapshot() -> None:
    pair = Pair2()
    fill(pair.a, 30)
    damaged = pair.a.applied - 3
    value = pair.a.log.read_entry(SHARD, damaged)
    for content in pair.a.disk.files.values():
        at = content.data.find(value)
        if at >= 0:
            content.data[at + len(value) - 1] ^= 1
    pair.a.snapshots.behind("b")
    pair.run(lambda: is_done(pair))
    assert pair.b.state() == pair.a.state()
    assert pair.a.snapshots.sender.damaged_bodies == 1
    with pytest.raises(BodyDamaged):
        pair.b.log.read_slice(SHARD, damaged, 10, 10)


HOSTILE = {
    "a body above the snapshot": lambda index: Pieces(1, 1, bodies=(body(index + 1, 1),)),
    "a body of a later term": lambda index: Pieces(1, 1, bodies=(body(1, 99),)),
    "a body that fails its checksum": lambda index: Pieces(1, 1, bodies=(body(1, 1, crc32c=5),)),
    "a part that does not follow": lambda index: Pieces(1, 1, bodies=(body(1, 1, offset=2, total=4),)),
    "an ending in the middle of a body": None,
    "an ending that adds up to something else": lambda index: Ending(1, 1, 0, bytes(32)),
}


def body(index: int, term: int, crc32c: int = 0, offset: int = 0, total: int = 1) -> BodyPiece:
    return BodyPiece(index, term, 0, total, offset, b"x", crc32c)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_part_of_a_snapshot_voids_it_and_changes_nothing(name: str) -> None:
    pair = Pair2()
    fill(pair.a, 8)
    old = pair.b.state()
    said: list[object] = [Offer(1, 50, 2)]
    make = HOSTILE[name]
    if make is None:
        said += [Pieces(1, 1, bodies=(body(1, 1, total=4),)), Ending(1, 2, 0, bytes(32))]
    else:
        said.append(make(50))
    for message in said:
        pair.b.snapshots.received("a", Envelope(SHARD, "a", "b", TERM, message))  # type: ignore[arg-type]
        pair.b.sync()
        pair.b.snapshots.tick()
    pair.run(lambda: not pair.b.surplus())
    assert any(isinstance(message, Refused) for _, message in pair.sent)
    assert (pair.b.state(), pair.b.applied, pair.b.replica.generation) == (old, 0, 0)
    assert pair.b.store.get(location_key(SHARD, 1)) is None


def test_words_to_or_by_another_member_or_about_another_shard_are_dropped() -> None:
    pair = Pair2()
    for shard, source, target in ((SHARD, "a", "b+7"), (SHARD, "a+3", "b"), (SHARD + 1, "a", "b")):
        pair.b.snapshots.received("a", Envelope(shard, source, target, TERM, Offer(1, 50, 2)))
    assert pair.sent == []
    assert pair.b.snapshots.receiver.stage is None


def test_a_base_already_there_is_what_the_sender_starts_from() -> None:
    """A leader whose own log begins with a snapshot serves its bodies from its copies."""
    pair = started(20)
    pair.run(lambda: is_done(pair))
    pair.b.flush()
    later = Pair2()
    later.open("a", pair.b.disk.killed(), revived(pair.b.store))
    assert later.a.log.shard_state(SHARD).base_index == pair.a.applied
    later.a.snapshots.behind("b")
    later.run(lambda: is_done(later))
    check_equal(later)
    assert later.b.bodies() == pair.a.bodies()

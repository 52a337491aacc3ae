"""A body copy has an entry's bytes once more: read where the entry is damaged or gone from Raft, never replayed."""

import pytest

from tallymq.raftlog.errors import BodyDamaged
from tallymq.raftlog.keys import location_key
from tallymq.raftlog.locations import Location, decode_location, encode_location
from tallymq.raftlog.log import NodeLog
from tallymq.raftlog.log_bodies import BodyCopy
from tallymq.raftlog.payloads import Base
from tests.support.logs import append, apply_all, entries, finish_round, open_log
from tests.support.memory_disk import MemoryDisk
from tests.support.power_cut_store import PowerCutStore

SHARD = 3
BODY = bytes(range(256)) * 40


def copied(log: NodeLog, store: PowerCutStore, index: int, start: int, body: bytes) -> BodyCopy:
    copy = log.append_body_copy(SHARD, index, 1, start, body)
    finish_round(log)
    assert copy.location is not None
    assert copy.round == log.round_synced
    store.write([copy.pair()])
    return copy


def test_locations_of_entries_and_of_copies_survive_their_encoding() -> None:
    for location in (Location(1, 2, 3, 4), Location(1 << 60, 5, 6, 7, 0), Location(1, 2, 3, 4, 1 << 30)):
        assert decode_location(encode_location(location)) == location


def test_a_copy_is_read_in_place_of_an_entry_that_raft_has_no_more() -> None:
    disk, store = MemoryDisk(), PowerCutStore()
    log = open_log(disk, store)
    log.append_base(SHARD, Base(9, 1, 1))
    copied(log, store, 7, 100, BODY)
    for opened in (log, open_log(disk.killed(), store)):
        assert opened.read_slice(SHARD, 7, 100, len(BODY)) == BODY
        assert opened.read_slice(SHARD, 7, 150, 20) == BODY[50:70]
        for outside in ((99, 5), (100, len(BODY) + 1), (0, 10)):
            with pytest.raises(BodyDamaged):
                opened.read_slice(SHARD, 7, *outside)
        with pytest.raises(IndexError):
            opened.read_entry(SHARD, 7)
        assert opened.shard_state(SHARD).last_index == 9


def test_a_body_read_bit_by_bit_is_whole_or_damaged() -> None:
    disk, store = MemoryDisk(), PowerCutStore()
    log = open_log(disk, store)
    append(log, SHARD, BODY)
    finish_round(log)
    apply_all(log, store, SHARD, 1)
    copied(log, store, 1, 0, BODY)
    for place in (None, decode_location(log.location_pair(SHARD, 1)[1])):
        body = log.open_body(SHARD, 1, place)
        assert (body.start, body.length, body.term) == (0, len(BODY), 1)
        parts = []
        while not body.is_done:
            parts.append(body.read(1000))
        assert b"".join(parts) == BODY
    (content,) = disk.files.values()
    damaged = content.data.index(BODY) + len(BODY) // 2
    content.data[damaged] ^= 1
    body = log.open_body(SHARD, 1, decode_location(log.location_pair(SHARD, 1)[1]))
    assert body.read(body.length - 1)[0] == BODY[0]
    with pytest.raises(BodyDamaged):
        body.read(1)


def test_a_header_that_is_not_the_bodys_is_damage() -> None:
    disk, store = MemoryDisk(), PowerCutStore()
    log = open_log(disk, store)
    append(log, SHARD, BODY)
    append(log, SHARD, BODY)
    finish_round(log)
    apply_all(log, store, SHARD, 2)
    second = store.get(location_key(SHARD, 2))
    assert second is not None
    for place in (
        decode_location(second),
        decode_location(second)._replace(copied_from=0),
        decode_location(second)._replace(segment=99),
        decode_location(second)._replace(offset=1 << 40),
    ):
        with pytest.raises(BodyDamaged):
            log.open_body(SHARD, 1, place)


def test_copies_and_entries_of_one_round_find_their_own_places() -> None:
    disk, store = MemoryDisk(), PowerCutStore()
    log = open_log(disk, store)
    append(log, SHARD, b"first")
    one = log.append_body_copy(5, 40, 2, 8, b"of another shard")
    append(log, SHARD, b"second")
    two = log.append_body_copy(5, 41, 2, 0, b"and one more")
    with pytest.raises(ValueError, match="not written"):
        one.pair()
    finish_round(log)
    store.write([one.pair(), two.pair()])
    log.append_base(5, Base(50, 2, 1))
    finish_round(log)
    assert log.read_slice(5, 40, 8, 16) == b"of another shard"
    assert log.read_slice(5, 41, 0, 12) == b"and one more"
    assert entries(log, SHARD) == [b"first", b"second"]

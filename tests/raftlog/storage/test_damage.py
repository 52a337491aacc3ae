"""A damaged byte is found or does no harm; it is never served. Bytes that are not the log's are never taken for it."""

from random import Random
from typing import cast

import pytest

from tallymq.raftlog.errors import BodyDamaged, DirectoryFormatUnknown, LogDamaged
from tallymq.raftlog.records import BLOCK_BYTES, HEADER_BYTES, Kind, encode_header, peek_header
from tallymq.raftlog.segments import parse_segment_name
from tallymq.raftlog.store import MemoryStore
from tests.support.log_machine import Model, observed
from tests.support.logs import append, apply_all, entries, finish_round, open_log
from tests.support.memory_disk import Content, MemoryDisk


def sealed_log(store: MemoryStore, *, flushed: bool) -> tuple[MemoryDisk, Model]:
    """A log over several segments, all of it stated to be synced; with `flushed` the scan begins in the middle."""
    disk, random = MemoryDisk(), Random(5)
    log = open_log(disk, store, segment_bytes=12 * 1024)
    for number in range(6):
        log.append_hard_state(0, number + 1, "node-a" if number % 2 else "")
        append(log, 0, random.randbytes(150), term=number + 1)
        append(log, 7, b"small", term=3)
        finish_round(log)
        if flushed and number == 2:
            apply_all(log, store, 0, 2)
            apply_all(log, store, 7, 3)
            store.write(log.flush_mark({0: 2, 7: 3}))
    log.append_truncate(7, 6)
    finish_round(log)
    expected = observed(log)
    log.close()
    return disk, expected


def interesting(content: bytes) -> list[int]:
    """Every byte that says something, and one in 64 of the zeros between rounds."""
    offsets, run = [], 0
    for offset, byte in enumerate(content):
        run = 0 if byte else run + 1
        if run < 16 or run % 64 == 0:
            offsets.append(offset)
    return offsets


@pytest.mark.parametrize("flushed", [False, True], ids=["read from the start", "read from a mark"])
def test_no_flipped_byte_of_a_synced_log_is_ever_served(flushed: bool) -> None:
    store = MemoryStore()
    disk, expected = sealed_log(store, flushed=flushed)
    random, refused, bodies, harmless = Random(6), 0, 0, 0
    for name in disk.names():
        content = bytes(disk.files[name].data)
        for offset in interesting(content):
            copy = disk.killed()
            copy.files[name].data[offset] ^= random.randint(1, 255)
            try:
                found = observed(open_log(copy, MemoryStore(store.pairs()), seed=9, segment_bytes=12 * 1024))
            except LogDamaged:
                refused += 1
                assert copy.names() == disk.names(), "a damaged log was changed"
            except BodyDamaged:
                bodies += 1
            else:
                harmless += 1
                assert found == expected, f"byte {offset} of {name}"
    assert refused > 500
    assert (bodies > 100) == flushed
    assert harmless > 200, "seals, padding, and what lies before the mark and needs no log"


def test_a_later_round_is_witness_that_an_earlier_one_was_synced() -> None:
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore())
    append(log, 0, b"first")
    finish_round(log)
    append(log, 0, b"second")
    finish_round(log)
    place = disk.files[disk.names()[0]].data.index(b"first")
    disk.files[disk.names()[0]].data[place] ^= 1
    with pytest.raises(LogDamaged, match="up to byte"):
        open_log(disk, MemoryStore(), seed=2)


def test_a_log_whose_beginning_is_gone_is_damage() -> None:
    disk, _ = sealed_log(MemoryStore(), flushed=False)
    disk.remove(disk.names()[0])
    with pytest.raises(LogDamaged, match="begins with segment 2"):
        open_log(disk, MemoryStore(), seed=3)


def test_a_log_with_a_segment_missing_in_the_middle_is_damage() -> None:
    disk, _ = sealed_log(MemoryStore(), flushed=False)
    disk.remove(disk.names()[1])
    with pytest.raises(LogDamaged, match="can be read only up to"):
        open_log(disk, MemoryStore(), seed=3)


def test_a_lost_log_beside_a_flushed_store_is_damage() -> None:
    store = MemoryStore()
    sealed_log(store, flushed=True)
    with pytest.raises(LogDamaged, match="is not there"):
        open_log(MemoryDisk(), store)


def test_a_log_that_ends_before_what_was_applied_is_damage() -> None:
    store = MemoryStore()
    disk = MemoryDisk()
    log = open_log(disk, store)
    append(log, 0, b"first")
    finish_round(log)
    earlier = disk.killed()
    append(log, 0, b"second")
    finish_round(log)
    apply_all(log, store, 0, 2)
    with pytest.raises(LogDamaged, match="do not meet"):
        open_log(earlier, store, seed=2)


def test_old_rounds_in_a_file_used_again_are_never_read() -> None:
    old_disk = MemoryDisk()
    old = open_log(old_disk, MemoryStore(), seed=1)
    for number in range(8):
        append(old, 0, b"old %d" % number)
        finish_round(old)
    stale = bytes(old_disk.files[old_disk.names()[0]].data)
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore(), seed=2)
    append(log, 0, b"new")
    finish_round(log)
    content = disk.files[disk.names()[0]].data
    content[2 * BLOCK_BYTES :] = stale[2 * BLOCK_BYTES : len(content)]
    assert entries(open_log(disk, MemoryStore(), seed=3), 0) == [b"new"]


def test_a_body_that_imitates_rounds_is_never_taken_for_them() -> None:
    """The attacker knows everything but the salt: the body claims that far more was synced, at every block."""
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore(), seed=1)
    append(log, 0, b"first")
    finish_round(log)
    guessed, blocks = 0x0123456789ABCDEF, []
    for number in range(4):
        offset = (3 + number) * BLOCK_BYTES
        stated = (100).to_bytes(8, "little") + (9).to_bytes(8, "little") + (0).to_bytes(8, "little")
        header, _ = encode_header(guessed, 0, offset, Kind.ROUND, (stated,), len(stated), index=number + 3)
        blocks.append((header + stated).ljust(BLOCK_BYTES, b"\0"))
    before = bytes(BLOCK_BYTES - 64 - 40)
    append(log, 0, before + b"".join(blocks))
    finish_round(log)
    # The round that carries the body is lost, so that the reader looks for marks among its bytes.
    content = disk.files[disk.names()[0]].data
    content[2 * BLOCK_BYTES] ^= 1
    assert bytes(content[3 * BLOCK_BYTES : 3 * BLOCK_BYTES + 4]) == blocks[0][:4]
    assert entries(open_log(disk, MemoryStore(), seed=2), 0) == [b"first"]


def test_rounds_past_a_recorded_end_are_neither_read_nor_damage() -> None:
    """A torn round is cut although a later one is whole; the later one must never come back."""
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore(), seed=1)
    append(log, 0, b"kept")
    finish_round(log)
    append(log, 0, b"torn")
    log.write_round()
    append(log, 0, b"whole but after a torn one")
    log.write_round()
    content = disk.files[disk.names()[0]].data
    content[content.index(b"torn")] ^= 1
    again = open_log(disk, MemoryStore(), seed=2)
    assert entries(again, 0) == [b"kept"]
    for number in range(6):
        append(again, 0, b"later %d" % number)
        finish_round(again)
    third = open_log(disk, MemoryStore(), seed=3)
    assert entries(third, 0) == [b"kept", *(b"later %d" % number for number in range(6))]


def test_what_is_kept_of_a_tail_is_written_and_synced_again() -> None:
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore(), seed=1)
    append(log, 0, b"in memory only")
    log.write_round()
    assert entries(open_log(disk, MemoryStore(), seed=2), 0) == [b"in memory only"]
    for seed in range(20):
        lost = disk.power_cut(Random(seed))
        assert entries(open_log(lost, MemoryStore(), seed=seed + 3), 0) == [b"in memory only"]


def replaced_entry(*, salt_bits: int = 0, moved: int = 0, previous_bits: int = 0) -> MemoryDisk:
    """A log of one entry, whose record was written anew with something else about it, its checksum right."""
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore(), seed=1)
    append(log, 0, b"entry")
    finish_round(log)
    (name,) = disk.names()
    parsed = parse_segment_name(name)
    assert parsed is not None
    content = disk.files[name].data
    place = content.index(b"entry") - HEADER_BYTES
    found = peek_header(bytes(content), place)
    assert found is not None
    salt, previous = parsed[1] ^ salt_bits, found.previous ^ previous_bits
    header, _ = encode_header(salt, previous, place + moved, Kind.ENTRY, (b"entry",), 5, shard=0, term=1, index=1)
    content[place : place + HEADER_BYTES] = header
    return disk


@pytest.mark.parametrize(
    "change",
    [{"salt_bits": 1}, {"salt_bits": 1 << 32}, {"moved": 4096}, {"previous_bits": 1}],
    ids=["low half of the salt", "high half of the salt", "place", "predecessor"],
)
def test_a_record_verifies_only_in_its_file_its_place_and_after_its_predecessor(change: dict[str, int]) -> None:
    assert entries(open_log(replaced_entry(), MemoryStore(), seed=2), 0) == [b"entry"]
    assert entries(open_log(replaced_entry(**change), MemoryStore(), seed=2), 0) == []


def test_a_later_format_is_refused_by_name() -> None:
    disk = MemoryDisk()
    open_log(disk, MemoryStore(), seed=1).close()
    (name,) = disk.names()
    parsed = parse_segment_name(name)
    assert parsed is not None
    payload = (2).to_bytes(4, "little") + (1).to_bytes(8, "little") + bytes(40)
    header, _ = encode_header(parsed[1], 0, 0, Kind.SEGMENT, (payload,), len(payload))
    disk.files[name] = Content((header + payload).ljust(8192, b"\0"))
    with pytest.raises(DirectoryFormatUnknown, match="format 2"):
        open_log(disk, MemoryStore(), seed=2)


def test_a_record_of_an_unknown_kind_stops_the_node() -> None:
    disk = MemoryDisk()
    log = open_log(disk, MemoryStore(), seed=1)
    append(log, 0, b"entry")
    finish_round(log)
    (name,) = disk.names()
    parsed = parse_segment_name(name)
    assert parsed is not None
    content = disk.files[name].data
    place = content.index(b"entry") - HEADER_BYTES
    found = peek_header(bytes(content), place)
    assert found is not None
    unknown, _ = encode_header(
        parsed[1], found.previous, place, cast("Kind", 99), (b"entry",), 5, shard=0, term=1, index=1
    )
    content[place : place + HEADER_BYTES] = unknown
    with pytest.raises(DirectoryFormatUnknown, match="kind 99"):
        open_log(disk, MemoryStore(), seed=2)

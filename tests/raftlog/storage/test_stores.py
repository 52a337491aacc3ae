"""The two stores keep the same promises; RocksDB's own are tried on RocksDB itself."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tallymq.raftlog.errors import StoreFailed
from tallymq.raftlog.keys import (
    applied_key,
    location_key,
    location_range,
    log_mark_key,
    stage_key,
    state_key,
    state_range,
    state_range_end,
)
from tallymq.raftlog.rocks import RocksSettings, RocksStore
from tallymq.raftlog.store import MemoryStore, Pair, Store


@pytest.fixture(params=["memory", "rocks"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "state", create=True)
    yield made
    made.close()


def test_stores_answer_like_a_sorted_dictionary(store: Store) -> None:
    random, model = Random(3), dict[bytes, bytes]()
    for round_number in range(60):
        pairs: list[Pair] = []
        for _ in range(20):
            key = bytes([random.randrange(4), random.randrange(256)])
            pairs.append((key, None if random.random() < 0.3 else random.randbytes(random.randrange(20))))
        assert store.write(pairs)
        for changed, value in pairs:
            if value is None:
                model.pop(changed, None)
            else:
                model[changed] = value
        if round_number % 20 == 0:
            store.flush()
        start, end = (bytes([random.randrange(5), random.randrange(256)]) for _ in range(2))
        expected = sorted((key, value) for key, value in model.items() if start <= key < end)
        assert store.range(start, end, 1000) == expected
        assert store.range(start, end, 3) == expected[:3]
        assert store.range(start, end, 0) == []
        for key in (start, end, *model):
            assert store.get(key) == model.get(key)


def test_a_later_pair_of_a_batch_wins(store: Store) -> None:
    store.write([(b"k", b"1"), (b"k", None), (b"k", b"2"), (b"gone", b"x"), (b"gone", None)])
    assert (store.get(b"k"), store.get(b"gone")) == (b"2", None)


def test_a_reader_sees_the_store_as_it_was(store: Store) -> None:
    store.write([(bytes([number]), b"old") for number in range(100)])
    if isinstance(store, RocksStore):
        store.flush()
    store.write([(b"\x00", b"unflushed")])
    reader = store.snapshot()
    store.write([(b"\x05", b"new"), (b"\x06", None), (b"\xf0", b"new")])
    assert store.delete_range(b"\x0a", b"\x14")
    store.flush()
    found = reader.range(b"", b"\xff", 1000)
    assert [key for key, _ in found] == [bytes([number]) for number in range(100)]
    assert (reader.get(b"\x00"), reader.get(b"\x05"), reader.get(b"\x06")) == (b"unflushed", b"old", b"old")
    assert (reader.get(b"\x0a"), reader.get(b"\xf0")) == (b"old", None)
    assert reader.range(b"\x0a", b"\x0d", 2) == [(b"\x0a", b"old"), (b"\x0b", b"old")]
    assert reader.range(b"\x0d", b"\x0a", 2) == []
    reader.close()
    reader.close()


def test_a_range_is_deleted_from_its_start_up_to_its_end(store: Store) -> None:
    store.write([(bytes([number]), b"x") for number in range(30)])
    assert store.delete_range(b"\x0a", b"\x14")
    assert store.delete_range(b"\x14", b"\x0a")
    assert [key[0] for key, _ in store.range(b"", b"\xff", 100)] == [*range(10), *range(20, 30)]
    store.write([(b"\x0b", b"again")])
    store.flush()
    assert store.get(b"\x0b") == b"again"
    assert store.get(b"\x0c") is None


def test_a_store_with_an_open_reader_closes_and_opens_again(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "state", create=True)
    store.write([(b"k", b"v")])
    reader = store.snapshot()
    store.close()
    with pytest.raises(StoreFailed):
        reader.get(b"k")
    again = RocksStore(tmp_path / "state", create=False)
    assert again.get(b"k") == b"v"
    again.close()


def test_keys_of_one_kind_lie_together_and_sort_as_their_numbers() -> None:
    assert location_key(1, 255) < location_key(1, 256) < location_key(2, 1)
    assert state_key(1, 2, b"\xff\xff") < state_range_end(1, 2) <= state_key(1, 3, b"")
    assert state_range_end(1, 0xFFFFFFFF) == state_key(2, 0, b"")
    for shard, last in ((3, 9), (3, (1 << 64) - 1), (65535, 9), (65535, (1 << 64) - 1)):
        start, end = location_range(shard, 5, last)
        assert start == location_key(shard, 5) <= location_key(shard, last) < end <= stage_key(0)
        assert location_key(shard, 4) < start
        if last == 9:
            assert end == location_key(shard, 10)
    assert state_range(3, 1, 4) == (state_key(3, 1, b""), state_key(3, 5, b""))
    groups = [
        [log_mark_key()],
        [applied_key(9, 9)],
        [location_key(0, 0), location_key(65535, 1 << 63)],
        [stage_key(0), stage_key(65535)],
    ]
    flat = [key for group in groups for key in group]
    assert flat == sorted(flat)
    assert flat[-1] < state_key(0, 0, b"")


def test_what_was_flushed_is_there_after_reopening_and_nothing_is_created_by_mistake(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="There is no store"):
        RocksStore(tmp_path / "state", create=False)
    assert not (tmp_path / "state").exists()
    first = RocksStore(tmp_path / "state", create=True)
    first.write([(b"k", b"v")])
    with pytest.raises(StoreFailed, match="open"):
        RocksStore(tmp_path / "state", create=False)
    first.flush()
    first.close()
    first.close()
    with pytest.raises(StoreFailed, match="closed"):
        first.get(b"k")
    second = RocksStore(tmp_path / "state", create=False)
    assert second.get(b"k") == b"v"
    second.close()


def test_the_write_ahead_log_is_off(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "state", create=True)
    store.write([(b"k", bytes(100_000))])
    assert sum(path.stat().st_size for path in (tmp_path / "state").glob("*.log")) == 0
    store.close()


def test_a_stalled_write_fails_at_once_and_is_taken_later(tmp_path: Path) -> None:
    """Two unmerged files are all that is borne, so a third flush stalls writes until they are merged."""
    settings = RocksSettings(write_buffer_bytes=64 * 1024, write_buffer_count=2, unmerged_files_stall=1)
    store = RocksStore(tmp_path / "state", create=True, settings=settings)
    stalled = 0
    for number in range(3_000):
        pairs = [(b"k%08d" % number, bytes(2_000))]
        while not store.write(pairs):
            stalled += 1
            assert store.get(b"k%08d" % number) is None
            assert stalled < 1_000
            store.flush()
            store.compact()
    assert stalled > 0
    assert len(store.range(b"k", b"l", 10_000)) == 3_000
    store.close()


def test_a_damaged_block_is_an_error_and_not_an_end(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "state", create=True)
    store.write([(b"k%06d" % number, bytes(100)) for number in range(20_000)])
    store.flush()
    store.close()
    (table,) = (tmp_path / "state").glob("*.sst")
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    gc.collect()
    store = RocksStore(tmp_path / "state", create=False)
    attempts: list[Callable[[], object]] = [
        lambda: store.range(b"k", b"l", 100_000),
        lambda: [store.get(b"k%06d" % number) for number in range(20_000)],
    ]
    for attempt in attempts:
        with pytest.raises(StoreFailed, match="read"):
            attempt()
    store.close()

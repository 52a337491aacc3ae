"""Effects, applied index and place go into the store as one, and a stalled store makes nobody wait."""

import random

import pytest

from tallymq.raftlog.codec import UnknownEntry, encode_entry
from tallymq.raftlog.keys import applied_key, decode_applied
from tallymq.raftlog.replica import Overlay, Replica
from tallymq.raftlog.store import MemoryStore
from tallymq.txn import queries
from tallymq.txn.commands import CreateTopic
from tallymq.txn.outcomes import Refusal, TopicMade
from tallymq.txn.types import MetadataChanged
from tests.raftlog.consensus.memory_log import MemoryLog


class StallingStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.stalled = False
        self.batches: list[dict[bytes, bytes | None]] = []

    def write(self, pairs) -> bool:
        if self.stalled:
            return False
        self.batches.append(dict(pairs))
        return super().write(self.batches[-1].items())


def create(name: str, stamped_ms: int = 1_000) -> bytes:
    return b"".join(encode_entry(stamped_ms, [(CreateTopic(name, (0, 1), 5, 6), [])]))


def made(store=None, shard: int = 0, **options) -> tuple[StallingStore, MemoryLog, list, Replica]:
    store, log, heard = store or StallingStore(), MemoryLog(), []
    return store, log, heard, Replica(shard, store, log, heard.extend, **options)


def test_an_entry_is_one_batch_with_its_effects_its_place_and_the_applied_index() -> None:
    store, log, heard, replica = made()
    (result,) = replica.apply(1, 1, create("orders"))
    assert isinstance(result, TopicMade)
    assert len(store.batches) == 1
    assert decode_applied(store.batches[0][applied_key(0)]) == 1
    assert log.location_pair(0, 1)[0] in store.batches[0]
    assert queries.topic(replica.view, "orders") is not None
    assert MetadataChanged() in heard


def test_an_empty_entry_moves_the_applied_index_and_nothing_else() -> None:
    store, _, heard, replica = made()
    assert replica.apply(1, 1, b"") == ()
    assert replica.applied_index == 1
    assert len(store.batches[0]) == 2
    assert heard == []


def test_a_restart_goes_on_behind_what_the_store_has() -> None:
    store, _, _, replica = made()
    replica.apply(1, 1, create("orders"))
    again = made(store)[3]
    assert again.applied_index == 1
    assert again.apply(2, 1, create("orders")) == (TopicMade(queries.topic(again.view, "orders").topic_id, True),)
    for index in (1, 2, 4):
        with pytest.raises(ValueError, match="after 2"):
            again.apply(index, 1, b"")


def test_shards_share_a_store_and_see_nothing_of_each_other() -> None:
    store, _, _, first = made()
    second = made(store, shard=1)[3]
    assert isinstance(first.apply(1, 1, create("orders"))[0], TopicMade)
    assert second.apply(1, 1, create("orders")) == (Refusal.NOT_METADATA_SHARD,)
    assert queries.topic(second.view, "orders") is None


def test_effects_are_readable_while_the_store_is_stalled_and_written_together_after() -> None:
    store, _, _, replica = made()
    store.stalled = True
    for index, name in enumerate(("a", "b", "c"), 1):
        replica.apply(index, 1, create(name))
    assert store.batches == []
    assert [topic.name for topic in queries.topics(replica.view, "", 10)] == ["a", "b", "c"]
    assert not replica.flush_writes()
    assert replica.pending_bytes > 0
    store.stalled = False
    assert replica.flush_writes()
    assert replica.pending_bytes == 0
    assert len(store.batches) == 1
    assert decode_applied(store.get(applied_key(0))) == 3
    assert [topic.name for topic in queries.topics(replica.view, "", 10)] == ["a", "b", "c"]


def test_what_may_wait_for_a_stalled_store_is_bounded() -> None:
    store, _, _, replica = made(pending_bytes_max=10_000)
    store.stalled = True
    index = 0
    while replica.may_apply():
        index += 1
        replica.apply(index, 1, create(f"topic{index}"))
        assert index < 100
    assert 10_000 <= replica.pending_bytes < 20_000
    store.stalled = False
    assert replica.may_apply()
    assert replica.pending_bytes == 0


def test_an_entry_of_a_newer_version_changes_nothing() -> None:
    store, _, _, replica = made()
    with pytest.raises(UnknownEntry):
        # Field 4, a command; inside it field 99, a kind that nobody knows yet.
        replica.apply(1, 1, b"\x0a\x00\x00\x00" + b"\x08\x01\x10\x01" + b"\x22\x04\x9a\x06\x01x")
    assert replica.applied_index == 0
    assert store.batches == []


def test_the_last_stamp_is_found_again_after_a_restart() -> None:
    store, log, _, replica = made()
    for index, payload in enumerate((b"", create("a", 7_000), b"", b""), 1):
        log.append_entry(0, index, 1, [payload])
        replica.apply(index, 1, payload)
    assert replica.stamped_ms == 7_000
    assert Replica(0, store, log).stamped_ms == 7_000
    assert Replica(1, store, log).stamped_ms == 0


def test_an_overlay_reads_like_a_store_that_has_everything() -> None:
    chance = random.Random(3)
    store, model = StallingStore(), MemoryStore()
    overlay = Overlay(store)
    for _ in range(3_000):
        store.stalled = chance.random() < 0.9
        key = b"%02d" % chance.randrange(60)
        pairs = [(key, None if chance.random() < 0.4 else b"%d" % chance.randrange(9))]
        overlay.put(pairs)
        model.write(pairs)
        overlay.write()
        low, high = sorted((b"%02d" % chance.randrange(70), b"%02d" % chance.randrange(70)))
        limit = chance.randrange(8)
        assert overlay.range(low, high, limit) == model.range(low, high, limit)
        assert overlay.get(key) == model.get(key)

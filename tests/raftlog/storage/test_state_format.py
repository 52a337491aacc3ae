"""A store that an earlier version wrote is brought up to date at start, whenever that is cut short."""

import pytest

from tallymq.raftlog import state_format
from tallymq.raftlog.codec import encode_entry
from tallymq.raftlog.errors import DirectoryFormatUnknown, StoreFailed
from tallymq.raftlog.keys import state_format_key, state_key
from tallymq.raftlog.replica import Replica
from tallymq.raftlog.state_format import bring_up_to_date
from tallymq.txn import keys, queries
from tallymq.txn.commands import (
    Command,
    Decide,
    Decision,
    EnsureQueue,
    Lease,
    LeasedRange,
    NegativeAcknowledge,
    Prepare,
    Publish,
    PutGroup,
)
from tallymq.txn.types import Batch, Identity
from tests.raftlog.consensus.memory_log import MemoryLog
from tests.support.power_cut_store import PowerCutStore

SHARDS = (0, 3)
NOW_MS = 1_000_000


def history() -> list[Command]:
    """Every kind of thing that refers to a body: on a queue, delayed, in doubt, decided, a dead letter."""
    far = NOW_MS + 60_000
    publish = [
        Publish(Identity(1, sequence, far), "p", "x", (Batch("pay", 0, 1, 2, 0, 0, 1, times),))
        for sequence, times in enumerate(((), (0, NOW_MS + 5_000), ()), 1)
    ]
    prepare = [
        Prepare(Identity(2, number, far), "p", "x", (Batch("pay", 0, 1, 2, 0, 0, 1),), 6_000) for number in (1, 2)
    ]
    decide = Decide("p", "x", "call", (Decision(6, 0, 2, 1, 0b01, 0b10),))
    lease = Lease("bank", "pay", 0, 1, 1, 1_000, 30_000, False)
    bury = NegativeAcknowledge("bank", (LeasedRange("pay", 0, 1, 0, 1),), 0, "no money", True)
    return [
        EnsureQueue("pay", 1, 0, 1, 0, 0),
        PutGroup("bank", 3, 1_000, 10, 100),
        *publish,
        *prepare,
        decide,
        lease,
        bury,
    ]


def old_store() -> tuple[list[tuple[bytes, bytes]], PowerCutStore]:
    """All pairs as they ought to be, and the store without what an earlier version did not write."""
    whole = PowerCutStore()
    bring_up_to_date(whole)
    for shard in SHARDS:
        replica = Replica(shard, whole, MemoryLog())
        for index, command in enumerate(history(), 1):
            bodies = [b""] * len(getattr(command, "batches", ()))
            replica.apply(index, 1, b"".join(encode_entry(NOW_MS, [(command, bodies)])))
        assert queries.needed_bodies(replica.view, 0, 100) == [3, 4, 5, 6, 7]
    prefixes = tuple(state_key(shard, 0, keys.BODIES) for shard in SHARDS)
    old = [pair for pair in whole.pairs() if not pair[0].startswith((*prefixes, state_format_key()))]
    assert len(old) == len(whole.pairs()) - 1 - 5 * len(SHARDS)
    return list(whole.pairs()), PowerCutStore(old)


def test_old_state_is_counted_as_if_it_had_been_counted_along() -> None:
    whole, store = old_store()
    bring_up_to_date(store)
    assert store.pairs() == whole


def test_a_start_cut_short_while_counting_is_made_good_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_format, "_BATCH_PAIRS", 2)
    whole, store = old_store()
    before = store.pairs()
    bring_up_to_date(store)
    batches = 0
    while True:
        cut = store.at_batch(batches)
        if cut.pairs() == whole:
            break
        assert cut.get(state_format_key()) is None
        bring_up_to_date(cut)
        assert cut.pairs() == whole
        batches += 1
    assert batches == 7
    assert store.at_batch(0).pairs() == before


def test_a_store_of_this_version_is_not_read_again() -> None:
    store = PowerCutStore()
    bring_up_to_date(store)
    before = store.pairs()
    store.write = None  # type: ignore[assignment]
    bring_up_to_date(store)
    assert store.pairs() == before


def test_a_store_of_a_later_version_is_refused() -> None:
    store = PowerCutStore([(state_format_key(), (state_format.STATE_FORMAT + 1).to_bytes(4, "little"))])
    with pytest.raises(DirectoryFormatUnknown, match="format 3"):
        bring_up_to_date(store)


def test_a_store_that_takes_nothing_is_an_error_and_not_a_standstill() -> None:
    store = PowerCutStore()
    store.stalled = True
    with pytest.raises(StoreFailed):
        bring_up_to_date(store)

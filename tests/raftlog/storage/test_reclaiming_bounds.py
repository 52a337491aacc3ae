"""What a pass remembers and writes at once has bounds, however many small bodies its files hold."""

import pytest

from tallymq.raftlog import reclaiming
from tallymq.raftlog.reclaiming import Reclaiming
from tests.raftlog.storage.test_freeing import OneShard


def test_many_needed_bodies_are_carried_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reclaiming, "ENTRIES_MAX", 15, raising=False)
    monkeypatch.setattr(reclaiming, "COPIES_MAX", 4, raising=False)
    needed = range(1, 60)
    shard = OneShard(*needed, carry_share=1.0)
    carried: list[int] = []
    written: list[int] = []
    carry, write = Reclaiming._carry, shard.store.write

    def noting_carry(self: Reclaiming, entries: list) -> object:  # type: ignore[type-arg]
        carried.append(len(entries))
        return carry(self, entries)

    def noting_write(pairs: object) -> bool:
        listed = list(pairs)  # type: ignore[call-overload]
        written.append(sum(value is not None and key[:1] == b"\x03" for key, value in listed))
        return write(listed)

    monkeypatch.setattr(Reclaiming, "_carry", noting_carry)
    monkeypatch.setattr(shard.store, "write", noting_write)
    assert shard.reclaim(), "files go all the same"
    assert 0 < max(carried) <= 15
    assert 0 < max(written) <= 4
    assert all(shard.log.read_slice(0, index, 0, 20) == shard.body(index)[:20] for index in needed)

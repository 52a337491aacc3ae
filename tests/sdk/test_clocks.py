"""A client whose machine has the wrong time is served like any other: deadlines are set by the service's time."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tallymq import AsyncTally
from tallymq._clock import ServiceClock
from tallymq.proto import admin_pb2
from tallymq.service.node import now_ms
from tests.service.running import SECONDS, Running, running

WRONG_S = pytest.mark.parametrize("wrong_s", [-86_400, -900, 900, 86_400], ids=["-1 day", "-15 min", "15 min", "1 day"])


def set_wrong(monkeypatch: pytest.MonkeyPatch, wrong_s: int) -> None:
    """Set the client's wall clock, and leave that of the service, which is in this process, as it is."""
    wrong = SimpleNamespace(time_ns=lambda: time.time_ns() + wrong_s * 10**9, monotonic_ns=time.monotonic_ns)
    monkeypatch.setattr("tallymq._clock.time", wrong)


async def stored(node: Running) -> list[bytes]:
    reply = await node.admin.Browse(admin_pb2.BrowseRequest(topic="transfers"), timeout=SECONDS)
    return [record.body for delivery in reply.deliveries for record in delivery.records.records]


@WRONG_S
async def test_a_client_with_a_wrong_clock_publishes_and_prepares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong_s: int
) -> None:
    async with running(tmp_path, instant=True) as node:
        set_wrong(monkeypatch, wrong_s)
        await node.create_topic(queue_count=1)
        async with AsyncTally(f"tally://{node.node.address}", group="bank-a") as tally:
            await tally.publish("transfers", b"a")
            half = await tally.prepare("transfers", b"b")
            await half.commit()
        assert await stored(node) == [b"a", b"b"]


@pytest.mark.parametrize("wrong_s", [900, 86_400], ids=["15 min", "1 day"])
async def test_a_leader_whose_time_is_not_that_of_the_node_asked_corrects_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong_s: int
) -> None:
    async with running(tmp_path, instant=True) as node:
        await node.create_topic(queue_count=1)
        node.host.now_ms = lambda: now_ms() + wrong_s * 1_000
        told = ServiceClock.told

        def told_wrong(self: ServiceClock, time_ms: int, *, by_leader: bool) -> None:
            told(self, time_ms if by_leader else now_ms(), by_leader=by_leader)

        monkeypatch.setattr(ServiceClock, "told", told_wrong)
        async with AsyncTally(f"tally://{node.node.address}", group="bank-a") as tally:
            for body in (b"a", b"b"):
                await tally.publish("transfers", body)
        assert await stored(node) == [b"a", b"b"]


def test_a_leader_is_believed_before_other_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallymq._clock._steady_ms", lambda: 1_000)
    clock = ServiceClock()
    clock.told(0, by_leader=False)
    assert abs(clock.deadline_ms(clock.ahead_ms, 0) - now_ms()) < 60_000
    clock.told(5_000, by_leader=False)
    before = clock.ahead_ms
    assert clock.deadline_ms(before, 2) == 7_000
    assert not clock.differs(before)
    clock.told(9_000, by_leader=True)
    assert clock.differs(before)
    clock.told(3_000, by_leader=False)
    assert clock.deadline_ms(clock.ahead_ms, 0) == 9_000

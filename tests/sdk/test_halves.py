"""A half decided by hand: whoever holds it decides, however long that takes; once nobody does, a check may."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallymq import AlreadyRolledBack, AsyncTally, Decision, HalfMessage, Tally
from tallymq.proto import admin_pb2
from tests.sdk.conftest import Bank, ask
from tests.sdk.test_transactions import received, transactions, wait_decided
from tests.support.nodes import Cluster
from tests.support.waiting import wait_for

IN_DOUBT = admin_pb2.TRANSACTION_STATE_IN_DOUBT


@pytest.fixture
def lilei(bank: Bank) -> Path:
    return bank("lilei")


@pytest.fixture
def other(cluster: Cluster, lilei: Path) -> Iterator[Tally]:
    """Another producer of the group, that could answer from the database."""
    with Tally(cluster.url, group="hand", checker=f"sqlite:///{lilei}") as made:
        made.start()
        yield made


def wait_checked(cluster: Cluster, topic: str, checks: int) -> None:
    wait_for(f"{checks} checks", lambda: max(each.checks for each in transactions(cluster, topic)) >= checks)


@pytest.mark.usefixtures("other")
def test_what_is_held_undecided_no_check_decides_and_dropped_it_is_rolled_back(
    cluster: Cluster, topic: str, lilei: Path
) -> None:
    with Tally(cluster.url, group="hand", checker=f"sqlite:///{lilei}") as tally:
        held = tally.prepare(topic, "held")
        wait_checked(cluster, topic, 2)
        assert [each.state for each in transactions(cluster, topic)] == [IN_DOUBT]
        assert ask(lilei, "SELECT * FROM tallymq_txn") == []
        held.commit()
        dropped = tally.prepare(topic, "dropped")
        identity = dropped.id
        del dropped
        gc.collect()
        wait_for("rolled back", lambda: ask(lilei, "SELECT txn_id, state FROM tallymq_txn") == [(identity, 2)])
    assert [message.text() for message in received(cluster, topic, 1)] == ["held"]


@pytest.mark.usefixtures("other")
def test_a_client_without_a_checker_keeps_its_half_from_the_others_too(cluster: Cluster, topic: str) -> None:
    with Tally(cluster.url, group="hand") as tally:
        held = tally.prepare(topic, "held")
        wait_checked(cluster, topic, 2)
        assert [each.state for each in transactions(cluster, topic)] == [IN_DOUBT]
        held.commit()


@pytest.mark.usefixtures("other")
async def test_asyncio_holds_a_half_in_the_same_way(cluster: Cluster, topic: str) -> None:
    import asyncio

    async with AsyncTally(cluster.url, group="hand") as tally:
        held = await tally.prepare(topic, "held")
        await asyncio.to_thread(wait_checked, cluster, topic, 2)
        await held.commit()
    decided = wait_decided(cluster, topic)
    assert (decided.decided_by, decided.state) == ("call", admin_pb2.TRANSACTION_STATE_COMMITTED)


def test_once_the_client_is_gone_another_of_its_group_decides(cluster: Cluster, topic: str, other: Tally) -> None:
    with Tally(cluster.url, group="hand") as tally:
        held = tally.prepare(topic, "left")
    decided = wait_decided(cluster, topic)
    assert (decided.transaction_id.hex(), decided.decided_by) == (held.id, "check")
    assert decided.state == admin_pb2.TRANSACTION_STATE_ROLLED_BACK
    other.publish(topic, "seen")
    assert [message.text() for message in received(cluster, topic, 1)] == ["seen"]


def test_check_code_is_asked_only_about_what_nobody_holds(cluster: Cluster, topic: str) -> None:
    seen: list[str] = []
    with Tally(cluster.url, group="code") as tally:

        @tally.check(topic)
        def check(half: HalfMessage) -> Decision:
            seen.append(half.id)
            return Decision.ROLLBACK

        held = tally.prepare(topic, "held", key="a")
        dropped = tally.prepare(topic, "dropped", key="b").id
        wait_for("asked about the dropped one", lambda: seen)
        wait_checked(cluster, topic, 2)
        assert set(seen) == {dropped}
        held.commit()


def test_a_decision_against_the_record_closes_the_half(cluster: Cluster, topic: str) -> None:
    with Tally(cluster.url, group="hand") as tally:
        half = tally.prepare(topic, b"")
        half.rollback()
        runtime = tally._host._runtime
        assert runtime is not None
        with pytest.raises(AlreadyRolledBack):
            half.commit()
        assert not runtime.engine.is_open(half.id)

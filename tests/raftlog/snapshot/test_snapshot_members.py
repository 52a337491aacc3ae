"""Snapshots are said to and by member ids: a node that came back as a new member gets the state as any other does."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tallymq.raftlog.framing import KIND_SNAPSHOT, Frame
from tallymq.raftlog.host_snapshots import HostSnapshots
from tallymq.raftlog.membership import Configuration, Place
from tallymq.raftlog.settings import HostSettings
from tallymq.raftlog.snapshot_codec import decode_snapshot, encode_snapshot
from tallymq.raftlog.snapshot_messages import BodyWanted, Envelope, Offer, Want
from tallymq.txn.types import Reference
from tests.raftlog.snapshot import pair as pairs

LEADER, FOLLOWER = "a+12", "b+57"
CONFIGURATION = Configuration((Place(LEADER, "a", "127.0.0.1", 1),), (Place(FOLLOWER, "b", "127.0.0.1", 2),))


class Member(pairs.Place):
    """As much of consensus as a follower's snapshots use."""

    member = FOLLOWER
    configuration = CONFIGURATION

    def configuration_at(self, index: int) -> bytes:
        return b""


class Links:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Envelope]] = []

    def send(self, peer: str, shard: int, payload: Any, urgent: bool, kind: int) -> bool:
        assert kind == KIND_SNAPSHOT
        self.sent.append((peer, decode_snapshot(b"".join(payload))))
        return True


class Owner:
    failure = ""

    def wake(self) -> None: ...

    def fail(self, reason: str) -> None:
        self.failure = reason

    def notices(self, shard: int, effects: Any) -> None: ...


@pytest.fixture
async def follower(tmp_path: Path) -> Any:
    """The snapshots of node b, whose member id is of a later incarnation, and what they send."""
    node = pairs.Pair2().b
    handle = SimpleNamespace(number=pairs.SHARD, on_damaged=None)
    shard: Any = SimpleNamespace(handle=handle, consensus=Member(is_leader=False), replica=node.replica)
    opened: Any = SimpleNamespace(store=node.store, log=node.log)
    settings = HostSettings(node="b", cluster="c", data_directory=tmp_path)
    links, owner = Links(), Owner()
    snapshots = HostSnapshots(settings, opened, [shard], links, pairs.Flushes(node), owner)
    yield snapshots, links, owner, shard
    snapshots.stop()


def offered(to_member: str) -> Frame:
    offer = Offer(1, 40, 3, b"", pairs.NOW_MS)
    payload = b"".join(encode_snapshot(Envelope(pairs.SHARD, LEADER, to_member, pairs.TERM, offer)))
    return Frame(KIND_SNAPSHOT, pairs.SHARD, payload)


async def test_an_offer_to_the_present_member_is_taken_and_answered_in_its_name(follower: Any) -> None:
    snapshots, links, owner, shard = follower
    snapshots.received("a", offered(FOLLOWER))
    await asyncio.sleep(0)
    assert owner.failure == ""
    assert [(peer, said.from_member, said.to_member, type(said.message)) for peer, said in links.sent] == [
        ("a", FOLLOWER, LEADER, Want)
    ]
    assert shard.consensus.heard == [(LEADER, pairs.TERM)]


async def test_an_offer_to_an_earlier_incarnation_is_dropped(follower: Any) -> None:
    snapshots, links, _, _ = follower
    for earlier in ("b", "b+9"):
        snapshots.received("a", offered(earlier))
    assert links.sent == []


async def test_a_damaged_body_is_asked_of_the_present_members(follower: Any) -> None:
    _, links, _, shard = follower
    shard.replica.applied_index = 5
    shard.handle.on_damaged(Reference(3, 0, 0, 10, 0, 1))
    assert [(peer, said.to_member, said.message) for peer, said in links.sent] == [("a", LEADER, BodyWanted(3))]

"""Bad input, for each call: a named refusal with the right definite flag, and nothing changed."""

from __future__ import annotations

from collections import Counter

import grpc
import pytest

from tallymq.proto import admin_pb2, messaging_pb2
from tallymq.proto.refusals import BY_NAME
from tallymq.service.node import now_ms
from tallymq.txn import queries
from tests.service.bad_admin_requests import ADMIN, ANY, unary_calls
from tests.service.bad_requests import (
    BATCHES,
    DECISIONS,
    PREPARE,
    PREPARED,
    RECORDS,
    TABLE,
    Known,
    Make,
    field,
    publish,
    raw_of,
    varint,
)
from tests.service.bad_streams import STREAMS
from tests.service.running import Running, batch, bodies, error_info
from tests.support.waiting import until

M = messaging_pb2


async def known_things(node: Running) -> Known:
    """Make a topic with a half batch of two in doubt on its queue, and a group."""
    route = await node.create_topic()
    shards = list(route.queue_shards)
    other = next(queue for queue, shard in enumerate(shards) if shard != shards[0])
    identity = M.FrameIdentity(instance=7, sequence=1, deadline_ms=now_ms() + 600_000)
    made = batch("transfers", bodies("x", "y"), 0, 4)
    stored = await node.messaging.Prepare(
        M.PrepareRequest(identity=identity, producer_group="bank-a", batches=[made], check_after_ms=86_400_000)
    )
    await node.messaging.Fetch(M.FetchRequest(consumer_group="bank-b", topic="transfers", consumer=1))
    # The group follows onto every shard by itself; only then nothing moves any more.
    await until(lambda: all(queries.group(shard.view, "bank-b") for shard in node.host.shards.values()))
    return Known(0, other, stored.batches[0])


CASES = {"messaging": TABLE, "admin": ADMIN, "any": ANY}


@pytest.mark.parametrize("table", CASES)
async def test_every_bad_request_is_refused_by_name_and_changes_nothing(node: Running, table: str) -> None:
    known = await known_things(node)
    before = node.state()
    wrong = []
    for number, (rpc, name, make) in enumerate(CASES[table]):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await node.raw(rpc, raw_of(make, known))
        info = error_info(caught.value)
        row = BY_NAME[name]
        seen = (info.reason, info.metadata["code"], info.metadata["definite"], caught.value.code().name)
        if seen != (name, row.code, "true", row.status):
            wrong.append((number, rpc, name, seen))
        if node.state() != before:
            wrong.append((number, rpc, name, "the state changed"))
            before = node.state()
    assert wrong == []


def test_no_unary_call_has_less_than_four_bad_requests() -> None:
    asked = Counter(rpc for cases in CASES.values() for rpc, _, _ in cases)
    assert set(asked) == {method.name for method in unary_calls()}
    assert min(asked.values()) >= 4


async def test_the_state_does_change_when_the_request_is_good(node: Running) -> None:
    known = await known_things(node)
    before = node.state()
    await node.raw("Publish", publish(known.batch(bodies("a"))).SerializeToString())
    assert node.state() != before


def frames_of(number: int, cases: list[tuple[str, Make]], known: Known) -> list[tuple[str, bytes]]:
    """Each case as a frame of a producing stream, of the kind with this number, with its place as correlation."""
    return [
        (name, b"\x08" + varint(place) + field(number, raw_of(make, known)))
        for place, (name, make) in enumerate(cases, start=1)
    ]


def decisions_of(known: Known) -> list[tuple[str, bytes]]:
    """The same for decisions, and for a frame that is two at once."""
    cases = [
        (name, M.DecideRequest(producer_group="bank-a", decisions=[decision(known)])) for name, decision in DECISIONS
    ]
    frames = [
        (name, M.ProduceRequest(correlation=place, decide=made).SerializeToString())
        for place, (name, made) in enumerate(cases, start=1)
    ]
    both = M.ProduceRequest(publish=publish(known.batch(bodies("a"))))
    return [*frames, ("REPEATED_FIELD", both.SerializeToString() + field(4, b""))]


async def refusals_of(node: Running, frames: list[tuple[str, bytes]]) -> list[tuple[int, str, bool]]:
    """What a stream answers to these frames: correlation, name and whether it is definite."""
    stream = node.channel.stream_stream("/tallymq.v1.Messaging/Produce")()
    for _, raw in frames:
        await stream.write(raw)
    seen = []
    for _ in frames:
        reply = M.ProduceReply.FromString(await stream.read())
        refusal = reply.decide.results[0].refusal if reply.HasField("decide") else reply.refusal
        seen.append((reply.correlation, refusal.name, refusal.definite))
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    return sorted(seen)


@pytest.mark.parametrize("kind", ["publish", "prepare", "decide"])
async def test_bad_frames_of_a_stream_are_refused_one_by_one(node: Running, kind: str) -> None:
    known = await known_things(node)
    before = node.state()
    if kind == "decide":
        frames = decisions_of(known)
    elif kind == "publish":
        frames = frames_of(2, BATCHES + RECORDS, known)
    else:
        frames = frames_of(3, PREPARED + PREPARE, known)
    # What cannot be read, or says a field twice, is refused before its correlation is believed.
    unread = ("MALFORMED_REQUEST", "REPEATED_FIELD")
    expected = [(0 if name in unread else place, name, True) for place, (name, _) in enumerate(frames, start=1)]
    assert await refusals_of(node, frames) == sorted(expected)
    assert node.state() == before


async def test_streams_that_begin_wrongly_are_ended_with_a_named_refusal(node: Running) -> None:
    await known_things(node)
    before = node.state()
    # Again and again: a refusal right behind a first message must not be lost beside it.
    for rpc, name, messages in STREAMS * 10:
        stream = node.channel.stream_stream(f"/tallymq.v1.Messaging/{rpc}")()
        for message in messages:
            await stream.write(message if isinstance(message, bytes) else message.SerializeToString())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_all(stream)
        info = error_info(caught.value)
        row = BY_NAME[name]
        seen = (info.reason, info.metadata["code"], info.metadata["definite"], caught.value.code().name)
        assert seen == (name, row.code, "true", row.status), messages
        assert node.state() == before, messages


async def read_all(stream: grpc.aio.StreamStreamCall) -> None:
    """Read until the stream ends; raises what it ended with."""
    while await stream.read() is not grpc.aio.EOF:
        pass


async def test_an_offset_behind_everything_is_no_bad_input(node: Running) -> None:
    await known_things(node)
    before = node.state()
    for asked in ({"offset": (1 << 64) - 1}, {"offset": 1 << 63}, {"from_end": (1 << 64) - 1}):
        request = admin_pb2.BrowseRequest(topic="transfers", records_max=1_000, **asked)
        reply = admin_pb2.BrowseReply.FromString(await node.raw("Browse", request.SerializeToString()))
        assert (len(reply.deliveries), reply.next_offset) == (0, asked.get("offset", 0))
    assert node.state() == before

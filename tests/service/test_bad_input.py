"""Bad input, for each call: a named refusal with the right definite flag, and nothing changed."""

from __future__ import annotations

import grpc
import pytest

from tallymq.proto import messaging_pb2
from tallymq.proto.refusals import BY_NAME
from tallymq.service.node import now_ms
from tallymq.txn import queries
from tests.service.bad_requests import (
    BATCHES,
    DECISIONS,
    RECORDS,
    STREAMS,
    TABLE,
    Known,
    field,
    publish,
    varint,
)
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


async def test_every_bad_request_is_refused_by_name_and_changes_nothing(node: Running) -> None:
    known = await known_things(node)
    before = node.state()
    wrong = []
    for number, (rpc, name, make) in enumerate(TABLE):
        request = make(known)
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await node.raw(rpc, raw)
        info = error_info(caught.value)
        row = BY_NAME[name]
        seen = (info.reason, info.metadata["code"], info.metadata["definite"], caught.value.code().name)
        if seen != (name, row.code, "true", row.status):
            wrong.append((number, rpc, name, seen))
        if node.state() != before:
            wrong.append((number, rpc, name, "the state changed"))
            before = node.state()
    assert wrong == []


async def test_the_state_does_change_when_the_request_is_good(node: Running) -> None:
    known = await known_things(node)
    before = node.state()
    await node.raw("Publish", publish(known.batch(bodies("a"))).SerializeToString())
    assert node.state() != before


async def test_bad_frames_of_a_stream_are_refused_one_by_one(node: Running) -> None:
    known = await known_things(node)
    before = node.state()
    frames: list[tuple[str, bytes]] = []
    for name, make in BATCHES + RECORDS:
        request = make(known)
        raw = request if isinstance(request, bytes) else request.SerializeToString()
        if name != "MALFORMED_REQUEST":
            frames.append((name, b"\x08" + varint(len(frames) + 1) + field(2, raw)))
    for name, decision in DECISIONS:
        made = M.DecideRequest(producer_group="bank-a", decisions=[decision(known)])
        frames.append((name, b"\x08" + varint(len(frames) + 1) + field(4, made.SerializeToString())))
    both = M.ProduceRequest(correlation=len(frames) + 1, publish=publish(known.batch(bodies("a"))))
    frames.append(("REPEATED_FIELD", both.SerializeToString() + field(4, b"")))
    stream = node.channel.stream_stream("/tallymq.v1.Messaging/Produce")()
    for _, raw in frames:
        await stream.write(raw)
    seen = {}
    for _ in frames:
        reply = M.ProduceReply.FromString(await stream.read())
        refusal = reply.refusal or reply.decide.results[0].refusal
        if reply.HasField("decide"):
            refusal = reply.decide.results[0].refusal
        seen[reply.correlation] = (refusal.name, refusal.definite)
    await stream.done_writing()
    # A request with a field twice is refused before its correlation is believed.
    expected = {number: (name, True) for number, (name, _) in enumerate(frames, start=1) if name != "REPEATED_FIELD"}
    assert {number: refusal for number, refusal in seen.items() if number} == expected
    assert seen[0] == ("REPEATED_FIELD", True)
    assert node.state() == before


async def test_streams_that_begin_wrongly_are_ended_with_a_named_refusal(node: Running) -> None:
    await known_things(node)
    before = node.state()
    for rpc, name, messages in STREAMS:
        stream = node.channel.stream_stream(f"/tallymq.v1.Messaging/{rpc}")()
        for message in messages:
            await stream.write(message if isinstance(message, bytes) else message.SerializeToString())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_all(stream)
        assert error_info(caught.value).reason == name
    assert node.state() == before


async def read_all(stream: grpc.aio.StreamStreamCall) -> None:
    """Read until the stream ends; raises what it ended with."""
    while await stream.read() is not grpc.aio.EOF:
        pass

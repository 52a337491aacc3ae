"""Callers are joined into frames; none is lost, none is joined beyond the limits."""

import asyncio

import xxhash

from tallymq import _batcher
from tallymq._batcher import BYTES_MAX, RECORDS_MAX, WINDOW, Frame, HalfHandle, Item, Lane
from tallymq._records import bit_positions, bits_of, message_id, outgoing, queue_of_key
from tallymq.proto import frames_pb2, messaging_pb2


def item(body: bytes = b"x", queue: int = 0, deadline: float = 1e9) -> Item:
    made = Item(asyncio.get_running_loop().create_future(), deadline)
    made.outgoing = outgoing("t", body)
    made.queue, made.queue_count = queue, 4
    return made


def lane(sent: list[Frame]) -> Lane:
    return Lane(0, "publish", asyncio.get_running_loop(), sent.append)


async def test_callers_of_one_turn_share_a_frame_and_later_ones_wait_for_its_answer() -> None:
    sent: list[Frame] = []
    joined = lane(sent)
    for _ in range(100):
        joined.add(item())
    await asyncio.sleep(0)
    assert [len(frame.items) for frame in sent] == [100]
    for _ in range(50):
        joined.add(item())
    await asyncio.sleep(0)
    assert len(sent) == 1
    joined.finished(sent[0])
    await asyncio.sleep(0)
    assert [len(frame.items) for frame in sent] == [100, 50]


async def test_a_full_frame_does_not_wait_but_the_window_is_kept() -> None:
    sent: list[Frame] = []
    joined = lane(sent)
    for _ in range(RECORDS_MAX * (WINDOW + 2)):
        joined.add(item())
    await asyncio.sleep(0)
    assert [len(frame.items) for frame in sent] == [RECORDS_MAX] * WINDOW
    assert len(joined) == 2 * RECORDS_MAX


async def test_a_frame_keeps_its_size_and_a_larger_record_goes_alone() -> None:
    sent: list[Frame] = []
    joined = lane(sent)
    for size in (BYTES_MAX - 1_000, 2_000, BYTES_MAX * 2, 10):
        joined.add(item(b"x" * size))
    await asyncio.sleep(0)
    for frame in sent:
        joined.finished(frame)
    await asyncio.sleep(0)
    assert [len(frame.items) for frame in sent] == [1, 1, 1, 1]


async def test_one_whose_caller_gave_up_is_not_sent() -> None:
    sent: list[Frame] = []
    joined = lane(sent)
    gone, kept = item(), item()
    joined.add(gone)
    joined.add(kept)
    gone.future.cancel()
    await asyncio.sleep(0)
    assert sent[0].items == [kept]


async def test_only_those_whose_time_is_over_are_taken_out() -> None:
    joined = lane([])
    early, late = item(deadline=1.0), item(deadline=5.0)
    joined.add(early)
    joined.add(late)
    assert joined.take_late(0.5) == []
    assert joined.take_late(2.0) == [early]
    assert len(joined) == 1


async def test_a_frame_says_of_each_record_where_it_is() -> None:
    items = [item(b"a", queue=2), item(b"bb", queue=0), item(b"ccc", queue=2)]
    frame = Frame(lane([]), items)
    frame.correlation, frame.instance, frame.sequence = 7, 2**63, 9
    _batcher.encode_messages(frame, "bank", 123, 0)
    raw = frames_pb2.ProduceRequest.FromString(frame.data)
    assert (raw.correlation, raw.publish.identity.sequence, raw.publish.identity.deadline_ms) == (7, 9, 123)
    public = messaging_pb2.ProduceRequest.FromString(frame.data).publish
    assert [[record.body for record in batch.records.records] for batch in public.batches] == [[b"a", b"ccc"], [b"bb"]]
    for batch in public.batches:
        assert list(batch.header.record_lengths) == [record.ByteSize() for record in batch.records.records]
        assert not batch.header.delivery_times_ms
    assert [each.position for each in items] == [0, 2, 1]


async def test_decisions_for_one_half_batch_are_one_by_bits() -> None:
    items = []
    for bit, commit in ((0, True), (3, True), (9, False)):
        made = item()
        made.handle = HalfHandle(message_id(5, 6, bit), 0, 11, 1, bit, 5, 6, 0)
        made.commit = commit
        items.append(made)
    frame = Frame(Lane(0, "decide", asyncio.get_running_loop(), lambda _: None), items)
    _batcher.encode_decisions(frame, "bank")
    (decision,) = frames_pb2.ProduceRequest.FromString(frame.data).decide.decisions
    assert (decision.index, decision.batch, decision.instance, decision.sequence) == (11, 1, 5, 6)
    assert bit_positions(decision.commit_bits) == [0, 3]
    assert bit_positions(decision.roll_back_bits) == [9]


def test_bits_and_queues_are_as_the_wire_has_them() -> None:
    assert bits_of(0) == b""
    assert bit_positions(bits_of(1 << 16_383 | 1)) == [0, 16_383]
    assert queue_of_key(b"hanmeimei", 7) == xxhash.xxh64(b"hanmeimei", seed=0).intdigest() % 7
    assert message_id(1, 2, 3) == "0000000000000001" + "00000002" + "00000003"

"""Frames are cut out of any sequence of reads, and queued frames never take more memory than allowed."""

import random

import pytest

from tallymq.raftlog.framing import (
    HEADER,
    JOIN_BYTES_MAX,
    KIND_HELLO,
    KIND_MESSAGE,
    KIND_PING,
    KIND_SNAPSHOT,
    RECEIVE_BYTES,
    Frame,
    FrameReader,
    FrameRefused,
    SendQueue,
    join_small,
)


def feed(reader: FrameReader, data: bytes, sizes: random.Random) -> list[Frame]:
    frames = []
    while data:
        space = reader.space()
        assert len(space) > 0
        count = min(len(data), len(space), sizes.choice((1, 3, 7, 100, 16_384, 1 << 20)))
        space[:count] = data[:count]
        data = data[count:]
        frames += reader.received(count)
    return frames


@pytest.mark.parametrize("seed", range(30))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(seed: int) -> None:
    chance = random.Random(seed)
    lengths = [
        chance.choice((0, 1, 6, 7, 500, 70_000, RECEIVE_BYTES // 2 - 7, RECEIVE_BYTES, 900_000)) for _ in range(12)
    ]
    sent = [
        (chance.choice((KIND_MESSAGE, KIND_PING)), chance.randrange(1 << 16), chance.randbytes(length))
        for length in lengths
    ]
    stream = b"".join(HEADER.pack(len(payload), kind, shard) + payload for kind, shard, payload in sent)
    reader = FrameReader(1 << 20)
    # Twice, because the payloads of the first pass must outlive the buffers' second use.
    first = feed(reader, stream, chance)
    second = feed(reader, stream, chance)
    assert [(frame.kind, frame.shard, bytes(frame.payload)) for frame in first] == sent
    assert [(frame.kind, frame.shard, bytes(frame.payload)) for frame in second] == sent


def test_a_payload_handed_out_is_never_overwritten() -> None:
    reader = FrameReader(1 << 20)
    chance = random.Random(1)
    small = HEADER.pack(1000, KIND_MESSAGE, 1) + b"a" * 1000
    large = HEADER.pack(RECEIVE_BYTES, KIND_MESSAGE, 1) + b"b" * RECEIVE_BYTES
    kept = feed(reader, small + large, chance)
    feed(reader, (HEADER.pack(1000, KIND_MESSAGE, 1) + b"x" * 1000) * 600, chance)
    assert [bytes(frame.payload) for frame in kept] == [b"a" * 1000, b"b" * RECEIVE_BYTES]


def test_an_oversize_frame_is_refused_before_memory_is_set_aside_for_it() -> None:
    reader = FrameReader(4096)
    with pytest.raises(FrameRefused):
        feed(reader, HEADER.pack(4097, KIND_HELLO, 0), random.Random(0))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(FrameRefused):
        feed(FrameReader(4096), HEADER.pack(1, 99, 0) + b"x", random.Random(0))


def test_a_full_queue_refuses_and_forgets_nothing_it_took() -> None:
    queue = SendQueue(1000, urgent_bytes_max=100)
    accepted = sum(queue.put(KIND_MESSAGE, 0, (b"x" * 93,)) for _ in range(20))
    assert accepted == 10
    assert queue.queued_bytes == 1000
    assert queue.put(KIND_MESSAGE, 0, (b"y" * 93,), urgent=True)
    assert not queue.put(KIND_MESSAGE, 0, (b"y" * 93,), urgent=True)
    assert sum(map(len, queue.take(1 << 20))) == 1100
    assert not queue
    assert queue.queued_bytes == queue.urgent_bytes == 0


def test_urgent_frames_leave_first() -> None:
    queue = SendQueue(1 << 20)
    queue.put(KIND_MESSAGE, 1, (b"slow",))
    queue.put(KIND_MESSAGE, 2, (b"fast",), urgent=True)
    assert b"".join(queue.take(1)).endswith(b"fast")
    assert b"".join(queue.take(1)).endswith(b"slow")


def test_parts_of_snapshots_leave_after_all_others_and_have_a_bound_of_their_own() -> None:
    queue = SendQueue(1 << 20, snapshot_bytes_max=200)
    assert queue.put(KIND_SNAPSHOT, 1, (b"s" * 93,))
    assert queue.put(KIND_SNAPSHOT, 1, (b"t" * 93,))
    assert not queue.put(KIND_SNAPSHOT, 1, (b"u" * 93,))
    assert queue.put(KIND_SNAPSHOT, 1, (b"word",), urgent=True)
    assert queue.put(KIND_MESSAGE, 1, (b"entries",))
    frames = [b"".join(queue.take(1)) for _ in range(4)]
    assert [frame[-4:] for frame in frames] == [b"word", b"ries", b"ssss", b"tttt"]
    assert not queue
    assert queue.put(KIND_SNAPSHOT, 1, (b"s" * 193,))
    queue.clear()
    assert (bool(queue), queue.snapshot_bytes) == (False, 0)


def test_a_large_piece_is_not_copied_and_small_ones_are_joined() -> None:
    large = bytes(JOIN_BYTES_MAX + 1)
    joined = join_small([b"a", b"b", large, b"c", b"d"])
    assert [bytes(piece) for piece in joined] == [b"ab", large, b"cd"]
    assert joined[1] is large

"""Joins concurrent callers into frames, without their doing anything: whoever joins callers wins (cost is per frame).

There is a lane for each shard and kind of frame. A frame leaves at once when none of its lane is under way; otherwise
what comes meanwhile is collected, and leaves when an answer came or when it fills a frame, up to a window of frames.
Nothing here knows streams: a lane is given `send`, and is told `finished`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tallymq._records import Outgoing, bits_of, message_id
from tallymq.exceptions import TallyError
from tallymq.proto import frames_pb2, messaging_pb2

RECORDS_MAX = 1_024
BYTES_MAX = 256 * 1024
BATCHES_MAX = 256
DECISIONS_MAX = 1_024
WINDOW = 4

Kind = Literal["publish", "prepare", "decide"]


@dataclass(frozen=True, slots=True)
class HalfHandle:
    """Names one half message: what a decision must carry. `id` is its transaction and message id."""

    id: str
    shard: int
    index: int
    batch: int
    bit: int
    instance: int
    sequence: int
    queue: int


class OpenIds(Protocol):
    """Where the ids of transactions are kept whose outcome lies with this process."""

    def add(self, identity: str, /) -> None:
        """It is open from now on."""

    def discard(self, identity: str, /) -> None:
        """It is not, or never was."""


class Item:
    """One caller's message or decision and where its answer goes. `deadline` is loop time."""

    __slots__ = (
        "commit",
        "deadline",
        "future",
        "handle",
        "id",
        "open_ids",
        "outgoing",
        "position",
        "queue",
        "queue_count",
    )

    def __init__(self, future: asyncio.Future[Any], deadline: float) -> None:
        self.future = future
        self.deadline = deadline
        self.outgoing: Outgoing
        self.queue = 0
        self.queue_count = 0
        self.position = 0
        self.id = ""
        self.open_ids: OpenIds | None = None
        """Transactions open in this process: `id` is put there before the frame leaves, taken out by the caller."""
        self.handle: HalfHandle
        self.commit = False

    @property
    def size(self) -> int:
        """Bytes it takes in a queue."""
        return len(self.outgoing.record) + 16


class Frame:
    """What is sent and sent again, always the same bytes. `deadline` is the last of its callers' (loop time)."""

    __slots__ = (
        "address",
        "attempts",
        "batches",
        "clock_ahead_ms",
        "correlation",
        "data",
        "deadline",
        "doubtful",
        "first_deadline",
        "instance",
        "items",
        "kind",
        "lane",
        "problem",
        "sent",
        "sent_time",
        "sequence",
    )

    def __init__(self, lane: Lane, items: list[Item]) -> None:
        self.lane = lane
        self.kind = lane.kind
        self.items = items
        self.deadline = max(item.deadline for item in items)
        self.first_deadline = min(item.deadline for item in items)
        self.batches: list[list[Item]] = []
        self.correlation = 0
        self.instance = 0
        self.sequence = 0
        self.clock_ahead_ms = 0
        """Of the service's clock when the frame's own deadline was set."""
        self.data = b""
        self.attempts = 0
        self.sent = False
        """On the wire now, unanswered."""
        self.doubtful = False
        """An earlier attempt may have been stored."""
        self.problem: TallyError | None = None
        self.sent_time = 0.0
        self.address = ""


class Lane:
    """Collects the items of one shard and kind."""

    def __init__(self, shard: int, kind: Kind, loop: asyncio.AbstractEventLoop, send: Callable[[Frame], None]) -> None:
        self.shard = shard
        self.kind = kind
        self._loop = loop
        self._send = send
        self._pending: deque[Item] = deque()
        self._pending_bytes = 0
        self._scheduled = False
        self.under_way: set[Frame] = set()
        self.first_deadline = float("inf")
        """No pending item has an earlier one (it may be out of date, never too late)."""

    def add(self, item: Item) -> None:
        """Take one more; the frame leaves in this turn of the loop or when its time has come."""
        self._pending.append(item)
        if self.kind != "decide":
            self._pending_bytes += item.size
        self.first_deadline = min(self.first_deadline, item.deadline)
        if not self._scheduled and (not self.under_way or self._is_full()):
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what may leave now."""
        self._scheduled = False
        while self._pending and len(self.under_way) < WINDOW and (not self.under_way or self._is_full()):
            items = self._cut()
            if items:
                frame = Frame(self, items)
                self.under_way.add(frame)
                self._send(frame)

    def finished(self, frame: Frame) -> None:
        """The frame was answered or given up; those who waited behind it may leave."""
        self.under_way.discard(frame)
        if self._pending and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self.flush)

    def take_late(self, now: float) -> list[Item]:
        """Remove and return the pending items whose time is over."""
        if now < self.first_deadline:
            return []
        late = [item for item in self._pending if item.deadline <= now]
        self._pending = deque(item for item in self._pending if item.deadline > now)
        self._pending_bytes = sum(item.size for item in self._pending) if self.kind != "decide" else 0
        self.first_deadline = min((item.deadline for item in self._pending), default=float("inf"))
        return late

    def take_all(self) -> list[Item]:
        """Remove and return everything pending."""
        items = list(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        return items

    def __len__(self) -> int:
        return len(self._pending)

    def _is_full(self) -> bool:
        return self._pending_bytes >= BYTES_MAX or len(self._pending) >= RECORDS_MAX

    def _cut(self) -> list[Item]:
        items: list[Item] = []
        size = 0
        places = set()
        while self._pending and len(items) < RECORDS_MAX:
            item = self._pending[0]
            if item.future.done():
                # Its caller was cancelled or gave up.
                self._drop_first(item)
                continue
            if self.kind != "decide":
                places.add((item.outgoing.topic, item.queue, item.queue_count))
                size += item.size
                if items and (size > BYTES_MAX or len(places) > BATCHES_MAX):
                    break
            self._drop_first(item)
            items.append(item)
        return items

    def _drop_first(self, item: Item) -> None:
        self._pending.popleft()
        if self.kind != "decide":
            self._pending_bytes -= item.size


def encode_messages(frame: Frame, group: str, deadline_ms: int, check_after_ms: int) -> None:
    """Fill in `data`, `batches` and each item's position. Identity and correlation are set before."""
    places: dict[tuple[str, int], list[Item]] = {}
    for item in frame.items:
        places.setdefault((item.outgoing.topic, item.queue), []).append(item)
    position = 0
    batches = []
    for (topic, queue), items in places.items():
        records = [item.outgoing.record for item in items]
        times = [item.outgoing.delivery_time_ms for item in items]
        header = messaging_pb2.BatchHeader(
            topic=topic,
            queue=queue,
            queue_count=items[0].queue_count,
            record_lengths=[len(record) for record in records],
            delivery_times_ms=times if any(times) else (),
        )
        raw = frames_pb2.RawRecordBatch(records=records).SerializeToString()
        batches.append(frames_pb2.Batch(header=header, records=raw))
        for item in items:
            item.position = position
            if item.open_ids is not None:
                item.open_ids.discard(item.id)
                item.id = message_id(frame.instance, frame.sequence, position)
                item.open_ids.add(item.id)
            position += 1
    frame.batches = list(places.values())
    identity = messaging_pb2.FrameIdentity(instance=frame.instance, sequence=frame.sequence, deadline_ms=deadline_ms)
    request = frames_pb2.ProduceRequest(correlation=frame.correlation)
    if frame.kind == "publish":
        request.publish.CopyFrom(frames_pb2.PublishRequest(identity=identity, producer_group=group, batches=batches))
    else:
        request.prepare.CopyFrom(
            frames_pb2.PrepareRequest(
                identity=identity, producer_group=group, batches=batches, check_after_ms=check_after_ms
            )
        )
    frame.data = request.SerializeToString()


def encode_decisions(frame: Frame, group: str) -> None:
    """Fill in `data` and `batches`: the items of each half batch become one decision by bits."""
    halves: dict[tuple[int, int, int, int], list[Item]] = {}
    for item in frame.items:
        handle = item.handle
        halves.setdefault((handle.index, handle.batch, handle.instance, handle.sequence), []).append(item)
    decisions = []
    for (index, batch, instance, sequence), items in halves.items():
        commit = roll_back = 0
        for item in items:
            if item.commit:
                commit |= 1 << item.handle.bit
            else:
                roll_back |= 1 << item.handle.bit
        # Asked for both ways at once by two callers: the commit stands, and the other caller is told so.
        roll_back &= ~commit
        decisions.append(
            messaging_pb2.Decision(
                shard=frame.lane.shard,
                index=index,
                batch=batch,
                instance=instance,
                sequence=sequence,
                commit_bits=bits_of(commit),
                roll_back_bits=bits_of(roll_back),
            )
        )
    frame.batches = list(halves.values())
    request = messaging_pb2.DecideRequest(producer_group=group, decisions=decisions)
    frame.data = frames_pb2.ProduceRequest(correlation=frame.correlation, decide=request).SerializeToString()

"""The client's engine: one asyncio object, on a thread of its own for Tally and on the caller's loop for AsyncTally.

Everything here runs on that loop. A caller's message becomes an item in a lane; lanes make frames; a frame goes to the
leader of its shard and again, the same bytes, until it is answered or its callers' time is over.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from google.protobuf.message import Message as Protobuf

from tallymq import _answers
from tallymq._batcher import Frame, HalfHandle, Item, Kind, Lane, OpenIds, encode_decisions, encode_messages
from tallymq._channel import Channels, Reply
from tallymq._dispatch import RETRY_S_MAX, RETRY_S_MIN, Dispatcher, late_error
from tallymq._records import Outgoing, queue_of_key
from tallymq._routes import Routes
from tallymq._settings import Settings
from tallymq.exceptions import ClosedError, TallyError, Unavailable
from tallymq.types import Receipt, jitter

log = logging.getLogger("tallymq")

SEQUENCE_MAX = 2**32 - 1
HELD_BYTES_MAX = 64 * 1024 * 1024
HELD_ITEMS_MAX = 65_536
SWEEP_S = 0.05
CLOCK_MARGIN_S = 30.0
"""How far this machine's clock may be behind the service's without frames being refused as late."""
DEADLINE_AHEAD_S_MAX = 870.0
"""Just under the service's 15 minutes."""


class Claim:
    """Held by whoever will decide a half by hand. While it exists no check decides: UNKNOWN is the answer."""

    __slots__ = ("__weakref__",)


class _Claimed:
    """Notes ids as open for as long as their claim exists. Holds the claim itself, so it is dropped with the item."""

    def __init__(self, claims: weakref.WeakValueDictionary[str, Claim], claim: Claim) -> None:
        self._claims = claims
        self._claim = claim

    def add(self, identity: str, /) -> None:
        self._claims[identity] = self._claim

    def discard(self, identity: str, /) -> None:
        self._claims.pop(identity, None)


class Engine:
    """Stores messages and decisions. Made and used on one loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.channels = Channels(settings.tls)
        self.routes = Routes(settings.addresses, self.channels)
        self.instance = _new_instance()
        self.open_ids: set[str] = set()
        """Transactions of this process whose database transaction has not ended."""
        self._claims: weakref.WeakValueDictionary[str, Claim] = weakref.WeakValueDictionary()
        self.on_new_instance: Callable[[], None] = _nothing
        """Called when this process takes another instance, so that checks of it find their way."""
        self.frames_sent = 0
        self._sequence = 0
        self._correlation = 0
        self._lanes: dict[tuple[int, Kind], Lane] = {}
        self._dispatcher = Dispatcher(self.loop, self.routes, self.channels, self._place_anew)
        self._sticky: dict[str, int] = {}
        self._held_bytes = 0
        self._held_items = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def publish(self, outgoing: Outgoing, timeout_s: float) -> Receipt:
        """Store a message that is visible at once. Raises TallyError."""
        deadline = self.loop.time() + timeout_s
        receipt: Receipt = await self._store("publish", outgoing, deadline, None)
        return receipt

    async def prepare(self, outgoing: Outgoing, timeout_s: float, claim: Claim | None = None) -> HalfHandle:
        """Store a half message, open from before it leaves.

        With a claim for as long as that exists, else until the caller takes its id out of `open_ids`.
        """
        deadline = self.loop.time() + timeout_s
        open_ids = self.open_ids if claim is None else _Claimed(self._claims, claim)
        handle: HalfHandle = await self._store("prepare", outgoing, deadline, open_ids)
        return handle

    def is_open(self, identity: str) -> bool:
        """Tell whether the outcome still lies with somebody in this process."""
        return identity in self.open_ids or identity in self._claims

    async def decide(self, handle: HalfHandle, commit: bool, timeout_s: float) -> None:
        """Commit or roll back. Raises AlreadyDecided if it was decided the other way, and other TallyErrors."""
        await self._decision(handle, commit, self.loop.time() + timeout_s)

    def decide_soon(self, handles: Sequence[HalfHandle], *, commit: bool) -> list[asyncio.Future[Any]]:
        """Send decisions without waiting; what gets lost is found by the check."""
        deadline = self.loop.time() + self.settings.timeout_s
        futures = []
        for handle in handles:
            future = self._decision(handle, commit, deadline)
            future.add_done_callback(lambda done, handle=handle: _log_decision(handle, done))  # type: ignore[misc]
            futures.append(future)
        return futures

    def _decision(self, handle: HalfHandle, commit: bool, deadline: float) -> asyncio.Future[None]:
        self._check_open()
        item = Item(self.loop.create_future(), deadline)
        item.handle = handle
        item.commit = commit
        self._add(self._lane(handle.shard, "decide"), item)
        return item.future

    async def _store(self, kind: Kind, outgoing: Outgoing, deadline: float, open_ids: OpenIds | None) -> Any:  # noqa: ANN401 - a receipt or a handle
        self._check_open()
        shards = self.routes.topics.get(outgoing.topic)
        if shards is None:
            shards = await self.routes.queue_shards(outgoing.topic, deadline)
        item = Item(self.loop.create_future(), deadline)
        item.outgoing = outgoing
        item.open_ids = open_ids
        size = item.size
        if self._held_items >= HELD_ITEMS_MAX or self._held_bytes + size > HELD_BYTES_MAX:
            await self._wait_for_room(deadline)
        self._held_items += 1
        self._held_bytes += size
        try:
            self._place(kind, item, shards)
            return await item.future
        except BaseException:
            if open_ids is not None:
                open_ids.discard(item.id)
            raise
        finally:
            # Whoever still looks at the frame must not keep a claim that its holder dropped.
            item.open_ids = None
            self._held_items -= 1
            self._held_bytes -= size
            self._let_in()

    async def _wait_for_room(self, deadline: float) -> None:
        while self._held_items >= HELD_ITEMS_MAX or self._held_bytes >= HELD_BYTES_MAX:
            waiter: asyncio.Future[None] = self.loop.create_future()
            self._waiting.append(waiter)
            try:
                async with asyncio.timeout_at(deadline):
                    await waiter
            except TimeoutError:
                raise Unavailable("More is waiting to be sent than this client holds.") from None
            self._check_open()

    def _let_in(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _place(self, kind: Kind, item: Item, shards: tuple[int, ...]) -> None:
        outgoing = item.outgoing
        item.queue_count = len(shards)
        if outgoing.key:
            item.queue = queue_of_key(outgoing.key, len(shards))
        else:
            item.queue = self._sticky.setdefault(outgoing.topic, secrets.randbelow(len(shards))) % len(shards)
        self._add(self._lane(shards[item.queue], kind), item)

    def _lane(self, shard: int, kind: Kind) -> Lane:
        lane = self._lanes.get((shard, kind))
        if lane is None:
            lane = self._lanes[shard, kind] = Lane(shard, kind, self.loop, self._send_new)
        return lane

    def _add(self, lane: Lane, item: Item) -> None:
        lane.add(item)
        if self._sweep is None:
            self._sweep = self.loop.call_later(SWEEP_S, self._sweep_once)

    def _send_new(self, frame: Frame) -> None:
        """Give a frame its identity and bytes, and send it."""
        self._correlation += 1
        frame.correlation = self._correlation
        if frame.kind == "decide":
            encode_decisions(frame, self.settings.group)
        else:
            frame.instance, frame.sequence = self._next_identity()
            ahead_s = min(frame.deadline - self.loop.time() + CLOCK_MARGIN_S, DEADLINE_AHEAD_S_MAX)
            frame.clock_ahead_ms = self.routes.clock.ahead_ms
            deadline_ms = self.routes.clock.deadline_ms(frame.clock_ahead_ms, ahead_s)
            encode_messages(frame, self.settings.group, deadline_ms, self.settings.check_after_ms)
            for topic in {batch[0].outgoing.topic for batch in frame.batches}:
                # The next keyless messages go to another queue.
                if topic in self._sticky:
                    self._sticky[topic] = (self._sticky[topic] + 1) % max(1, frame.items[0].queue_count)
        self.frames_sent += 1
        self._dispatcher.send(frame)

    def _next_identity(self) -> tuple[int, int]:
        if self._sequence >= SEQUENCE_MAX:
            self.instance = _new_instance()
            self._sequence = 0
            self.on_new_instance()
        self._sequence += 1
        return self.instance, self._sequence

    def _place_anew(self, frame: Frame, name: str, error: TallyError) -> None:
        """Nothing of the frame was stored. Callers who shared it with the cause of the refusal must not suffer."""
        by_topic: dict[str, list[Item]] = {}
        for item in frame.items:
            # Whoever gave up does not want it stored.
            if not item.future.done():
                by_topic.setdefault(item.outgoing.topic, []).append(item)
        for topic, items in by_topic.items():
            if name == "QUEUE_COUNT_CHANGED":
                self.routes.forget_topic(topic)
                self._spawn(self._place_later(frame.kind, items, error))
            else:
                alone = Frame(frame.lane, items)
                frame.lane.under_way.add(alone)
                self._send_new(alone)

    async def _place_later(self, kind: Kind, items: list[Item], error: TallyError) -> None:
        deadline = max(item.deadline for item in items)
        try:
            shards = await self.routes.queue_shards(items[0].outgoing.topic, deadline)
        except TallyError as problem:
            _answers.fail(items, problem)
            return
        if len(shards) == items[0].queue_count:
            # The node asked is behind the one that refused; without a pause the two would play ball.
            self.routes.forget_topic(items[0].outgoing.topic)
            await asyncio.sleep(jitter(0.1))
        for item in items:
            if self.loop.time() >= item.deadline:
                _answers.fail([item], error)
            elif not item.future.done():
                self._place(kind, item, shards)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _sweep_once(self) -> None:
        """Give up those whose time is over, and look after frames that wait too long for an answer."""
        now = self.loop.time()
        busy = False
        for lane in self._lanes.values():
            late = lane.take_late(now)
            _answers.fail(late, Unavailable("It was not sent in time: the service is slow or cannot be reached."))
            for frame in list(lane.under_way):
                self._dispatcher.look_after(frame, now)
            busy = busy or bool(lane) or bool(lane.under_way)
        self._sweep = self.loop.call_later(SWEEP_S, self._sweep_once) if busy and not self._closed else None

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("The client is closed.")

    async def call_any(self, path: str, request: Protobuf, reply_type: type[Reply], timeout_s: float) -> Reply:
        """Make a call that any node may answer or point to who can; safe to repeat. Raises TallyError."""
        deadline = self.loop.time() + timeout_s
        attempt = 0
        address = ""
        while True:
            known = [*self.routes.node_addresses(), *self.settings.addresses]
            address = address or known[attempt % len(known)]
            left_s = deadline - self.loop.time()
            try:
                return await self.channels.of(address).unary(path, request, reply_type, max(0.1, left_s))
            except TallyError as error:
                if not error.retryable or left_s <= 0:
                    raise
                address = getattr(error, "leader_address", "")
            attempt += 1
            await asyncio.sleep(jitter(min(RETRY_S_MAX, RETRY_S_MIN * 2 ** min(attempt, 10))))

    @property
    def closed(self) -> bool:
        """True once close() was called."""
        return self._closed

    @property
    def idle(self) -> bool:
        """True if nothing waits to be sent or answered."""
        return not any(lane or lane.under_way for lane in self._lanes.values())

    async def drain(self, deadline: float) -> None:
        """Wait until everything under way was answered, at most until then (loop time)."""
        while not self.idle and self.loop.time() < deadline:  # noqa: ASYNC110 - asked only while closing
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Give up what is under way and close all connections. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for lane in self._lanes.values():
            _answers.fail(lane.take_all(), ClosedError("The client was closed before this was sent."))
            for frame in list(lane.under_way):
                _answers.fail(frame.items, late_error(frame))
        while self._waiting:
            self._let_in()
        await self._dispatcher.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.routes.close()
        self.channels.close()


def _nothing() -> None:
    pass


def _new_instance() -> int:
    return secrets.randbelow(2**64 - 1) + 1


def _log_decision(handle: HalfHandle, done: asyncio.Future[Any]) -> None:
    if not done.cancelled() and done.exception() is not None:
        log.warning("Decision of transaction %s was not taken: %s", handle.id, done.exception())

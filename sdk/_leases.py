"""Acknowledgements, negative ones and extensions, joined for each shard, sent until its leader took them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tallymq._channel import MESSAGING, Channels
from tallymq._routes import Routes
from tallymq.exceptions import Refused, TallyError, Unavailable
from tallymq.proto import messaging_pb2
from tallymq.types import jitter

log = logging.getLogger("tallymq")

RANGES_MAX = 1_024
OFFSETS_MAX = 16_384
CALL_TIMEOUT_S = 5.0
GIVE_UP_S = 60.0
"""An acknowledgement not taken for so long is dropped: its lease has ended, the message comes again."""
REASON_BYTES_MAX = 1_024


@dataclass(frozen=True, slots=True, order=True)
class Leased:
    """One delivered message, as its lease names it."""

    queue: int
    lease: int
    offset: int


@dataclass(frozen=True, slots=True)
class Negative:
    """How a message goes back: messages with the same answer share a request."""

    delay_ms: int = 0
    reason: str = ""
    dead_letter: bool = False


def cut_reason(reason: str) -> str:
    """Return the reason within the wire's limit, cut at a character."""
    return reason.encode("utf-8", "replace")[:REASON_BYTES_MAX].decode("utf-8", "ignore")


def ranges_of(topic: str, leased: Iterable[Leased]) -> list[messaging_pb2.LeasedRange]:
    """Return ranges of consecutive offsets."""
    ranges: list[messaging_pb2.LeasedRange] = []
    for each in sorted(set(leased)):
        last = ranges[-1] if ranges else None
        if (
            last is not None
            and (last.queue, last.lease) == (each.queue, each.lease)
            and last.first_offset + last.count == each.offset
            and last.count < OFFSETS_MAX
        ):
            last.count += 1
        else:
            ranges.append(
                messaging_pb2.LeasedRange(
                    topic=topic, queue=each.queue, lease=each.lease, first_offset=each.offset, count=1
                )
            )
    return ranges


class LeaseCalls:
    """Calls about leases of one consumer group and topic, each to the leader of its shard."""

    def __init__(self, group: str, topic: str, routes: Routes, channels: Channels) -> None:
        self._group = group
        self._topic = topic
        self._routes = routes
        self._channels = channels

    async def acknowledge(self, shard: int, leased: Sequence[Leased]) -> None:
        """They are done."""
        for part in _parts(ranges_of(self._topic, leased)):
            request = messaging_pb2.AcknowledgeRequest(consumer_group=self._group, ranges=part)
            reply = await self._call(shard, "Acknowledge", request)
            lost = sum(result == messaging_pb2.LEASE_RESULT_LOST for result in reply.results)
            if lost:
                log.info("%d acknowledged ranges of %s had lost their lease and will come again", lost, self._topic)

    async def give_back(self, shard: int, leased: Sequence[Leased], how: Negative) -> None:
        """They must come again, or go to the dead letters."""
        for part in _parts(ranges_of(self._topic, leased)):
            request = messaging_pb2.NegativeAcknowledgeRequest(
                consumer_group=self._group,
                ranges=part,
                delay_ms=how.delay_ms,
                reason=how.reason,
                dead_letter=how.dead_letter,
            )
            await self._call(shard, "NegativeAcknowledge", request)

    async def extend(self, shard: int, leased: Sequence[Leased], lease_ms: int) -> set[Leased]:
        """They need more time. Return those whose lease is lost."""
        lost: set[Leased] = set()
        for part in _parts(ranges_of(self._topic, leased)):
            request = messaging_pb2.ExtendRequest(consumer_group=self._group, ranges=part, lease_ms=lease_ms)
            reply = await self._call(shard, "Extend", request)
            for extended, result in zip(part, reply.results, strict=False):
                if result == messaging_pb2.LEASE_RESULT_LOST:
                    offsets = range(extended.first_offset, extended.first_offset + extended.count)
                    lost.update(Leased(extended.queue, extended.lease, offset) for offset in offsets)
        return lost

    async def _call(
        self,
        shard: int,
        method: str,
        request: messaging_pb2.AcknowledgeRequest
        | messaging_pb2.NegativeAcknowledgeRequest
        | messaging_pb2.ExtendRequest,
    ) -> messaging_pb2.LeaseReply:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GIVE_UP_S
        attempt = 0
        while True:
            address = self._routes.leaders.get(shard)
            error: TallyError = Unavailable(f"No node is known to lead shard {shard}.")
            if address is not None:
                try:
                    return await self._channels.of(address).unary(
                        MESSAGING + method, request, messaging_pb2.LeaseReply, CALL_TIMEOUT_S
                    )
                except TallyError as problem:
                    error = problem
            if not error.retryable or loop.time() >= deadline:
                raise error
            self._learn(shard, error)
            await asyncio.sleep(jitter(min(1.0, 0.02 * 2**attempt)))
            attempt = min(attempt + 1, 10)

    def _learn(self, shard: int, error: TallyError) -> None:
        if isinstance(error, Refused) and error.leader_address:
            self._routes.learn_leader(shard, error.leader_address)
        else:
            self._routes.leaders.pop(shard, None)
            self._routes.refresh_soon()


def _parts(ranges: list[messaging_pb2.LeasedRange]) -> list[list[messaging_pb2.LeasedRange]]:
    return [ranges[start : start + RANGES_MAX] for start in range(0, len(ranges), RANGES_MAX)]


class LeaseLane:
    """What is to be said about the leases of one shard; said as soon as the last was taken. Credit bounds it."""

    def __init__(self, shard: int, calls: LeaseCalls) -> None:
        self._shard = shard
        self._calls = calls
        self._done: list[Leased] = []
        self._back: dict[Negative, list[Leased]] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task = asyncio.create_task(self._run())

    def acknowledge(self, leased: Leased) -> None:
        """It is done."""
        self._done.append(leased)
        self._idle.clear()
        self._wake.set()

    def give_back(self, leased: Leased, how: Negative) -> None:
        """It must come again."""
        self._back.setdefault(how, []).append(leased)
        self._idle.clear()
        self._wake.set()

    async def flush(self) -> None:
        """Wait until all was said."""
        await self._idle.wait()

    async def close(self) -> None:
        """Stop, whatever is left."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            # One turn of the loop, so that handlers which end together are acknowledged together.
            await asyncio.sleep(0)
            done, self._done = self._done, []
            back, self._back = self._back, {}
            try:
                if done:
                    await self._calls.acknowledge(self._shard, done)
                for how, leased in back.items():
                    await self._calls.give_back(self._shard, leased, how)
            except TallyError as error:
                log.warning("Leases could not be settled, the messages will come again: %s", error)
            if not self._done and not self._back:
                self._idle.set()

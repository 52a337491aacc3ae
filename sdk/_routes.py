"""Where topics, shards and nodes are, as far as this process knows: asked for, learnt from refusals, kept fresh."""

from __future__ import annotations

import asyncio
import logging
import random

from tallymq._channel import MESSAGING, Channels
from tallymq._clock import ServiceClock
from tallymq.exceptions import OutcomeUnknown, Refused, TallyError, Unavailable, refusal_error
from tallymq.proto import messaging_pb2
from tallymq.types import jitter

log = logging.getLogger("tallymq")

TOPICS_MAX = 256
ASK_TIMEOUT_S = 2.0
FRESH_S = 30.0
PAUSE_S_MIN = 0.05
PAUSE_S_MAX = 1.0
UNKNOWN_TOPIC_ASKS = 3
"""A topic just made may be unknown to the node asked first."""


class Routes:
    """The map. Belongs to the engine's loop."""

    def __init__(self, seeds: tuple[str, ...], channels: Channels) -> None:
        self.clock = ServiceClock()
        self._seeds = seeds
        self._channels = channels
        self._last_good = ""
        self._asking: asyncio.Task[None] | None = None
        self._wanted: dict[str, None] = {}
        self.cluster = ""
        self.addresses: dict[str, str] = {}
        self.leaders: dict[int, str] = {}
        self._terms: dict[int, int] = {}
        self.topics: dict[str, tuple[int, ...]] = {}

    def node_addresses(self) -> frozenset[str]:
        """Return the client addresses of all known nodes; before the first answer, none."""
        return frozenset(self.addresses.values())

    def learn_leader(self, shard: int, address: str) -> None:
        """A refusal named the leader ("" if it did not know)."""
        if address:
            self.leaders[shard] = address
        else:
            self.leaders.pop(shard, None)

    def forget_topic(self, topic: str) -> None:
        """What was known of the topic is wrong; it is asked for when next needed."""
        self.topics.pop(topic, None)

    async def queue_shards(self, topic: str, deadline: float) -> tuple[int, ...]:
        """Return the shard of each queue, asking until `deadline` (loop time). Raises UnknownTopic or Unavailable."""
        asked = 0
        pause_s = PAUSE_S_MIN
        loop = asyncio.get_running_loop()
        while topic not in self.topics:
            self._wanted[topic] = None
            problem: TallyError | None = None
            try:
                async with asyncio.timeout_at(deadline):
                    await self.refresh()
            except TallyError as error:
                problem = error
            except TimeoutError:
                problem = Unavailable("No node answered in time.")
            if topic in self.topics:
                break
            asked += problem is None
            if asked >= UNKNOWN_TOPIC_ASKS:
                self._wanted.pop(topic, None)
                raise refusal_error("UNKNOWN_TOPIC", f"There is no topic {topic!r}.")
            if loop.time() >= deadline:
                raise problem or Unavailable("The topic's place was not found in time.")
            await asyncio.sleep(min(jitter(pause_s), max(0.0, deadline - loop.time())))
            pause_s = min(PAUSE_S_MAX, pause_s * 2)
        return self.topics[topic]

    async def refresh(self) -> None:
        """Ask one node after the other until one answers; callers at the same time share one question."""
        await asyncio.shield(self.refresh_soon())

    def refresh_soon(self) -> asyncio.Task[None]:
        """Ask in the background, if that is not under way; the task of the one question."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._refresh())
            # Whoever waits sees the error; a question nobody waits for any more must not complain.
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._asking

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _refresh(self) -> None:
        problem: TallyError = Unavailable("No node could be reached.")
        names = list(dict.fromkeys([*self._wanted, *self.topics]))[:TOPICS_MAX]
        for address in self._candidates():
            try:
                reply = await self._channels.of(address).unary(
                    MESSAGING + "Route",
                    messaging_pb2.RouteRequest(topics=names),
                    messaging_pb2.RouteReply,
                    ASK_TIMEOUT_S,
                )
            except OutcomeUnknown as error:
                # A question changes nothing, so for the caller nobody was reached.
                problem = Unavailable(error.message)
                continue
            except Unavailable as error:
                problem = error
                continue
            except Refused as error:
                if not error.retryable:
                    raise
                problem = error
                continue
            self._last_good = address
            self._take(reply, names)
            return
        raise problem

    def _candidates(self) -> list[str]:
        known = [*self._seeds, *self.addresses.values()]
        random.shuffle(known)
        # The one that answered last goes first, unless no leader is known: then it may be the one that does not know.
        first = [self._last_good] if self._last_good and self.leaders else []
        return list(dict.fromkeys([*first, *known]))

    def _take(self, reply: messaging_pb2.RouteReply, names: list[str]) -> None:
        self.clock.told(reply.time_ms, by_leader=False)
        self.cluster = reply.cluster
        self.addresses = {node.node: node.client_address for node in reply.nodes}
        for shard in reply.shards:
            address = self.addresses.get(shard.leader, "")
            known_term = self._terms.get(shard.shard, 0)
            if address and (shard.term >= known_term or shard.shard not in self.leaders):
                self.leaders[shard.shard] = address
                self._terms[shard.shard] = max(known_term, shard.term)
        found = {topic.topic: tuple(topic.queue_shards) for topic in reply.topics}
        for name in names:
            if name in found:
                self.topics[name] = found[name]
                self._wanted.pop(name, None)
            else:
                self.topics.pop(name, None)

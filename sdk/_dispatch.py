"""Gets frames to the leaders of their shards, the same bytes again, until they are answered or out of time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tallymq import _answers
from tallymq._batcher import Frame
from tallymq._channel import Channels
from tallymq._connection import ProduceLink
from tallymq._routes import Routes
from tallymq.exceptions import OutcomeUnknown, TallyError, Unavailable, error_of_refusal
from tallymq.proto import messaging_pb2
from tallymq.types import jitter

STUCK_S = 2.0
"""A frame without an answer for so long is sent elsewhere if the shard's leader has moved."""
RETRY_S_MIN = 0.02
RETRY_S_MAX = 1.0
FOLLOWED_AT_ONCE = 3
"""How often a named leader is followed without a pause: two nodes that name each other must not make us spin."""


class Dispatcher:
    """Belongs to the engine's loop. `place_anew(frame, name, error)` takes frames whose items must be placed again."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        routes: Routes,
        channels: Channels,
        place_anew: Callable[[Frame, str, TallyError], None],
    ) -> None:
        self._loop = loop
        self._routes = routes
        self._channels = channels
        self._place_anew = place_anew
        self._links: dict[str, ProduceLink] = {}
        self._frames: dict[int, Frame] = {}

    def send(self, frame: Frame) -> None:
        """Take a frame; its callers hear of it in the end."""
        self._frames[frame.correlation] = frame
        self._dispatch(frame)

    def _dispatch(self, frame: Frame) -> None:
        if frame.correlation not in self._frames:
            return
        frame.sent_time = self._loop.time()
        address = self._routes.leaders.get(frame.lane.shard)
        if address is None:
            self._routes.refresh_soon()
            self._retry_later(frame, Unavailable(f"No node is known to lead shard {frame.lane.shard}."))
            return
        link = self._links.get(address)
        if link is None:
            link = ProduceLink(self._channels.of(address), self._answered, self._failed)
            self._links[address] = link
        link.send(frame)

    def _retry_later(self, frame: Frame, problem: TallyError) -> None:
        frame.problem = problem
        frame.sent = False
        frame.address = ""
        frame.attempts += 1
        pause_s = jitter(min(RETRY_S_MAX, RETRY_S_MIN * 2 ** min(frame.attempts, 10)))
        self._loop.call_later(pause_s, self._dispatch, frame)

    def _failed(self, frame: Frame, problem: TallyError) -> None:
        """The link broke. Called on the loop; the frame may have been stored if it was sent."""
        if frame.correlation not in self._frames:
            return
        frame.doubtful |= frame.sent
        self._routes.leaders.pop(frame.lane.shard, None)
        self._routes.refresh_soon()
        self._retry_later(frame, problem)

    def _answered(self, reply: messaging_pb2.ProduceReply) -> None:
        frame = self._frames.get(reply.correlation)
        if frame is None:
            return
        if reply.WhichOneof("reply") == "refusal":
            self._refused(frame, reply.refusal)
            return
        _answers.settle(frame, reply)
        self._finish(frame)

    def _finish(self, frame: Frame) -> None:
        self._frames.pop(frame.correlation, None)
        frame.lane.finished(frame)

    def _refused(self, frame: Frame, refusal: messaging_pb2.Refusal) -> None:
        error = error_of_refusal(refusal)
        self._routes.clock.told(refusal.time_ms, by_leader=True)
        frame.doubtful |= not refusal.definite
        if refusal.name == "NOT_LEADER":
            self._follow(frame, refusal.leader_address, error)
        elif refusal.retryable:
            self._routes.refresh_soon()
            self._retry_later(frame, error)
        elif frame.doubtful:
            _answers.fail(frame.items, OutcomeUnknown(f"It may have been stored before it was refused: {error}"))
            self._finish(frame)
        elif frame.kind != "decide" and (
            refusal.name == "QUEUE_COUNT_CHANGED"
            or _topics_of(frame) > 1
            or (refusal.time_ms and self._routes.clock.differs(frame.clock_ahead_ms))
        ):
            self._finish(frame)
            self._place_anew(frame, refusal.name, error)
        else:
            _answers.fail(frame.items, error)
            self._finish(frame)

    def _follow(self, frame: Frame, address: str, error: TallyError) -> None:
        moved = bool(address) and address != frame.address
        self._routes.learn_leader(frame.lane.shard, address if moved else "")
        if moved and frame.attempts < FOLLOWED_AT_ONCE:
            frame.attempts += 1
            frame.sent = False
            self._dispatch(frame)
            return
        self._routes.refresh_soon()
        self._retry_later(frame, error)

    def look_after(self, frame: Frame, now: float) -> None:
        """Give up callers whose time is over, and send elsewhere what waits too long for an answer."""
        if now >= frame.first_deadline:
            late = [item for item in frame.items if item.deadline <= now]
            left = [item.deadline for item in frame.items if item.deadline > now]
            # The frame goes on for the others, always the same bytes: what is late may still be stored with them.
            _answers.fail(late, OutcomeUnknown("No answer came in time.") if left else late_error(frame))
            if not left:
                self._forget(frame)
                return
            frame.first_deadline = min(left)
        if frame.address and now - frame.sent_time > STUCK_S:
            self._routes.refresh_soon()
            if self._routes.leaders.get(frame.lane.shard, frame.address) != frame.address:
                self._links[frame.address].forget(frame)
                frame.doubtful |= frame.sent
                self._retry_later(frame, Unavailable(f"{frame.address} does not answer."))

    def _forget(self, frame: Frame) -> None:
        if frame.address:
            self._links[frame.address].forget(frame)
            frame.address = ""
        self._finish(frame)

    async def close(self) -> None:
        """End all streams; what they carried is the caller's to give up."""
        for frame in self._frames.values():
            # What a link holds and has not written must not leave any more: its callers are told that it did not.
            frame.address = ""
        self._frames.clear()
        await asyncio.gather(*(link.close() for link in self._links.values()))


def _topics_of(frame: Frame) -> int:
    return len({batch[0].outgoing.topic for batch in frame.batches})


def late_error(frame: Frame) -> TallyError:
    """Return what the callers of a frame are told when their time is over."""
    if frame.sent or frame.doubtful:
        return OutcomeUnknown("No answer came in time.")
    if frame.problem is not None and frame.problem.definite:
        return frame.problem
    return Unavailable(f"It could not be sent in time. {frame.problem.message if frame.problem else ''}".strip())

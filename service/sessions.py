"""Producers' sessions: who can be asked about a group's transactions, and what each of them is being asked now."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from tallymq.proto import frames_pb2, messaging_pb2
from tallymq.service.calls import END, Context, Draining, write
from tallymq.service.errors import Refused
from tallymq.service.fields import decode
from tallymq.service.tasks import Tasks
from tallymq.service.validation import bits_of, check_name, check_present, check_text

ANSWER_WAIT_S = 30.0
"""After this long an unanswered check no longer counts against its session."""
CLIENT_BYTES_MAX = 255
INSTANCES_REMEMBERED_MAX = 100_000


@dataclass(frozen=True)
class Asked:
    """A check under way: the half batch and the transactions it asks about."""

    shard: int
    index: int
    batch: int
    instance: int
    sequence: int
    bits: int


@dataclass(frozen=True)
class Answer:
    """What a producer said about a check."""

    asked: Asked
    commit: int
    roll_back: int


class Session:
    """One open session stream."""

    def __init__(self, hello: messaging_pb2.SessionHello, principal: str, budget: int) -> None:
        self.group = hello.producer_group
        self.instance = hello.instance
        self.wants_records = hello.wants_records
        self.principal = principal
        self.on_room: Callable[[], None] = lambda: None
        self._budget = budget
        self._number = 0
        self._open: dict[int, tuple[Asked, asyncio.TimerHandle]] = {}
        self._outbox: deque[frames_pb2.SessionReply] = deque()
        self._changed = asyncio.Event()

    @property
    def has_room(self) -> bool:
        """Whether it may be asked more: it answers, and takes what it is sent."""
        return max(len(self._open), len(self._outbox)) < self._budget

    def ask(self, asked: Asked, check: frames_pb2.Check) -> None:
        """Send a check; it counts against the session's budget until it is answered, or for half a minute."""
        self._number += 1
        check.check = self._number
        timer = asyncio.get_running_loop().call_later(ANSWER_WAIT_S, self._give_up, self._number)
        self._open[self._number] = (asked, timer)
        self.say(frames_pb2.SessionReply(check=check))

    def is_asked(self, shard: int, index: int, batch: int) -> bool:
        """Return whether a check about this half batch is open here."""
        return any((asked.shard, asked.index, asked.batch) == (shard, index, batch) for asked, _ in self._open.values())

    def answered(self, answer: messaging_pb2.CheckAnswer) -> Answer | None:
        """Return what an answer decides, None if it came too late; raises Refused UNKNOWN_CHECK."""
        commit = bits_of(answer.commit_bits, "commit_bits")
        roll_back = bits_of(answer.roll_back_bits, "roll_back_bits")
        if not 0 < answer.check <= self._number:
            raise Refused("UNKNOWN_CHECK", f"check {answer.check}")
        found = self._open.get(answer.check)
        if found is None:
            return None
        asked, timer = found
        if commit & roll_back:
            raise Refused("CONTRADICTION", f"check {answer.check}")
        if (commit | roll_back) & ~asked.bits:
            raise Refused("UNKNOWN_CHECK", f"check {answer.check} did not ask about all of these")
        del self._open[answer.check]
        timer.cancel()
        self.on_room()
        return Answer(asked, commit, roll_back)

    def say(self, reply: frames_pb2.SessionReply) -> None:
        """Queue a message; what is queued is bounded by the budget."""
        self._outbox.append(reply)
        self._changed.set()

    async def write(self, context: Context) -> None:
        """Send what is queued, for ever."""
        while True:
            while self._outbox:
                await write(context, self._outbox[0].SerializeToString())
                self._outbox.popleft()
                self.on_room()
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> list[Asked]:
        """Return what was asked and will not be answered any more."""
        left = [asked for asked, _ in self._open.values()]
        for _, timer in self._open.values():
            timer.cancel()
        self._open.clear()
        return left

    def _give_up(self, number: int) -> None:
        del self._open[number]
        self.on_room()


class Sessions:
    """All sessions of this node, by group."""

    def __init__(self, now_s: Callable[[], float], sessions_max: int) -> None:
        self._now_s = now_s
        self._sessions_max = sessions_max
        self._count = 0
        self._groups: dict[str, deque[Session]] = {}
        self._left_at: OrderedDict[int, float] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def groups(self) -> list[str]:
        """Return the groups that have a session here."""
        return list(self._groups)

    def of_group(self, group: str) -> int:
        """Return how many sessions of a group are open here."""
        return len(self._groups.get(group, ()))

    def add(self, session: Session) -> None:
        """Remember an open session; raises Refused TOO_MANY_STREAMS."""
        if self._count >= self._sessions_max:
            raise Refused("TOO_MANY_STREAMS", f"{self._count} sessions")
        self._count += 1
        self._groups.setdefault(session.group, deque()).append(session)

    def remove(self, session: Session) -> None:
        """Forget a session, but not when its instance was last seen."""
        self._count -= 1
        sessions = self._groups[session.group]
        sessions.remove(session)
        if not sessions:
            del self._groups[session.group]
        self._left_at[session.instance] = self._now_s()
        self._left_at.move_to_end(session.instance)
        if len(self._left_at) > INSTANCES_REMEMBERED_MAX:
            self._left_at.popitem(last=False)

    def of_instance(self, group: str, principal: str, instance: int) -> list[Session]:
        """Return the open sessions of the instance that prepared something."""
        return [session for session in self.allowed(group, principal) if session.instance == instance]

    def allowed(self, group: str, principal: str) -> list[Session]:
        """Return the sessions that may decide for a group and principal, in turn."""
        sessions = self._groups.get(group)
        if not sessions:
            return []
        sessions.rotate(-1)
        return [session for session in sessions if session.principal == principal]

    def since_left_s(self, instance: int) -> float | None:
        """Return how long ago the last session of an instance ended here, None if not remembered."""
        left_at = self._left_at.get(instance)
        return None if left_at is None else self._now_s() - left_at


async def read_hello(context: Context, principal: str, budget: int) -> Session:
    """Return the session that the first message opens; raises Refused."""
    raw = await context.read()
    if raw is END:
        raise Refused("STREAM_OUT_OF_ORDER", "the stream ended before it began")
    request = decode(messaging_pb2.SessionRequest, raw)
    if request.WhichOneof("request") != "hello":
        raise Refused("STREAM_OUT_OF_ORDER", "hello must come first")
    check_name(request.hello.producer_group, "producer_group")
    check_present(request.hello.instance, "instance")
    check_text(request.hello.client, 0, CLIENT_BYTES_MAX, "client")
    return Session(request.hello, principal, budget)


async def serve(session: Session, context: Context, draining: Draining, on_answer: Callable[[Answer], None]) -> None:
    """Carry one session until the client ends it; raises Refused when the service ends it."""
    with Tasks() as tasks:
        reader, writer = tasks.start(_read(session, context, on_answer)), tasks.start(session.write(context))
        try:
            if await tasks.until_first(draining, reader, writer):
                raise Refused("SHUTTING_DOWN")
        finally:
            writer.cancel()
            await asyncio.wait({writer})


async def _read(session: Session, context: Context, on_answer: Callable[[Answer], None]) -> None:
    while True:
        raw = await context.read()
        if raw is END:
            return
        request = decode(messaging_pb2.SessionRequest, raw)
        kind = request.WhichOneof("request")
        if kind != "answer":
            raise Refused("STREAM_OUT_OF_ORDER", "only answers may follow hello")
        answer = session.answered(request.answer)
        if answer is not None:
            on_answer(answer)

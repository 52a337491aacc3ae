"""Asking producers about transactions in doubt: who is asked, when again, and what follows from the answer.

For each half batch that is due: first the instance that prepared it, while it has a session here; once it has had none
for the orphan grace, any producer of the group. Every producer opens a session to every node, so the shard's leader
sees them all. Nothing is ever dropped: a half batch is asked about again and again, ever more rarely, until somebody
decides. The wait doubles with the age of the half, so no state is needed for it.
"""

from __future__ import annotations

import asyncio
from random import Random

import structlog

from tallymq.proto import frames_pb2, messaging_pb2
from tallymq.service.alarm import Alarm
from tallymq.service.calls import Context, Draining
from tallymq.service.cluster import Cluster, Shard
from tallymq.service.errors import Refused
from tallymq.service.metrics import Metrics
from tallymq.service.sessions import Answer, Asked, Session, Sessions, read_hello, serve
from tallymq.service.slices import visible
from tallymq.service.tasks import Tasks
from tallymq.service.validation import bits_to_bytes
from tallymq.txn import queries
from tallymq.txn.answers import HalfInfo
from tallymq.txn.commands import CheckSent, Decide, Decision, RecordChecks
from tallymq.txn.outcomes import Decided

WAIT_MS_MIN = 5_000
WAIT_MS_MAX = 300_000
UNKNOWN_WAIT_MS_MAX = 10_000
"""A producer that answered UNKNOWN knows soon: its own database transaction is still open."""
NO_ROOM_WAIT_MS = 1_000
DUE_AT_ONCE = 256
CHECKS_WARNED = 15

log = structlog.get_logger("tallymq.service.checks")


class ShardChecks:
    """The check scheduler of one shard; works while this node leads it."""

    def __init__(
        self, cluster: Cluster, shard: Shard, sessions: Sessions, metrics: Metrics, random: Random, grace_ms: int
    ) -> None:
        self.alarm = Alarm(lambda: shard.clock_ms)
        self._cluster = cluster
        self._shard = shard
        self._sessions = sessions
        self._metrics = metrics
        self._random = random
        self._grace_ms = grace_ms
        self._leading_since_ms = shard.clock_ms
        self._reviving: dict[str, bool] = {}
        self._room = asyncio.Event()

    def began_to_lead(self) -> None:
        """Give producers the grace to connect, then look for what is due."""
        self._leading_since_ms = self._shard.clock_ms
        self.alarm.ring()

    def room_made(self) -> None:
        """A session may be asked more."""
        self._room.set()

    async def run(self) -> None:
        """Ask what is due, for ever."""
        await self.alarm.serve(self._ask_due, log.bind(work="checks", shard=self._shard.number))

    async def revive(self, group: str) -> None:
        """Ask a group again about all that nobody answered before, at the pace its producers answer."""
        if group in self._reviving:
            self._reviving[group] = True
            return
        self._reviving[group] = True
        try:
            while self._reviving[group]:
                self._reviving[group] = False
                await self._revive(group)
        except Refused as refused:
            log.info("checks wait", shard=self._shard.number, group=group, refusal=refused.name)
        finally:
            del self._reviving[group]

    async def _ask_due(self) -> None:
        if not self._shard.is_leader:
            return
        view = self._shard.view
        due = queries.checks_due(view, self._shard.clock_ms, DUE_AT_ONCE)
        if due:
            await self._record([self._ask(half) for half in due])
            self.alarm.ring()
        else:
            self.alarm.set_due(queries.next_check_ms(view))

    async def _record(self, checks: list[CheckSent]) -> None:
        if checks:
            await self._cluster.require(self._shard, RecordChecks(tuple(checks)))

    def _ask(self, half: HalfInfo) -> CheckSent:
        """Ask somebody if there is somebody to ask; return when to ask again."""
        now_ms = self._shard.clock_ms
        candidates = self._sessions.of_instance(half.producer_group, half.principal, half.instance)
        if not candidates:
            wait_ms = self._grace_left_ms(half.instance)
            if wait_ms > 0:
                return self._again(half, now_ms + wait_ms, counted=False)
            candidates = self._sessions.allowed(half.producer_group, half.principal)
        place = (self._shard.number, half.index, half.batch)
        busy = [session for session in candidates if session.is_asked(*place)]
        ready = [session for session in candidates if session.has_room]
        if candidates and not busy and not ready:
            return self._again(half, now_ms + NO_ROOM_WAIT_MS + self._random.randrange(NO_ROOM_WAIT_MS), counted=False)
        if busy or not ready or not self._send(ready[0], half):
            self._metrics.checks_unanswered.inc()
            if half.checks + 1 == CHECKS_WARNED:
                log.warning(
                    "transactions stay in doubt",
                    shard=self._shard.number,
                    group=half.producer_group,
                    topic=half.topic,
                    checks=CHECKS_WARNED,
                    sessions=len(candidates),
                )
        return self._again(half, now_ms + self._wait_ms(half, now_ms))

    def _again(self, half: HalfInfo, next_check_ms: int, counted: bool = True) -> CheckSent:
        return CheckSent(half.index, half.batch, next_check_ms, counted)

    def _wait_ms(self, half: HalfInfo, now_ms: int) -> int:
        """Return the back-off: as long again as the half is old, with jitter, within limits."""
        plain_ms = min(max(now_ms - half.prepared_ms, WAIT_MS_MIN), WAIT_MS_MAX)
        return int(plain_ms * self._random.uniform(0.8, 1.0))

    def _grace_left_ms(self, instance: int) -> int:
        """Return how long to wait for the preparing instance before others are asked."""
        gone_s = self._sessions.since_left_s(instance)
        if gone_s is not None:
            return self._grace_ms - int(gone_s * 1_000)
        return self._grace_ms - (self._shard.clock_ms - self._leading_since_ms)

    def _send(self, session: Session, half: HalfInfo) -> bool:
        """Send a check; return False where its records cannot be read: other half batches must not wait for that."""
        number, reference = self._shard.number, half.reference
        check = frames_pb2.Check(
            half=messaging_pb2.HalfBatch(
                shard=number,
                index=reference.index,
                batch=reference.batch,
                queue=half.queue,
                first_position=half.first_position,
                count=reference.count,
            ),
            instance=half.instance,
            sequence=half.sequence,
            in_doubt_bits=bits_to_bytes(half.in_doubt),
            topic=half.topic,
            prepared_time_ms=half.prepared_ms,
            attempt=half.checks + 1,
        )
        if session.wants_records:
            try:
                body = self._shard.read(reference)
            except Exception as error:
                log.error("half batch cannot be read", shard=number, index=reference.index, exc_info=error)
                return False
            check.records, _ = visible(body, reference.crc32c, reference.count, half.in_doubt)
        asked = Asked(number, reference.index, reference.batch, half.instance, half.sequence, half.in_doubt)
        session.ask(asked, check)
        self._metrics.checks_sent.inc()
        return True

    async def _revive(self, group: str) -> None:
        after = (0, 0)
        while self._shard.is_leader and self._sessions.of_group(group):
            page = queries.halves(self._shard.view, after, True, DUE_AT_ONCE)
            if not page:
                return
            after = (page[-1].index, page[-1].batch)
            asked: list[CheckSent] = []
            for half in page:
                # What was never asked about is not overdue, and comes by itself.
                if half.producer_group == group and half.checks > 0 and not await self._ask_again(half, asked):
                    return
            await self._record(asked)
            await asyncio.sleep(0)

    async def _ask_again(self, half: HalfInfo, asked: list[CheckSent]) -> bool:
        """Ask about one half batch as soon as a session has room; return False once there is no session.

        What was asked is added to `asked`, and recorded before anything is waited for.
        """
        if not self._has_room(half):
            await self._record(asked)
            asked.clear()
            if not await self._wait_for_room(half):
                return False
        now = queries.half(self._shard.view, half.index, half.batch)
        if now is not None and now.in_doubt:
            asked.append(self._ask(now))
        return True

    def _has_room(self, half: HalfInfo) -> bool:
        return any(session.has_room for session in self._sessions.allowed(half.producer_group, half.principal))

    async def _wait_for_room(self, half: HalfInfo) -> bool:
        """Wait until a session may be asked more; return False once there is none."""
        while self._sessions.allowed(half.producer_group, half.principal):
            if self._has_room(half):
                return True
            self._room.clear()
            await self._room.wait()
        return False


class Checks:
    """Sessions of producers, and the check scheduler of every shard."""

    def __init__(
        self,
        cluster: Cluster,
        sessions: Sessions,
        metrics: Metrics,
        draining: Draining,
        random: Random,
        *,
        grace_ms: int,
        budget: int,
    ) -> None:
        self.sessions = sessions
        self._cluster = cluster
        self._metrics = metrics
        self._draining = draining
        self._random = random
        self._grace_ms = grace_ms
        self._budget = budget
        self._shards = {
            number: ShardChecks(cluster, shard, sessions, metrics, random, grace_ms)
            for number, shard in cluster.shards.items()
        }
        self._tasks = Tasks(lambda error: log.error("check task failed", exc_info=error))

    def start(self) -> None:
        """Begin to ask."""
        for shard in self._shards.values():
            self._tasks.start(shard.run())

    def stop(self) -> None:
        """Ask nothing more."""
        self._tasks.cancel()
        for shard in self._shards.values():
            shard.alarm.close()

    def due(self, shard: int, due_ms: int) -> None:
        """Note that a check of a shard becomes due at `due_ms`."""
        self._shards[shard].alarm.set_due(due_ms)

    def began_to_lead(self, shard: int) -> None:
        """Look after a shard that this node leads from now on."""
        self._shards[shard].began_to_lead()
        for group in self.sessions.groups():
            self._tasks.start(self._shards[shard].revive(group))

    async def session(self, context: Context, principal: str) -> None:
        """Serve one producer's session stream."""
        session = await read_hello(context, principal, self._budget)
        self.sessions.add(session)
        session.on_room = self._room_made
        session.say(
            frames_pb2.SessionReply(
                welcome=messaging_pb2.SessionWelcome(node=self._cluster.node, cluster=self._cluster.name)
            )
        )
        for shard in self._cluster.led():
            self._tasks.start(self._shards[shard.number].revive(session.group))
        try:
            await serve(session, context, self._draining, lambda answer: self._answered(session, answer))
        finally:
            self.sessions.remove(session)
            self._ask_others(session.close())
            self._room_made()

    def _room_made(self) -> None:
        for shard in self._shards.values():
            shard.room_made()

    def _answered(self, session: Session, answer: Answer) -> None:
        asked = answer.asked
        if answer.commit | answer.roll_back:
            self._tasks.start(self._decide(session, answer))
        if asked.bits & ~(answer.commit | answer.roll_back):
            self._metrics.checks_answered.labels("unknown").inc()
            wait_ms = self._random.randrange(UNKNOWN_WAIT_MS_MAX // 2, UNKNOWN_WAIT_MS_MAX)
            self._tasks.start(self._move([asked], wait_ms))

    async def _decide(self, session: Session, answer: Answer) -> None:
        asked = answer.asked
        decision = Decision(asked.index, asked.batch, asked.instance, asked.sequence, answer.commit, answer.roll_back)
        command = Decide(session.group, session.principal, "check", (decision,))
        try:
            result = await self._cluster.require(self._cluster.shards[asked.shard], command)
        except Refused as refused:
            log.info("answer to a check was not taken", shard=asked.shard, refusal=refused.name)
            return
        if isinstance(result, Decided) and result.outcomes[0].refusal is not None:
            log.info("answer to a check was not taken", shard=asked.shard, refusal=result.outcomes[0].refusal.value)
            return
        self._metrics.checks_answered.labels("commit").inc(answer.commit.bit_count())
        self._metrics.checks_answered.labels("roll_back").inc(answer.roll_back.bit_count())

    def _ask_others(self, left: list[Asked]) -> None:
        if left:
            self._tasks.start(self._move(left, self._grace_ms))

    async def _move(self, asked: list[Asked], wait_ms: int) -> None:
        """Ask about these again after `wait_ms`."""
        for number in {each.shard for each in asked}:
            next_check_ms = self._cluster.shards[number].clock_ms + wait_ms
            checks = [CheckSent(a.index, a.batch, next_check_ms, counted=False) for a in asked if a.shard == number]
            try:
                await self._cluster.require(self._cluster.shards[number], RecordChecks(tuple(checks)))
            except Refused as refused:
                log.info("checks wait", shard=number, refusal=refused.name)

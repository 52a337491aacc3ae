"""Answers the service's question: what became of these transactions?

Order of the answer: a transaction still open in this process, or a half that somebody here still holds undecided, is
UNKNOWN, and no database is touched; where the user wrote a check for the topic it decides; otherwise the marker row.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from typing import Any

from tallymq._batcher import HalfHandle
from tallymq._engine import Engine
from tallymq._markers import MarkerCleaner
from tallymq._records import bit_positions, bits_of, message_id, readable
from tallymq.databases.checker import Checker
from tallymq.proto import messaging_pb2
from tallymq.types import Decision, HalfMessage, utc_time

log = logging.getLogger("tallymq")

CONFIRM_S = 2.0

CheckFunction = Callable[[HalfMessage], "Decision | Awaitable[Decision]"]


class Checks:
    """Answers for one client. `functions` are the user's, by topic."""

    def __init__(
        self,
        engine: Engine,
        checker: Checker | None,
        functions: Mapping[str, CheckFunction],
        executor: Executor,
        cleaner: MarkerCleaner | None,
    ) -> None:
        self._engine = engine
        self._checker = checker
        self._functions = functions
        self._executor = executor
        self._cleaner = cleaner

    @property
    def wants_records(self) -> bool:
        """True if check code of the user needs to see the messages."""
        return bool(self._functions)

    async def answer(self, check: messaging_pb2.Check) -> tuple[int, int]:
        """Return the bits to commit and to roll back. Never raises; what went wrong is UNKNOWN and logged."""
        try:
            decisions = await self._decisions(check)
        except Exception:
            log.exception("A check of topic %s failed and will come again", check.topic)
            return 0, 0
        commit = sum(1 << bit for bit, decision in decisions.items() if decision is Decision.COMMIT)
        roll_back = sum(1 << bit for bit, decision in decisions.items() if decision is Decision.ROLLBACK)
        return commit, roll_back

    def confirm(self, check: messaging_pb2.Check, commit: int) -> None:
        """After the answer: have commits confirmed by a decision, for an answer is not, and only then clean up."""
        if self._cleaner is None or self._checker is None or check.topic in self._functions or not commit:
            return
        handles = [_handle(check, bit) for bit in bit_positions(bits_of(commit))]
        # A moment later, so that it stays on record that the check decided.
        self._engine.loop.call_later(CONFIRM_S, self._cleaner.commit_soon, handles)

    async def _decisions(self, check: messaging_pb2.Check) -> dict[int, Decision]:
        bits = bit_positions(check.in_doubt_bits)
        ids = {bit: message_id(check.instance, check.sequence, check.half.first_position + bit) for bit in bits}
        closed = {bit: each for bit, each in ids.items() if not self._engine.is_open(each)}
        function = self._functions.get(check.topic)
        if function is not None:
            records = dict(zip(bits, check.records.records, strict=False))
            return {
                bit: await self._ask_user(function, self._half(check, each, records[bit]))
                for bit, each in closed.items()
                if bit in records
            }
        if self._checker is None:
            return {}
        outcomes = await self._checker.outcomes(list(closed.values()))
        return {
            bit: Decision.COMMIT if outcomes[each] else Decision.ROLLBACK
            for bit, each in closed.items()
            if each in outcomes
        }

    async def _ask_user(self, function: CheckFunction, half: HalfMessage) -> Decision:
        try:
            if inspect.iscoroutinefunction(function):
                decision: Any = await function(half)
            else:
                decision = await asyncio.get_running_loop().run_in_executor(self._executor, function, half)
        except asyncio.CancelledError:
            raise
        except BaseException:
            # SystemExit too: it would end our loop.
            log.exception("The check of topic %s raised for %s; it will be asked again", half.topic, half.id)
            return Decision.UNKNOWN
        if not isinstance(decision, Decision):
            log.error("The check of topic %s returned %r, which is not a Decision", half.topic, type(decision).__name__)
            return Decision.UNKNOWN
        return decision

    @staticmethod
    def _half(check: messaging_pb2.Check, identity: str, record: messaging_pb2.Record) -> HalfMessage:
        facts: Any = readable(record)
        return HalfMessage(
            id=identity,
            topic=check.topic,
            queue=check.half.queue,
            attempt=check.attempt,
            prepared_time=utc_time(check.prepared_time_ms),
            **facts,
        )


def _handle(check: messaging_pb2.Check, bit: int) -> HalfHandle:
    half = check.half
    identity = message_id(check.instance, check.sequence, half.first_position + bit)
    return HalfHandle(identity, half.shard, half.index, half.batch, bit, check.instance, check.sequence, half.queue)

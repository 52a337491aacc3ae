"""Everything of one client that lives on the engine's loop, started and closed in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from tallymq._batcher import HalfHandle
from tallymq._checks import Checks
from tallymq._consumer import Consumer
from tallymq._engine import Claim, Engine
from tallymq._handlers import ConsumerSpec
from tallymq._markers import MarkerCleaner
from tallymq._records import Outgoing
from tallymq._registry import Registry
from tallymq._sessions import Sessions
from tallymq._settings import SETTLE_S_MIN
from tallymq._threads import DaemonThreads
from tallymq.databases.checker import Checker
from tallymq.databases.sources import Source
from tallymq.databases.steps import probe_inbox
from tallymq.exceptions import ConfigurationError

log = logging.getLogger("tallymq")

THREADS = 4
UNDEFINED_TABLE_STATE = "42P01"
NO_SUCH_TABLE = 1146


class Runtime:
    """Made on the loop it belongs to."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.engine = Engine(registry.settings)
        self._executor = DaemonThreads(THREADS, "tallymq-check")
        source = registry.checker
        self._checker = None if source is None else Checker(source, self._executor)
        self._cleaner = MarkerCleaner(self.engine, self._checker)
        self._sessions: Sessions | None = None
        self._consumers: list[Consumer] = []
        self._started: dict[int, Consumer] = {}
        self._by_hand = False
        self._closing = False

    async def open(self) -> None:
        """Look at the marker table and open the sessions. Raises ConfigurationError if the table is missing."""
        if self._checker is not None:
            await _probe(self._checker.probe(), "tallymq_txn")
        self._cleaner.start()
        self.open_sessions()

    def open_sessions(self) -> None:
        """Open sessions if there is something to answer checks with, and they are not open yet."""
        functions = self._registry.functions
        answers = self._checker is not None or bool(functions) or self._by_hand
        if self._sessions is None and answers and self._registry.settings.group and not self._closing:
            checks = Checks(self.engine, self._checker, functions, self._executor, self._cleaner)
            self._sessions = Sessions(self.engine, checks)
            self._sessions.start()

    async def start(self) -> None:
        """Start the consumers that do not run yet. Raises TallyError."""
        self.open_sessions()
        if self._sessions is not None:
            async with asyncio.timeout(self._registry.settings.timeout_s):
                await self._sessions.wait_until_open()
        for number, spec in enumerate(self._registry.consumers):
            if number not in self._started:
                await self._probe_inbox(spec)
                consumer = Consumer(self.engine, spec)
                await consumer.start()
                self._started[number] = consumer

    async def _probe_inbox(self, spec: ConsumerSpec) -> None:
        source: Source | None = spec.source
        if source is not None and not source.gives_sessions:
            await _probe(Checker(source, self._executor).run(lambda _dialect: probe_inbox()), "tallymq_inbox")

    async def prepare_all(self, outgoing: Sequence[Outgoing], timeout_s: float, opened: dict[int, HalfHandle]) -> None:
        """Store the halves of one database transaction, all at once. `opened` gets each as it is stored."""

        async def prepare(number: int, each: Outgoing) -> None:
            opened[number] = await self.engine.prepare(each, timeout_s)

        if len(outgoing) == 1:
            await prepare(0, outgoing[0])
            return
        results = await asyncio.gather(
            *(prepare(number, each) for number, each in enumerate(outgoing)), return_exceptions=True
        )
        for result in results:
            if result is not None:
                raise result

    async def prepare_by_hand(self, outgoing: Outgoing, timeout_s: float, claim: Claim) -> HalfHandle:
        """Store a half, with a session by which this process says that it is not decided yet: else others would."""
        self._by_hand = True
        self.open_sessions()
        return await self.engine.prepare(outgoing, timeout_s, claim)

    async def committed(self, handles: Sequence[HalfHandle]) -> None:
        """The database transaction committed: say so, and clean up when it is confirmed."""
        self.engine.open_ids.difference_update(handle.id for handle in handles)
        self._cleaner.commit_soon(handles)

    async def rolled_back(self, handles: Sequence[HalfHandle]) -> None:
        """The database transaction certainly did not commit: say so; what gets lost is found by the check."""
        self.engine.open_ids.difference_update(handle.id for handle in handles)
        self.engine.decide_soon(handles, commit=False)

    async def left_to_check(self, handles: Sequence[HalfHandle]) -> None:
        """Nobody here knows whether the database transaction committed."""
        self.engine.open_ids.difference_update(handle.id for handle in handles)

    async def close(self) -> None:
        """Let handlers finish, send what is under way, clean up, close: all within one time. Idempotent."""
        if self._closing:
            return
        self._closing = True
        timeout_s = self._registry.settings.shutdown_timeout_s
        deadline = self.engine.loop.time() + timeout_s
        await asyncio.gather(*(consumer.close(timeout_s) for consumer in self._started.values()))
        deadline = max(deadline, self.engine.loop.time() + SETTLE_S_MIN)
        await self.engine.drain(deadline)
        await self._cleaner.close(deadline)
        if self._sessions is not None:
            await self._sessions.close()
        await self.engine.close()
        self._executor.shutdown(wait=False, cancel_futures=True)


async def _probe(question: object, table: str) -> None:
    try:
        await question  # type: ignore[misc]
    except ConfigurationError:
        raise
    except Exception as error:
        if not _is_missing_table(error):
            log.warning("The database of %s cannot be asked now: %s: %s", table, type(error).__name__, error)
            return
        raise ConfigurationError(
            f"There is no table {table} in the database.", hint="Make it with the SQL that `tallymq migrate` prints."
        ) from error


def _is_missing_table(error: BaseException) -> bool:
    original = getattr(error, "orig", None) or error
    if getattr(original, "sqlstate", None) == UNDEFINED_TABLE_STATE:
        return True
    return bool(original.args) and (original.args[0] == NO_SUCH_TABLE or "no such table" in str(original.args[0]))

"""AsyncTally: the asyncio client. It belongs to the loop it is first used on, and works on it without a thread."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from collections.abc import Awaitable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from tallymq import _flows
from tallymq._batcher import HalfHandle
from tallymq._engine import Claim
from tallymq._flows import Ask, Flow, Work
from tallymq._host import watch_fork
from tallymq._records import outgoing
from tallymq._registry import Registry
from tallymq._runtime import Runtime
from tallymq._settings import settings_of
from tallymq._transactions import BaseHalf, BaseTransaction
from tallymq.databases.stack import stack_of
from tallymq.exceptions import ClosedError, ConfigurationError, ForkedHandleError
from tallymq.types import Body, MessageOptions, Receipt, Tls

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

Result = TypeVar("Result")


class _Noted:
    """What publishing with a session returns: done already, with or without await."""

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


class AsyncTally(Registry):
    """A client of a TallyMQ cluster for asyncio. Arguments as for Tally; `checker` and `inbox` may be async as well."""

    _takes_async = True

    def __init__(
        self,
        url: str = "tally://localhost:7070",
        *,
        group: str = "",
        checker: object = None,
        inbox: object = None,
        timeout_s: float = 30.0,
        shutdown_timeout_s: float = 30.0,
        check_after_s: float = 0.0,
        tls: Tls | None = None,
        client: str = "tallymq-python-asyncio",
    ) -> None:
        settings = settings_of(
            url,
            group=group,
            timeout_s=timeout_s,
            shutdown_timeout_s=shutdown_timeout_s,
            check_after_s=check_after_s,
            tls=tls,
            client=client,
        )
        super().__init__(settings, checker, inbox)
        self._pid = os.getpid()
        self._runtime: Runtime | None = None
        self._opening: asyncio.Lock | None = None
        self._end: asyncio.Event | None = None
        self._closed = False
        self._bound: list[type[Any]] = []
        watch_fork(self)

    @overload
    def publish(
        self, topic: str, body: Body, /, *, timeout_s: float | None = None, **options: Unpack[MessageOptions]
    ) -> Coroutine[Any, Any, Receipt]: ...

    @overload
    def publish(
        self, session: AsyncSession, topic: str, body: Body, /, **options: Unpack[MessageOptions]
    ) -> Awaitable[None]: ...

    def publish(
        self, *arguments: Any, timeout_s: float | None = None, **options: Unpack[MessageOptions]
    ) -> Coroutine[Any, Any, Receipt] | Awaitable[None]:
        """Store a message, or, given a bound SQLAlchemy session first, let it go out with the session's commit.

        Without a session, await it: the message is on stable storage of a majority when that returns. With one the
        message is noted at once, and awaiting is allowed but not needed. Raises TallyError.
        """
        *session, topic, body = arguments
        sent = outgoing(topic, body, **options)
        if not session:
            return self._drive(_flows.publish(sent, self._timeout(timeout_s)))
        from tallymq.databases.binding import add

        add(self, self._bound, session[0], sent)
        return _Noted()

    async def prepare(
        self, topic: str, body: Body, *, timeout_s: float | None = None, **options: Unpack[MessageOptions]
    ) -> AsyncHalf:
        """Store a half message that you decide yourself; see Tally.prepare."""
        self._need_group("prepare()")
        sent = outgoing(topic, body, **options)
        claim = Claim()
        return AsyncHalf(self, await self._drive(_flows.prepare(sent, self._timeout(timeout_s), claim)), claim)

    def transaction(self, connection: object, *, timeout_s: float | None = None) -> AsyncTransaction:
        """Open a database transaction whose messages become visible if, and only if, it commits.

        `connection` is of asyncpg, psycopg (async), aiosqlite or SQLAlchemy (async), without a transaction open.
        """
        self._need_checker("transaction()")
        stack = stack_of(connection)
        if not stack.is_async:
            raise ConfigurationError("An AsyncTally takes async connections.", hint="Use Tally with this one.")
        return AsyncTransaction(self, Work(stack, connection, self._timeout(timeout_s)))

    def bind(self, target: object) -> None:
        """Let sessions of this AsyncSession class or async_sessionmaker send messages with their commit."""
        self._need_checker("bind()")
        from tallymq.databases.binding import bind_async

        self._bound.append(bind_async(self, target))

    async def start(self) -> None:
        """Connect, answer checks from now on, start the consumers.

        Raises TallyError, and ConfigurationError where a client with a group has neither checker= nor an @check.
        """
        self._need_answers()
        await (await self._opened()).start()

    async def run(self) -> None:
        """Start, and stay until cancelled, SIGTERM, Ctrl-C or close(); then let handlers finish and close."""
        self._end = asyncio.Event()
        loop = asyncio.get_running_loop()
        # Not every loop or thread can have signal handlers (a RuntimeError of some kind); then cancelling is the way.
        with suppress(RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGTERM, self._end.set)
        try:
            await self.start()
            await self._end.wait()
        finally:
            with suppress(RuntimeError, ValueError):
                loop.remove_signal_handler(signal.SIGTERM)
            await self.close()

    async def close(self) -> None:
        """Let handlers finish within `shutdown_timeout_s`, send what is under way, close. Idempotent."""
        self._closed = True
        if self._end is not None:
            self._end.set()
        if self._runtime is not None:
            self._check_place(self._runtime)
            await self._runtime.close()

    async def __aenter__(self) -> Self:
        await self._opened()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _opened(self) -> Runtime:
        if self._runtime is not None and not self._closed:
            self._check_place(self._runtime)
            return self._runtime
        if self._closed:
            raise ClosedError("The client is closed.")
        self._check_process()
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if self._runtime is None:
                runtime = Runtime(self)
                try:
                    await runtime.open()
                except BaseException:
                    await runtime.close()
                    raise
                self._runtime = runtime
        return self._runtime

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedHandleError("This AsyncTally was made before a fork and used after it.")

    def _check_place(self, runtime: Runtime) -> None:
        self._check_process()
        if asyncio.get_running_loop() is not runtime.engine.loop:
            raise ConfigurationError("An AsyncTally belongs to one loop.", hint="Make one for each loop.")

    def forked(self) -> None:
        """In a forked child: let go of the parent's connections."""
        if self._runtime is not None:
            self._runtime.engine.channels.abandon()

    async def _drive(self, flow: Flow[Result]) -> Result:
        """Run a flow on this loop."""
        runtime = await self._opened()
        try:
            call = next(flow)
            while True:
                try:
                    value = call.run(runtime) if isinstance(call, Ask) else call.run()
                    if inspect.isawaitable(value):
                        value = await value
                except BaseException as error:  # noqa: BLE001 - the flow says what becomes of it
                    call = flow.throw(error)
                else:
                    call = flow.send(value)
        except StopIteration as stop:
            result: Result = stop.value
            return result


class AsyncTransaction(BaseTransaction, AbstractAsyncContextManager["AsyncTransaction", None]):
    """A database transaction and its messages; see AsyncTally.transaction."""

    def __init__(self, tally: AsyncTally, work: Work) -> None:
        super().__init__(work)
        self._tally = tally

    async def __aenter__(self) -> Self:
        self._enter()
        try:
            await self._tally._drive(_flows.begin(self._work))
        except BaseException:
            self._open = False
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._check_process()
        self._open = False
        await self._tally._drive(_flows.finish(self._work) if error is None else _flows.abandon(self._work))


class AsyncHalf(BaseHalf):
    """A half message; see AsyncTally.prepare. Decide it once; the first decision is final."""

    def __init__(self, tally: AsyncTally, handle: HalfHandle, claim: Claim) -> None:
        super().__init__(handle, claim)
        self._tally = tally

    async def commit(self, *, timeout_s: float | None = None) -> None:
        """Make the message visible. Raises AlreadyRolledBack, and OutcomeUnknown after which it may be called again."""
        await self._tally._drive(self._decide(True, self._tally._timeout(timeout_s)))

    async def rollback(self, *, timeout_s: float | None = None) -> None:
        """Make sure that the message is never visible. Raises AlreadyCommitted, and OutcomeUnknown as for commit."""
        await self._tally._drive(self._decide(False, self._tally._timeout(timeout_s)))

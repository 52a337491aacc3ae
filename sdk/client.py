"""Tally: the blocking client. Thread-safe; its engine has a thread of its own, so it works under any loop or none."""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from tallymq import _flows
from tallymq._batcher import HalfHandle
from tallymq._engine import Claim
from tallymq._flows import Ask, Flow, Work
from tallymq._host import Host
from tallymq._records import outgoing
from tallymq._registry import Registry
from tallymq._settings import settings_of
from tallymq._transactions import BaseHalf, BaseTransaction
from tallymq.databases.stack import stack_of
from tallymq.exceptions import ConfigurationError
from tallymq.types import Body, MessageOptions, Receipt, Tls

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Result = TypeVar("Result")


class Tally(Registry):
    """A client of a TallyMQ cluster.

    `url` names one node or more: tally://host:port,host2:port. `group` is the producer group, by which this process and
    its like answer for one another's transactions. `checker` is where the marker rows are: a URL, an SQLAlchemy engine,
    a pool or a function that connects. `inbox` is the same for consumers whose handlers take (message, db). `timeout_s`
    holds for each call that is not given one. Nothing is connected before the first use or start().
    """

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
        client: str = "tallymq-python",
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
        self._host = Host(self)
        self._end = threading.Event()
        self._bound: list[type[Any]] = []

    @overload
    def publish(
        self, topic: str, body: Body, /, *, timeout_s: float | None = None, **options: Unpack[MessageOptions]
    ) -> Receipt: ...

    @overload
    def publish(self, session: Session, topic: str, body: Body, /, **options: Unpack[MessageOptions]) -> None: ...

    def publish(
        self, *arguments: Any, timeout_s: float | None = None, **options: Unpack[MessageOptions]
    ) -> Receipt | None:
        """Store a message, or, given a bound SQLAlchemy session first, let it go out with the session's commit.

        `body` is bytes, a string, or anything JSON can hold. Without a session the message is on stable storage of a
        majority when this returns. Raises TallyError.
        """
        *session, topic, body = arguments
        sent = outgoing(topic, body, **options)
        if not session:
            return self._drive(_flows.publish(sent, self._timeout(timeout_s)))
        from tallymq.databases.binding import add

        add(self, self._bound, session[0], sent)
        return None

    def prepare(
        self, topic: str, body: Body, *, timeout_s: float | None = None, **options: Unpack[MessageOptions]
    ) -> Half:
        """Store a half message that you decide yourself; @check says what became of it where you cannot.

        No check decides it while this process lives and you hold the Half undecided, however long that takes. Once the
        process is gone, or the Half was dropped undecided, @check decides; without one for the topic a client of the
        group with a checker rolls it back. A client with neither leaves that to the others, after its own end.
        """
        self._need_group("prepare()")
        sent = outgoing(topic, body, **options)
        claim = Claim()
        return Half(self, self._drive(_flows.prepare(sent, self._timeout(timeout_s), claim)), claim)

    def transaction(self, connection: object, *, timeout_s: float | None = None) -> Transaction:
        """Open a database transaction whose messages become visible if, and only if, it commits.

        `connection` is of sqlite3, psycopg, PyMySQL or SQLAlchemy, without a transaction open. Leaving the block
        commits, an exception rolls back. Raises ConfigurationError without checker=.
        """
        self._need_checker("transaction()")
        stack = stack_of(connection)
        if stack.is_async:
            raise ConfigurationError("A Tally takes blocking connections.", hint="Use AsyncTally with this one.")
        return Transaction(self, Work(stack, connection, self._timeout(timeout_s)))

    def bind(self, target: object) -> None:
        """Let sessions of this Session class, sessionmaker or scoped_session send messages with their commit.

        Once for each; then `tally.publish(session, topic, body)`. Raises ConfigurationError without checker=.
        """
        self._need_checker("bind()")
        from tallymq.databases.binding import bind_blocking

        self._bound.append(bind_blocking(self, target))

    def start(self) -> None:
        """Connect, answer checks from now on, start the consumers.

        Raises TallyError, and ConfigurationError where a client with a group has neither checker= nor an @check.
        """
        self._need_answers()
        self._host.run(lambda runtime: runtime.start())

    def run(self) -> None:
        """Start, and stay until Ctrl-C, SIGTERM or close(); then let handlers finish and close."""
        previous = self._take_signal()
        try:
            self.start()
            while not self._end.wait(0.5):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            self.close()
            if previous is not None:
                signal.signal(signal.SIGTERM, previous)

    def _take_signal(self) -> Any:  # noqa: ANN401 - what signal.signal gives and takes
        if threading.current_thread() is not threading.main_thread():
            return None

        def stop(_number: int, _frame: FrameType | None) -> None:
            self._end.set()

        return signal.signal(signal.SIGTERM, stop)

    def close(self) -> None:
        """Let handlers finish within `shutdown_timeout_s`, send what is under way, close. Idempotent."""
        self._end.set()
        self._host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drive(self, flow: Flow[Result]) -> Result:
        """Run a flow: what it asks goes to the engine's thread, what it does happens here."""
        try:
            call = next(flow)
            while True:
                try:
                    value = self._host.run(call.run) if isinstance(call, Ask) else call.run()
                except BaseException as error:  # noqa: BLE001 - the flow says what becomes of it
                    call = flow.throw(error)
                else:
                    call = flow.send(value)
        except StopIteration as stop:
            result: Result = stop.value
            return result


class Transaction(BaseTransaction, AbstractContextManager["Transaction", None]):
    """A database transaction and its messages; see Tally.transaction."""

    def __init__(self, tally: Tally, work: Work) -> None:
        super().__init__(work)
        self._tally = tally

    def __enter__(self) -> Self:
        self._enter()
        try:
            self._tally._drive(_flows.begin(self._work))
        except BaseException:
            self._open = False
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._check_process()
        self._open = False
        self._tally._drive(_flows.finish(self._work) if error is None else _flows.abandon(self._work))


class Half(BaseHalf):
    """A half message; see Tally.prepare. Decide it once; the first decision is final."""

    def __init__(self, tally: Tally, handle: HalfHandle, claim: Claim) -> None:
        super().__init__(handle, claim)
        self._tally = tally

    def commit(self, *, timeout_s: float | None = None) -> None:
        """Make the message visible. Raises AlreadyRolledBack, and OutcomeUnknown after which it may be called again."""
        self._tally._drive(self._decide(True, self._tally._timeout(timeout_s)))

    def rollback(self, *, timeout_s: float | None = None) -> None:
        """Make sure that the message is never visible. Raises AlreadyCommitted, and OutcomeUnknown as for commit."""
        self._tally._drive(self._decide(False, self._tally._timeout(timeout_s)))

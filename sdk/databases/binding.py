"""SQLAlchemy sessions whose commit sends messages.

`before_commit`, `after_commit` and `after_soft_rollback` fire for savepoints too. So a message remembers the savepoints
it was published in; only a savepoint that is rolled back takes its messages along, and only the outermost commit sends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, SessionTransaction, scoped_session, sessionmaker
from sqlalchemy.util import await_only

from tallymq import _flows
from tallymq._flows import Ask, Flow, Work
from tallymq._records import Outgoing
from tallymq.databases.sqlalchemy import stack_for
from tallymq.exceptions import ConfigurationError

if TYPE_CHECKING:
    from tallymq.aio import AsyncTally
    from tallymq.client import Tally

Drive = Callable[[Flow[None]], None]


@dataclass
class _Pending:
    """The messages of one outermost transaction: each with the transactions it was published in, innermost first."""

    root: SessionTransaction
    messages: list[tuple[Outgoing, tuple[SessionTransaction, ...]]] = field(default_factory=list)
    work: Work | None = None


class Binding:
    """The listeners of one client on one session class."""

    def __init__(self, owner: Tally | AsyncTally, drive: Drive) -> None:
        self._owner = owner
        self._drive = drive

    def listen(self, session_class: type[Session]) -> None:
        """Begin to listen."""
        event.listen(session_class, "before_commit", self._before_commit)
        event.listen(session_class, "after_commit", self._after_commit)
        event.listen(session_class, "after_soft_rollback", self._after_soft_rollback)
        event.listen(session_class, "after_transaction_end", self._after_transaction_end)

    def _pending(self, session: Session) -> _Pending | None:
        return session.info.get(_key(self._owner))

    def _before_commit(self, session: Session) -> None:
        pending = self._pending(session)
        if pending is None or session.in_nested_transaction() or not pending.messages:
            return
        # The markers come last: a check that comes now waits for as short as can be.
        session.flush()
        work = Work(stack_for(session), session, self._owner.settings.timeout_s)
        work.outgoing.extend(outgoing for outgoing, _within in pending.messages)
        self._drive(_flows.store(work))
        pending.work = work

    def _after_commit(self, session: Session) -> None:
        pending = self._pending(session)
        if pending is None or session.in_nested_transaction() or pending.work is None:
            return
        work, pending.work = pending.work, None
        del session.info[_key(self._owner)]
        self._drive(_told(work))

    def _after_soft_rollback(self, session: Session, previous: SessionTransaction) -> None:
        pending = self._pending(session)
        if pending is not None and previous.nested:
            pending.messages = [message for message in pending.messages if previous not in message[1]]

    def _after_transaction_end(self, session: Session, transaction: SessionTransaction) -> None:
        pending = self._pending(session)
        if pending is None or transaction is not pending.root:
            return
        del session.info[_key(self._owner)]
        if pending.work is not None:
            # Stored, and then something failed, perhaps the commit itself and perhaps only its answer was lost.
            self._drive(_left(pending.work))


def _told(work: Work) -> Flow[None]:
    yield Ask(lambda runtime: runtime.committed(work.handles))


def _left(work: Work) -> Flow[None]:
    yield Ask(lambda runtime: runtime.left_to_check(work.handles))


def _key(owner: object) -> tuple[str, int]:
    return ("tallymq", id(owner))


def add(owner: Tally | AsyncTally, bound: Sequence[type[Session]], session: Any, outgoing: Outgoing) -> None:  # noqa: ANN401 - checked here
    """Note a message for the commit of this session. Raises ConfigurationError if its class was not bound."""
    if isinstance(session, scoped_session | async_scoped_session):
        session = session()
    if isinstance(session, AsyncSession):
        session = session.sync_session
    if not isinstance(session, Session) or not isinstance(session, tuple(bound)):
        raise ConfigurationError(
            f"Sessions of {type(session).__name__} are not bound to this client.",
            hint="Call bind() with the session class or session maker once, at start.",
        )
    if session.get_transaction() is None:
        session.begin()
    innermost = session.get_nested_transaction() or session.get_transaction()
    within: list[SessionTransaction] = []
    each = innermost
    while each is not None:
        within.append(each)
        each = each.parent
    pending = session.info.get(_key(owner))
    if pending is None or pending.root is not within[-1]:
        pending = session.info[_key(owner)] = _Pending(within[-1])
    if pending.work is not None:
        raise ConfigurationError("The session is committing already; publish before commit().")
    pending.messages.append((outgoing, tuple(within)))


def bind_blocking(tally: Tally, target: object) -> type[Session]:
    """Listen on a Session class, sessionmaker or scoped_session; return the class."""
    if isinstance(target, scoped_session):
        target = target.session_factory
    if isinstance(target, sessionmaker):
        target = target.class_
    if not (isinstance(target, type) and issubclass(target, Session)):
        raise ConfigurationError("Tally.bind() takes a Session class, a sessionmaker or a scoped_session.")
    Binding(tally, tally._drive).listen(target)
    return target


def bind_async(tally: AsyncTally, target: object) -> type[Session]:
    """Listen on the blocking class behind an AsyncSession class or async_sessionmaker; return it."""

    def drive(flow: Flow[None]) -> None:
        """SQLAlchemy runs its events in a greenlet: there, awaiting does not block the loop."""
        runtime = await_only(tally._opened())
        try:
            call = next(flow)
            while True:
                try:
                    value = await_only(call.run(runtime)) if isinstance(call, Ask) else call.run()
                except BaseException as error:  # noqa: BLE001 - the flow says what becomes of it
                    call = flow.throw(error)
                else:
                    call = flow.send(value)
        except StopIteration:
            return

    session_class = _blocking_class(target)
    Binding(tally, drive).listen(session_class)
    return session_class


def _blocking_class(target: object) -> type[Session]:
    if isinstance(target, async_scoped_session):
        target = target.session_factory
    if isinstance(target, async_sessionmaker):
        chosen = target.kw.get("sync_session_class")
        if chosen is None:
            # A class of its own: listening on the default one would hear every session of the process.
            chosen = type("TallySession", (target.class_.sync_session_class,), {})
            target.configure(sync_session_class=chosen)
        if not issubclass(chosen, Session):
            raise ConfigurationError("sync_session_class must be a Session class.")
        return chosen
    if isinstance(target, type) and issubclass(target, AsyncSession):
        return target.sync_session_class
    raise ConfigurationError("AsyncTally.bind() takes an AsyncSession class or an async_sessionmaker.")

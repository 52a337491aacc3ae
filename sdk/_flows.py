"""Each conversation once, as a generator of calls; Tally and AsyncTally drive them in their two ways.

    Ask   runs on the engine's loop: a function of the runtime that returns an awaitable
    Do    runs where the caller is: a function that may return an awaitable on async stacks

The order that makes the marker row tell the truth: halves stored -> marker rows as the last statements -> COMMIT ->
decisions sent. Whatever breaks in between, the check finds out.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from tallymq._batcher import HalfHandle
from tallymq._engine import Claim
from tallymq._records import Outgoing
from tallymq._runtime import Runtime
from tallymq.databases import steps
from tallymq.databases.stack import Stack, drive, drive_async
from tallymq.exceptions import ConfigurationError
from tallymq.types import Receipt

log = logging.getLogger("tallymq")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Ask:
    """Something of the engine."""

    run: Callable[[Runtime], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Do:
    """Something of the caller's database."""

    run: Callable[[], Any]


Flow = Generator[Ask | Do, Any, Result]


class Work:
    """One database transaction and its messages."""

    def __init__(self, stack: Stack, connection: Any, timeout_s: float) -> None:  # noqa: ANN401 - a driver's connection
        self.stack = stack
        self.connection = connection
        self.timeout_s = timeout_s
        self.outgoing: list[Outgoing] = []
        self.opened: dict[int, HalfHandle] = {}

    @property
    def handles(self) -> list[HalfHandle]:
        """The halves stored, in the order of publishing."""
        return [self.opened[number] for number in sorted(self.opened)]


def publish(outgoing: Outgoing, timeout_s: float) -> Flow[Receipt]:
    """Store a message that is visible at once."""
    receipt: Receipt = yield Ask(lambda runtime: runtime.engine.publish(outgoing, timeout_s))
    return receipt


def prepare(outgoing: Outgoing, timeout_s: float, claim: Claim) -> Flow[HalfHandle]:
    """Store a half message that the caller will decide; while `claim` exists no check does."""
    handle: HalfHandle = yield Ask(lambda runtime: runtime.prepare_by_hand(outgoing, timeout_s, claim))
    return handle


def decide(handle: HalfHandle, commit: bool, timeout_s: float) -> Flow[None]:
    """Decide a half message."""
    yield Ask(lambda runtime: runtime.engine.decide(handle, commit, timeout_s))


def begin(work: Work) -> Flow[None]:
    """Open the user's database transaction."""
    if work.stack.in_transaction(work.connection):
        raise ConfigurationError(
            "The connection is in a transaction already.",
            hint="Commit or roll back first: what is committed here must be what happened here.",
        )
    yield Do(lambda: work.stack.begin(work.connection))


def store(work: Work) -> Flow[None]:
    """Store the halves and write their markers. On an error nothing is left to decide; the database is the caller's."""
    try:
        yield Ask(lambda runtime: runtime.prepare_all(work.outgoing, work.timeout_s, work.opened))
        ids = [handle.id for handle in work.handles]
        run = drive_async if work.stack.is_async else drive
        yield Do(lambda: run(work.stack, work.connection, steps.write_markers(ids)))
    except BaseException:
        yield Ask(lambda runtime: runtime.rolled_back(work.handles))
        raise


def finish(work: Work) -> Flow[None]:
    """Commit the user's database transaction, with its messages."""
    if work.outgoing:
        try:
            yield from store(work)
        except BaseException:
            yield from _roll_back(work)
            raise
    try:
        yield Do(lambda: work.stack.commit(work.connection))
    except BaseException as error:
        yield from _roll_back(work)
        if work.stack.is_ambiguous(error):
            log.warning("The database's commit failed in doubt (%s); the check will find out", type(error).__name__)
            yield Ask(lambda runtime: runtime.left_to_check(work.handles))
        else:
            yield Ask(lambda runtime: runtime.rolled_back(work.handles))
        raise
    if work.outgoing:
        yield Ask(lambda runtime: runtime.committed(work.handles))


def abandon(work: Work) -> Flow[None]:
    """Roll the user's database transaction back; nothing was sent."""
    yield from _roll_back(work)


def _roll_back(work: Work) -> Flow[None]:
    try:
        yield Do(lambda: work.stack.rollback(work.connection))
    except Exception as error:  # noqa: BLE001 - what went wrong first is what the caller must see
        log.info("The database's rollback failed too: %s: %s", type(error).__name__, error)

"""Handles a user holds: a transaction with its database connection, and a half message decided by hand."""

from __future__ import annotations

import os
from typing import Unpack

from tallymq._batcher import HalfHandle
from tallymq._engine import Claim
from tallymq._flows import Flow, Work, decide
from tallymq._records import outgoing
from tallymq.exceptions import AlreadyDecided, ConfigurationError, ForkedHandleError, HandleExpired
from tallymq.types import Body, MessageOptions


class Forkable:
    """Something that belongs to the process it was made in."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedHandleError(f"This {type(self).__name__} was made before a fork and used after it.")


class BaseTransaction(Forkable):
    """Messages that become visible if, and only if, the database transaction commits."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work
        self._open = False

    def publish(self, topic: str, body: Body, **options: Unpack[MessageOptions]) -> None:
        """Add a message. It is checked and encoded now and stored, as a half, right before the database commits."""
        self._check_process()
        if not self._open:
            raise ConfigurationError("The transaction is not open.", hint="Publish inside the with block.")
        self._work.outgoing.append(outgoing(topic, body, **options))

    @property
    def message_ids(self) -> list[str]:
        """After the block: the ids of the messages, in the order they were published."""
        return [handle.id for handle in self._work.handles]

    def _enter(self) -> None:
        self._check_process()
        if self._open:
            raise ConfigurationError("The transaction is open already.")
        self._open = True


class BaseHalf(Forkable):
    """A half message: on stable storage of a majority, invisible until committed."""

    def __init__(self, handle: HalfHandle, claim: Claim) -> None:
        super().__init__()
        self._handle = handle
        self._claim: Claim | None = claim

    @property
    def id(self) -> str:
        """Transaction and message id, 32 hexadecimal digits."""
        return self._handle.id

    def _decide(self, commit: bool, timeout_s: float) -> Flow[None]:
        """The flow of a decision; once there is one, this half is open no more. If that is not known, it stays open."""
        self._check_process()
        try:
            yield from decide(self._handle, commit, timeout_s)
        except (AlreadyDecided, HandleExpired):
            self._claim = None
            raise
        self._claim = None

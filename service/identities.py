"""Identities for frames of clients that have none of their own."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tallymq.proto import messaging_pb2
from tallymq.txn.types import Identity

DEADLINE_MS_DEFAULT = 60_000
SEQUENCE_MAX = (1 << 32) - 1


class Identities:
    """Gives every frame an identity: its own, or one of this server process, drawn anew before sequences wrap."""

    def __init__(self, random: Random, now_ms: Callable[[], int]) -> None:
        self._random = random
        self._now_ms = now_ms
        self._instance = 0
        self._sequence = SEQUENCE_MAX

    def of(self, given: messaging_pb2.FrameIdentity) -> Identity:
        """Return the identity of a frame, with its deadline as Unix milliseconds."""
        deadline_ms = given.deadline_ms or self._now_ms() + DEADLINE_MS_DEFAULT
        if given.instance:
            return Identity(given.instance, given.sequence, deadline_ms)
        if self._sequence == SEQUENCE_MAX:
            self._instance = self._random.getrandbits(64) or 1
            self._sequence = 0
        self._sequence += 1
        return Identity(self._instance, self._sequence, deadline_ms)

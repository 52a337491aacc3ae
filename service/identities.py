"""Identities for frames of clients that have none of their own."""

from __future__ import annotations

from random import Random

from tallymq.proto import messaging_pb2
from tallymq.txn.types import Identity

DEADLINE_MS_DEFAULT = 60_000
"""By the clock of the shard that stores the frame: it is the one that compares."""
SEQUENCE_MAX = (1 << 32) - 1


class Identities:
    """Gives every frame an identity: its own, or one of this server process, drawn anew before sequences wrap."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._instance = 0
        self._sequence = SEQUENCE_MAX

    def of(self, given: messaging_pb2.FrameIdentity) -> Identity:
        """Return the identity of a frame; its deadline is 0 if the client gave none."""
        if given.instance:
            return Identity(given.instance, given.sequence, given.deadline_ms)
        if self._sequence == SEQUENCE_MAX:
            self._instance = self._random.getrandbits(64) or 1
            self._sequence = 0
        self._sequence += 1
        return Identity(self._instance, self._sequence, given.deadline_ms)

"""What can go wrong when something is to be remembered. Each says whether it certainly did not happen."""

from __future__ import annotations

from enum import Enum


class RaftLogError(Exception):
    """Base of every error of this room that a caller may meet."""


class NotLeader(RaftLogError):
    """This node does not lead the shard; `leader` names the node that does, "" if unknown. Definite."""

    def __init__(self, leader: str = "") -> None:
        self.leader = leader
        super().__init__(f"the leader is {leader}" if leader else "the leader is not known")


class Overloaded(RaftLogError):
    """More is waiting to be stored than is accepted. Definite."""


class ShardStopped(RaftLogError):
    """The shard does not serve on this node; the message says why. Definite."""


class Taken(Enum):
    """What a node with little room still takes."""

    NOTHING = 0
    FREEING = 1
    """What lets room become free."""
    KNOWN = 2
    """What is about messages that are stored already, too: decisions, leases, acknowledgements."""


class DiskFull(RaftLogError):
    """The disk is full, or nearly; reads go on. Definite. `taken`: what is not refused all the same."""

    def __init__(self, message: str = "", taken: Taken = Taken.NOTHING) -> None:
        self.taken = taken
        super().__init__(message)


class OutcomeUnknown(RaftLogError):
    """Leadership was lost after the entry was appended: it may have happened."""


class BodyDamaged(RaftLogError):
    """Stored bytes failed their checksum and are not served."""


class LogFull(RaftLogError):
    """The disk has no room for the open round. Nothing of it counts; `write_round` may be called again. Definite."""


class LogWriteFailed(RaftLogError):
    """The disk refused a write for another reason than room: the node must stop. It may have happened."""


class SyncFailed(RaftLogError):
    """The disk did not confirm a sync: the node must stop, a retry would prove nothing. It may have happened."""


class LogDamaged(RaftLogError):
    """Bytes that had been synced are no longer what was written. Nothing was changed; the node must not start."""


class StoreFull(RaftLogError):
    """The disk has no room for the store. What was written before is unharmed; free room and start the node again."""


class StoreFailed(RaftLogError):
    """The store cannot be opened, read or written: the node must stop. It may have happened."""


class DirectoryRefused(RaftLogError):
    """The data directory cannot be used by this node; the message is one sentence: why, and what to do. Definite."""


class DirectoryInUse(DirectoryRefused):
    """Another process holds the data directory."""


class DirectoryOfAnotherNode(DirectoryRefused):
    """The data directory belongs to another node or another cluster."""


class DirectoryFormatUnknown(DirectoryRefused):
    """The data directory is of a format that this version does not read, or not one of ours."""


class DirectoryFull(DirectoryRefused):
    """The disk has too little room for a node to start."""

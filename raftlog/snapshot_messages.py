"""What nodes say to each other about snapshots and damaged bodies. Values; `snapshot_codec` has their bytes."""

from __future__ import annotations

from tallymq.raftlog.messages import Struct
from tallymq.raftlog.state_format import STATE_FORMAT


class Offer(Struct, frozen=True):
    """Leader to follower: the state after entry `index` of term `base_term` can be had.

    `stamped_ms` is the newest time stamped up to it; `configuration` the shard's members then, opaque here;
    `state_format` what the state holds (`state_format.STATE_FORMAT`).
    """

    attempt: int
    index: int
    base_term: int
    configuration: bytes = b""
    stamped_ms: int = 0
    state_format: int = STATE_FORMAT


class Want(Struct, frozen=True):
    """Follower to leader: bodies up to an entry, and pairs up to a key ("" for none), are there already."""

    attempt: int
    bodies_after: int = 0
    pairs_after: bytes = b""


class BodyPiece(Struct, frozen=True):
    """Part of the bytes an entry carries: `data` lies at `offset` of the body, which begins at `start` of the payload.

    `crc32c` is of the whole body, and counts with its last part only; `damaged`: the parts that came are void.
    """

    index: int
    term: int
    start: int
    total_length: int
    offset: int
    data: bytes
    crc32c: int = 0
    damaged: bool = False

    @property
    def is_last(self) -> bool:
        """Whether the body ends with this part."""
        return self.offset + len(self.data) == self.total_length


class Pieces(Struct, frozen=True):
    """Leader to follower: bodies by ascending index, or pairs of the rules' state by ascending key; never both."""

    attempt: int
    number: int
    bodies: tuple[BodyPiece, ...] = ()
    pairs: tuple[tuple[bytes, bytes], ...] = ()


class Ending(Struct, frozen=True):
    """Leader to follower: that was all; how many pairs the state has, and the digest of them."""

    attempt: int
    number: int
    pairs: int
    digest: bytes


class Ack(Struct, frozen=True):
    """Follower to leader: all up to this number is stored."""

    attempt: int
    number: int


class Installed(Struct, frozen=True):
    """Follower to leader: applied up to here, through this snapshot or before it."""

    attempt: int
    index: int


class Refused(Struct, frozen=True):
    """Follower to leader: what came is void."""

    attempt: int


class BodyWanted(Struct, frozen=True):
    """Asks any member for the bytes of an entry."""

    index: int


class BodyFound(Struct, frozen=True):
    """The answer: the bytes from `start` of its payload; `found` False: they cannot be had there either."""

    index: int
    entry_term: int = 0
    start: int = 0
    data: bytes = b""
    found: bool = False


SnapshotMessage = Offer | Want | Pieces | Ending | Ack | Installed | Refused | BodyWanted | BodyFound


class Envelope(Struct, frozen=True):
    """A message with who says it to whom, in member ids, about which shard, in which term."""

    shard: int
    from_member: str
    to_member: str
    term: int
    message: SnapshotMessage

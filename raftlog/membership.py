"""Who the members of a shard are: the configuration, its encoding, and the rules by which one follows another.

Rule 1. A change touches one member. Two configurations that follow each other then have majorities that overlap, so no
two leaders can be elected by strangers to each other (Ongaro's dissertation, 4.1).
Rule 2. Who comes is a learner first: it is sent everything and counts for nothing.
Rule 3. A member id is never used twice. A founding member's id is its node's name; whoever is added is `node+K`, K
being the index of the entry that added it. A node that lost its disk comes back under another id, so that what its
former self promised cannot be confused with what it knows now.
Rule 4. Nothing is guessed: bytes that are no sound configuration are refused whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import msgspec
from google.protobuf.message import DecodeError as ProtobufDecodeError

from tallymq.proto import replicated_pb2

VOTERS_MAX = 5
LEARNERS_MAX = 5
MARK = b"\xff\xff\xff\xff"
"""How the payload of a configuration entry begins: as a header's length it is more than any entry may have."""
FORMAT_VERSION = 1
HOST_LENGTH_MAX = 255
NODE_LENGTH_MAX = 63


class Refusal(Enum):
    """Why nothing was done. Each is definite: no entry was appended."""

    NOT_LEADER = "this node does not lead the shard"
    NOT_READY = "the leader has not applied an entry of its own term yet; try again"
    CHANGE_IN_PROGRESS = "another change of the members is not applied yet; wait for it"
    TRANSFER_IN_PROGRESS = "the leadership is being handed over; ask the next leader"
    ALREADY_A_MEMBER = "the node is a member already"
    NOT_A_MEMBER = "there is no such member"
    NOT_A_LEARNER = "the member is no learner"
    NOT_A_VOTER = "the member is no voter"
    TOO_MANY_VOTERS = "the shard has as many voters as it may have; remove one first"
    TOO_MANY_LEARNERS = "the shard has as many learners as it may have; promote or remove one first"
    LAST_VOTER = "it is the last voter; add another one first"
    NOT_CAUGHT_UP = "the learner lacks too much of the log; wait until it has caught up"
    WOULD_LOSE_QUORUM = "most of the voters that would remain cannot be heard; bring them back, or remove those first"
    BAD_PLACE = "the node's name, host or port is impossible"
    NOT_IN_TIME = "the member did not take over within an election time-out; this node goes on leading"


class ConfigurationDamaged(ValueError):
    """These bytes are no configuration that this version knows; the shard must not go on with a guess."""


class Place(msgspec.Struct, frozen=True):
    """A member, the node it lives on, and where that node's peers reach it."""

    member: str
    node: str
    host: str
    port: int


class Configuration(msgspec.Struct, frozen=True):
    """The members of a shard: those that vote and count, and those that only listen. Sorted by member id."""

    voters: tuple[Place, ...] = ()
    learners: tuple[Place, ...] = ()

    @property
    def places(self) -> tuple[Place, ...]:
        """All members."""
        return self.voters + self.learners

    @property
    def voter_names(self) -> frozenset[str]:
        """Ids of those that count."""
        return frozenset(place.member for place in self.voters)

    @property
    def names(self) -> frozenset[str]:
        """Ids of all members."""
        return frozenset(place.member for place in self.places)

    def place(self, member: str) -> Place | None:
        """Return where a member is, None if it is none."""
        return next((place for place in self.places if place.member == member), None)

    def member_on(self, node: str) -> str:
        """Return the id of the member that lives on a node, "" if none does."""
        return next((place.member for place in self.places if place.node == node), "")


@dataclass(frozen=True, slots=True)
class AddLearner:
    """Let a node listen, under an id made from the index of this very entry."""

    node: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Promote:
    """Make a learner a voter."""

    member: str


@dataclass(frozen=True, slots=True)
class Demote:
    """Make a voter a learner."""

    member: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Take a member out for good: its id is never used again."""

    member: str


Change = AddLearner | Promote | Demote | Remove


def node_of(member: str) -> str:
    """Return the name of the node a member lives on; '+' cannot be in a node's name."""
    return member.partition("+")[0]


def incarnation_of(member: str) -> int:
    """Return the index of the entry that added the member, 0 for a founding one, -1 for what is no member id."""
    node, plus, digits = member.partition("+")
    if not node or not plus:
        return 0 if node else -1
    return int(digits) if digits.isascii() and digits.isdecimal() and 0 < len(digits) <= 19 and digits[0] != "0" else -1


def founding(places: tuple[Place, ...]) -> Configuration:
    """Return the configuration that a shard begins with."""
    return Configuration(_sorted(places))


def changed(now: Configuration, change: Change, index: int) -> Configuration | Refusal:
    """Return what a change at log index `index` makes of a configuration, or by which rule it is refused."""
    if isinstance(change, AddLearner):
        return _added(now, change, index)
    place = now.place(change.member)
    if place is None:
        return Refusal.NOT_A_MEMBER
    votes = change.member in now.voter_names
    others = tuple(item for item in now.voters if item.member != change.member)
    listening = tuple(item for item in now.learners if item.member != change.member)
    if isinstance(change, Promote):
        if votes:
            return Refusal.NOT_A_LEARNER
        if len(now.voters) >= VOTERS_MAX:
            return Refusal.TOO_MANY_VOTERS
        return Configuration(_sorted((*now.voters, place)), listening)
    if isinstance(change, Demote) and not votes:
        return Refusal.NOT_A_VOTER
    if votes and not others:
        return Refusal.LAST_VOTER
    if isinstance(change, Remove):
        return Configuration(others, listening)
    if len(now.learners) >= LEARNERS_MAX:
        return Refusal.TOO_MANY_LEARNERS
    return Configuration(others, _sorted((*now.learners, place)))


def _added(now: Configuration, change: AddLearner, index: int) -> Configuration | Refusal:
    place = Place(f"{change.node}+{index}", change.node, change.host, change.port)
    if _fault(place):
        return Refusal.BAD_PLACE
    if now.member_on(change.node):
        return Refusal.ALREADY_A_MEMBER
    if len(now.learners) >= LEARNERS_MAX:
        return Refusal.TOO_MANY_LEARNERS
    return Configuration(now.voters, _sorted((*now.learners, place)))


def _sorted(places: tuple[Place, ...]) -> tuple[Place, ...]:
    return tuple(sorted(places, key=lambda place: place.member))


def is_configuration(payload: bytes | memoryview) -> bool:
    """Return whether an entry's payload is a configuration."""
    return bytes(payload[: len(MARK)]) == MARK


def encode_configuration(configuration: Configuration) -> bytes:
    """Return the payload of the entry, and what a log's base holds: the same members give the same bytes."""
    message = replicated_pb2.Configuration(
        format_version=FORMAT_VERSION,
        voters=[_packed(place) for place in configuration.voters],
        learners=[_packed(place) for place in configuration.learners],
    )
    return MARK + message.SerializeToString(deterministic=True)


def _packed(place: Place) -> replicated_pb2.Place:
    return replicated_pb2.Place(member=place.member, node=place.node, host=place.host, port=place.port)


def decode_configuration(payload: bytes | memoryview) -> Configuration:
    """Read what `encode_configuration` wrote. Raises ConfigurationDamaged."""
    if not is_configuration(payload):
        raise ConfigurationDamaged("not the beginning of a configuration")
    try:
        message = replicated_pb2.Configuration.FromString(bytes(payload[len(MARK) :]))
    except ProtobufDecodeError as error:
        raise ConfigurationDamaged("its bytes cannot be read") from error
    if message.format_version != FORMAT_VERSION:
        raise ConfigurationDamaged(
            f"it has format {message.format_version}, this program knows {FORMAT_VERSION}; install the version that "
            "the other nodes run"
        )
    found = Configuration(tuple(map(_place, message.voters)), tuple(map(_place, message.learners)))
    fault = _faults(found)
    if fault:
        raise ConfigurationDamaged(fault)
    return found


def _place(packed: replicated_pb2.Place) -> Place:
    return Place(packed.member, packed.node, packed.host, packed.port)


def _faults(found: Configuration) -> str:
    if not 1 <= len(found.voters) <= VOTERS_MAX or len(found.learners) > LEARNERS_MAX:
        return f"{len(found.voters)} voters and {len(found.learners)} learners"
    if (_sorted(found.voters), _sorted(found.learners)) != (found.voters, found.learners):
        return "its members are not in order"
    if len({place.node for place in found.places}) != len(found.places):
        return "a node is named twice"
    return next((fault for fault in map(_fault, found.places) if fault), "")


def _fault(place: Place) -> str:
    if node_of(place.member) != place.node or incarnation_of(place.member) < 0:
        return f"{place.member!r} is no member on node {place.node!r}"
    if not 0 < len(place.node) <= NODE_LENGTH_MAX or not place.node.isprintable() or "+" in place.node:
        return f"{place.node!r} is no node's name"
    if len(place.host) > HOST_LENGTH_MAX or not 0 <= place.port <= 65_535:
        return f"{place.host!r}, port {place.port} is no place"
    return ""

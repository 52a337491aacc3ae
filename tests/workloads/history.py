"""What clients did and saw, in a form that a simulated run and a run of real processes share: one event a line, JSON.

Times are microseconds of one clock that never goes back, common to all clients of a run. A call that was never answered
is written when the run ends, as UNKNOWN. Ids and digests are any text: an id is of one message, for ever; a digest
stands for exactly its bytes. How an anomaly is told from these events is said in `checker.py`.
"""

from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path

import msgspec


class Outcome(Enum):
    """How a call ended, as its caller knows it."""

    OK = "ok"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    """Certainly did not happen."""


class Decision(Enum):
    """What becomes of a transaction."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"


class Event(msgspec.Struct, frozen=True, tag_field="event", omit_defaults=True):
    """Something a client did (from `began_us` to `ended_us`) or saw (then the two may be equal)."""

    client: str
    began_us: int
    ended_us: int


class Message(msgspec.Struct, frozen=True, array_like=True):
    """A message on its way into a queue."""

    id: str
    digest: str
    topic: str
    queue: int


class Record(msgspec.Struct, frozen=True, array_like=True):
    """A message as it was found at an offset of a queue. `attempt` 0: looked at, not delivered."""

    offset: int
    id: str
    digest: str
    attempt: int = 0


class Publish(Event, frozen=True, tag="publish"):
    """Messages sent to be visible at once. `offsets`, where the service told them, one for each message."""

    outcome: Outcome
    messages: tuple[Message, ...]
    offsets: tuple[int, ...] = ()


class Prepare(Event, frozen=True, tag="prepare"):
    """The half messages of one transaction. `producer_group`: who may be asked about it."""

    outcome: Outcome
    transaction: str
    producer_group: str
    messages: tuple[Message, ...]


class Decide(Event, frozen=True, tag="decide"):
    """A decision asked for. OK: it is as wanted. `found`: it had been decided so before, and is not as wanted."""

    outcome: Outcome
    transaction: str
    wanted: Decision
    found: Decision | None = None


class Check(Event, frozen=True, tag="check"):
    """A producer was asked what became of a transaction."""

    transaction: str


class Deliver(Event, frozen=True, tag="deliver"):
    """Messages of one queue came to a consumer together. `lease` is the token, 0 if the client does not see one."""

    group: str
    topic: str
    queue: int
    records: tuple[Record, ...]
    lease: int = 0


class Acknowledge(Event, frozen=True, tag="acknowledge"):
    """A consumer said that these offsets are done."""

    outcome: Outcome
    group: str
    topic: str
    queue: int
    offsets: tuple[int, ...]


class Stand(Event, frozen=True, tag="stand"):
    """Where a group was seen to stand on a queue: all below `floor_offset` is done, `next_offset` is leased next."""

    group: str
    topic: str
    queue: int
    floor_offset: int
    next_offset: int


class Log(Event, frozen=True, tag="log"):
    """All a queue held at the end, when nothing disturbed it any more: offsets from `first_offset` to `next_offset`."""

    topic: str
    queue: int
    first_offset: int
    next_offset: int
    records: tuple[Record, ...]


class Drained(Event, frozen=True, tag="drained"):
    """At the end a group had taken all there was on a queue and said so."""

    group: str
    topic: str
    queue: int


class Calm(Event, frozen=True, tag="calm"):
    """Throughout this time the cluster served and a producer of the group was there to be asked.

    A transaction in doubt is asked about at least every `check_gap_us_max`.
    """

    producer_group: str
    check_gap_us_max: int


class TopicCall(Enum):
    """What is asked of a topic's name."""

    CREATE = "create"
    DELETE = "delete"
    GET = "get"


class Topic(Event, frozen=True, tag="topic"):
    """A topic was made, deleted or looked at. `queues`: how many were asked for, or seen.

    REFUSED may tell something, too. `absent`: there is no topic of this name; `differs`: there is one, with another
    number of queues.
    """

    outcome: Outcome
    call: TopicCall
    name: str
    queues: int = 0
    absent: bool = False
    differs: bool = False


History = Publish | Prepare | Decide | Check | Deliver | Acknowledge | Stand | Log | Drained | Calm | Topic

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(History)


def encode(event: History) -> bytes:
    """Return one line, without its end."""
    return _encoder.encode(event)


def write(path: Path, events: Iterable[History]) -> None:
    """Write a history as a file of lines."""
    with path.open("wb") as file:
        for event in events:
            file.write(_encoder.encode(event) + b"\n")


def read(path: Path) -> Iterator[History]:
    """Read a history; the last line may be torn, if whoever wrote it was killed."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield _decoder.decode(line)

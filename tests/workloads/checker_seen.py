"""A history, sorted by what it speaks of, for the checkers to look things up in."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from tests.workloads.history import (
    Acknowledge,
    Calm,
    Check,
    Decide,
    Decision,
    Deliver,
    Drained,
    History,
    Log,
    Message,
    Outcome,
    Prepare,
    Publish,
    Record,
    Stand,
)

Queue = tuple[str, int]
"""Topic and number."""

Seat = tuple[str, str, int]
"""Group, topic and number."""


class Anomaly(msgspec.Struct, frozen=True):
    """One thing that must not be."""

    kind: str
    text: str


class Transaction:
    """What is known of one transaction."""

    def __init__(self) -> None:
        self.prepares: list[Prepare] = []
        self.decides: list[Decide] = []
        self.checks: list[Check] = []

    def outcomes(self) -> set[Decision]:
        """Return every outcome somebody was told."""
        told = {decide.wanted for decide in self.decides if decide.outcome is Outcome.OK}
        return told | {decide.found for decide in self.decides if decide.found is not None}

    def may_be(self, decision: Decision) -> bool:
        """Return whether somebody asked for it, and was not told that it certainly did not happen."""
        return any(one.wanted is decision and one.outcome is not Outcome.REFUSED for one in self.decides)

    def messages(self) -> dict[str, Message]:
        """Return its messages by id."""
        return {message.id: message for prepare in self.prepares for message in prepare.messages}


class Seen:
    """Everything, by what it is about."""

    def __init__(self, events: Iterable[History]) -> None:
        self.events = list(events)
        self.publishes: list[Publish] = []
        self.sent: dict[str, Message] = {}
        self.transactions: defaultdict[str, Transaction] = defaultdict(Transaction)
        self.deliveries: defaultdict[Seat, list[Deliver]] = defaultdict(list)
        self.acknowledges: defaultdict[Seat, list[Acknowledge]] = defaultdict(list)
        self.stands: defaultdict[Seat, list[Stand]] = defaultdict(list)
        self.drained: set[Seat] = set()
        self.logs: dict[Queue, Log] = {}
        self.calms: list[Calm] = []
        for event in self.events:
            self._sort(event)
        self.at: dict[Queue, dict[int, Record]] = {
            queue: {record.offset: record for record in log.records} for queue, log in self.logs.items()
        }

    def _sort(self, event: History) -> None:
        match event:
            case Publish():
                self.publishes.append(event)
                self.sent.update({message.id: message for message in event.messages})
            case Prepare() | Decide() | Check():
                self._sort_transaction(event)
            case Deliver() | Acknowledge() | Stand() | Drained():
                self._sort_group(event)
            case Log():
                self.logs[(event.topic, event.queue)] = event
            case Calm():
                self.calms.append(event)

    def _sort_transaction(self, event: Prepare | Decide | Check) -> None:
        transaction = self.transactions[event.transaction]
        match event:
            case Prepare():
                transaction.prepares.append(event)
                self.sent.update({message.id: message for message in event.messages})
            case Decide():
                transaction.decides.append(event)
            case Check():
                transaction.checks.append(event)

    def _sort_group(self, event: Deliver | Acknowledge | Stand | Drained) -> None:
        seat = (event.group, event.topic, event.queue)
        match event:
            case Deliver():
                self.deliveries[seat].append(event)
            case Acknowledge():
                self.acknowledges[seat].append(event)
            case Stand():
                self.stands[seat].append(event)
            case Drained():
                self.drained.add(seat)

    def sightings(self) -> Iterable[tuple[Queue, Record, str]]:
        """Yield every record anybody saw anywhere, and where that was."""
        for queue, log in self.logs.items():
            for record in log.records:
                yield queue, record, "at the end"
        for (group, topic, number), deliveries in self.deliveries.items():
            for delivery in deliveries:
                for record in delivery.records:
                    yield (topic, number), record, f"delivered to {delivery.client} of {group}"

    def visible_ids(self) -> set[str]:
        """Return the ids of all messages anybody saw."""
        return {record.id for _, record, _ in self.sightings()}

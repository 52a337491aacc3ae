"""What is on a queue, and what of it must be there.

refused-stored    a publish or prepare was answered that it certainly did not happen, and its message was seen
lost              a publish was answered OK, and the queue does not hold its message at the end
phantom           a message was seen that nobody had sent, or in another queue than it was sent to
corrupted         a message was seen with other bytes than it was sent with
duplicate-store   one message has two offsets
offset-reuse      one offset has been two messages
offset-gap        an offset between the first and the next one holds nothing at the end
nonmonotonic-send a publish that began after another one was answered got the lower offset
"""

from collections import defaultdict
from collections.abc import Iterator

from tests.workloads.checker_seen import Anomaly, Queue, Seen
from tests.workloads.history import Message, Outcome


def anomalies(seen: Seen) -> Iterator[Anomaly]:
    """Yield what is wrong with the queues."""
    yield from _lost(seen)
    yield from _refused(seen)
    yield from _strange(seen)
    yield from _offsets(seen)
    yield from _gaps(seen)
    yield from _sends(seen)


def _lost(seen: Seen) -> Iterator[Anomaly]:
    there = {queue: {record.id for record in log.records} for queue, log in seen.logs.items()}
    for publish in seen.publishes:
        if publish.outcome is not Outcome.OK:
            continue
        for place, message in enumerate(publish.messages):
            queue = (message.topic, message.queue)
            log = seen.logs.get(queue)
            trimmed = log is not None and bool(publish.offsets) and publish.offsets[place] < log.first_offset
            if log is not None and not trimmed and message.id not in there[queue]:
                yield Anomaly("lost", f"{message.id} of {publish.client}, acknowledged, is not on {_name(queue)}")


def _refused(seen: Seen) -> Iterator[Anomaly]:
    """A message may be sent again, after a refusal too: only one that was refused each time must not be there."""
    prepares = [prepare for transaction in seen.transactions.values() for prepare in transaction.prepares]
    refused: dict[str, str] = {}
    taken: set[str] = set()
    for sent in (*seen.publishes, *prepares):
        for message in sent.messages:
            if sent.outcome is Outcome.REFUSED:
                refused[message.id] = sent.client
            else:
                taken.add(message.id)
    for message_id in sorted((set(refused) - taken) & seen.visible_ids()):
        yield Anomaly("refused-stored", f"{message_id} of {refused[message_id]} was refused for certain, and was seen")


def _strange(seen: Seen) -> Iterator[Anomaly]:
    for queue, record, where in seen.sightings():
        sent = seen.sent.get(record.id)
        if sent is None or (sent.topic, sent.queue) != queue:
            yield Anomaly("phantom", f"{record.id} at {record.offset} of {_name(queue)}, {where}, was not sent there")
        elif sent.digest != record.digest:
            yield Anomaly(
                "corrupted", f"{record.id} at {record.offset} of {_name(queue)}, {where}, is not what was sent"
            )


def _offsets(seen: Seen) -> Iterator[Anomaly]:
    """Look at all that was ever said about which message has which offset."""
    ids: defaultdict[tuple[Queue, int], set[str]] = defaultdict(set)
    offsets: defaultdict[tuple[Queue, str], set[int]] = defaultdict(set)

    def note(queue: Queue, offset: int, message_id: str) -> None:
        ids[queue, offset].add(message_id)
        offsets[queue, message_id].add(offset)

    for queue, record, _ in seen.sightings():
        note(queue, record.offset, record.id)
    for message, offset, _, _ in _answered(seen):
        note((message.topic, message.queue), offset, message.id)
    for (queue, offset), found in ids.items():
        if len(found) > 1:
            yield Anomaly("offset-reuse", f"offset {offset} of {_name(queue)} was {' and '.join(sorted(found))}")
    for (queue, message_id), places in offsets.items():
        if len(places) > 1:
            yield Anomaly("duplicate-store", f"{message_id} is at {sorted(places)} of {_name(queue)}")


def _gaps(seen: Seen) -> Iterator[Anomaly]:
    for queue, log in seen.logs.items():
        expected = set(range(log.first_offset, log.next_offset))
        found = {record.offset for record in log.records}
        if found != expected:
            text = f"{_name(queue)} ends at {log.next_offset}, wrong or missing are {sorted(found ^ expected)[:5]}"
            yield Anomaly("offset-gap", text)


def _answered(seen: Seen) -> Iterator[tuple[Message, int, int, int]]:
    """Yield (message, offset, began, ended) of every publish whose offsets were told."""
    for publish in seen.publishes:
        for message, offset in zip(publish.messages, publish.offsets, strict=False):
            yield message, offset, publish.began_us, publish.ended_us


def _sends(seen: Seen) -> Iterator[Anomaly]:
    """A repeated publish is answered as the first one was, so a message counts from its first answer on."""
    first: dict[tuple[Queue, str], tuple[int, int]] = {}
    for message, offset, _, ended_us in _answered(seen):
        key = ((message.topic, message.queue), message.id)
        first[key] = min(first.get(key, (ended_us, offset)), (ended_us, offset))
    began: dict[tuple[Queue, str], int] = {}
    for publish in seen.publishes:
        for message in publish.messages:
            key = ((message.topic, message.queue), message.id)
            began[key] = min(began.get(key, publish.began_us), publish.began_us)
    highest: dict[Queue, tuple[int, str]] = {}
    turns = [(ended_us, 1, key, offset) for key, (ended_us, offset) in first.items()]
    turns += [(began_us, 0, key, first[key][1]) for key, began_us in began.items() if key in first]
    floors: dict[tuple[Queue, str], tuple[int, str]] = {}
    for _, is_end, key, offset in sorted(turns):
        queue, message_id = key
        if not is_end:
            floors[key] = highest.get(queue, (-1, ""))
            continue
        if offset < floors[key][0]:
            before = floors[key][1]
            yield Anomaly(
                "nonmonotonic-send", f"{message_id} got {offset} of {_name(queue)} after {before} had a later one"
            )
        highest[queue] = max(highest.get(queue, (-1, "")), (offset, message_id))


def _name(queue: Queue) -> str:
    return f"{queue[0]}/{queue[1]}"

"""The words of scenario files: one line is one command to the rules.

frame      publish 1:7 pay/0*3 pay/1*2@5s,0s [deadline=60s] [queues=2] [group=G] [principal=P] [crc=N]
           (instance:sequence, then topic/queue*records, with delivery times after @); prepare the same, [check=6s]
decision   decide 3.0 1:7 commit=0,2 rollback=1 + 3.1 1:7 commit=all [group=G] [principal=P] [by=call]
           (Raft index.batch, instance:sequence)
lease      lease G pay/0 [consumer=1] [records=100] [bytes=100000] [lease=30s] [latest]
range      acknowledge G pay/0 2:5-7 3:9-9 (token:first-last); nack, extend the same [delay=] [reason=] [dead] [lease=]
queue      ensure pay/0 [id=1] [queues=2] [keep=7d] [metadata=0]; drop pay/0 [id=1] [limit=100] [metadata=0]
           (limit 0 marks only; metadata is how far the proposer had applied the metadata shard)
           trim pay/0 to=5 [id=1] [limit=100]
topic      confirm-delete pay [id=1] deletion=N (the entry that began it)
"""

from __future__ import annotations

import shlex
from collections.abc import Callable

from tallymq.txn.commands import (
    Acknowledge,
    Barrier,
    CheckSent,
    Command,
    ConfirmDelete,
    CreateTopic,
    Decide,
    Decision,
    DeleteTopic,
    DropQueue,
    EnsureQueue,
    Expire,
    Extend,
    Lease,
    LeasedRange,
    NegativeAcknowledge,
    Prepare,
    Publish,
    PutGroup,
    RecordChecks,
    RemoveTopic,
    TrimQueue,
    UndeleteTopic,
)
from tallymq.txn.types import Batch, Identity

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(text: str) -> int:
    """Milliseconds of "5s", "-1ms" or "40d"."""
    digits = text.rstrip("dhms")
    return int(digits) * UNITS[text[len(digits) :]]


class Words:
    """The words of one line: those that stand alone in order, and those with a name."""

    def __init__(self, line: str, now_ms: int) -> None:
        words = shlex.split(line)
        self.verb = words[0]
        self.alone = [word for word in words[1:] if "=" not in word]
        self.named = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        self.now_ms = now_ms
        self.line = line

    def ms(self, name: str, default: str) -> int:
        return duration_ms(self.named.get(name, default))

    def number(self, name: str, default: int) -> int:
        return int(self.named.get(name, default))


def place(text: str) -> tuple[str, int]:
    """Topic and queue of "pay/0"."""
    topic, _, queue = text.rpartition("/")
    return topic, int(queue)


def pair(text: str, mark: str) -> tuple[int, int]:
    """Two numbers around a mark."""
    first, second = text.split(mark)
    return int(first), int(second)


def bit_set(text: str) -> int:
    """The set of "0,2"; "all" is the first three, which is what most scenarios send."""
    return 0b111 if text == "all" else sum(1 << int(bit) for bit in text.split(",") if bit)


def _batch(words: Words, text: str) -> Batch:
    what, _, times = text.partition("@")
    where, _, count = what.partition("*")
    topic, queue = place(where)
    due_ms = tuple(words.now_ms + duration_ms(time) for time in times.split(",")) if times else ()
    return Batch(
        topic=topic,
        queue=queue,
        queue_count=words.number("queues", 2),
        count=int(count),
        start=0,
        length=100 * int(count),
        crc32c=words.number("crc", 1),
        delivery_times_ms=due_ms,
    )


def _identity(words: Words) -> Identity:
    return Identity(*pair(words.alone[0], ":"), words.now_ms + words.ms("deadline", "60s"))


def _who(words: Words) -> tuple[str, str]:
    return words.named.get("group", "tellers"), words.named.get("principal", "lilei")


def _publish(words: Words) -> Command:
    return Publish(_identity(words), *_who(words), tuple(_batch(words, text) for text in words.alone[1:]))


def _prepare(words: Words) -> Command:
    batches = tuple(_batch(words, text) for text in words.alone[1:])
    return Prepare(_identity(words), *_who(words), batches, words.ms("check", "6s"))


def _decide(words: Words) -> Command:
    decisions = []
    for part in words.line.removeprefix("decide ").split(" + "):
        one = Words(f"decision {part}", words.now_ms)
        asked = (bit_set(one.named.get("commit", "")), bit_set(one.named.get("rollback", "")))
        decisions.append(Decision(*pair(one.alone[0], "."), *pair(one.alone[1], ":"), *asked))
    return Decide(*_who(words), words.named.get("by", "call"), tuple(decisions))


def _checks(words: Words) -> Command:
    next_ms, counted = words.now_ms + words.ms("next", "12s"), "uncounted" not in words.alone
    halves = [pair(text, ".") for text in words.alone if "." in text]
    return RecordChecks(tuple(CheckSent(index, batch, next_ms, counted) for index, batch in halves))


def _lease(words: Words) -> Command:
    return Lease(
        words.alone[0],
        *place(words.alone[1]),
        consumer=words.number("consumer", 1),
        records_max=words.number("records", 100),
        record_bytes_max=words.number("bytes", 100_000),
        lease_ms=words.ms("lease", "0s"),
        start_at_latest="latest" in words.alone,
    )


def _ranges(words: Words) -> tuple[LeasedRange, ...]:
    topic, queue = place(words.alone[1])
    ranges = []
    for text in words.alone[2:]:
        if ":" in text:
            lease, offsets = text.split(":")
            first, last = pair(offsets, "-")
            ranges.append(LeasedRange(topic, queue, int(lease), first, last - first + 1))
    return tuple(ranges)


def _nack(words: Words) -> Command:
    reason, dead = words.named.get("reason", ""), "dead" in words.alone
    return NegativeAcknowledge(words.alone[0], _ranges(words), words.ms("delay", "0s"), reason, dead)


def _put_group(words: Words) -> Command:
    low, high = words.named.get("backoff", "1s..8s").split("..")
    times = (words.ms("lease", "30s"), duration_ms(low), duration_ms(high))
    return PutGroup(words.alone[0], words.number("attempts", 3), *times)


def _ensure(words: Words) -> Command:
    topic, queue = place(words.alone[0])
    retention = (words.ms("keep", "7d"), words.number("bytes", 0))
    return EnsureQueue(
        topic, words.number("id", 1), queue, words.number("queues", 2), *retention, words.number("metadata", 0)
    )


def _drop(words: Words) -> Command:
    topic, queue = place(words.alone[0])
    limit, metadata_index = words.number("limit", 100), words.number("metadata", 0)
    return DropQueue(topic, words.number("id", 1), queue, limit, metadata_index)


def _trim(words: Words) -> Command:
    topic, queue = place(words.alone[0])
    return TrimQueue(topic, words.number("id", 1), queue, words.number("to", 0), words.number("limit", 100))


def _create(words: Words) -> Command:
    shards = tuple(int(shard) for shard in words.named["shards"].split(","))
    return CreateTopic(words.alone[0], shards, words.ms("keep", "7d"), 0)


VERBS: dict[str, Callable[[Words], Command]] = {
    "barrier": lambda words: Barrier(),
    "publish": _publish,
    "prepare": _prepare,
    "decide": _decide,
    "checks": _checks,
    "lease": _lease,
    "acknowledge": lambda words: Acknowledge(words.alone[0], _ranges(words)),
    "nack": _nack,
    "extend": lambda words: Extend(words.alone[0], _ranges(words), words.ms("lease", "0s")),
    "expire": lambda words: Expire(words.number("limit", 100)),
    "group": _put_group,
    "ensure": _ensure,
    "drop": _drop,
    "trim": _trim,
    "create-topic": _create,
    "delete-topic": lambda words: DeleteTopic(words.alone[0]),
    "undelete-topic": lambda words: UndeleteTopic(words.alone[0], words.number("id", 1)),
    "confirm-delete": lambda words: ConfirmDelete(words.alone[0], words.number("id", 1), words.number("deletion", 0)),
    "remove-topic": lambda words: RemoveTopic(words.alone[0], words.number("id", 1)),
}
"""How each command is written."""

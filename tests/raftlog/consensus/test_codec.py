"""Bytes of messages and entries: what goes in comes out, and nothing else is let in."""

import random

import pytest

from tallymq.proto import raft_pb2, replicated_pb2
from tallymq.raftlog.codec import (
    LENGTH,
    DecodeError,
    UnknownEntry,
    decode_addressed,
    decode_entry,
    decode_message,
    encode_entry,
    encode_message,
)
from tallymq.raftlog.messages import (
    AppendEntries,
    AppendReply,
    Farewell,
    LogEntry,
    RequestVote,
    TimeoutNow,
    VoteReply,
)
from tallymq.txn import commands as c
from tallymq.txn.types import RULES_VERSION, Batch, Identity

MESSAGES = [
    AppendEntries(3, 4, 5, 2, 5),
    AppendEntries(3, 4, 5, 2, 5, (LogEntry(2, b"abc"), LogEntry(3, b""), LogEntry(3, bytes(70_000)))),
    AppendEntries(1, 1, 0, 0, 0, (LogEntry(1, b"first"),)),
    AppendReply(3, 4, 9, 8, 0, 1_700_000_000_000),
    AppendReply(3, 4, 0, 0, 7),
    RequestVote(4, 5, 3, trial=True),
    RequestVote((1 << 63) - 1, (1 << 63) - 1, 3),
    VoteReply(3, granted=True, trial=False, clock_ms=4),
    TimeoutNow(3),
    Farewell(3, 9),
]
IDENTITY = Identity((1 << 64) - 1, (1 << 32) - 1, 77)
RANGES = (c.LeasedRange("t", 1, 2, 3, 4), c.LeasedRange("u", 5, 6, 7, 8))


def batch(length: int, *times_ms: int) -> Batch:
    return Batch("orders", 3, 8, len(times_ms) or 1, 0, length, 0xFFFFFFFF, times_ms)


COMMANDS = [
    c.Barrier(),
    c.Publish(IDENTITY, "group", "principal", (batch(5), batch(0, 1, 2))),
    c.Prepare(IDENTITY, "group", "principal", (batch(5), batch(4)), 9),
    c.Decide("g", "p", "operator x: why", (c.Decision(1, 2, 3, 4, 5 << 200, 0), c.Decision(9, 0, 3, 4, 0, 255))),
    c.RecordChecks((c.CheckSent(1, 2, 3), c.CheckSent(1, 2, 3, counted=False))),
    c.Lease("g", "t", 1, (1 << 64) - 1, 100, 1 << 40, 30_000, start_at_latest=True),
    c.Acknowledge("g", RANGES),
    c.NegativeAcknowledge("g", RANGES, 5, "why", dead_letter=True),
    c.Extend("g", (), 5),
    c.Expire(10),
    c.CreateTopic("tenant/topic", (0, 1, 2, 3), 5, 6),
    c.DeleteTopic("t"),
    c.UndeleteTopic("t", 5),
    c.RemoveTopic("t", 5),
    c.EnsureQueue("t", 1, 2, 3, 4, 5, 6),
    c.DropQueue("t", 1, 2, 0, 4),
    c.PutGroup("g", 1, 2, 3, 4, True),
    c.ConfirmDelete("t", 5, 6),
    c.TrimQueue("t", 1, 2, (1 << 63) - 1, 4),
]


def joined(message) -> bytes:
    return b"".join(encode_message(3, message))


def payload(*commands: c.Command) -> bytes:
    with_bodies = [(command, [b"x" * b.length for b in getattr(command, "batches", ())]) for command in commands]
    return b"".join(encode_entry(1_700_000_000_000, with_bodies))


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_comes_back_as_it_was(message) -> None:
    shard, decoded = decode_message(joined(message))
    assert shard == 3
    assert decoded == message


def test_a_message_says_whose_it_is_and_for_whom() -> None:
    frame = b"".join(encode_message(3, TimeoutNow(5), "a", "d+57"))
    assert decode_addressed(frame) == (3, TimeoutNow(5), "a", "d+57")
    assert decode_message(frame) == (3, TimeoutNow(5))
    assert decode_addressed(joined(TimeoutNow(5)))[2:] == ("", "")


def test_payloads_of_a_message_are_passed_on_and_not_copied() -> None:
    body = bytes(1000)
    buffers = encode_message(1, AppendEntries(3, 4, 5, 2, 5, (LogEntry(2, body),)))
    assert buffers[1] is body
    frame = b"".join(buffers)
    _, decoded = decode_message(frame)
    assert isinstance(decoded, AppendEntries)
    assert decoded.entries[0].payload.obj is frame


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_cut_short_or_with_more_behind_it_is_refused(message) -> None:
    frame = joined(message)
    for end in (0, 1, 3, 4, len(frame) // 2, len(frame) - 1):
        with pytest.raises(DecodeError):
            decode_message(frame[:end])
    with pytest.raises(DecodeError):
        decode_message(frame + b"x")


def test_any_garbage_is_refused_and_nothing_else_happens() -> None:
    chance = random.Random(1)
    refused = 0
    for _ in range(20_000):
        frame = bytearray(joined(chance.choice(MESSAGES[:1] + MESSAGES[2:])))
        for _ in range(chance.randint(1, 4)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        try:
            decode_message(bytes(frame))
        except DecodeError:
            refused += 1
    assert refused > 5_000


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 2},
        {"append_entries": {"term": 0}},
        {"append_entries": {"term": 1 << 63}},
        {"append_entries": {"term": 5, "entry_terms": [3], "entry_lengths": [0, 0]}},
        {"append_entries": {"term": 5, "entry_terms": [3, 2], "entry_lengths": [0, 0]}},
        {"append_entries": {"term": 5, "entry_terms": [6], "entry_lengths": [0]}},
        {"append_entries": {"term": 5, "previous_term": 6}},
        {"append_entries": {"term": 5, "entry_terms": [0], "entry_lengths": [0]}},
        {"append_entries": {"term": 5, "previous_index": 0, "previous_term": 1}},
        {"append_entries": {"term": 5, "previous_index": (1 << 64) - 1}},
        {"append_entries": {"term": 5, "entry_terms": [1] * 5000, "entry_lengths": [0] * 5000}},
        {"append_reply": {"term": 5, "proven_index": 4, "synced_index": 5}},
        {"request_vote": {"term": 0}},
        {"timeout_now": {"term": 0}},
        {"farewell": {"term": 0, "index": 5}},
        {"farewell": {"term": 3, "index": 1 << 63}},
        {"timeout_now": {"term": 3}, "from_member": "d+0"},
        {"timeout_now": {"term": 3}, "to_member": "d+57+1"},
        {"timeout_now": {"term": 3}, "to_member": "d" * 200},
        {"request_vote": {"term": 4, "last_term": 5}},
        {},
    ],
)
def test_a_message_that_means_nothing_is_refused(change) -> None:
    header = raft_pb2.Message(**{"format_version": 1, "shard": 1, **change}).SerializeToString()
    with pytest.raises(DecodeError):
        decode_message(LENGTH.pack(len(header)) + header)


def test_every_command_comes_back_as_it_was_with_its_batches_in_place() -> None:
    assert {type(command) for command in COMMANDS} == set(c.Command.__args__)
    packed = payload(*COMMANDS)
    entry = decode_entry(41, packed)
    assert (entry.index, entry.stamped_ms) == (41, 1_700_000_000_000)
    starts = []
    for stored, command in zip(entry.commands, COMMANDS, strict=True):
        if isinstance(command, c.Publish | c.Prepare):
            for one, other in zip(stored.batches, command.batches, strict=True):
                assert packed[one.start : one.start + one.length] == b"x" * other.length
                starts.append((one.start, one.length))
            fields = {name: getattr(stored, name) for name in stored.__struct_fields__ if name != "batches"}
            assert fields == {name: getattr(command, name) for name in fields}
        else:
            assert stored == command
    assert starts[-1][0] + starts[-1][1] == len(packed)
    assert [start for start, _ in starts] == sorted(start for start, _ in starts)


def test_a_command_field_has_a_twin_of_the_same_name_and_place() -> None:
    for struct in [*c.Command.__args__, c.Decision, c.CheckSent, c.LeasedRange, Identity, Batch]:
        twin = getattr(replicated_pb2, struct.__name__).DESCRIPTOR
        assert [field.name for field in twin.fields] == list(struct.__struct_fields__)


def test_bodies_that_are_not_the_commands_own_are_refused() -> None:
    publish = c.Publish(IDENTITY, "g", "p", (batch(5),))
    for bodies in ([], [b"1234"], [b"12345", b""]):
        with pytest.raises(ValueError, match="bodies"):
            encode_entry(1, [(publish, bodies)])


@pytest.mark.parametrize(
    "header",
    [
        replicated_pb2.Entry(format_version=2, rules_version=RULES_VERSION),
        replicated_pb2.Entry(format_version=1, rules_version=RULES_VERSION + 1),
        replicated_pb2.Entry(format_version=1, rules_version=RULES_VERSION, commands=[replicated_pb2.Command()]),
    ],
)
def test_an_entry_of_a_newer_version_is_not_guessed_at(header) -> None:
    packed = header.SerializeToString()
    with pytest.raises(UnknownEntry, match="install"):
        decode_entry(7, LENGTH.pack(len(packed)) + packed)


def test_a_batch_outside_its_entry_is_refused() -> None:
    packed = payload(c.Publish(IDENTITY, "g", "p", (batch(5),)))
    with pytest.raises(DecodeError):
        decode_entry(7, packed[:-1])


def test_an_entry_is_stamped_with_the_least_version_of_the_rules_that_can_apply_it() -> None:
    """So a node of the version before goes on until it is really needed to know more."""
    for joined, version in (([], 1), ([c.Barrier()], 1), ([c.Barrier(), c.TrimQueue("t", 1, 2, 3, 4)], 2)):
        payload = b"".join(encode_entry(1, [(command, []) for command in joined]))
        (length,) = LENGTH.unpack_from(payload)
        assert replicated_pb2.Entry.FromString(payload[LENGTH.size : LENGTH.size + length]).rules_version == version
    assert RULES_VERSION == 2

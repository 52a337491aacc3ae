"""The machine as a whole: pure, total, the same everywhere, and no dearer than what it is asked."""

import ast
from pathlib import Path

import msgspec
import pytest

from tallymq.txn import commands, keys, machine, queries, transaction
from tallymq.txn.answers import GroupInfo
from tallymq.txn.commands import (
    CreateTopic,
    Decide,
    Decision,
    EnsureQueue,
    Entry,
    Lease,
    Prepare,
    Publish,
    PutGroup,
)
from tallymq.txn.outcomes import Refusal
from tallymq.txn.types import Batch, Identity, Put, Struct, TransactionState
from tests.support.view import Shard, SortedView

ROOM = Path(machine.__file__).parent
STANDARD = {"__future__", "bisect", "collections", "dataclasses", "enum", "functools", "struct", "typing", "zlib"}
PURE = STANDARD | {"msgspec", "tallymq"}


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.stem)
def test_the_rules_know_no_clock_chance_or_world(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            assert not names[0].startswith("tallymq.") or names[0].startswith("tallymq.txn")
        assert {name.split(".")[0] for name in names} <= PURE


def test_a_command_without_a_rule_stops_the_shard() -> None:
    class Unheard(Struct, frozen=True, tag=99):
        """Of another version."""

    with pytest.raises(machine.UnknownCommandError):
        machine.apply(SortedView(), Entry(1, 1, (Unheard(),)))  # type: ignore[arg-type]


def test_every_command_has_a_rule() -> None:
    kinds = set(commands.Command.__args__)
    assert kinds == set(machine._FRAMES) | set(machine._COMMANDS) | set(machine._METADATA_COMMANDS)


def test_topics_are_the_metadata_shards_alone() -> None:
    shard = Shard(metadata_shard=False)
    assert shard.do(CreateTopic("t", (0,), 0, 0)) is Refusal.NOT_METADATA_SHARD
    for command in (
        commands.DeleteTopic("t"),
        commands.UndeleteTopic("t", 1),
        commands.ConfirmDelete("t", 1, 1),
        commands.RemoveTopic("t", 1),
    ):
        assert shard.do(command) is Refusal.NOT_METADATA_SHARD
    assert shard.view.items() == []


def test_each_transition_is_final() -> None:
    for state, transitions in transaction.TRANSITIONS.items():
        for wish, target in transitions.items():
            assert target is not TransactionState.IN_DOUBT
            assert transaction.TRANSITIONS[target] == {wish: target}
            assert state is TransactionState.IN_DOUBT or target is state


def test_commands_survive_encoding() -> None:
    entry = Entry(3, 4, (Prepare(Identity(1, 2, 3), "g", "p", (Batch("t", 0, 1, 1, 0, 1, 2, (5,)),), 6),))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(entry), type=Entry) == entry


def large(count: int) -> int:
    """Bytes of effects of a frame and its decision."""
    shard = Shard()
    shard.do(EnsureQueue("t", 1, 0, 1, 0, 0))
    batch = Batch("t", 0, 1, count, 0, 4_000_000, 9)
    written = 0
    for command in (
        Publish(Identity(1, 1, shard.now_ms), "", "", (batch,)),
        Prepare(Identity(1, 2, shard.now_ms), "g", "p", (batch,), 6000),
        Decide("g", "p", "call", (Decision(3, 0, 1, 2, (1 << count) - 1, 0),)),
    ):
        _, effects = machine.apply(shard.view, Entry(shard.index + 1, shard.now_ms, (command,)))
        written += sum(len(effect.value) for effect in effects if isinstance(effect, Put))
        shard.do(command)
    assert queries.queue(shard.view, "t", 0).next_offset == 2 * count
    return written


def test_a_frame_costs_the_same_whatever_it_holds() -> None:
    # Bits are what grows: an eighth of a byte a record, for the committed set and for who decided.
    assert large(16_384) - large(16) < 2 * 16_384 // 8 + 64


def test_no_value_grows_with_the_messages_a_group_has_had() -> None:
    shard = Shard()
    shard.do(EnsureQueue("t", 1, 0, 1, 0, 0))
    shard.do(PutGroup("g", 3, 30_000, 1000, 8000))
    sizes = []
    for sequence in range(400):
        batch = Batch("t", 0, 1, 1, 0, 10, 9)
        shard.do(Publish(Identity(1, sequence, shard.now_ms), "", "", (batch,)))
        (piece,) = shard.do(Lease("g", "t", 0, 1, 10, 1000, 0, False)).pieces
        shard.do(commands.Acknowledge("g", (commands.LeasedRange("t", 0, piece.lease, sequence, 1),)))
        sizes.append(max(len(value) for _, value in shard.view.items()))
    assert max(sizes) <= sizes[0] + 8
    assert sum(key[:1] in (keys.CURSORS, keys.PIECES, keys.WAITING) for key, _ in shard.view.items()) == 1


def test_an_empty_half_batch_is_asked_about_by_nobody() -> None:
    shard = Shard()
    shard.do(EnsureQueue("t", 1, 0, 1, 0, 0))
    empty = Batch("t", 0, 1, 0, 0, 0, 0)
    shard.do(Prepare(Identity(1, 1, shard.now_ms), "g", "p", (empty,), 6000))
    shard.do(Publish(Identity(1, 2, shard.now_ms), "g", "p", (empty,)))
    assert queries.next_check_ms(shard.view) == 0
    assert queries.halves(shard.view, (0, 0), True, 10) == []
    shard.now_ms += transaction.DECIDED_KEPT_MS
    shard.do(commands.Expire(10))
    assert queries.halves(shard.view, (0, 0), False, 10) == []
    assert queries.next_timer_ms(shard.view) == 0


def test_a_half_decided_record_by_record_is_forgotten_in_parts() -> None:
    shard = Shard()
    shard.do(EnsureQueue("t", 1, 0, 1, 0, 0))
    shard.do(Prepare(Identity(1, 1, shard.now_ms), "g", "p", (Batch("t", 0, 1, 50, 0, 50, 0),), 6000))
    for record in range(50):
        shard.do(Decide("g", "p", "call", (Decision(2, 0, 1, 1, 1 << record, 0),)))
    assert len(queries.half(shard.view, 2, 0).decisions) == 50
    shard.now_ms += transaction.DECIDED_KEPT_MS
    handled = []
    while (expired := shard.do(commands.Expire(20))).handled:
        handled.append(expired.handled)
    assert handled == [20, 20, 10]
    assert queries.half(shard.view, 2, 0) is None
    assert not [
        key for key, _ in shard.view.items() if key[:1] in (keys.DECISIONS, keys.HALVES, keys.FRAMES, keys.TIMERS)
    ]


def test_replicas_that_apply_the_same_entries_are_the_same() -> None:
    one, other = Shard(), Shard()
    for shard in (one, other):
        shard.do(EnsureQueue("t", 1, 0, 1, 0, 0))
        shard.do(PutGroup("g", 3, 30_000, 1000, 8000))
        shard.do(Publish(Identity(1, 2, shard.now_ms), "g", "p", (Batch("t", 0, 1, 9, 0, 9, 0),)))
        shard.do(Lease("g", "t", 0, 1, 4, 1000, 0, False))
    assert one.view.items() == other.view.items()


def test_a_group_made_only_if_new_leaves_one_that_is_there_as_it_is() -> None:
    shard = Shard()
    shard.do(PutGroup("g", 3, 1000, 1000, 8000, new_only=True))
    shard.do(PutGroup("g", 9, 9000, 9000, 9000, new_only=True))
    assert queries.group(shard.view, "g") == GroupInfo("g", 3, 1000, 1000, 8000)
    shard.do(PutGroup("g", 4, 1000, 1000, 8000))
    assert queries.group(shard.view, "g") == GroupInfo("g", 4, 1000, 1000, 8000)

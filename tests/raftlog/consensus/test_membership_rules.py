"""The rules by which one configuration follows another, on paper, and the bytes they are kept in."""

import random

import pytest

from tallymq.proto import replicated_pb2
from tallymq.raftlog.codec import DecodeError, decode_entry
from tallymq.raftlog.membership import (
    LEARNERS_MAX,
    MARK,
    VOTERS_MAX,
    AddLearner,
    Change,
    Configuration,
    ConfigurationDamaged,
    Demote,
    Place,
    Promote,
    Refusal,
    Remove,
    changed,
    decode_configuration,
    encode_configuration,
    founding,
    incarnation_of,
    is_configuration,
    node_of,
)


def places(names: str, start: int = 0) -> tuple[Place, ...]:
    return tuple(Place(name + (f"+{start}" if start else ""), name, "host", 7071) for name in names)


THREE = founding(places("abc"))
FULL = Configuration(places("abcde"), places("fghij", 9))


def test_a_node_is_added_under_an_id_that_no_other_ever_had() -> None:
    found = changed(THREE, AddLearner("d", "host", 7071), 57)
    assert found == Configuration(THREE.voters, (Place("d+57", "d", "host", 7071),))
    assert (node_of("d+57"), incarnation_of("d+57"), incarnation_of("d")) == ("d", 57, 0)


@pytest.mark.parametrize("member", ["", "+", "+5", "d+", "d+0", "d+05", "d+-1", "d+x", "d+5+6", "d+" + "9" * 20, "d+٣"])
def test_what_is_no_member_id_is_known_for_none(member: str) -> None:
    assert incarnation_of(member) == -1


def test_a_learner_becomes_a_voter_and_a_voter_a_learner() -> None:
    learner = Configuration(THREE.voters, places("d", 57))
    voter = changed(learner, Promote("d+57"), 60)
    assert isinstance(voter, Configuration)
    assert (voter.voter_names, voter.learners) == ({"a", "b", "c", "d+57"}, ())
    assert changed(voter, Demote("d+57"), 61) == learner
    assert changed(voter, Remove("a"), 61) == Configuration((*THREE.voters[1:], *places("d", 57)))
    assert changed(learner, Remove("d+57"), 61) == THREE


@pytest.mark.parametrize(
    ("now", "change", "refusal"),
    [
        (THREE, AddLearner("a", "h", 1), Refusal.ALREADY_A_MEMBER),
        (THREE, AddLearner("a+5", "h", 1), Refusal.BAD_PLACE),
        (THREE, AddLearner("", "h", 1), Refusal.BAD_PLACE),
        (THREE, AddLearner("n" * 64, "h", 1), Refusal.BAD_PLACE),
        (THREE, AddLearner("d", "h", 70_000), Refusal.BAD_PLACE),
        (THREE, AddLearner("d", "h" * 256, 1), Refusal.BAD_PLACE),
        (THREE, Promote("a"), Refusal.NOT_A_LEARNER),
        (THREE, Promote("d"), Refusal.NOT_A_MEMBER),
        (THREE, Remove("a+5"), Refusal.NOT_A_MEMBER),
        (Configuration(places("a"), places("b", 5)), Remove("a"), Refusal.LAST_VOTER),
        (Configuration(places("a"), places("b", 5)), Demote("a"), Refusal.LAST_VOTER),
        (Configuration(places("a"), places("b", 5)), Demote("b+5"), Refusal.NOT_A_VOTER),
        (FULL, Promote("f+9"), Refusal.TOO_MANY_VOTERS),
        (FULL, AddLearner("z", "h", 1), Refusal.TOO_MANY_LEARNERS),
        (FULL, Demote("a"), Refusal.TOO_MANY_LEARNERS),
    ],
)
def test_what_the_rules_forbid_is_refused_by_name(now: Configuration, change: Change, refusal: Refusal) -> None:
    assert changed(now, change, 57) is refusal


def test_majorities_of_configurations_that_follow_each_other_overlap() -> None:
    chance = random.Random(1)
    now, steps = THREE, 0
    for index in range(1, 3_000):
        members = sorted(now.names) or ["a"]
        change = chance.choice(
            [AddLearner(chance.choice("abcdefghijklm"), "h", 1)]
            + [kind(chance.choice(members)) for kind in (Promote, Demote, Remove)]
        )
        after = changed(now, change, index)
        if isinstance(after, Refusal):
            continue
        # Any two majorities share a voter: together they are more than all the voters there are.
        least = (len(now.voters) // 2 + 1) + (len(after.voters) // 2 + 1)
        assert least > len(now.voter_names | after.voter_names)
        assert 1 <= len(after.voters) <= VOTERS_MAX
        assert len(after.learners) <= LEARNERS_MAX
        assert decode_configuration(encode_configuration(after)) == after
        now, steps = after, steps + 1
    assert steps > 500


def test_the_bytes_are_the_same_for_ever() -> None:
    payload = encode_configuration(Configuration(places("ab"), (Place("d+57", "d", "10.0.0.4", 7071),)))
    assert payload.hex() == (
        "ffffffff0801120f0a0161120161" + "1a04686f7374209f37" + "120f0a0162120162" + "1a04686f7374209f37"
        "1a160a04642b3537" + "120164" + "1a0831302e302e302e34" + "209f37"
    )
    assert is_configuration(payload)
    assert is_configuration(memoryview(payload))
    assert not is_configuration(b"")


def test_a_program_that_knows_no_configurations_stops_at_one() -> None:
    with pytest.raises(DecodeError):
        decode_entry(5, encode_configuration(THREE))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        MARK,
        MARK + b"\xff",
        MARK + replicated_pb2.Configuration(format_version=2).SerializeToString(),
        encode_configuration(Configuration((), places("a"))),
        encode_configuration(Configuration(places("ba"))),
        encode_configuration(Configuration(places("abcdef"))),
        encode_configuration(Configuration(places("a"), places("a", 5))),
        encode_configuration(Configuration((Place("a+5", "b", "h", 1),))),
        encode_configuration(Configuration((Place("a", "a", "h", 70_000),))),
    ],
)
def test_bytes_that_are_no_sound_configuration_are_refused(payload: bytes) -> None:
    with pytest.raises(ConfigurationDamaged):
        decode_configuration(payload)


def test_any_garbage_is_refused_and_nothing_else_happens() -> None:
    chance, whole = random.Random(1), encode_configuration(FULL)
    refused = 0
    for _ in range(20_000):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            decode_configuration(bytes(damaged[: chance.choice((None, chance.randrange(len(damaged))))]))
        except ConfigurationDamaged:
            refused += 1
    assert refused > 10_000

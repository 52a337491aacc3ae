"""The list of mutants is of this source, large enough, and noticed."""

import re
from collections import Counter

import pytest

from tests.mutants.__main__ import choose, main
from tests.mutants.catalogue import LEAST, ROOT, Mutant, load

MUTANTS = load()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_of_this_source(mutant: Mutant) -> None:
    assert mutant.source(ROOT) != (ROOT / mutant.file).read_text()
    for test in mutant.aimed:
        path, _, name = test.partition("::")
        text = (ROOT / path).read_text() if (ROOT / path).is_file() else ""
        assert not name or re.search(rf"def {re.escape(name.partition('[')[0])}\(", text), f"there is no test {test}"
        assert (ROOT / path).exists(), f"there is no {path}"


def test_there_are_enough_of_each_group_under_names_of_their_own() -> None:
    counted = Counter(mutant.group for mutant in MUTANTS)
    assert all(counted[group] >= least for group, least in LEAST.items()), counted
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1


def test_a_sample_rotates_with_the_commits_and_leaves_none_out() -> None:
    seen = {mutant.name for commits in range(len(MUTANTS)) for mutant in choose(MUTANTS, "", 8, commits)}
    assert seen == {mutant.name for mutant in MUTANTS}


def test_a_mutant_that_changes_nothing_is_a_survivor(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    harmless = Mutant(
        name="harmless",
        group="queues",
        says="nothing",
        file="txn/group.py",
        find='"""Consumer groups: their settings',
        replace='"""Consumer groups, their settings',
        aimed=("tests/txn/test_bits.py",),
    )
    monkeypatch.setattr("tests.mutants.__main__.load", lambda: (harmless,))
    assert main(["--minutes", "0.02"]) == 1
    assert "SURVIVED: harmless" in capfd.readouterr().out


@pytest.mark.long
def test_todays_sample_is_killed(capfd: pytest.CaptureFixture[str]) -> None:
    code = main(["--sample", "8"])
    assert code == 0, capfd.readouterr().out

"""Nothing that was acknowledged is lost, twice or wrong, whatever happens to machines, disks, clocks and network.

The short form; `make chaos MINUTES=60` is the long one.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.load import ROOT
from tests.cluster.nemeses import NEMESES

pytestmark = [
    pytest.mark.long,
    pytest.mark.soak,
    pytest.mark.needs_root,
    pytest.mark.needs_go,
    pytest.mark.needs_nft,
    pytest.mark.needs_strace,
    pytest.mark.needs_faketime,
]

RUN_S = 1_500
WITHIN_FIVE = "half,one-way,bridge,ring,power-all,kill"


def chaos(folder: Path, *arguments: str) -> tuple[int, str]:
    """Runs it; returns its exit code and what it said."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.cluster.chaos", "--out", str(folder / "chaos"), *arguments],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=RUN_S, check=False,
    )  # fmt: skip
    print(ran.stdout)
    return ran.returncode, ran.stdout


def test_three_nodes_keep_their_promises_under_every_fault(tmp_path: Path) -> None:
    code, said = chaos(tmp_path, "--nodes", "3", "--minutes", "3", "--hold-s", "5")
    assert code == 0, said
    assert sum(f" {name}: " in said for name in NEMESES) >= len(NEMESES) // 2, "too few kinds of faults were tried"


def test_five_nodes_keep_their_promises_when_the_network_falls_apart(tmp_path: Path) -> None:
    code, said = chaos(tmp_path, "--nodes", "5", "--minutes", "0.8", "--hold-s", "5", "--nemesis", WITHIN_FIVE)
    assert code == 0, said


@pytest.mark.needs_eatmydata
@pytest.mark.parametrize("control", ["no-sync", "lying-sync"])
def test_disks_that_do_not_keep_their_word_are_noticed(tmp_path: Path, control: str) -> None:
    """The control: the same run finds what is lost when syncs do nothing."""
    code, said = chaos(tmp_path, "--control", control, "--minutes", "0.1", "--nemesis", "power-all")
    assert code == 1
    assert " lost: " in said or "tallymqd: " in said, "it failed, but not because anything was missing"

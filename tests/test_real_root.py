"""Who is called root is believed only after a file system was mounted."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.real_root import root_is_missing

CHECKOUT = Path(__file__).resolve().parents[1]
ASK = "from tests.support.real_root import root_is_missing; print(root_is_missing())"

pytestmark = pytest.mark.needs_root


def asked_through(*wrapper: str) -> str:
    command = [*wrapper, sys.executable, "-c", f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); {ASK}"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.strip()


def test_a_root_that_may_mount_is_one() -> None:
    assert asked_through() == "None"


def test_a_root_that_may_not_mount_is_none_and_the_reason_says_so() -> None:
    reason = asked_through("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    assert reason.startswith("needs a root that may mount a file system: mount said ")


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(CHECKOUT / "tests"))
    assert root_is_missing.__wrapped__() == "needs mkfs.xfs, to make a file system"

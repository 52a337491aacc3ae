"""The whole examination lets nothing be left out."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
LEFT_OUT = "import pytest\n\n@pytest.mark.skip(reason='no')\ndef test_left_out():\n    assert True\n"
EXPECTED_TO_FAIL = "import pytest\n\n@pytest.mark.xfail(reason='no')\ndef test_expected_to_fail():\n    assert False\n"
GIVES_UP = "import pytest\n\ndef test_gives_up():\n    pytest.skip('no')\n"
LEAVES_ALL_OUT = "import pytest\n\npytest.skip('no', allow_module_level=True)\n"
PASSES = "def test_passes():\n    assert True\n"


def run(folder: Path, text: str, no_skips: str) -> subprocess.CompletedProcess[str]:
    """Runs pytest over one file of tests under our own conftest."""
    shutil.copy(HERE / "conftest.py", folder / "conftest.py")
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    environment = {**os.environ, "TALLYMQ_NO_SKIPS": no_skips}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("text", [LEFT_OUT, EXPECTED_TO_FAIL, GIVES_UP, LEAVES_ALL_OUT])
def test_a_test_that_did_not_count_fails_the_examination(tmp_path: Path, text: str) -> None:
    ran = run(tmp_path, text, no_skips="1")
    assert ran.returncode in (1, 2), ran.stdout
    assert "1 failed" in ran.stdout or "1 error" in ran.stdout


@pytest.mark.parametrize("text", [LEFT_OUT, EXPECTED_TO_FAIL, GIVES_UP])
def test_elsewhere_a_test_may_be_left_out(tmp_path: Path, text: str) -> None:
    assert run(tmp_path, text, no_skips="").returncode == 0


def test_a_test_that_passes_passes_the_examination(tmp_path: Path) -> None:
    assert run(tmp_path, PASSES, no_skips="1").returncode == 0

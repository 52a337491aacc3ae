"""A test may be left out by a mark `needs_...` alone, and in the whole examination by nothing."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import NEEDS

HERE = Path(__file__).resolve().parent
LEFT_OUT = "import pytest\n\n@pytest.mark.skip(reason='no')\ndef test_left_out():\n    assert True\n"
LEFT_OUT_IF = "import pytest\n\n@pytest.mark.skipif(True, reason='no')\ndef test_left_out():\n    assert True\n"
EXPECTED_TO_FAIL = "import pytest\n\n@pytest.mark.xfail(reason='no')\ndef test_expected_to_fail():\n    assert False\n"
GIVES_UP = "import pytest\n\ndef test_gives_up():\n    pytest.skip('no')\n"
GIVES_UP_LATE = "import pytest\n\n@pytest.mark.needs_fork\ndef test_gives_up():\n    pytest.skip('no')\n"
FAILS_AS_SAID = "import pytest\n\ndef test_gives_up():\n    pytest.xfail('no')\n"
WANTS_A_MODULE = "import pytest\n\ndef test_gives_up():\n    pytest.importorskip('no_such_module')\n"
BY_UNITTEST = "import unittest\n\n@unittest.skip('no')\ndef test_left_out():\n    assert True\n"
ASKS_NOTHING = (
    "import pytest\n\n@pytest.mark.parametrize('case', [])\ndef test_of_no_case(case):\n    assert case is None\n"
)
LEAVES_ALL_OUT = "import pytest\n\npytest.skip('no', allow_module_level=True)\n"
PASSES = "def test_passes():\n    assert True\n"
WANTS_WHAT_IS_MISSING = "import pytest\n\n@pytest.mark.needs_eatmydata\ndef test_of_it():\n    assert False\n"
OTHER_MEANS = (
    LEFT_OUT, LEFT_OUT_IF, EXPECTED_TO_FAIL, GIVES_UP, GIVES_UP_LATE, FAILS_AS_SAID, WANTS_A_MODULE, BY_UNITTEST,
    ASKS_NOTHING, LEAVES_ALL_OUT,
)  # fmt: skip

# What leaves a test out by other means than a mark `needs_...`.
WAYS_OUT = frozenset(
    {
        "skip", "skipif", "skipIf", "skipUnless", "skipTest", "SkipTest", "importorskip", "xfail", "expectedFailure",
        "Skipped", "collect_ignore", "collect_ignore_glob", "pytest_ignore_collect", "pytest_deselected", "__test__",
    }
)  # fmt: skip
# What a test would ask to find out what is here, and then to pass without having tested anything.
QUESTIONS = frozenset(
    {
        "shutil.which", "find_program", "missing_program", "sys.platform", "os.name", "os.uname", "os.geteuid",
        "os.getuid", "importlib.util.find_spec",
    }
)  # fmt: skip
MODULES = frozenset({"os", "signal", "socket", "sys", "select", "asyncio"})


def sources() -> list[object]:
    """Every file of tests; helpers of tests/support and tests/workloads are programs, and may ask where they run."""
    return [pytest.param(path, id=str(path.relative_to(HERE))) for path in sorted(HERE.rglob("*.py"))]


def own(node: ast.AST) -> Iterator[ast.AST]:
    """What belongs to a function itself, not to a function or class made in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield child
            yield from own(child)


def ways_out(module: ast.Module) -> Iterator[str]:
    """Where a file names what leaves tests out."""
    for node in ast.walk(module):
        name = ""
        if isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node, ast.Name):
            name = node.id
        elif isinstance(node, ast.FunctionDef):
            name = node.name
        elif isinstance(node, ast.alias):
            name = node.name.rpartition(".")[2]
        if name in WAYS_OUT:
            yield f"{name} at line {getattr(node, 'lineno', '?')}"


def questions(module: ast.Module) -> Iterator[str]:
    """Where a file of tests asks what this machine has: the marks do that."""
    for node in ast.walk(module):
        asked = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"hasattr", "getattr"}:
            asked = ast.unparse(node) if ast.unparse(node.args[0]) in MODULES else ""
            if asked:
                yield f"{asked} at line {node.lineno}"
        if asked in QUESTIONS or asked.startswith("platform."):
            yield f"{asked} at line {node.lineno}"
        if isinstance(node, ast.ExceptHandler) and node.type is not None:
            caught = ast.unparse(node.type)
            if "ImportError" in caught or "ModuleNotFoundError" in caught:
                yield f"except {caught} at line {node.lineno}"


def early_ends(module: ast.Module) -> Iterator[str]:
    """Tests that may end before their last line: what stands after it was perhaps never asked."""
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name.startswith("test_"):
            yield from (
                f"{function.name}, line {node.lineno}" for node in own(function) if isinstance(node, ast.Return)
            )


def run(folder: Path, text: str, no_skips: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs pytest over one file of tests under our own conftest."""
    shutil.copy(HERE / "conftest.py", folder / "conftest.py")
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    marks = "".join(f"    {name}: one of ours\n" for name in NEEDS)
    (folder / "pytest.ini").write_text(f"[pytest]\naddopts = --strict-markers\nmarkers =\n{marks}", encoding="utf-8")
    environment = {**os.environ, "TALLYMQ_NO_SKIPS": no_skips, "PATH": path or os.environ["PATH"]}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("no_skips", ["", "1"])
@pytest.mark.parametrize("text", OTHER_MEANS)
def test_a_test_left_out_by_other_means_than_a_mark_fails_every_run(tmp_path: Path, text: str, no_skips: str) -> None:
    ran = run(tmp_path, text, no_skips)
    assert ran.returncode in (1, 2), ran.stdout
    assert "1 failed" in ran.stdout or "1 error" in ran.stdout
    assert "only a mark needs_... leaves a test out" in ran.stdout


def test_a_mark_leaves_a_test_out_where_its_program_is_missing(tmp_path: Path) -> None:
    ran = run(tmp_path, WANTS_WHAT_IS_MISSING, no_skips="", path=str(tmp_path))
    assert (ran.returncode, "1 skipped" in ran.stdout) == (0, True), ran.stdout


def test_in_the_whole_examination_a_missing_program_fails_the_run(tmp_path: Path) -> None:
    ran = run(tmp_path, WANTS_WHAT_IS_MISSING, no_skips="1", path=str(tmp_path))
    assert (ran.returncode, "here nothing may be: " in ran.stdout) == (1, True), ran.stdout


def test_a_mark_of_no_known_need_fails_the_run(tmp_path: Path) -> None:
    ran = run(tmp_path, WANTS_WHAT_IS_MISSING.replace("needs_eatmydata", "needs_nothing"), no_skips="")
    assert ran.returncode != 0, ran.stdout


def test_a_test_that_passes_passes_the_examination(tmp_path: Path) -> None:
    assert run(tmp_path, PASSES, no_skips="1").returncode == 0


def test_the_marks_are_those_that_are_registered() -> None:
    settings = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    marks = {line.partition(":")[0] for line in settings["tool"]["pytest"]["ini_options"]["markers"]}
    assert marks == {*NEEDS, "long", "soak"}


@pytest.mark.parametrize("path", sources())
def test_no_file_of_tests_knows_another_way_out(path: Path) -> None:
    module = ast.parse(path.read_text(encoding="utf-8"))
    found = list(ways_out(module))
    # The one place where a mark becomes a test left out.
    assert len(found) == (1 if path == HERE / "conftest.py" else 0), found
    assert not list(early_ends(module))
    if path.name.startswith("test_") or path.name == "conftest.py":
        asked = list(questions(module)) if path != HERE / "conftest.py" else []
        assert not asked, f"a mark needs_... has to ask this: {asked}"


@pytest.mark.parametrize(
    "text",
    [
        "import pytest\npytest.importorskip('x')\n",
        "from pytest import skip\n",
        "import unittest\nclass A(unittest.TestCase):\n    def test_a(self):\n        self.skipTest('no')\n",
        "collect_ignore = ['test_it.py']\n",
        "def test_a():\n    if shutil.which('go') is not None:\n        assert True\n",
        "def test_a():\n    if hasattr(os, 'fork'):\n        assert True\n",
        "try:\n    import x\nexcept ImportError:\n    x = None\n",
        "def test_a():\n    if not os.path.exists('/x'):\n        return\n    assert True\n",
        "async def test_a():\n    for x in found():\n        return\n    assert True\n",
    ],
)
def test_the_rule_sees_every_way_out(text: str) -> None:
    module = ast.parse(text)
    assert [*ways_out(module), *questions(module), *early_ends(module)]

"""The client says what it has to say through the logger "tallymq", and nowhere else."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk.conftest import Bank
from tests.support.nodes import Cluster

ROOM = Path(__file__).resolve().parents[2] / "sdk"
MODULES = sorted(path for path in ROOM.rglob("*.py") if "cli" not in path.relative_to(ROOM).parts)
LOGGED = Path(__file__).with_name("logged_program.py")


def calls_of(path: Path) -> list[ast.Call]:
    """Every call in a file."""
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def test_there_are_modules_to_look_at() -> None:
    assert {"client.py", "_engine.py", "checker.py"} <= {path.name for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOM)))
def test_no_module_has_another_logger_or_prints(path: Path) -> None:
    for call in calls_of(path):
        text = ast.unparse(call)
        name = ast.unparse(call.func)
        assert not name.endswith("getLogger") or text == "logging.getLogger('tallymq')", text
        # The root's own functions, handlers and levels are the program's business.
        assert not name.startswith("logging.") or name == "logging.getLogger", text
        assert name.rpartition(".")[2] not in {"print", "addHandler", "setLevel", "basicConfig", "warn"}, text
        assert not name.startswith(("sys.stdout", "sys.stderr", "warnings.")), text


def test_a_program_hears_of_it_through_that_logger_alone(cluster: Cluster, topic: str, bank: Bank) -> None:
    command = [sys.executable, "-P", str(LOGGED), cluster.url, topic, str(bank("lilei"))]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    before, *loggers, after = ran.stdout.splitlines()
    assert (before, after) == ("handlers of the root: 1", "handlers of the root: 1")
    assert set(loggers) == {"tallymq"}

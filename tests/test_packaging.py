"""What a user gets who installs the client."""

import importlib
import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ENGINES = ("rocksdict", "pysyncobj", "msgspec", "structlog", "prometheus_client", "cryptography")
DATABASES = ("asyncpg", "psycopg", "pymysql", "sqlalchemy")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a fresh interpreter, as a user's program would."""
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)


def test_importing_the_client_loads_no_engine_and_no_database() -> None:
    code = f"import sys, tallymq; print([name for name in {(*ENGINES, *DATABASES)!r} if name in sys.modules])"
    run = python("-c", code)
    assert (run.returncode, run.stdout) == (0, "[]\n"), run.stderr


def test_the_client_runs_where_no_engine_is_installed() -> None:
    code = (
        "import sys\n"
        f"for name in {(*ENGINES, *DATABASES)!r}: sys.modules[name] = None\n"
        "import tallymq\n"
        "missing = [name for name in tallymq.__all__ if not hasattr(tallymq, name)]\n"
        "print(len(tallymq.__all__) > 0, missing)\n"
    )
    run = python("-c", code)
    assert (run.returncode, run.stdout) == (0, "True []\n"), run.stderr


def test_the_version_is_stated_once() -> None:
    assert importlib.metadata.version("tallymq") == PROJECT["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"[{PROJECT['version']}]" in changelog or "[Unreleased]" in changelog


@pytest.mark.parametrize("program", ["tallymq", "tallymqd"])
def test_both_programs_explain_themselves(program: str) -> None:
    module, _, _ = PROJECT["scripts"][program].partition(":")
    run = python("-m", module, "--help")
    assert run.returncode == 0, run.stderr
    assert "Usage" in run.stdout or "usage" in run.stdout


def test_the_two_stub_sets_load_side_by_side() -> None:
    public = importlib.import_module("tallymq.proto.messaging_pb2")
    private = importlib.import_module("tallymq.proto.frames_pb2")
    frame = public.PublishRequest(producer_group="g", batches=[public.Batch(records=public.RecordBatch())])
    assert private.PublishRequest.FromString(frame.SerializeToString()).producer_group == "g"


def test_the_client_is_typed_for_its_users() -> None:
    assert (ROOT / "sdk" / "py.typed").exists()


def test_the_licence_is_the_one_stated() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text

"""Builds the program that judges histories by models (Go, with porcupine)."""

import os
import subprocess
from pathlib import Path

from tests.conftest import find_program

SOURCE = Path(__file__).resolve().parent
BUILD_S = 600


def go(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the Go tool in the models' folder."""
    program = find_program("go") or "go"
    path = os.pathsep.join((str(Path(program).parent), os.environ.get("PATH", os.defpath)))
    return subprocess.run(
        [program, *arguments], cwd=SOURCE, env={**os.environ, "PATH": path, "GOFLAGS": "-buildvcs=false"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_S, check=False,
    )  # fmt: skip


def build_models(folder: Path) -> Path:
    """Builds it into a folder and returns where it is. Raises RuntimeError with what Go said."""
    program = folder / "linearizability"
    built = go("build", "-o", str(program.resolve()), ".")
    if built.returncode != 0:
        raise RuntimeError(f"the models do not build: {built.stderr}")
    return program.resolve()

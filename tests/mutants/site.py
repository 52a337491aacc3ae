"""A copy of the project in which a mutant can live, and the commands that judge it there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.catalogue import ROOT, Mutant

ROOMS = ("proto", "raftlog", "service", "txn")
COPIED = (*ROOMS, "sdk", "tests", "pyproject.toml")


class Site:
    """Copies of all that the tests read. Importing from it finds its rooms, not the installed ones."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self._packages = folder / "packages"
        ignored = shutil.ignore_patterns("__pycache__")
        for name in COPIED:
            source, target = ROOT / name, self.root / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=ignored)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        package = self._packages / "tallymq"
        package.mkdir(parents=True)
        for entry in (self.root / "sdk").iterdir():
            (package / entry.name).symlink_to(entry)
        for room in ROOMS:
            (package / room).symlink_to(self.root / room)

    def put(self, mutant: Mutant) -> None:
        """Let the bug in."""
        (self.root / mutant.file).write_text(mutant.source(ROOT), encoding="utf-8")

    def restore(self, mutant: Mutant) -> None:
        """Put the file back as it is in the project."""
        shutil.copy(ROOT / mutant.file, self.root / mutant.file)

    def run(self, arguments: Sequence[str], seconds: float) -> tuple[int | None, str, float]:
        """Run `python -m ...` here; return its exit code (None: out of time), what it printed, seconds it took."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(self._packages), str(self.root))),
            "PYTHONSAFEPATH": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
        }
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            # A session of its own: what the tests started goes with them.
            os.killpg(process.pid, 9)
            output, _ = process.communicate()
            return None, output, time.monotonic() - began
        return process.returncode, output, time.monotonic() - began

    def run_tests(self, tests: Sequence[str], seconds: float) -> tuple[int | None, str, float]:
        """Run tests until the first that fails."""
        return self.run(("pytest", "-x", "-q", "-p", "no:cacheprovider", *tests), seconds)

    def run_seeds(self, minutes: float) -> tuple[int | None, str, float]:
        """Run the simulator: code 0 if it found nothing, 1 if it did, anything else if it could not run."""
        code, output, seconds = self.run(("tests.simulator", "--minutes", str(minutes)), 60 * minutes + 600)
        return (2 if code == 1 and "seed" not in output.lower() else code), output, seconds

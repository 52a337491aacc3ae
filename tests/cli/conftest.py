"""Running the program as its user does, with its output and exit code."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tallymq.cli import main
from tests.cli.canned import Canned, canned_server


@dataclass
class Outcome:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error as programs read it: the last line of stderr that is one."""
        found = [json.loads(line) for line in self.err.splitlines() if line.startswith('{"error"')]
        return found[-1]["error"]


Tallymq = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TALLYMQ_") and name != "TALLYMQ_NO_SKIPS"]:
        monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[Canned]:
    with canned_server() as canned:
        yield canned


@pytest.fixture
def bare(capfd: pytest.CaptureFixture[str]) -> Tallymq:
    """Runs the program with exactly these words."""

    def run(*words: str) -> Outcome:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main(words)
        captured = capfd.readouterr()
        code = left.value.code
        return Outcome(code if isinstance(code, int) else 1, captured.out, captured.err)

    return run


@pytest.fixture
def tallymq(bare: Tallymq, server: Canned) -> Tallymq:
    """Runs the program against the canned server."""
    return lambda *words: bare("--server", server.address, *words)

"""What holds for all tests: a test is left out only by a mark `needs_...`, and in the whole examination none is."""

import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

# Debian keeps servers out of the path of ordinary users.
SERVER_FOLDERS = ("/usr/sbin", "/usr/local/go/bin")
LEFT_OUT = pytest.StashKey[bool]()


def find_program(name: str) -> str | None:
    """The path of a program, or None where this machine has none of that name."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SERVER_FOLDERS))
    return shutil.which(name, path=path)


def missing_program(name: str) -> str | None:
    """Why a test that wants this program cannot run here, or None if it can."""
    return None if find_program(name) else f"needs {name}"


def missing_postgres() -> str | None:
    """The same for PostgreSQL, which Debian keeps in a folder of its version."""
    found = any(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or find_program("initdb")
    return None if found else "needs PostgreSQL"


@functools.cache
def missing_go() -> str | None:
    """The same for a Go that takes the example's go.mod: since 1.21 it fetches the version asked for by itself."""
    go = find_program("go")
    if go is None:
        return "needs go"
    example = Path(__file__).resolve().parents[1] / "examples" / "go"
    ran = subprocess.run([go, "list", "-m"], cwd=example, capture_output=True, text=True, timeout=600, check=False)
    return None if ran.returncode == 0 else f"needs a Go that takes examples/go/go.mod: {ran.stderr.strip()!r}"


def missing_root() -> str | None:
    """The same for a root that may mount a file system."""
    # Only where it is asked for: tests/test_examination.py uses this file alone, elsewhere.
    from tests.support.real_root import root_is_missing

    return root_is_missing()


def missing_fork() -> str | None:
    """The same for an operating system that forks."""
    return None if hasattr(os, "fork") else "needs an operating system that forks"


# The marks, and nothing else, by which a test may be left out. pyproject.toml registers each.
NEEDS: Mapping[str, Callable[[], str | None]] = {
    "needs_postgres": missing_postgres,
    "needs_mariadb": lambda: missing_program("mariadbd"),
    "needs_eatmydata": lambda: missing_program("eatmydata"),
    "needs_go": missing_go,
    "needs_nft": lambda: missing_program("nft"),
    "needs_strace": lambda: missing_program("strace"),
    "needs_faketime": lambda: missing_program("faketime"),
    "needs_systemd": lambda: missing_program("systemd-analyze"),
    "needs_root": missing_root,
    "needs_fork": missing_fork,
}


def pytest_configure() -> None:
    """Lets Ctrl-C reach the programs that tests start: what a shell runs in the background inherits it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def no_skips() -> bool:
    """True where not even a test whose program is missing may be left out."""
    return os.environ.get("TALLYMQ_NO_SKIPS", "") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out the tests whose programs this machine lacks."""
    for item in items:
        for marker in item.iter_markers():
            reason = NEEDS[marker.name]() if marker.name.startswith("needs_") else None
            if reason is not None:
                item.stash[LEFT_OUT] = True
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turns a test that was left out by other means, or was expected to fail, into a failure."""
    report = yield
    expected = hasattr(report, "wasxfail")
    if expected or (report.skipped and (no_skips() or LEFT_OUT not in item.stash)):
        report.outcome = "failed"
        what = "was expected to fail" if expected else "was left out"
        why = "here nothing may be" if LEFT_OUT in item.stash else "only a mark needs_... leaves a test out"
        report.longrepr = f"{item.nodeid} {what}, and {why}: {report.longrepr}"
        if expected:
            del report.wasxfail
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """The same for a whole file that leaves itself out."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = (
            f"{collector.nodeid} was left out, and only a mark needs_... leaves a test out: {report.longrepr}"
        )
    return report

"""What holds for all tests: which may be left out, and that none is left out in the whole examination."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

# Debian keeps servers out of the path of ordinary users.
SERVER_FOLDERS = ("/usr/sbin", "/usr/local/go/bin")


def find_program(name: str) -> str | None:
    """The path of a program, or None where this machine has none of that name."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SERVER_FOLDERS))
    return shutil.which(name, path=path)


def missing_for(marker: str) -> str | None:
    """Why a test with this marker cannot run here, or None if it can."""
    if marker == "needs_root":
        # Only where it is asked for: tests/test_examination.py uses this file alone, elsewhere.
        from tests.support.real_root import root_is_missing

        return root_is_missing()
    if marker == "needs_postgres":
        found = any(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or find_program("initdb")
        return None if found else "needs PostgreSQL"
    program = {"needs_mariadb": "mariadbd", "needs_eatmydata": "eatmydata", "needs_go": "go"}[marker]
    return None if find_program(program) else f"needs {program}"


def no_skips() -> bool:
    """True where a test left out, or expected to fail, fails the run."""
    return os.environ.get("TALLYMQ_NO_SKIPS", "") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out the tests whose programs this machine lacks."""
    for item in items:
        for marker in item.iter_markers():
            reason = missing_for(marker.name) if marker.name.startswith("needs_") else None
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turns a test that was left out into a failure where none may be."""
    report = yield
    if no_skips() and (report.skipped or hasattr(report, "wasxfail")):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was left out, and nothing may be: {report.longrepr}"
        if hasattr(report, "wasxfail"):
            del report.wasxfail
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """The same for a whole file that leaves itself out."""
    report = yield
    if no_skips() and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} was left out, and nothing may be: {report.longrepr}"
    return report

"""`make demo` ends with 0 only if every yuan is where it belongs."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.waiting import wait_for

BANK = Path(__file__).resolve().parents[2] / "examples" / "bank"
PATIENCE_S = 300.0


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The demo's own module, which imports its neighbours by their names."""
    monkeypatch.syspath_prepend(str(BANK))
    for name in ("demo", "node"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import demo

    return demo


def change(database: Path, sql: str) -> None:
    with closing(sqlite3.connect(database, timeout=PATIENCE_S)) as connection, connection:
        connection.execute(sql)


def make_banks(demo: ModuleType, folder: Path) -> tuple[Path, Path]:
    """Both banks after all transfers, as they should be."""
    lilei, hanmeimei = folder / "lilei.db", folder / "hanmeimei.db"
    for database, tables in ((lilei, demo.LILEI_TABLES), (hanmeimei, demo.HANMEIMEI_TABLES)):
        with closing(sqlite3.connect(database)) as connection:
            connection.executescript(tables)
    for number in range(1, demo.TRANSFERS + 1):
        change(lilei, "UPDATE account SET balance = balance - 100")
        change(lilei, f"INSERT INTO transfer VALUES ({number})")
        change(hanmeimei, "UPDATE account SET balance = balance + 100")
        change(hanmeimei, f"INSERT INTO receipt VALUES ({number}, 'id {number}')")
    return lilei, hanmeimei


def test_the_demo_sees_each_missing_yuan_and_each_missing_transfer(demo: ModuleType, tmp_path: Path) -> None:
    banks = make_banks(demo, tmp_path)
    assert demo.is_exact(*banks)
    for bank in banks:
        change(bank, "UPDATE account SET balance = balance - 1")
        assert not demo.is_exact(*banks)
        change(bank, "UPDATE account SET balance = balance + 1")
        assert demo.is_exact(*banks)
    for bank, table in zip(banks, ("transfer", "receipt"), strict=True):
        change(bank, f"CREATE TABLE kept AS SELECT * FROM {table} WHERE number = 7")
        change(bank, f"DELETE FROM {table} WHERE number = 7")
        assert not demo.is_exact(*banks)
        change(bank, f"INSERT INTO {table} SELECT * FROM kept")
        assert demo.is_exact(*banks)


@contextmanager
def running_demo(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The program as `make demo` runs it, with its files in this folder."""
    environment = {**os.environ, "PYTHONPATH": str(BANK), "TMPDIR": str(folder)}
    command = [sys.executable, "-P", str(BANK / "demo.py")]
    ran = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield ran
    finally:
        ran.kill()
        ran.communicate()


@pytest.mark.long
def test_the_demo_ends_with_0(tmp_path: Path) -> None:
    with running_demo(tmp_path) as ran:
        said, _ = ran.communicate(timeout=PATIENCE_S)
    print(said)
    assert ran.returncode == 0, said
    assert "Every yuan is where it belongs." in said


def has_begun(lilei: Path) -> bool:
    """True once the first transfer is made."""
    try:
        with closing(sqlite3.connect(lilei, timeout=PATIENCE_S)) as connection:
            return bool(connection.execute("SELECT count(*) FROM transfer").fetchone()[0])
    except sqlite3.OperationalError:
        # Its tables are not made yet.
        return False


@pytest.mark.long
def test_the_demo_ends_with_1_where_somebody_takes_a_yuan_on_the_way(tmp_path: Path) -> None:
    with running_demo(tmp_path) as ran:
        (lilei,) = wait_for("the bank", lambda: list(tmp_path.glob("tallymq-demo-*/lilei.db")), PATIENCE_S)
        wait_for("the first transfer", lambda: has_begun(lilei), PATIENCE_S)
        change(lilei, "UPDATE account SET balance = balance - 1")
        said, _ = ran.communicate(timeout=PATIENCE_S)
    print(said)
    assert ran.returncode == 1, said
    assert "THIS IS WRONG." in said
    assert "together 19999." in said

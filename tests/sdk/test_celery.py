"""A client made before Celery forks its pool is a client in each process of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from tests.sdk.conftest import Bank, balance
from tests.sdk.test_transactions import received
from tests.support.families import end_family
from tests.support.nodes import Cluster

TASK_S = 120.0
PROCESSES = 2
TASKS = 8
# The pool gives a task to whichever process is free; until both have worked, tasks go on.
ROUNDS_MIN, ROUNDS_MAX = 2, 50

pytestmark = pytest.mark.needs_fork


@pytest.fixture
def caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """Who sends tasks: through files in a folder of the test."""
    for name in ("tasks", "control", "results"):
        (tmp_path / "celery" / name).mkdir(parents=True)
    monkeypatch.setenv("CELERY_FOLDER", str(tmp_path / "celery"))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with Celery("caller") as app:
        app.config_from_object("celery_settings", force=True)
        yield app
    sys.modules.pop("celery_settings", None)


@pytest.fixture
def lilei(bank: Bank) -> Path:
    return bank("lilei")


@pytest.fixture
def worker(
    cluster: Cluster, topic: str, caller: Celery, lilei: Path, tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "celery", "-A", "celery_program", "worker", "--pool", "prefork"]
    command += ["--concurrency", str(PROCESSES), "--without-gossip", "--without-mingle", "--without-heartbeat"]
    environment = {**os.environ, "BANK_URL": cluster.url, "BANK_TOPIC": topic, "BANK_DATABASE": str(lilei)}
    environment["PYTHONPATH"] = str(Path(__file__).parent)
    with (tmp_path / "worker.txt").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        end_family(process)


def test_a_tally_made_before_celery_forks_publishes_once_from_each_process(
    cluster: Cluster, topic: str, caller: Celery, worker: subprocess.Popen[bytes], lilei: Path, tmp_path: Path
) -> None:
    done: list[tuple[int, str]] = []
    transfers = 0
    processes: dict[str, set[int]] = {"publish": set(), "transfer": set()}
    for round_ in range(ROUNDS_MAX):
        names = [("publish" if task % 2 else "transfer", f"{round_}-{task}") for task in range(TASKS)]
        running = [(name, what, caller.send_task(name, args=[what])) for name, what in names]
        for name, what, result in running:
            process = result.get(timeout=TASK_S)
            processes[name].add(process)
            done.append((process, what))
            transfers += name == "transfer"
        if round_ >= ROUNDS_MIN and all(len(some) == PROCESSES for some in processes.values()):
            break
    assert [len(some) for some in processes.values()] == [PROCESSES, PROCESSES]
    assert worker.pid not in processes["publish"] | processes["transfer"]
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(TASK_S) == 0, (tmp_path / "worker.txt").read_text()

    messages = received(cluster, topic, len(done) + 1)
    stored = sorted((message.json()["by"], message.json()["what"]) for message in messages)
    assert stored == sorted([*done, (worker.pid, "loaded")])
    assert balance(lilei) == 1_000 - transfers
    assert len({(message.id[:16], message.json()["by"]) for message in messages}) == PROCESSES + 1

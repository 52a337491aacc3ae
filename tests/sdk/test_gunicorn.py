"""A client made before gunicorn forks its workers is a client in each of them."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.sdk.test_transactions import received
from tests.support.families import end_family
from tests.support.nodes import Cluster
from tests.support.ports import free_port
from tests.support.waiting import wait_for

CALL_S = 60.0
WORKERS = 2
CALLERS = 8
# Two sync workers share one listening socket; until both have answered, callers go on.
ROUNDS_MIN, ROUNDS_MAX = 5, 200

pytestmark = pytest.mark.needs_fork


class Site:
    """gunicorn with the application loaded before its workers are forked."""

    def __init__(self, url: str, topic: str, folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.log = folder / "gunicorn.txt"
        command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", str(WORKERS), "--bind", self.address]
        command += ["--pythonpath", str(Path(__file__).parent), "--worker-tmp-dir", str(folder), "--no-control-socket"]
        command += ["--timeout", "300", "gunicorn_program:application"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "BANK_URL": url, "BANK_TOPIC": topic},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ask(self, path: str) -> int:
        """The process that answered."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=CALL_S) as reply:
            return int(reply.read())

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.ask("/ready") > 0
        except urllib.error.HTTPError:
            raise AssertionError(self.log.read_text()) from None
        except OSError:
            return False


@pytest.fixture
def site(cluster: Cluster, topic: str, tmp_path: Path) -> Iterator[Site]:
    made = Site(cluster.url, topic, tmp_path)
    try:
        yield made
    finally:
        end_family(made.process)


def test_a_tally_made_before_gunicorn_forks_publishes_once_from_each_worker(
    cluster: Cluster, topic: str, site: Site
) -> None:
    wait_for("gunicorn", site.is_ready)
    asked: list[tuple[int, str]] = []
    with ThreadPoolExecutor(CALLERS) as callers:
        for round_ in range(ROUNDS_MAX):
            paths = [f"/{round_}-{caller}" for caller in range(CALLERS)]
            asked += zip(callers.map(site.ask, paths), paths, strict=True)
            workers = {worker for worker, _path in asked}
            if round_ >= ROUNDS_MIN and len(workers) == WORKERS:
                break
    assert len(workers) == WORKERS
    assert site.process.pid not in workers
    site.process.send_signal(signal.SIGTERM)
    assert site.process.wait(CALL_S) == 0, site.log.read_text()

    messages = received(cluster, topic, len(asked) + 2)
    stored = sorted((message.json()["by"], message.json()["what"]) for message in messages)
    others = [one for one in stored if one[1] in ("loaded", "/ready")]
    assert sorted([*asked, *others]) == stored
    assert (site.process.pid, "loaded") in others
    assert len(others) == 2
    # Each process counts from an identity of its own: else one's frames pass for repetitions of the other's.
    assert len({(message.id[:16], message.json()["by"]) for message in messages}) == WORKERS + 1

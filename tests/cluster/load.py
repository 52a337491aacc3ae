"""The processes of a workload: started, asked how much they have done, stopped."""

import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from tests.support.waiting import wait_for
from tests.workloads.orders import END, STOP

ROOT = Path(__file__).resolve().parents[2]
WINDOW_S = 5.0
STOP_S = 120.0


class Client:
    """One process, and what it says of itself."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], folder: Path) -> None:
        self.name = name
        self.history = folder / f"{name}.jsonl"
        self.log = folder / f"{name}.log"
        self._told: deque[tuple[float, int]] = deque(maxlen=1_000)
        self._stopped = threading.Event()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments, "--name", name, "--history", str(self.history)],
                cwd=ROOT,
                env={"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            word, _, count = line.strip().partition(" ")
            if word == "succeeded":
                self._told.append((time.monotonic(), int(count)))
            elif word == "stopped":
                self._stopped.set()

    def order(self, word: str) -> None:
        """Tells it something. Raises RuntimeError where it has ended by itself."""
        self.expect_running()
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def expect_running(self) -> None:
        """Raises RuntimeError with what it said where it has ended by itself."""
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended by itself: {self.log.read_text(encoding='utf-8')[-3000:]}")

    def succeeded(self, since: float = 0.0) -> int:
        """How much it has done since then (time.monotonic), as far as it has told."""
        told = [(at, count) for at, count in list(self._told) if at >= since]
        return told[-1][1] - (told[0][1] if since else 0) if told else 0

    def wait_stopped(self) -> None:
        """Waits until nothing of it is on its way."""
        wait_for(f"{self.name} stopped", self._is_stopped, STOP_S)

    def _is_stopped(self) -> bool:
        self.expect_running()
        return self._stopped.is_set()

    def end(self) -> None:
        """Lets it end."""
        self.order(END)
        if self.process.wait(STOP_S) != 0:
            raise RuntimeError(f"{self.name} failed: {self.log.read_text(encoding='utf-8')[-3000:]}")

    def kill(self) -> None:
        """kill -9, if it runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Load:
    """Producers and consumers of one topic, and one who makes and deletes others."""

    def __init__(self, folder: Path, addresses: str, topic: str, queues: int, rate: float) -> None:
        self.producers = [
            Client(
                f"producer-{number}",
                "tests.workloads.producing",
                ["--url", f"tally://{addresses}", "--topic", topic, "--queues", str(queues), "--rate", str(rate / 2)],
                folder,
            )
            for number in (1, 2)
        ]
        self.consumers = [
            Client(
                name,
                "tests.workloads.consuming",
                ["--addresses", addresses, "--topic", topic, "--group", group],
                folder,
            )
            for name, group in (("consumer-1", "workers"), ("consumer-2", "workers"), ("auditor", "audit"))
        ]
        self.administrator = Client(
            "administrator", "tests.workloads.administering", ["--addresses", addresses], folder
        )

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients:
            client.kill()

    @property
    def clients(self) -> list[Client]:
        """All processes."""
        return [*self.producers, *self.consumers, self.administrator]

    def rate(self) -> float:
        """Operations of producers that succeeded in the last few seconds, a second."""
        since = time.monotonic() - WINDOW_S
        return sum(client.succeeded(since) for client in self.producers) / WINDOW_S

    def expect_running(self) -> None:
        """Raises RuntimeError where a client ended by itself."""
        for client in self.clients:
            client.expect_running()

    def stop(self) -> None:
        """Nothing new from here on; returns when all that was on its way has ended. Checks are still answered."""
        for client in (*self.producers, self.administrator):
            client.order(STOP)
        for client in (*self.producers, self.administrator):
            client.wait_stopped()

    def end(self) -> None:
        """Ends all processes; their histories are whole."""
        for client in self.clients:
            client.end()

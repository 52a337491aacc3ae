"""Runs a load generator and samples the processes it works on."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import psutil

# A run during which others used more than this many cores is marked.
OTHERS_CORES_MAX = 0.1


@dataclass
class Figures:
    """One row of the table. Rates are per second, CPU is microseconds for each operation over all processes."""

    name: str
    operations_per_s: float
    mb_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_us: float
    cpu_us_client: float
    cpu_us_servers: list[float]
    rss_mb: list[float]
    others_cores: float

    def to_json(self) -> dict[str, object]:
        """As it is saved."""
        return asdict(self)


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process so far."""
    times = process.cpu_times()
    return times.user + times.system


def busy_seconds() -> float:
    """Time that all cores of this machine were busy so far."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    return sum(times[:8]) - idle


def run_load(name: str, command: Sequence[str], servers: Sequence[psutil.Process], timeout_s: float) -> Figures:
    """Runs `python -m` with this command, a load generator that says begin and end, and samples the servers between.
    Raises RuntimeError if it fails."""
    load = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert load.stdout is not None
    # Whatever hangs, hangs no longer than this: its output ends, and what is expected of it does not come.
    watchdog = threading.Timer(timeout_s, load.kill)
    watchdog.start()
    try:
        expect(load, "begin")
        began, busy = time.monotonic(), busy_seconds()
        before = [cpu_seconds(process) for process in servers]
        expect(load, "end")
        used = [cpu_seconds(process) - start for process, start in zip(servers, before, strict=True)]
        seconds, busy = time.monotonic() - began, busy_seconds() - busy
        summary = json.loads(load.stdout.readline())
        load.wait()
    finally:
        watchdog.cancel()
        if load.poll() is None:
            load.kill()
            load.wait()
    operations = max(1, int(summary["operations"]))
    ours = sum(used) + summary["client_cpu_s"]
    return Figures(
        name=name,
        operations_per_s=summary["operations_per_s"],
        mb_per_s=summary["mb_per_s"],
        p50_ms=summary["p50_ms"],
        p99_ms=summary["p99_ms"],
        max_ms=summary["max_ms"],
        cpu_us=round(ours / operations * 1e6, 2),
        cpu_us_client=round(summary["client_cpu_s"] / operations * 1e6, 2),
        cpu_us_servers=[round(one / operations * 1e6, 2) for one in used],
        rss_mb=[round(process.memory_info().rss / 1e6, 1) for process in servers],
        others_cores=round(max(0.0, (busy - ours) / seconds), 2),
    )


def expect(load: subprocess.Popen[str], word: str) -> None:
    """Reads this word from the load generator. Raises RuntimeError if it says something else or ends."""
    assert load.stdout is not None
    line = load.stdout.readline()
    if line.strip() != word:
        raise RuntimeError(f"the load generator failed before it said {word!r}: {line!r}, exit {load.poll()}")

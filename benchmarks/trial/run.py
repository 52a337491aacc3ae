"""Runs the trial: a leader, two followers and the client, each a process."""

import subprocess
import sys
from pathlib import Path

import psutil

from benchmarks.measure import Figures, run_load


def start(role: str, path: Path, *ports: int) -> tuple[subprocess.Popen[str], int]:
    """Starts a process of the trial and returns it with the port it listens on."""
    command = [sys.executable, "-m", "benchmarks.trial.node", role, str(path), *(str(port) for port in ports)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def run_trial(
    folder: Path, name: str, records: int, body_bytes: int, in_flight: int, seconds: float, warm_up_s: float
) -> Figures:
    """The figures of one shape of load."""
    folder.mkdir(parents=True, exist_ok=True)
    processes: list[subprocess.Popen[str]] = []
    try:
        ports = []
        for number in (1, 2):
            follower, port = start("follower", folder / f"follower-{number}")
            processes.append(follower)
            ports.append(port)
        leader, port = start("leader", folder / "leader", *ports)
        processes.insert(0, leader)
        command = ["benchmarks.trial.client", str(port), "--records", str(records), "--body-bytes", str(body_bytes)]
        command += ["--in-flight", str(in_flight), "--seconds", str(seconds), "--warm-up-s", str(warm_up_s)]
        servers = [psutil.Process(process.pid) for process in processes]
        return run_load(name, command, servers, timeout_s=20 * (seconds + warm_up_s) + 60)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for path in folder.iterdir():
            path.unlink()

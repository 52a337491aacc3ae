"""A node of one's own: started on free ports, killed, started again on the same ports."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

READY_S = 30.0

CONFIGURATION = """\
node = "demo"
data = "{data}"
listen = "127.0.0.1:{ports[0]}"
listen_peers = "127.0.0.1:{ports[1]}"
listen_metrics = "127.0.0.1:{ports[2]}"
# A demo is in a hurry: ask early what became of a transaction, and ask others soon after a producer is gone.
check_after_ms = 1000
orphan_after_ms = 500
free_bytes_min = 67108864
"""


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class DemoNode:
    """One `tallymqd` with its data in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._configuration = folder / "node.toml"
        self._log = folder / "log.txt"
        ports = free_ports(3)
        self.address = f"127.0.0.1:{ports[0]}"
        self._health = f"http://127.0.0.1:{ports[2]}/health"
        text = CONFIGURATION.format(data=(folder / "data").as_posix(), ports=ports)
        self._configuration.write_text(text, encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Starts it, waits until it is ready, and returns the seconds that took. Raises RuntimeError if it is not."""
        began = time.monotonic()
        command = [sys.executable, "-m", "tallymq.service", "--config", str(self._configuration)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment()
            )
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() - began > READY_S:
                raise RuntimeError(f"the node did not become ready; it said:\n{self._log.read_text(errors='replace')}")
            time.sleep(0.05)
        return time.monotonic() - began

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self._health, timeout=5) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def environment() -> dict[str, str]:
    """Our environment without settings meant for another node."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TALLYMQ_")}

"""A network of one's own: a bridge, and a namespace for each machine on it. Links can be cut, lossy or slow.

Everything is made in the namespaces of a process that `isolated` started, so it is gone when that process is, however
it ends; and two of them never meet.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path

SUBNET = "10.77.0"
OUTSIDE = f"{SUBNET}.254"
"""Where whoever made the network is on it."""
BRIDGE = "switch"
NAMESPACES = Path("/run/netns")

ISOLATED = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Runs a program in namespaces of its own: its networks, mounts and processes end with it."""


def run(*command: str) -> None:
    """Runs a program. Raises RuntimeError with what it said."""
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False
    )  # fmt: skip
    if ran.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {ran.stderr.strip() or ran.stdout.strip()}")


class Network:
    """Machines by name. Call it only in a process that `ISOLATED` started."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        run("mount", "-t", "tmpfs", "none", "/run")
        NAMESPACES.mkdir()
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "addr", "add", f"{OUTSIDE}/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")

    def add(self, name: str) -> str:
        """Puts a machine on the network; returns its address."""
        number = len(self.addresses) + 1
        address, port = f"{SUBNET}.{number}", f"port{number}"
        run("ip", "netns", "add", name)
        run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", port, "master", BRIDGE, "up")
        run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            run("ip", "-n", name, "link", "set", device, "up")
        self._inside(name, "nft", "add", "table", "inet", "faults")
        chain = "{ type filter hook input priority 0; policy accept; }"
        self._inside(name, "nft", f"add chain inet faults input {chain}")
        self.addresses[name] = address
        return address

    def wrapper(self, name: str) -> tuple[str, ...]:
        """What starts a program on a machine. Not `ip netns exec`, which would keep all mounts busy."""
        return ("nsenter", f"--net={NAMESPACES / name}")

    def deafen(self, name: str, sources: Iterable[str]) -> None:
        """From now on nothing that these machines send arrives at `name`."""
        for source in sources:
            self._inside(name, "nft", f"add rule inet faults input ip saddr {self.addresses[source]} drop")

    def lose(self, name: str, percent: int) -> None:
        """From now on so much of what others send is lost on its way to `name`."""
        others = ", ".join(address for other, address in self.addresses.items() if other != name)
        rule = f"add rule inet faults input ip saddr {{ {others} }} numgen random mod 100 < {percent} drop"
        self._inside(name, "nft", rule)

    def slow(self, name: str, rate: str) -> None:
        """From now on `name` sends no faster than this, and no more than 400 ms of it waits."""
        self._inside(name, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "32kbit",
                     "latency", "400ms")  # fmt: skip

    def heal(self) -> None:
        """All links are whole again."""
        for name in self.addresses:
            self._inside(name, "nft", "flush", "chain", "inet", "faults", "input")
            subprocess.run(
                [*self.wrapper(name), "tc", "qdisc", "del", "dev", "eth0", "root"], capture_output=True, check=False
            )

    def _inside(self, name: str, *command: str) -> None:
        run(*self.wrapper(name), *command)

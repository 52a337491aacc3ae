"""Ports on this machine, and waiting for something to become true."""

import asyncio
import random
import socket
from collections.abc import Callable

# Outside the range the kernel gives to outgoing connections, so that a port found free stays so until it is used.
PORTS = (12_000, 30_000)
DEADLINE_S = 60.0


def free_port() -> int:
    """A port nobody listens at."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(*PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


def free_ports(count: int) -> list[int]:
    """Several of them, all different."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)


async def until(condition: Callable[[], object], what: str = "", deadline_s: float = DEADLINE_S) -> None:
    """Return once the condition holds; AssertionError if it never does."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while not condition():
        if loop.time() > end:
            raise AssertionError(f"never came true: {what or condition}")
        await asyncio.sleep(0.005)

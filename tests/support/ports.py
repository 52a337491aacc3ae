"""Free ports of this machine."""

import random
import socket

# Below the range from which the system takes the ports of outgoing connections, so that none of those takes ours.
PORT_MIN, PORT_MAX = 20_000, 32_000
ATTEMPTS_MAX = 1_000

_given: set[int] = set()


def free_port() -> int:
    """A port that nothing listens on now and that was not given before. Raises OSError where none is found."""
    chooser = random.SystemRandom()
    for _ in range(ATTEMPTS_MAX):
        port = chooser.randrange(PORT_MIN, PORT_MAX)
        if port in _given:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise OSError("no free port found")


def free_ports(count: int) -> list[int]:
    """Several of them, all different."""
    return sorted(free_port() for _ in range(count))

"""What reads bytes of a peer, a client or a disk refuses by name what it cannot use: a short run of every fuzzer.

The long ones are `make fuzz EXECUTIONS=n`; what they found stays here.
"""

import random
import resource
from collections.abc import Callable

import pytest

from tests.fuzz.targets import TARGETS

MUTATIONS = 150
GROWTH_KIB_MAX = 256 * 1024
FOUND: dict[str, list[bytes]] = {
    # A sound hard state record whose vote is no text, in the form that the target reads.
    "log-records": [b"\x05\x00\x01\x00\x00\x06no\xe4e-1"],
}
"""By target: inputs that once failed."""


def flip(data: bytearray, chooser: random.Random) -> None:
    if data:
        data[chooser.randrange(len(data))] ^= 1 << chooser.randrange(8)


def cut(data: bytearray, chooser: random.Random) -> None:
    del data[chooser.randint(0, len(data)) :]


def insert(data: bytearray, chooser: random.Random) -> None:
    at = chooser.randint(0, len(data))
    data[at:at] = chooser.choice((b"\x00", b"\xff\xff\xff\xff", b"\x80" * 10, bytes(data[:16]), chooser.randbytes(8)))


def overwrite(data: bytearray, chooser: random.Random) -> None:
    at = chooser.randint(0, len(data))
    data[at : at + 4] = chooser.choice((b"\xff\xff\xff\x7f", b"\x00\x00\x00\x00", chooser.randbytes(4)))


WAYS: tuple[Callable[[bytearray, random.Random], None], ...] = (flip, cut, insert, overwrite)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_read_is_refused_by_name_or_is_what_it_says(name: str) -> None:
    target = TARGETS[name]
    chooser = random.Random(name)
    seeds = [b"", *target.seeds()]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in [*seeds, *FOUND.get(name, [])]:
        target.run(seed)
    for _ in range(MUTATIONS):
        data = bytearray(chooser.choice(seeds))
        for _ in range(chooser.randint(1, 4)):
            chooser.choice(WAYS)(data, chooser)
        target.run(bytes(data))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH_KIB_MAX

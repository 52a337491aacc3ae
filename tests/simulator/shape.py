"""What a run is made of: its sizes and settings, and the faults that happen in it. All drawn from the seed, first."""

from dataclasses import dataclass
from random import Random

import msgspec

from tallymq.raftlog.consensus import ConsensusSettings

SECOND_US = 1_000_000


CONSENSUS = ConsensusSettings(heartbeat_ms=150, election_ms_min=600, election_ms_max=1200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes and settings of one run."""

    nodes: int = 3
    shards: int = 2
    chaos_us: int = 60 * SECOND_US
    is_fifo: bool = False
    is_encoded: bool = False
    """Whether every message goes through the codec, as it does on a wire."""
    delay_us: tuple[int, int] = (200, 3_000)
    sync_us: tuple[int, int] = (200, 8_000)
    flush_us: tuple[int, int] = (2 * SECOND_US, 10 * SECOND_US)
    segment_bytes: int = 64 << 10
    consensus: ConsensusSettings = CONSENSUS
    producers: int = 6
    consumers: int = 3
    think_us: int = 1_500_000
    topics: int = 2
    lies: bool = False
    """A negative control: syncs do nothing."""


class Fault(msgspec.Struct, frozen=True):
    """Something goes wrong at `at_us` for `for_us`, to `nodes`; `size` and `seed` mean what the kind makes of them."""

    at_us: int
    kind: str
    nodes: tuple[str, ...]
    for_us: int = 0
    size: int = 0
    seed: int = 0

    def line(self) -> str:
        """Return it for a reader."""
        lasting = f" for {self.for_us / SECOND_US:.3f} s" if self.for_us else ""
        return f"{self.at_us / SECOND_US:9.3f} s  {self.kind} {' '.join(self.nodes)}{lasting} (size {self.size})"


KINDS: dict[str, int] = {
    "kill": 4,
    "kill at point": 10,
    "power cut": 4,
    "power cut at point": 10,
    "power cut of all": 2,
    "vote, then a second candidate": 4,
    "pause": 4,
    "clock rate": 3,
    "wall clock": 3,
    "isolate": 4,
    "one way": 4,
    "half": 3,
    "bridge": 2,
    "ring": 2,
    "disconnect": 4,
    "loss": 4,
    "duplicates": 3,
    "slow network": 3,
    "failed sync": 2,
    "slow sync": 4,
    "full disk": 2,
    "stalled store": 2,
    "bit flip": 1,
    "misdirected write": 1,
    "truncated file": 1,
    "lost disk": 1,
    "term ends": 3,
}
"""Kinds of faults and how often each is drawn, of those that a run has."""


def names_of(count: int) -> list[str]:
    """Return the nodes' names."""
    return [chr(ord("a") + number) for number in range(count)]


def draw_shape(seed: int) -> Shape:
    """Return the shape of a run."""
    chance = Random(f"shape {seed}")
    heartbeat_ms = chance.choice((150, 300, 500))
    election_ms_min = heartbeat_ms * chance.choice((2, 3, 4))
    settings = ConsensusSettings(
        heartbeat_ms=heartbeat_ms,
        election_ms_min=election_ms_min,
        election_ms_max=election_ms_min * chance.choice((15, 20, 30)) // 10,
        append_bytes_max=chance.choice((1, 2_000, 1 << 20)),
        in_flight_bytes_max=chance.choice((2_000, 8 << 20)),
        apply_entries_max=chance.choice((1, 8, 256)),
    )
    return Shape(
        nodes=chance.choice((3, 3, 3, 5)),
        shards=chance.choice((2, 2, 3)),
        chaos_us=chance.choice((30, 60, 60, 120)) * SECOND_US,
        is_fifo=chance.random() < 0.4,
        is_encoded=chance.random() < 0.2,
        delay_us=chance.choice(((100, 1_000), (200, 5_000), (1_000, 40_000))),
        sync_us=chance.choice(((100, 2_000), (500, 10_000), (1_000, 60_000))),
        flush_us=chance.choice(((SECOND_US, 3 * SECOND_US), (5 * SECOND_US, 20 * SECOND_US))),
        segment_bytes=chance.choice((16 << 10, 64 << 10, 256 << 10)),
        consensus=settings,
        think_us=chance.choice((600_000, 1_500_000, 3_000_000)),
    )


def draw_faults(seed: int, shape: Shape) -> list[Fault]:
    """Return the faults of a run: of some of the kinds, as often as the run draws."""
    chance = Random(f"faults {seed}")
    enabled = {kind: weight for kind, weight in KINDS.items() if chance.random() < 0.5} or KINDS
    every_us = chance.choice((1, 2, 4, 8)) * SECOND_US
    names = names_of(shape.nodes)
    faults: list[Fault] = []
    at_us = chance.randrange(every_us) + SECOND_US
    while at_us < shape.chaos_us:
        kind = chance.choices(list(enabled), list(enabled.values()))[0]
        order = tuple(chance.sample(names, len(names)))
        for_us = int(chance.choice((0.05, 0.5, 1.5, 4.0)) * SECOND_US * (0.5 + chance.random()))
        faults.append(Fault(at_us, kind, order, for_us, chance.randrange(1, 60), chance.getrandbits(32)))
        at_us += chance.randrange(1, 2 * every_us)
    return faults

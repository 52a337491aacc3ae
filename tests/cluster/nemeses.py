"""All nemeses by name."""

from tests.cluster.nemesis import (
    ClockAhead,
    ClockBehind,
    FullDisk,
    Kill,
    KillAll,
    Nemesis,
    Pause,
    PowerCut,
    PowerCutAll,
    RollingRestart,
    SlowDisk,
)
from tests.cluster.nemesis_network import Bridge, Half, Loss, OneWay, Ring, SlowLink

ALL: tuple[type[Nemesis], ...] = (
    Kill,
    KillAll,
    Pause,
    PowerCut,
    PowerCutAll,
    Half,
    OneWay,
    Bridge,
    Ring,
    Loss,
    SlowLink,
    SlowDisk,
    FullDisk,
    ClockAhead,
    ClockBehind,
    RollingRestart,
)
NEMESES: dict[str, type[Nemesis]] = {kind.name: kind for kind in ALL}


def chosen(names: str) -> list[type[Nemesis]]:
    """Those named, joined by commas, or all. Raises KeyError."""
    return list(ALL) if names == "all" else [NEMESES[name] for name in names.split(",")]

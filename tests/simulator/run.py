"""One run of one seed, and what is told of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.simulator.shape import Fault, Shape, draw_faults, draw_shape
from tests.simulator.watch import Violation
from tests.simulator.world import Figures, World


@dataclass(frozen=True, slots=True)
class Report:
    """How a run ended; `violation` is empty if every promise was kept."""

    seed: int
    figures: Figures
    violation: str = ""

    @property
    def kind(self) -> str:
        """What kind of promise was broken: the beginning of the sentence."""
        return self.violation.split(":")[0]


def run(seed: int) -> Report:
    """Run the history of a seed."""
    shape = draw_shape(seed)
    return run_with(seed, shape, draw_faults(seed, shape))


def run_with(seed: int, shape: Shape, faults: Sequence[Fault], trace: list[str] | None = None) -> Report:
    """Run a seed with these faults, instead of its own."""
    world = World(seed, shape, faults, trace)
    try:
        figures = world.run()
    except Violation as violation:
        world.note("violation", violation)
        return Report(seed, world.figures(), str(violation))
    return Report(seed, figures)

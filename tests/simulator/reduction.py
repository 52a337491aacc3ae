"""From a run that broke a promise to the shortest schedule that still breaks it: fewer faults, a shorter time.

A run with a fault less is another run, for all that follows is drawn anew from where it differs; so a reduction is a
search, bounded in runs and in time, and what it finds is a schedule that fails by itself.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.simulator.run import Report, run_with
from tests.simulator.shape import SECOND_US, Fault, Shape

RUNS_MAX = 80
SECONDS_MAX = 90.0


class Reduction:
    """The search for one failing run. `shape`, `faults` and `report` are the shortest so far."""

    def __init__(self, report: Report, shape: Shape, faults: Sequence[Fault]) -> None:
        self.report = report
        self.shape = shape
        self.faults = list(faults)
        self.runs = 0
        self._end_s = time.monotonic() + SECONDS_MAX

    def reduce(self) -> None:
        """Search until nothing more can go, or the bounds are met."""
        self._shorten()
        pieces = 2
        while len(self.faults) > 1 and self._may_run():
            size = -(-len(self.faults) // pieces)
            if self._drop_some(size):
                pieces = max(pieces - 1, 2)
            elif size == 1:
                break
            else:
                pieces = min(2 * pieces, len(self.faults))
        if len(self.faults) == 1:
            self._try(self.shape, [])
        self._shorten()

    def _drop_some(self, size: int) -> bool:
        for start in range(0, len(self.faults), size):
            if self._try(self.shape, self.faults[:start] + self.faults[start + size :]):
                return True
        return False

    def _shorten(self) -> None:
        """End the chaos where it broke, or sooner."""
        ends: list[Callable[[], int]] = [
            lambda: self.report.figures.simulated_us + SECOND_US // 10,
            lambda: self.shape.chaos_us // 2,
        ]
        for end in ends:
            chaos_us = end()
            if chaos_us < self.shape.chaos_us:
                self._try(replace(self.shape, chaos_us=chaos_us), [one for one in self.faults if one.at_us < chaos_us])

    def _may_run(self) -> bool:
        return self.runs < RUNS_MAX and time.monotonic() < self._end_s

    def _try(self, shape: Shape, faults: list[Fault]) -> bool:
        if not self._may_run():
            return False
        self.runs += 1
        report = run_with(self.report.seed, shape, faults)
        if report.kind != self.report.kind or not report.violation:
            return False
        self.report, self.shape, self.faults = report, shape, faults
        return True

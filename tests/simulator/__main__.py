"""`python -m tests.simulator --seed N` replays one run; `--minutes M` runs many seeds, on every core, by wall clock.

A run that broke a promise is told by its seed, the shortest schedule found that still breaks it, and the end of that
run's trace; the whole trace goes to a file.
"""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

from tests.simulator.reduction import Reduction
from tests.simulator.run import Report, run, run_with
from tests.simulator.shape import draw_faults, draw_shape
from tests.simulator.world import World
from tests.workloads.history import write

TRACE_LINES_SHOWN = 80
FOUND_MAX = 3
HOUR_US = 3_600_000_000


def replay(seed: int, folder: Path) -> int:
    """Run one seed; if it breaks a promise, reduce it and say how."""
    shape = draw_shape(seed)
    faults = draw_faults(seed, shape)
    report = run_with(seed, shape, faults)
    print(line_of(report))
    if not report.violation:
        return 0
    reduction = Reduction(report, shape, faults)
    reduction.reduce()
    trace: list[str] = []
    world = World(seed, reduction.shape, reduction.faults, trace)
    try:
        world.run()
    except BaseException as violation:  # noqa: BLE001 - it is what is looked for
        trace.append(f"{type(violation).__name__}: {violation}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"seed-{seed}.trace"
    path.write_text("\n".join(trace) + "\n", encoding="utf-8")
    write(folder / f"seed-{seed}.history", world.history)
    print(f"\nreduced in {reduction.runs} runs from {len(faults)} to {len(reduction.faults)} faults")
    print(f"{reduction.shape}\n{reduction.report.violation}")
    print("\n".join(fault.line() for fault in reduction.faults))
    print(f"\nthe end of its trace, the whole is in {path}:")
    print("\n".join(trace[-TRACE_LINES_SHOWN:]))
    return 1


def line_of(report: Report) -> str:
    """Return one line about a run."""
    figures = report.figures
    return (
        f"seed {report.seed}: {report.violation or 'every promise kept'}; "
        f"{figures.simulated_us / 1e6:.1f} s simulated, {figures.faults} faults, "
        f"{figures.acknowledged} acknowledged operations, {figures.messages} messages, "
        f"hash {figures.trace_hash:08x}"
    )


class Summary:
    """What many runs amounted to."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.broken: list[Report] = []

    def add(self, report: Report) -> None:
        figures = report.figures
        self.totals["seeds"] += 1
        self.totals["simulated_us"] += figures.simulated_us
        self.totals["faults"] += figures.faults
        self.totals["acknowledged"] += figures.acknowledged
        self.totals["messages"] += figures.messages
        self.totals["applied"] += figures.applied
        if report.violation:
            self.broken.append(report)
            print(line_of(report), flush=True)

    def line(self) -> str:
        totals = self.totals
        return (
            f"{totals['seeds']} seeds, {totals['simulated_us'] / HOUR_US:.2f} simulated hours, "
            f"{totals['faults']} faults, {totals['acknowledged']} acknowledged operations, "
            f"{totals['messages']} messages, {totals['applied']} applied entries, {len(self.broken)} broken promises"
        )


def run_many(minutes: float, first: int, processes: int, folder: Path) -> int:
    """Run seeds from `first` on until the time is over, or enough is found."""
    end_s = time.monotonic() + 60 * minutes
    said_s = time.monotonic()
    summary = Summary()
    seed = first
    print(f"from seed {first}, {processes} processes, {minutes:g} minutes", flush=True)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting: set[Future[Report]] = set()
        while waiting or time.monotonic() < end_s:
            while len(waiting) < 2 * processes and time.monotonic() < end_s and len(summary.broken) < FOUND_MAX:
                waiting.add(pool.submit(run, seed))
                seed += 1
            if not waiting:
                break
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                summary.add(future.result())
            if time.monotonic() - said_s > 60:
                said_s = time.monotonic()
                print(summary.line(), flush=True)
    print(summary.line())
    for report in summary.broken:
        replay(report.seed, folder)
    return 1 if summary.broken else 0


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--minutes", type=float, default=1.0, help="of wall clock, for many seeds")
    parser.add_argument("--first", type=int, default=None, help="the first of many seeds; drawn if not given")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=Path("build/simulator"), help="for traces of what failed")
    options = parser.parse_args()
    if options.seed is not None:
        return replay(options.seed, options.folder)
    first = options.first if options.first is not None else time.time_ns() // 1_000_000 % 1_000_000_000
    return run_many(options.minutes, first, options.processes, options.folder)


if __name__ == "__main__":
    sys.exit(main())

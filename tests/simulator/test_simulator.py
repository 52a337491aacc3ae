"""The simulator itself: it repeats exactly, it sees what is broken, and fixed seeds keep every promise."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulator.reduction import Reduction
from tests.simulator.run import Report, run_with
from tests.simulator.shape import SECOND_US, Fault, Shape, draw_faults, draw_shape

ROOT = Path(__file__).resolve().parents[2]
SHORT = Shape(chaos_us=6 * SECOND_US, producers=3, consumers=2, think_us=600_000)
SEEDS = (0, 42, 48, 51, 7)
"""Cheap ones, with many kinds of faults in them."""


def short_run(seed: int) -> Report:
    """A seed of the long runs, its chaos cut short."""
    shape = replace(draw_shape(seed), chaos_us=12 * SECOND_US)
    return run_with(seed, shape, [fault for fault in draw_faults(seed, shape) if fault.at_us < shape.chaos_us])


@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_is_kept_whatever_goes_wrong(seed: int) -> None:
    report = short_run(seed)
    assert report.violation == ""
    assert report.figures.acknowledged > 10
    assert report.figures.faults > 0


def test_one_seed_is_one_history_in_any_process() -> None:
    faults = draw_faults(5, SHORT)
    here = run_with(5, SHORT, faults).figures
    assert run_with(5, SHORT, faults).figures == here
    program = (
        "from tests.simulator.test_simulator import SHORT\n"
        "from tests.simulator.run import run_with\n"
        "from tests.simulator.shape import draw_faults\n"
        "print(run_with(5, SHORT, draw_faults(5, SHORT)).figures.trace_hash)\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT)}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True, cwd=ROOT)
    assert int(told.stdout) == here.trace_hash


def test_another_seed_is_another_history() -> None:
    hashes = {run_with(seed, SHORT, []).figures.trace_hash for seed in (1, 2)}
    assert len(hashes) == 2


def test_a_disk_that_lies_about_its_syncs_is_caught_and_the_schedule_reduced_to_what_it_takes() -> None:
    shape = replace(SHORT, lies=True)
    cut = Fault(4 * SECOND_US, "power cut of all", ("a", "b", "c"), SECOND_US)
    others = [
        Fault(SECOND_US, "loss", ("a", "b", "c"), SECOND_US, 10),
        Fault(2 * SECOND_US, "pause", ("b", "a", "c"), SECOND_US // 2),
        Fault(3 * SECOND_US, "wall clock", ("c", "a", "b"), 0, 2),
    ]
    report = run_with(3, shape, [*others, cut])
    assert report.violation
    reduction = Reduction(report, shape, [*others, cut])
    reduction.reduce()
    assert reduction.faults == [cut]
    assert run_with(3, reduction.shape, reduction.faults) == reduction.report

"""`make mutants`: lets each deliberate bug in, one at a time, and says what noticed it. A survivor fails the run."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.catalogue import ROOT, Mutant, load
from tests.mutants.site import Site

AIMED_SECONDS = 300.0
"""For the aimed tests of one mutant. The slowest take a tenth of it."""
BY_SEED = "killed by a seed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every mutant was noticed and the sound source passes the same tests."""
    options = _options(arguments)
    mutants = choose(load(), options.only, options.sample, _commits())
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        site = Site(Path(folder))
        print(f"{len(mutants)} mutants: {', '.join(mutant.name for mutant in mutants)}", flush=True)
        if not _sound(site, mutants):
            return 1
        verdicts = {mutant.name: _verdict(site, mutant, options.minutes) for mutant in mutants}
        if BY_SEED in verdicts.values() and not _sound_seeds(site, options.minutes):
            return 1
    survivors = [name for name, verdict in verdicts.items() if not verdict]
    if survivors:
        print(f"SURVIVED: {', '.join(survivors)}")
        return 1
    print(f"all {len(mutants)} killed")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", default="", help="names, or groups, with commas between them")
    parser.add_argument("--sample", type=int, default=0, help="so many, another set for every commit")
    parser.add_argument("--minutes", type=float, default=10.0, help="of seeds, for a mutant its aimed tests let live")
    return parser.parse_args(arguments)


def choose(mutants: Sequence[Mutant], only: str, sample: int, commits: int) -> list[Mutant]:
    """Return the mutants asked for; ValueError for a name that is none. `commits` makes the sample rotate."""
    wanted = {name for name in only.split(",") if name}
    unknown = wanted - {mutant.name for mutant in mutants} - {mutant.group for mutant in mutants}
    if unknown:
        raise ValueError(f"no such mutant or group: {', '.join(sorted(unknown))}")
    chosen = [mutant for mutant in mutants if not wanted or mutant.name in wanted or mutant.group in wanted]
    if not 0 < sample < len(chosen):
        return chosen
    first = commits * sample % len(chosen)
    return (chosen + chosen)[first : first + sample]


def _commits() -> int:
    """How many commits there are; 0 where this is no clone, or there is no git."""
    if shutil.which("git") is None:
        return 0
    counted = subprocess.run(
        ("git", "rev-list", "--count", "HEAD"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    return int(counted.stdout) if counted.returncode == 0 else 0


def _sound(site: Site, mutants: Sequence[Mutant]) -> bool:
    tests = sorted({test for mutant in mutants for test in mutant.aimed})
    code, output, seconds = site.run_tests(tests, 4 * AIMED_SECONDS)
    print(f"without any of them: {'sound' if code == 0 else output} ({seconds:.0f} s)", flush=True)
    return code == 0


def _sound_seeds(site: Site, minutes: float) -> bool:
    """Whether the simulator finds nothing in the sound source: else what it found with a mutant proves nothing."""
    code, output, seconds = site.run_seeds(minutes)
    print(f"without any of them, seeds: {'sound' if code == 0 else output} ({seconds:.0f} s)", flush=True)
    return code == 0


def _verdict(site: Site, mutant: Mutant, minutes: float) -> str:
    """Return what noticed the mutant, "" if nothing did."""
    site.put(mutant)
    try:
        verdict, seconds = _judge(site, mutant, minutes)
    finally:
        site.restore(mutant)
    print(f"{mutant.group:12} {mutant.name:32} {verdict or 'SURVIVED'} ({seconds:.0f} s): {mutant.says}", flush=True)
    return verdict


def _judge(site: Site, mutant: Mutant, minutes: float) -> tuple[str, float]:
    code, output, seconds = site.run_tests(mutant.aimed, AIMED_SECONDS)
    if code == 1:
        failed = [line.split()[1] for line in output.splitlines() if line.startswith("FAILED ")]
        return f"killed by {failed[0].rpartition('::')[2] if failed else 'its tests'}", seconds
    if code is None:
        return "killed by standing still", seconds
    if code != 0:
        # Neither green nor red: the tests could not be run, which says nothing about the mutant.
        print(output)
        return "", seconds
    code, output, more = site.run_seeds(minutes)
    if code not in (0, 1):
        print(output)
    return (BY_SEED if code == 1 else ""), seconds + more


if __name__ == "__main__":
    sys.exit(main())

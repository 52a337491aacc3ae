"""Real nodes, a workload, and faults one after the other; then everything the clients were told is judged.

`python -m tests.cluster.chaos --minutes N --nemesis all --nodes 3`: exit 0 if no anomaly was found, the load before
each fault was enough, and the cluster recovered from each. The work is done in rounds of at most ten minutes, each with
a cluster of its own; every round runs in namespaces of its own, with which all it made ends.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.field import Field
from tests.cluster.load import ROOT, Load
from tests.cluster.nemeses import NEMESES, chosen
from tests.cluster.nemesis import Nemesis
from tests.cluster.recovery import Fault, recoveries, summary
from tests.cluster.settling import GROUPS, Settled, gather
from tests.linearizability.models import build_models
from tests.support.network import ISOLATED
from tests.support.waiting import wait_for
from tests.workloads.bodies import now_us
from tests.workloads.checker import check
from tests.workloads.history import read

TOPIC = "orders"
QUEUES = 8
ROUND_MINUTES_MAX = 10.0
RATE_MIN = 100.0
"""Operations a second that must succeed before a fault, or the run does not count."""
RATE_WAIT_S = 60.0
HOLD_S = 10.0
HOLD_SPREAD = 0.4
IMAGE_BYTES = 8 << 30


@dataclass(frozen=True)
class Options:
    """What is asked for. `control` spoils the nodes: the run must then find something."""

    minutes: float
    nemesis: str
    nodes: int
    rate: float
    hold_s: float
    seed: int
    control: str
    out: Path
    models: Path | None
    round: bool


def say(text: str) -> None:
    """Tells whoever watches."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Round:
    """One cluster and its faults."""

    def __init__(self, options: Options, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.chooser = random.Random(options.seed)
        self.faults: list[Fault] = []

    def run(self) -> bool:
        """True if nothing was found."""
        nemeses = chosen(self.options.nemesis)
        clocks = any(one.needs_clocks for one in nemeses)
        with Field(self.folder, self.options.nodes, IMAGE_BYTES, self.options.control, clocks) as field:
            field.cluster.start()
            field.cluster.create_topic(TOPIC, QUEUES)
            field.cluster.put_groups(GROUPS)
            if self.options.control:
                field.keep_what_is_there()
            with Load(self.folder, field.cluster.addresses, TOPIC, QUEUES, self.options.rate) as load:
                try:
                    return self._disturb_and_judge(field, load, nemeses)
                finally:
                    for node in field.nodes:
                        if not node.is_running:
                            say(f"{node.name} does not run; it said last: {node.tail(3)}")

    def _disturb_and_judge(self, field: Field, load: Load, nemeses: list[type[Nemesis]]) -> bool:
        began = time.monotonic()
        for kind in self._sequence(nemeses):
            if time.monotonic() - began > self.options.minutes * 60 and self.faults:
                break
            self._disturb(field, load, kind(field, self.chooser))
        settled = Settled(field, TOPIC, QUEUES, load)
        settled.settle()
        whole = self.folder / "history.jsonl"
        gather([client.history for client in load.clients], settled.events, whole)
        verdict = check(read(whole))
        for line in verdict.lines():
            say(line)
        linearizable = self._is_linearizable(whole)
        with (self.folder / "faults.jsonl").open("w", encoding="utf-8") as file:
            for fault in recoveries(self.faults, read(whole)):
                file.write(json.dumps(fault.facts()) + "\n")
        (self.folder / "verdict.txt").write_text("\n".join(verdict.lines()) + "\n", encoding="utf-8")
        return not verdict.anomalies and linearizable

    def _is_linearizable(self, whole: Path) -> bool:
        """What the models say of the history."""
        judged = subprocess.run(
            [str(self.options.models), str(whole)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        for line in (judged.stdout + judged.stderr).splitlines():
            say(line)
        return judged.returncode == 0

    def _sequence(self, nemeses: list[type[Nemesis]]) -> Iterator[type[Nemesis]]:
        """All of them in an order of chance, again and again."""
        while True:
            yield from self.chooser.sample(nemeses, len(nemeses))

    def _disturb(self, field: Field, load: Load, nemesis: Nemesis) -> None:
        """One fault, from enough load before it to enough load after it. Raises TimeoutError where there is none."""
        field.wait_whole()
        wait_for(f"{RATE_MIN:g} operations a second", lambda: self._is_busy(load), RATE_WAIT_S)
        rate, began_us = load.rate(), now_us()
        what = nemesis.start()
        say(f"{nemesis.name}: {what} (at {rate:.0f} operations/s)")
        threading.Event().wait(self.options.hold_s * self.chooser.uniform(1 - HOLD_SPREAD, 1 + HOLD_SPREAD))
        nemesis.heal()
        self.faults.append(Fault(nemesis.name, what, nemesis.keeps_majority, began_us, now_us(), rate))
        load.expect_running()

    @staticmethod
    def _is_busy(load: Load) -> bool:
        load.expect_running()
        return load.rate() >= RATE_MIN


def rounds(options: Options) -> int:
    """Runs the rounds, each in a process and in namespaces of its own; returns the exit code."""
    options.out.mkdir(parents=True, exist_ok=True)
    models = build_models(options.out)
    count = max(1, round(options.minutes / ROUND_MINUTES_MAX))
    results = []
    for number in range(1, count + 1):
        folder = Path(tempfile.mkdtemp(prefix="tallymq-chaos-", dir=options.out))
        seed = options.seed + number
        say(f"round {number} of {count}, seed {seed}, in {folder}")
        command = [
            *ISOLATED, sys.executable, "-m", "tests.cluster.chaos", "--round",
            "--minutes", str(options.minutes / count), "--nemesis", options.nemesis, "--nodes", str(options.nodes),
            "--rate", str(options.rate), "--hold-s", str(options.hold_s), "--seed", str(seed),
            "--control", options.control, "--out", str(folder), "--models", str(models),
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
        ended = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False)
        for image in folder.glob("*.img"):
            image.unlink()
        results.append((folder, ended.returncode))
        say(f"round {number}: {'nothing found' if ended.returncode == 0 else f'FAILED, see {folder}'}")
    for line in summary([folder for folder, _ in results]):
        say(line)
    for folder, code in results:
        if code == 0:
            for path in folder.glob("*.jsonl"):
                if path.name != "faults.jsonl":
                    path.unlink()
            shutil.rmtree(folder / "cluster", ignore_errors=True)
    return 0 if all(code == 0 for _, code in results) else 1


def parse(arguments: list[str] | None = None) -> Options:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.chaos")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--nemesis", default="all", help=f"all, or of {', '.join(sorted(NEMESES))}, joined by commas")
    parser.add_argument("--nodes", type=int, choices=(3, 5), default=3)
    parser.add_argument("--rate", type=float, default=250.0, help="operations a second that the clients begin")
    parser.add_argument("--hold-s", type=float, default=HOLD_S, help="how long a fault lasts, more or less")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--control", choices=("", "no-sync", "lying-sync"), default="")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "chaos")
    parser.add_argument("--models", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--round", action="store_true", help=argparse.SUPPRESS)
    options = Options(**vars(parser.parse_args(arguments)))
    try:
        chosen(options.nemesis)
    except KeyError as error:
        parser.error(f"no nemesis {error}; there are {', '.join(sorted(NEMESES))}")
    return options


def main() -> int:
    """Runs it."""
    options = parse()
    if not options.round:
        return rounds(options)
    return 0 if Round(options, options.out).run() else 1


if __name__ == "__main__":
    sys.exit(main())

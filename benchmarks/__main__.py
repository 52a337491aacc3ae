"""`make bench`: the figures of this machine. Prints a table and writes build/bench/<time>.json."""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.measure import Figures, run_load
from benchmarks.trial.run import run_trial
from tests.support.nodes import Cluster

RESULTS = Path(__file__).resolve().parent.parent / "build" / "bench"
# The backlog that is consumed holds what the publish row stored, but not more than this.
CONSUMED_RECORDS_MAX = 300_000


@dataclass(frozen=True)
class Work:
    """A row of the table. `trial` marks the shapes that the bare trial can do too."""

    name: str
    kind: str
    records: int
    body_bytes: int
    in_flight: int
    rate: float = 0.0
    trial: bool = False


WORKS = (
    Work("transactions, 256 B, frames of 1,024", "transactions", 1024, 256, 6, trial=True),
    Work("transactions, 1 KiB, frames of 256", "transactions", 256, 1024, 8, trial=True),
    Work("transactions, 1 KiB, one in flight", "transactions", 1, 1024, 1, trial=True),
    Work("transactions, 1 KiB, 100/s", "transactions", 1, 1024, 1, rate=100.0),
    Work("publish, 1 KiB, frames of 256", "publish", 256, 1024, 8),
    Work("consume a backlog, 1 KiB", "consume", 0, 1024, 1),
    Work("publish to consumer, 1 KiB, 100/s", "end-to-end", 1, 1024, 1, rate=100.0),
)


def measure(cluster: Cluster, number: int, work: Work, published: int, options: argparse.Namespace) -> Figures:
    """Runs one row against the product, on a topic of its own (but a backlog is consumed where it was published)."""
    topic = "bench-backlog" if work.kind in ("publish", "consume") else f"bench-{number}"
    cluster.create_topic(topic, options.queues)
    records = min(published, CONSUMED_RECORDS_MAX) if work.kind == "consume" else work.records
    command = ["benchmarks.load", work.kind, cluster.nodes[0].client_address, topic]
    command += ["--records", str(records), "--body-bytes", str(work.body_bytes), "--in-flight", str(work.in_flight)]
    command += ["--seconds", str(options.seconds), "--warm-up-s", str(options.warm_up_s), "--rate", str(work.rate)]
    return run_load(work.name, command, cluster.processes(), timeout_s=30 * options.seconds + 120)


def measure_all(folder: Path, options: argparse.Namespace, console: Console) -> list[Figures]:
    """Every row, the product's and then the trial's of the same shape."""
    rows: list[Figures] = []
    chosen = [work for work in WORKS if options.only in work.name]
    with Cluster.create(folder / "cluster", node_count=3) as cluster:
        cluster.start()
        published = CONSUMED_RECORDS_MAX
        for number, work in enumerate(chosen):
            console.print(f"{work.name} ...")
            rows.append(measure(cluster, number, work, published, options))
            if work.kind == "publish":
                published = int(rows[-1].operations_per_s * options.seconds)
    for work in chosen:
        if work.trial and not options.no_trial:
            name = f"trial: {work.name}"
            console.print(f"{name} ...")
            shape = (work.records, work.body_bytes, work.in_flight, options.seconds, options.warm_up_s)
            rows.append(run_trial(folder / "trial", name, *shape))
    return rows


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="measured time of each row (8)")
    parser.add_argument("--warm-up-s", type=float, default=2.0, help="before it (2)")
    parser.add_argument("--queues", type=int, default=4, help="queues of each topic, spread over the shards (4)")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--no-trial", action="store_true", help="leave the bare trial out")
    parser.add_argument("--folder", type=Path, default=None, help="where the nodes keep their data (a temporary place)")
    parser.add_argument("--against", type=Path, default=None, help="a saved run to compare with")
    parser.add_argument("--out", type=Path, default=None, help="where to save this run (build/bench/TIME.json)")
    return parser.parse_args()


def main() -> int:
    """Exit code 1 where a row failed."""
    options = parse()
    console = report.make_console()
    old = report.load(options.against) if options.against else None
    with tempfile.TemporaryDirectory(prefix="tallymq-bench-", dir=options.folder) as folder:
        rows = measure_all(Path(folder), options, console)
    report.print_table(rows, console)
    report.print_ratios(rows, console)
    settings = {"seconds": options.seconds, "warm_up_s": options.warm_up_s, "queues": options.queues}
    run = report.as_json(rows, settings)
    path = options.out or RESULTS / time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime())
    report.save(run, path)
    console.print(f"saved as {path}")
    if old is not None:
        report.print_comparison(old, run, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())

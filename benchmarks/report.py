"""A run as a table for people and as JSON for programs, and two runs side by side."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import OTHERS_CORES_MAX, Figures

FORMAT = 1
# In a file or a pipe there is no width to fit into.
COLUMNS_MIN = 150
Run = Mapping[str, Any]


def make_console() -> Console:
    """Where the tables go."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, COLUMNS_MIN))


def processor() -> str:
    """What the machine calls its processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def commit() -> str:
    """The commit that is measured, with a + where files differ from it; empty where git does not know."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12"]
    folder = Path(__file__).resolve().parent
    try:
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return ""
    return ran.stdout.strip()


def as_json(rows: Sequence[Figures], settings: Mapping[str, object]) -> dict[str, object]:
    """What is saved of a run."""
    return {
        "format": FORMAT,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit(),
        "machine": {"cores": os.cpu_count(), "processor": processor(), "system": platform.platform()},
        "python": platform.python_version(),
        "settings": dict(settings),
        "rows": [row.to_json() for row in rows],
    }


def save(run: Run, path: Path) -> None:
    """Writes a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")


def load(path: Path) -> dict[str, Any]:
    """Reads a run. Raises ValueError where the file is none."""
    run = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(run, dict) or run.get("format") != FORMAT:
        raise ValueError(f"{path} is not a run of benchmarks of format {FORMAT}")
    return run


def print_table(rows: Sequence[Figures], console: Console) -> None:
    """One line a row."""
    table = Table(title="Three nodes, fsync on each, one machine")
    table.add_column("work")
    for name in ("ops/s", "MB/s", "p50 ms", "p99 ms", "CPU us/op", "client", "nodes", "RSS MB", "others"):
        table.add_column(name, justify="right")
    for row in rows:
        busy = f"{row.others_cores:.2f}{' !' if row.others_cores > OTHERS_CORES_MAX else ''}"
        table.add_row(
            row.name,
            f"{row.operations_per_s:,.0f}",
            f"{row.mb_per_s:,.1f}",
            f"{row.p50_ms:,.2f}" if row.p50_ms else "",
            f"{row.p99_ms:,.2f}" if row.p99_ms else "",
            f"{row.cpu_us:,.1f}",
            f"{row.cpu_us_client:,.1f}",
            "/".join(f"{one:,.1f}" for one in row.cpu_us_servers),
            "/".join(f"{one:.0f}" for one in row.rss_mb),
            busy,
        )
    console.print(table)
    console.print("others: cores that other processes used meanwhile; ! marks a run that they disturbed")


def print_ratios(rows: Sequence[Figures], console: Console) -> None:
    """The product as a part of the bare trial of the same shape."""
    by_name = {row.name: row for row in rows}
    for name, row in by_name.items():
        trial = by_name.get(f"trial: {name}")
        if trial is not None and trial.operations_per_s:
            ratio = row.operations_per_s / trial.operations_per_s
            console.print(f"{name}: {ratio:.2f} of the trial's rate, {row.cpu_us / trial.cpu_us:.1f} times its CPU")


def print_comparison(old: Run, new: Run, console: Console) -> None:
    """The second run beside the first, row by row."""
    table = Table(title=f"{old['commit']} -> {new['commit']}")
    table.add_column("work")
    for name in ("ops/s", "", "p99 ms", "", "CPU us/op", ""):
        table.add_column(name, justify="right")
    before = {row["name"]: row for row in old["rows"]}
    for row in new["rows"]:
        if row["name"] in before:
            cells = []
            for key in ("operations_per_s", "p99_ms", "cpu_us"):
                first, second = before[row["name"]][key], row[key]
                change = f"{(second / first - 1) * 100:+.0f} %" if first else ""
                cells += [f"{first:,.1f} -> {second:,.1f}", change]
            table.add_row(row["name"], *cells)
    console.print(table)
    if old["machine"] != new["machine"]:
        console.print("These runs are from different machines: compare each with its own trial instead.")

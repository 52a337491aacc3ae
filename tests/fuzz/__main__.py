"""`python -m tests.fuzz [TARGET ...] --executions N`: each target in a process of its own, one after the other.

What is found lies in build/fuzz: a file `crash-...` whose bytes fail, for `--replay TARGET FILE`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
FOUND = ROOT / "build" / "fuzz"
RSS_MIB_MAX = 768
"""Of a whole fuzzing process; a decoder that lets its input decide how much it takes goes over it."""
EXECUTION_S_MAX = 10
INSTRUMENTED = ["tallymq.raftlog", "tallymq.txn", "tallymq.service"]


def fuzz_here(name: str, corpus: Path, executions: int) -> None:
    """Fuzzes one target in this process, which ends with it."""
    import atheris  # wanted only where it fuzzes

    for loaded in [module for module in sys.modules if module.startswith(("tallymq", "tests.fuzz"))]:
        del sys.modules[loaded]
    with atheris.instrument_imports(include=INSTRUMENTED):
        target = importlib.import_module("tests.fuzz.targets").TARGETS[name]
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    FOUND.mkdir(parents=True, exist_ok=True)
    options = [
        f"-runs={executions}",
        f"-max_len={target.length_max}",
        f"-rss_limit_mb={RSS_MIB_MAX}",
        f"-timeout={EXECUTION_S_MAX}",
        f"-artifact_prefix={FOUND}/{name}-",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.run)
    atheris.Fuzz()


def fuzz(name: str, executions: int) -> bool:
    """Fuzzes one target in a process of its own; True if nothing was found."""
    corpus = Path(tempfile.mkdtemp(prefix=f"tallymq-fuzz-{name}-"))
    try:
        command = [sys.executable, "-m", "tests.fuzz", name, "--here", str(corpus), "--executions", str(executions)]
        print(f"== {name}", flush=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, check=False
        )
        print(f"== {name}: {'nothing found' if ended.returncode == 0 else 'FOUND'}", flush=True)
        return ended.returncode == 0
    finally:
        shutil.rmtree(corpus)


def main() -> int:
    """Exit 1 where any target found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; none: all")
    parser.add_argument("--executions", type=int, default=100_000, help="of each target")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--replay", type=Path, help="run the one target with the bytes of this file")
    options = parser.parse_args()
    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no target {unknown[0]!r}; there are {', '.join(TARGETS)}")
    if options.here is not None:
        fuzz_here(options.targets[0], options.here, options.executions)
        return 0
    if options.replay is not None:
        TARGETS[options.targets[0]].run(options.replay.read_bytes())
        return 0
    clean = [fuzz(name, options.executions) for name in options.targets or TARGETS]
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())

"""How long writes failed because of each fault, told from the history of the clients."""

import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from tests.workloads.history import History, Outcome, Prepare, Publish

SETTLED_US = 10_000_000
"""How long after the last fault was healed it is still looked for silence; after the others, until the next one."""


@dataclass(frozen=True)
class Fault:
    """What was done when. `silence_s`: the longest that any queue had no write answered, beginning while it lasted or
    right after; `resumed_s`: from its healing until every queue had one answered that began after it."""

    nemesis: str
    what: str
    keeps_majority: bool
    began_us: int
    healed_us: int
    rate_before: float
    silence_s: float = 0.0
    resumed_s: float = 0.0

    def facts(self) -> dict[str, object]:
        """For a file."""
        return asdict(self)


Spans = list[tuple[int, int]]
"""When writes that were answered OK began and ended, by their end."""


def recoveries(faults: Sequence[Fault], events: Iterable[History]) -> list[Fault]:
    """The faults, with how long each was felt."""
    written: defaultdict[int, Spans] = defaultdict(list)
    for event in events:
        if isinstance(event, Publish | Prepare) and event.outcome is Outcome.OK:
            written[event.messages[0].queue].append((event.ended_us, event.began_us))
    for spans in written.values():
        spans.sort()
    queues = list(written.values())
    untils_us = [following.began_us for following in faults[1:]] + [faults[-1].healed_us + SETTLED_US] if faults else []
    return [_measured(fault, until_us, queues) for fault, until_us in zip(faults, untils_us, strict=True)]


def _measured(fault: Fault, until_us: int, queues: list[Spans]) -> Fault:
    silence = max(_silence_us(fault, until_us, spans) for spans in queues)
    resumed = max(_resumed_us(fault, spans) for spans in queues)
    facts = {**fault.facts(), "silence_s": silence / 1e6, "resumed_s": resumed / 1e6}
    return Fault(**facts)  # type: ignore[arg-type]  # the fields it was made of


def _silence_us(fault: Fault, until_us: int, spans: Spans) -> int:
    ends = [ended for ended, _ in spans]
    begin = max(bisect_right(ends, fault.began_us) - 1, 0)
    seen = ends[begin : bisect_right(ends, until_us)]
    return max((after - before for before, after in pairwise(seen)), default=until_us - fault.began_us)


def _resumed_us(fault: Fault, spans: Spans) -> int:
    for ended, began in spans[bisect_left(spans, (fault.healed_us, 0)) :]:
        if began >= fault.healed_us:
            return ended - fault.healed_us
    return 0


def percentile(values: list[float], share: float) -> float:
    """The value that so much of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def summary(folders: Iterable[Path]) -> list[str]:
    """Lines for a reader: by nemesis and over all, how long writes were silent and took to resume."""
    faults: list[dict[str, object]] = []
    for folder in folders:
        path = folder / "faults.jsonl"
        if path.exists():
            faults += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    by_name: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
    for fault in faults:
        by_name[str(fault["nemesis"])].append(fault)
    lines = [_line(name, of_name) for name, of_name in sorted(by_name.items())]
    kept = [fault for fault in faults if fault["keeps_majority"]]
    if kept:
        lines.append(_line("with a majority", kept))
    return [*lines, _line("all", faults)] if faults else ["no fault was healed"]


def _line(name: str, faults: list[dict[str, object]]) -> str:
    figures = []
    for field in ("silence_s", "resumed_s"):
        values = [float(str(fault[field])) for fault in faults]
        p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
        figures.append(f"{field} p50 {p50:.2f} p99 {p99:.2f} worst {max(values):.2f}")
    return f"{name}: {len(faults)} faults; {'; '.join(figures)}"

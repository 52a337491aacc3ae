"""Looks at a history for everything that must not be in it: `python -m tests.workloads.checker FILE`.

An anomaly is told from what clients were told and saw, never from the inside of a node. What a caller does not know
(an UNKNOWN outcome) may have happened or not, and is held against nobody; but it may not be both.

Kinds, a file for each column:
- `checker_log`           what is on a queue: lost, refused-stored, phantom, corrupted, duplicate-store, offset-reuse,
                          offset-gap, nonmonotonic-send;
- `checker_transactions`  outcome-flip, rolled-back-delivered, undecided-delivered, half-delivered,
                          committed-never-delivered, check-gap;
- `checker_groups`        unobserved, nonmonotonic and skip (within one delivery: internal; across: external),
                          offset-backwards, acknowledged-delivered; duplicate deliveries are counted.
"""

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tests.workloads import checker_groups, checker_log, checker_transactions
from tests.workloads.checker_seen import Anomaly, Seen
from tests.workloads.history import History, Outcome, read


class Verdict(msgspec.Struct, frozen=True):
    """What a history showed. `counts`: events by kind and outcome, and `duplicate-delivery`, which is allowed."""

    anomalies: tuple[Anomaly, ...]
    counts: dict[str, int]

    @property
    def kinds(self) -> set[str]:
        """The kinds of anomalies there are."""
        return {anomaly.kind for anomaly in self.anomalies}

    def lines(self) -> list[str]:
        """Return it for a reader."""
        found = [f"{anomaly.kind}: {anomaly.text}" for anomaly in self.anomalies]
        counted = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        return [*found, counted, f"{len(found)} anomalies" if found else "no anomaly"]


def check(events: Iterable[History]) -> Verdict:
    """Judge a whole history."""
    seen = Seen(events)
    anomalies = [
        *checker_log.anomalies(seen),
        *checker_transactions.anomalies(seen),
        *checker_groups.anomalies(seen),
    ]
    return Verdict(tuple(anomalies), _counts(seen))


def _counts(seen: Seen) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for event in seen.events:
        name = type(event).__name__.lower()
        outcome = getattr(event, "outcome", None)
        counts[f"{name} {outcome.value}" if isinstance(outcome, Outcome) else name] += 1
    counts["duplicate-delivery"] = checker_groups.duplicate_deliveries(seen)
    return dict(counts)


def main() -> int:
    """Judge the file that is named."""
    verdict = check(read(Path(sys.argv[1])))
    print("\n".join(verdict.lines()))
    return 1 if verdict.anomalies else 0


if __name__ == "__main__":
    sys.exit(main())

"""What a run measured, as values that go into a table and into JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field


def percentile(sorted_values: Sequence[float], fraction: float) -> float:
    """The value below which this fraction lies; 0 where there is none."""
    if not sorted_values:
        return 0.0
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * fraction))]


@dataclass
class Window:
    """Counts and latencies between begin and end of the measured time. Latencies are in seconds, one for each frame."""

    operations: int = 0
    body_bytes: int = 0
    latencies: list[float] = field(default_factory=list)

    def note(self, operations: int, body_bytes: int, latency: float) -> None:
        """One frame is answered."""
        self.operations += operations
        self.body_bytes += body_bytes
        self.latencies.append(latency)

    def summary(self, seconds: float, cpu_seconds: float) -> dict[str, float]:
        """Rates per second, latencies in milliseconds."""
        ordered = sorted(self.latencies)
        return {
            "operations": self.operations,
            "seconds": round(seconds, 3),
            "operations_per_s": round(self.operations / seconds, 1),
            "mb_per_s": round(self.body_bytes / seconds / 1e6, 2),
            "p50_ms": round(percentile(ordered, 0.50) * 1e3, 3),
            "p99_ms": round(percentile(ordered, 0.99) * 1e3, 3),
            "max_ms": round((ordered[-1] if ordered else 0.0) * 1e3, 3),
            "client_cpu_s": round(cpu_seconds, 3),
        }

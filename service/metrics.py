"""Numbers for operators, in Prometheus' format. Counted where things happen; gauges are read when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Samples = Iterable[tuple[dict[str, str], float]]


class Metrics(Collector):
    """One registry for one node."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._gauges: list[tuple[str, str, Callable[[], Samples]]] = []
        self.calls = self._counter("tallymq_calls", "Calls and stream frames by outcome", ("rpc", "outcome"))
        self.checks_sent = self._counter("tallymq_checks_sent", "Checks sent to producers")
        self.checks_unanswered = self._counter(
            "tallymq_checks_unanswered", "Checks that nobody was there to answer, or that were answered by silence"
        )
        self.checks_answered = self._counter("tallymq_checks_answered", "Transactions decided by answers", ("answer",))
        self.records_delivered = self._counter("tallymq_records_delivered", "Records handed to consumers")
        self.record_bytes_delivered = self._counter("tallymq_record_bytes_delivered", "Bytes handed to consumers")
        self._registry.register(self)

    def count_call(self, rpc: str, outcome: str) -> None:
        """Count one call, or one frame of a stream, by its outcome: OK or the name of the refusal."""
        self.calls.labels(rpc, outcome).inc()

    def gauge(self, name: str, help_text: str, read: Callable[[], Samples]) -> None:
        """Add a gauge whose samples `read` gives at each scrape."""
        self._gauges.append((name, help_text, read))

    def collect(self) -> Iterable[Metric]:
        """Return the gauges as they are now."""
        for name, help_text, read in self._gauges:
            samples = list(read())
            labels = list(samples[0][0]) if samples else []
            family = GaugeMetricFamily(name, help_text, labels=labels)
            for values, number in samples:
                family.add_metric([values[label] for label in labels], number)
            yield family

    def page(self) -> bytes:
        """Return the whole text of a scrape."""
        return generate_latest(self._registry)

    def _counter(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, help_text, labels, registry=self._registry)

"""What Prometheus sees of a prover node; docs/operations.md and deploy/grafana/ show what to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_PREFIX = "proofmill_prover"
_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)

Labelled = Mapping[tuple[str, ...], float]
"""A value for each combination of label values."""


class Metrics:
    """The node's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.runs = self._counter("runs", "Containers that ended.", "role", "reason")
        self.run_seconds = self._histogram("run_seconds", "Wall time of containers.", "role")
        self.run_cpu_seconds = self._counter("run_cpu_seconds", "Processor time of containers that ended.", "role")
        self.run_gpu_seconds = self._counter("run_gpu_seconds", "GPU time of containers that ended.", "role")
        self.fetch_seconds = self._histogram("fetch_seconds", "Time until a job's files were here.", "role")
        self.fetched_bytes = self._counter("fetched_bytes", "Bytes of files that were fetched for jobs.", "role")
        self.tasks = self._counter("tasks", "Assignments that ended, by how the chain sees them.", "outcome")
        self.proofs = self._counter("proofs", "Proofs made.")
        self.failures = self._counter("failures", "Assignments that failed here.", "reason")
        self.verdicts = self._counter("verdicts", "Verdicts reached.", "verdict")
        self.entries = self._counter("entries", "Entries handed over for sending, repeats included.", "kind")

    def watch(self, name: str, what: str, read: Callable[[], float]) -> None:
        """Publish ``read()`` as the gauge ``proofmill_prover_<name>``."""
        Gauge(f"{_PREFIX}_{name}", what, registry=self.registry).set_function(read)

    def watch_each(self, name: str, what: str, labels: tuple[str, ...], read: Callable[[], Labelled]) -> None:
        """Publish what ``read()`` gives as a gauge with these labels."""
        self.registry.register(_Watched(GaugeMetricFamily, f"{_PREFIX}_{name}", what, labels, read))

    def watch_counts(self, name: str, what: str, labels: tuple[str, ...], read: Callable[[], Labelled]) -> None:
        """Publish what ``read()`` gives, and what never goes down, as a counter with these labels."""
        self.registry.register(_Watched(CounterMetricFamily, f"{_PREFIX}_{name}", what, labels, read))

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, *labels: str) -> Histogram:
        return Histogram(f"{_PREFIX}_{name}", what, labels, buckets=_SECONDS, registry=self.registry)


class _Watched(Collector):
    """Reads values when they are asked for, whatever their labels are by then."""

    def __init__(
        self,
        family: type[GaugeMetricFamily | CounterMetricFamily],
        name: str,
        what: str,
        labels: tuple[str, ...],
        read: Callable[[], Labelled],
    ) -> None:
        self._family = family
        self._name = name
        self._what = what
        self._labels = labels
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """The metric without values, so that registering reads none."""
        yield self._family(self._name, self._what, labels=self._labels)

    def collect(self) -> Iterable[Metric]:
        """The metric as it is now."""
        family = self._family(self._name, self._what, labels=self._labels)
        for values, number in self._read().items():
            family.add_metric(values, number)
        yield family

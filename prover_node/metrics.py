"""What Prometheus sees of a prover node."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)


class Metrics:
    """The node's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.runs = Counter(
            "proofmill_prover_runs", "Containers that ended.", ["role", "reason"], registry=self.registry
        )
        self.run_seconds = Histogram(
            "proofmill_prover_run_seconds",
            "Wall time of containers.",
            ["role"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.proofs = Counter("proofmill_prover_proofs", "Proofs made.", registry=self.registry)
        self.failures = Counter(
            "proofmill_prover_failures", "Assignments that failed.", ["reason"], registry=self.registry
        )
        self.verdicts = Counter("proofmill_prover_verdicts", "Verdicts reached.", ["verdict"], registry=self.registry)
        self.entries = Counter(
            "proofmill_prover_entries",
            "Entries handed over for sending, repeats included.",
            ["kind"],
            registry=self.registry,
        )

    def watch(self, name: str, what: str, read: Callable[[], float]) -> None:
        """Publish ``read()`` as the gauge ``proofmill_prover_<name>``."""
        Gauge(f"proofmill_prover_{name}", what, registry=self.registry).set_function(read)

"""What the node measures, for Prometheus."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from chain.transition import TxResult

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class NodeMetrics:
    """One node's own registry, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # resident memory, CPU seconds, open files
        self.height = Gauge("mill_height", "Height of the last committed block.", registry=self.registry)
        self.step_seconds = Histogram(
            "mill_block_step_seconds",
            "Time that the application takes for its part of a block.",
            ["step"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.block_txs = Histogram(
            "mill_block_txs", "Transactions a block.", buckets=(0, 1, 10, 100, 1_000, 5_000), registry=self.registry
        )
        self.txs = Counter(
            "mill_txs", "Transactions in committed blocks by result.", ["codespace", "code"], registry=self.registry
        )
        checks = Counter(
            "mill_mempool_checks",
            "Transactions checked for the mempool.",
            ["kind", "result"],
            registry=self.registry,
        )
        # Looked up once: this is on the path of every transaction.
        self._checks = {
            (recheck, accepted): checks.labels("recheck" if recheck else "new", "accepted" if accepted else "refused")
            for recheck in (False, True)
            for accepted in (False, True)
        }
        self.queries = Counter("mill_queries", "Queries answered.", ["transport", "result"], registry=self.registry)
        self._store_bytes = Gauge("mill_store_bytes", "Size of the state's files on disk.", registry=self.registry)
        self._signature_hits = Gauge(
            "mill_signature_cache_hits", "Signatures that needn't be verified a second time.", registry=self.registry
        )
        self._signature_misses = Gauge(
            "mill_signature_cache_misses", "Signatures that were verified.", registry=self.registry
        )

    @contextmanager
    def time_step(self, step: str) -> Iterator[None]:
        """Count the time until the block ends as one of the steps of a block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.step_seconds.labels(step).observe(time.perf_counter() - started)

    def count_check(self, *, recheck: bool, accepted: bool) -> None:
        """Count a CheckTx."""
        self._checks[recheck, accepted].inc()

    def count_block(self, height: int, results: Sequence[TxResult]) -> None:
        """Count a committed block and what became of its transactions."""
        self.height.set(height)
        self.block_txs.observe(len(results))
        for (codespace, code), count in collections.Counter((one.codespace, one.code) for one in results).items():
            self.txs.labels(codespace, code).inc(count)

    def watch_store(self, directory: Path) -> None:
        """Report the size of the state in `directory`, measured when asked for."""
        self._store_bytes.set_function(lambda: _size_of(directory))

    def watch_signatures(self, hits: Callable[[], int], misses: Callable[[], int]) -> None:
        """Report the signature cache's own counters."""
        self._signature_hits.set_function(hits)
        self._signature_misses.set_function(misses)

    def render(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)


def _size_of(directory: Path) -> float:
    total = 0
    for file in directory.iterdir():
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue  # compacted away while we looked
    return float(total)

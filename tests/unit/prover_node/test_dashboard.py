"""The dashboard and the alarms name only what a daemon exports, with the labels that it has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import Counter, Histogram

from client.keys.private_key import PrivateKey
from prover_node import daemon
from prover_node.home import Home
from prover_node.metrics import Labelled, Metrics
from prover_node.settings import ChainSettings, HttpSettings, ResourceSettings, Settings
from tests.support.imports import ROOT
from tests.support.weak_runner import WeakRunner

DEPLOY = ROOT / "deploy"
# Prometheus's own.
GIVEN = {"instance", "job"}
METRIC = re.compile(r"(proofmill_prover_\w+)(?:\{([^}]*)\})?")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
LEGEND = re.compile(r"\{\{ ?\$?(?:labels\.)?(\w+) ?\}\}")


class Recorded(Metrics):
    """Notes down the labels of each time series that is exported, by its name."""

    def __init__(self) -> None:
        self.labels: dict[str, set[str]] = {}
        super().__init__()

    def watch(self, name: str, what: str, read: Callable[[], float]) -> None:
        self.labels[f"proofmill_prover_{name}"] = set()
        super().watch(name, what, read)

    def watch_each(self, name: str, what: str, labels: tuple[str, ...], read: Callable[[], Labelled]) -> None:
        self.labels[f"proofmill_prover_{name}"] = set(labels)
        super().watch_each(name, what, labels, read)

    def watch_counts(self, name: str, what: str, labels: tuple[str, ...], read: Callable[[], Labelled]) -> None:
        self.labels[f"proofmill_prover_{name}_total"] = set(labels)
        super().watch_counts(name, what, labels, read)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        self.labels[f"proofmill_prover_{name}_total"] = set(labels)
        return super()._counter(name, what, *labels)

    def _histogram(self, name: str, what: str, *labels: str) -> Histogram:
        self.labels[f"proofmill_prover_{name}_bucket"] = {*labels, "le"}
        self.labels[f"proofmill_prover_{name}_sum"] = set(labels)
        return super()._histogram(name, what, *labels)


@pytest.fixture
async def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """What a real daemon exports."""
    made: list[Recorded] = []

    def make() -> Recorded:
        made.append(Recorded())
        return made[-1]

    monkeypatch.setattr(daemon, "Metrics", make)
    home = Home(tmp_path / "home")
    settings = Settings(
        chain=ChainSettings(id="test-1", operator=PrivateKey(b"\1" * 32).address, nodes=["http://127.0.0.1:9"]),
        http=HttpSettings(listen="127.0.0.1:0", endpoints=["http://127.0.0.1:8700"]),
        resources=ResourceSettings(cpu_millis=4000, memory_bytes=1 << 32, gpus=0),
    )
    home.create(settings, PrivateKey.generate())
    with pytest.raises(daemon.UnenforcedLimits):
        await daemon.Daemon(home, settings, WeakRunner()).run()
    (recorded,) = made
    families = {f"{one.name}{'_total' if one.type == 'counter' else ''}" for one in recorded.registry.collect()}
    # What is noted down is what is really there.
    assert families == {name.removesuffix("_bucket") for name in recorded.labels if not name.endswith("_sum")}
    return recorded.labels


def queries() -> Iterator[tuple[str, str]]:
    """Each query, and the text in which its labels are shown."""
    dashboard = json.loads((DEPLOY / "grafana" / "prover.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["expr"], ""


async def test_every_query_is_answered_by_what_the_daemon_exports(exported: dict[str, set[str]]) -> None:
    seen = set()
    for query, legend in queries():
        grouped = {label for group in GROUPED.findall(query) for label in re.findall(r"\w+", group)}
        for name, matchers in METRIC.findall(query):
            assert name in exported, f"{name} in {query} isn't exported"
            seen.add(name)
            labels = exported[name] | GIVEN
            asked = set(re.findall(r"(\w+) ?[=!]", matchers)) | grouped
            assert asked <= labels, f"{name} has no label {asked - labels}: {query}"
            shown = set(LEGEND.findall(legend))
            assert shown <= (grouped or labels), f"{shown} are no labels of {query}"
    assert len(seen) > 30


def test_the_dashboard_s_panels_lie_beside_each_other() -> None:
    panels = json.loads((DEPLOY / "grafana" / "prover.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + right, at["y"] + down) for right in range(at["w"]) for down in range(at["h"])}
        assert not cells & taken, f"{panel['title']} lies over another panel"
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_what_grafana_and_prometheus_are_told_fits_together() -> None:
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    assert prometheus["rule_files"] == ["alerts.yml"]
    jobs = {one["job_name"] for one in prometheus["scrape_configs"]}
    named = set(re.findall(r'job="([^"]+)"', (DEPLOY / "prometheus" / "alerts.yml").read_text()))
    assert named <= jobs

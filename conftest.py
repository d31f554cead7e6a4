"""Fixtures for every test, and the lines that say at the end which container runners were really exercised."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.engine import Engine, NoEngineError, any_engine

pytest_plugins = ["tests.support.localnet", "tests.support.ahead"]

ROOT = Path(__file__).resolve().parent
RUNNER_FIXTURES = {"docker": "docker_engine", "sandbox": "bwrap"}

settings.register_profile("default", deadline=None, print_blob=True)  # no test may depend on the machine's speed
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


class RunnerTally:
    """Counts, for each runner, the tests that used it and passed, and keeps why it couldn't be had.

    A test uses a runner when it asks for the fixture in RUNNER_FIXTURES, or is parametrised with `runner="docker"`.
    """

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        self.missing: dict[str, str] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "call" and report.passed:
            fixtures = getattr(item, "fixturenames", ())
            parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
            for runner, fixture in RUNNER_FIXTURES.items():
                if fixture in fixtures or parameters.get("runner") == runner:
                    self.passed[runner] += 1
        return report

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("container runners")
        for runner in RUNNER_FIXTURES:
            if self.passed[runner]:
                line = f"exercised ({self.passed[runner]} tests passed)"
            else:
                line = f"NOT EXERCISED ({self.missing.get(runner, 'no test that uses it was selected and passed')})"
            terminalreporter.line(f"runner {runner}: {line}")


TALLY = pytest.StashKey[RunnerTally]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TALLY] = RunnerTally()
    config.pluginmanager.register(config.stash[TALLY], "runner-tally")


@pytest.fixture(scope="session")
def docker_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A Docker engine: the running one, else a private one when we are root; without either the test is skipped."""
    try:
        with any_engine() as engine:
            yield engine
    except NoEngineError as error:
        request.config.stash[TALLY].missing["docker"] = str(error)
        pytest.skip(f"runner docker: {error}")


@pytest.fixture(scope="session")
def bwrap(request: pytest.FixtureRequest) -> Path:
    """The bubblewrap executable behind the sandbox runner; without one the test is skipped."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(ROOT / ".tools" / "bin")])
    found = shutil.which("bwrap", path=path)
    if found is None:
        reason = "bubblewrap isn't installed; `scripts/tools.py ensure bwrap` gets it"
        request.config.stash[TALLY].missing["sandbox"] = reason
        pytest.skip(f"runner sandbox: {reason}")
    return Path(found)

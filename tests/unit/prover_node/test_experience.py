"""What earlier runs say about how long the next one takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prover_node.duties import ContainerSpec, FileKind, FileRef
from prover_node.experience import LEAST_RUNS, RUNS_MAX, Experience
from prover_node.runner.base import Reason
from tests.support.prover_duties import outcome, spec

SPEC = replace(spec(), program="aa")


@pytest.fixture
def experience(tmp_path: Path) -> Experience:
    return Experience(tmp_path / "experience")


def see(experience: Experience, *times_ms: int) -> None:
    for ms in times_ms:
        experience.add(SPEC, replace(outcome(), wall_ms=ms))


def test_nothing_is_said_before_enough_was_seen(experience: Experience) -> None:
    see(experience, *[1000] * (LEAST_RUNS - 1))
    assert experience.likely_ms(SPEC) == 0
    see(experience, 1000)
    assert experience.likely_ms(SPEC) == 1250


def test_nearly_all_runs_took_no_longer(experience: Experience) -> None:
    see(experience, *range(1000, 41_000, 1000))
    assert experience.likely_ms(SPEC) == 38_000 * 5 // 4


def test_what_was_long_ago_is_forgotten(experience: Experience) -> None:
    see(experience, *[50_000] * 64, *[1000] * 64)
    assert experience.likely_ms(SPEC) == 1250


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, program="bb"),
        replace(SPEC, resources=replace(SPEC.resources, cpu_millis=2000)),
        replace(SPEC, time_limit_s=64),
        replace(SPEC, files=(FileRef(FileKind.INPUT, "w", "3" * 64, 4096),)),
    ],
)
def test_other_work_says_nothing(experience: Experience, other: ContainerSpec) -> None:
    see(experience, *[1000] * LEAST_RUNS)
    assert experience.likely_ms(other) == 0


def test_a_failure_says_nothing_unless_time_ran_out(experience: Experience) -> None:
    see(experience, *[1000] * LEAST_RUNS)
    for _ in range(5):
        experience.add(SPEC, replace(outcome(exit_code=3), wall_ms=59_000))
        experience.add(SPEC, replace(outcome(Reason.OUT_OF_MEMORY, 137), wall_ms=59_000))
    assert experience.likely_ms(SPEC) == 1250
    for _ in range(5):
        experience.add(SPEC, replace(outcome(Reason.TIME_LIMIT, None), wall_ms=60_000))
    assert experience.likely_ms(SPEC) == 75_000


def test_it_outlives_the_process_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "experience"
    see(Experience(path), *[1000] * LEAST_RUNS)
    path.write_bytes(path.read_bytes() + b'{"program": "aa", "cpu_mi')
    assert Experience(path).likely_ms(SPEC) == 1250
    assert len(path.read_text().splitlines()) == LEAST_RUNS


def test_the_file_stays_bounded(tmp_path: Path) -> None:
    experience = Experience(tmp_path / "experience")
    see(experience, *[1000] * (2 * RUNS_MAX + 10))
    assert len((tmp_path / "experience").read_text().splitlines()) <= 2 * RUNS_MAX

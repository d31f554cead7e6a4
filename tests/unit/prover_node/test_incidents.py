"""The record of refusals, failures and misses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from prover_node.incidents import LIMIT, Incidents, changes, read_incidents
from tests.support.prover_duties import standing


def kinds(path: Path) -> list[str]:
    return [one.kind for one in read_incidents(path)]


def test_what_is_noted_is_read_back_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "incidents"
    Incidents(path).add("declined", "the node is shutting down", task_id=7)
    Incidents(path).add("abstained", "näher", task_id=8, round_=2)
    first, second = read_incidents(path)
    assert (first.kind, first.task_id, first.round, first.detail) == ("declined", 7, 0, "the node is shutting down")
    assert (second.kind, second.task_id, second.round, second.detail) == ("abstained", 8, 2, "näher")
    assert second.time_ms >= first.time_ms > 0


def test_what_is_decided_once_is_noted_once(tmp_path: Path) -> None:
    incidents = Incidents(tmp_path / "incidents")
    for _ in range(3):
        incidents.add("declined", "busy", task_id=7)
    assert kinds(tmp_path / "incidents") == ["declined"]


def test_only_the_last_are_kept_and_the_file_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "incidents"
    incidents = Incidents(path)
    for number in range(3 * LIMIT):
        incidents.add("failed", "exit code", task_id=number + 1)
    assert [one.task_id for one in read_incidents(path)] == list(range(2 * LIMIT + 1, 3 * LIMIT + 1))
    assert len(path.read_text().splitlines()) <= 2 * LIMIT


def test_a_torn_or_foreign_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "incidents"
    Incidents(path).add("failed", "exit code", task_id=1)
    path.write_text(path.read_text() + '{"kind": "fai\n[]\n{"another": 1}\n')
    assert kinds(path) == ["failed"]
    Incidents(path).add("failed", "exit code", task_id=2)
    assert kinds(path) == ["failed", "failed"]


def test_there_may_be_no_file(tmp_path: Path) -> None:
    assert read_incidents(tmp_path / "none") == []


def test_what_the_chain_holds_against_the_prover_is_seen_as_it_comes() -> None:
    before = standing(bond=2000)
    after = replace(
        before, status="jailed", reason="missed 3 tasks", misses=3, bond=1900, test_result="failed", test_ended_ms=5
    )
    assert list(changes(before, after)) == [
        ("missed", "the chain counts 3 misses now"),
        ("jailed", "missed 3 tasks"),
        ("test", "a capacity test ended: failed"),
        ("slashed", "the bond went from 2000 to 1900 umill"),
    ]


def test_what_was_so_before_the_daemon_started_is_no_news() -> None:
    assert list(changes(None, standing("jailed", misses=3))) == []
    assert list(changes(standing(), standing())) == []


def test_a_passed_test_is_no_incident() -> None:
    assert list(changes(standing(), replace(standing(), test_result="passed", test_ended_ms=5))) == []

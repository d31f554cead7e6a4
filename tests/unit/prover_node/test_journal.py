"""The journal after a crash at any byte, and over a long life."""

from __future__ import annotations

from pathlib import Path

import pytest

from prover_node.duties import FailureReason, ProofRecord, Usage, Verdict
from prover_node.journal import Journal, JournalError
from prover_node.journal_entries import (
    AssignmentEnded,
    JournalEntry,
    ProofMade,
    VerdictReached,
    VoteEnded,
    WorkFailed,
)

PROOF = ProofMade(1, ProofRecord("a" * 64, 2048, Usage(10, 20, 30)))
FAILED = WorkFailed(2, FailureReason.EXIT_CODE, "exit code 3: Käse\n“quoted”")
VERDICT = VerdictReached(3, 2, Verdict.INVALID, "exit code 1")
ENTRIES: tuple[JournalEntry, ...] = (PROOF, FAILED, VERDICT)


def reopened(path: Path) -> tuple[JournalEntry, ...]:
    journal = Journal(path)
    entries = journal.entries()
    journal.close()
    return entries


def write(path: Path, *entries: JournalEntry) -> None:
    journal = Journal(path)
    for entry in entries:
        journal.append(entry)
    journal.close()


def test_what_was_appended_is_there_after_a_restart(tmp_path: Path) -> None:
    write(tmp_path / "journal", *ENTRIES)
    assert reopened(tmp_path / "journal") == ENTRIES


def test_what_ended_is_gone(tmp_path: Path) -> None:
    write(tmp_path / "journal", *ENTRIES, AssignmentEnded(1), VoteEnded(3, 2))
    assert reopened(tmp_path / "journal") == (FAILED,)


def test_a_crash_at_any_byte_loses_at_most_the_entry_being_written(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, *ENTRIES)
    data = path.read_bytes()
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        complete = data[:length].count(b"\n")
        assert reopened(path) == ENTRIES[:complete]
        # The next entry must not be glued to the torn one.
        write(path, FAILED)
        assert FAILED in reopened(path)


def test_damage_before_the_last_line_is_pointed_out(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, *ENTRIES)
    path.write_bytes(path.read_bytes().replace(b'"failed"', b'"fai\x00ed"'))
    with pytest.raises(JournalError, match=r"line 2 of .* is damaged .* move the file away"):
        Journal(path)


def test_two_different_verdicts_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, VERDICT)
    other = tmp_path / "other"
    write(other, VerdictReached(3, 2, Verdict.VALID, ""))
    path.write_bytes(path.read_bytes() + other.read_bytes())
    with pytest.raises(JournalError, match="two different verdicts on task 3, round 2"):
        Journal(path)


def test_a_long_life_does_not_grow_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.append(VERDICT)
    for task_id in range(10, 600):
        journal.append(WorkFailed(task_id, FailureReason.TIME_LIMIT, ""))
        journal.append(AssignmentEnded(task_id))
    journal.append(PROOF)
    journal.close()
    assert path.read_bytes().count(b"\n") < 500
    assert reopened(path) == (VERDICT, PROOF)


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="can't be opened for writing"):
        Journal(tmp_path / "missing" / "journal")

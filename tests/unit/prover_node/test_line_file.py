"""Lines that are nice to have, on a disk that is full for a while."""

from __future__ import annotations

from pathlib import Path

from prover_node.line_file import LineFile


def test_lines_are_appended_and_rewritten_when_there_are_too_many(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    kept = ["a\n"]
    file = LineFile(path, 3)
    file.rewrite(kept)
    for line in ("b\n", "c\n"):
        kept.append(line)
        file.add(line, lambda: kept)
    assert path.read_text() == "a\nb\nc\n"
    kept = ["c\n", "d\n"]
    file.add("d\n", lambda: kept)
    assert path.read_text() == "c\nd\n"


def test_what_a_full_disk_did_not_take_is_written_when_it_has_room_again(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "lines"
    kept: list[str] = []
    file = LineFile(path, 100)
    for line in ("a\n", "b\n"):
        kept.append(line)
        file.add(line, lambda: kept)
    path.parent.mkdir()
    kept.append("c\n")
    file.add("c\n", lambda: kept)
    assert path.read_text() == "a\nb\nc\n"
    assert [one.name for one in path.parent.iterdir()] == ["lines"]

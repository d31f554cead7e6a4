"""Stub generation: complete, repeatable, and without effect when the compiler refuses a file."""

from __future__ import annotations

from pathlib import Path

import protos
import pytest

GOOD = 'syntax = "proto3";\npackage pkg.v1;\nmessage A { bytes b = 1; }\n'


def write(root: Path, content: str) -> Path:
    file = root / "proto" / "pkg" / "v1" / "a.proto"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


def stubs(root: Path) -> set[str]:
    return {path.name for path in (root / "gen").rglob("*.py*")}


def test_generate_writes_modules_and_types_once(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert protos.generate(tmp_path)
    assert stubs(tmp_path) == {"a_pb2.py", "a_pb2.pyi"}
    assert not protos.generate(tmp_path)


def test_generate_follows_changes_and_removals(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    protos.generate(tmp_path)
    write(tmp_path, GOOD + "message B {}\n")
    assert protos.generate(tmp_path)
    assert "class B" in (tmp_path / "gen/pkg/v1/a_pb2.pyi").read_text()
    file.unlink()
    assert protos.generate(tmp_path)
    assert stubs(tmp_path) == set()


def test_generate_without_protos_makes_an_empty_tree(tmp_path: Path) -> None:
    assert protos.generate(tmp_path)
    assert stubs(tmp_path) == set()


def test_invalid_proto_keeps_the_old_stubs(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    protos.generate(tmp_path)
    write(tmp_path, "message {")
    with pytest.raises(protos.ProtoError, match="protoc refused"):
        protos.generate(tmp_path)
    assert stubs(tmp_path) == {"a_pb2.py", "a_pb2.pyi"}

"""Proof bundles: one encoding for each directory tree, and nothing hostile gets unpacked."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from client.bundle import BundleError, BundleLimits, pack, unpack

LIMITS = BundleLimits(max_bytes=1 << 20, max_files=100)


def unpack_within_limits(bundle: Path, dest: Path) -> None:
    unpack(bundle, dest, max_bytes=LIMITS.max_bytes, max_files=LIMITS.max_files)


def tree(directory: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    pack(tree(tmp_path / "out", {"a": b"1" * 513, "d/b": b"2"}), tmp_path / "good.tar", LIMITS)
    return tmp_path / "good.tar"


def test_round_trip_keeps_every_file(tmp_path: Path) -> None:
    files = {
        "proof.bin": b"\0" * 512,
        "public.json": b"{}",
        "deep/er/x": b"1",
        "e": b"",
        "x" * 90 + "/" + "y" * 98: b"long",
        "naïve": b"u",
    }
    out = tree(tmp_path / "out", files)
    (out / "empty").mkdir()
    info = pack(out, tmp_path / "proof.tar", LIMITS)
    assert info.size == (tmp_path / "proof.tar").stat().st_size
    unpack_within_limits(tmp_path / "proof.tar", tmp_path / "again")
    assert contents(tmp_path / "again") == files
    assert (tmp_path / "again/empty").is_dir()
    assert pack(tmp_path / "again", tmp_path / "second.tar", LIMITS) == info


def test_bytes_depend_on_names_and_contents_alone(tmp_path: Path) -> None:
    first = tree(tmp_path / "1", {"b": b"x", "a/c": b"y"})
    second = tree(tmp_path / "2", {"a/c": b"y", "b": b"x"})
    (second / "b").chmod(0o700)
    os.utime(second / "b", (1, 1))
    assert pack(first, tmp_path / "1.tar", LIMITS) == pack(second, tmp_path / "2.tar", LIMITS)


def test_format_is_pinned(tmp_path: Path) -> None:
    info = pack(tree(tmp_path / "out", {"d/proof": b"abc"}), tmp_path / "p.tar", LIMITS)
    assert info.size == 5 * 512
    assert info.sha256 == "6d776de1b0cbd11b738b38fe7ad16ce30232739e0fda40a4fe2395effbb48828"


def test_standard_tar_reads_a_bundle(bundle: Path) -> None:
    with tarfile.open(bundle) as archive:
        assert [m.name for m in archive] == ["a", "d", "d/b"]
        assert {(m.uid, m.gid, m.mtime) for m in archive} == {(0, 0, 0)}


@given(
    st.dictionaries(
        st.lists(st.text("abc.é", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join),
        st.binary(max_size=1100),
        min_size=1,
        max_size=6,
    )
)
def test_any_tree_round_trips(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    base = tmp_path_factory.mktemp("tree")
    kept = {
        name: content
        for name, content in files.items()
        if not any(part in (".", "..") for part in name.split("/"))
        and not any(other.startswith(name + "/") for other in files)
    }
    if not kept:
        return
    pack(tree(base / "out", kept), base / "p.tar", LIMITS)
    unpack_within_limits(base / "p.tar", base / "again")
    assert contents(base / "again") == kept


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda path: path.symlink_to("/etc/passwd"), "symbolic link"),
        (os.mkfifo, "fifo"),
        (make_socket, "socket"),
        (lambda path: os.link(path.parent / "a", path), "hard link"),
        (lambda path: (path.parent / "new\nline").write_bytes(b""), "control character"),
        (lambda path: Path(os.fsdecode(bytes(path.parent) + b"/\xff")).write_bytes(b""), "UTF-8"),
        (lambda path: (path.parent / ("n" * 120)).write_bytes(b""), "too long"),
    ],
)
def test_pack_refuses(tmp_path: Path, make: Callable[[Path], object], word: str) -> None:
    out = tree(tmp_path / "out", {"a": b"1"})
    make(out / "odd")
    with pytest.raises(BundleError, match=word):
        pack(out, tmp_path / "p.tar", LIMITS)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_pack_refuses_too_much_and_nothing(tmp_path: Path) -> None:
    out = tree(tmp_path / "out", {"d/a": b"12"})
    with pytest.raises(BundleError, match="exceed"):
        pack(out, tmp_path / "p.tar", BundleLimits(1, 10))
    with pytest.raises(BundleError, match="more than 1"):
        pack(out, tmp_path / "p.tar", BundleLimits(10, 1))
    (out / "d/a").unlink()
    with pytest.raises(BundleError, match="no file"):
        pack(out, tmp_path / "p.tar", LIMITS)


def test_pack_refuses_a_sparse_giant_without_reading_it(tmp_path: Path) -> None:
    out = tree(tmp_path / "out", {"a": b""})
    os.truncate(out / "a", 1 << 30)
    with pytest.raises(BundleError, match="exceed"):
        pack(out, tmp_path / "p.tar", LIMITS)


def tar_of(*members: tuple[str, dict[str, object]], ending: int = 2) -> bytes:
    """A ustar archive of hostile members, made without tarfile's own padding."""
    out = io.BytesIO()
    for name, fields in members:
        info = tarfile.TarInfo(name)
        content = fields.pop("content", b"")
        assert isinstance(content, bytes)
        info.size = len(content)
        for key, value in fields.items():
            setattr(info, key, value)
        out.write(info.tobuf(tarfile.USTAR_FORMAT))
        out.write(content + bytes(-len(content) % 512))
    return out.getvalue() + bytes(512 * ending)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (tar_of(("../up", {})), "leads out"),
        (tar_of(("/abs", {})), "leads out"),
        (tar_of(("a//b", {})), "leads out"),
        (tar_of(("./a", {})), "leads out"),
        (tar_of(("l", {"type": tarfile.SYMTYPE, "linkname": "/etc"})), "type"),
        (tar_of(("l", {"type": tarfile.LNKTYPE, "linkname": "a"})), "type"),
        (tar_of(("l", {"type": tarfile.CHRTYPE})), "type"),
        (tar_of(("l", {"type": tarfile.FIFOTYPE})), "type"),
        (tar_of(("l", {"type": tarfile.GNUTYPE_LONGNAME})), "type"),
        (tar_of(("l", {"type": tarfile.XHDTYPE})), "type"),
        (tar_of(("b", {}), ("a", {})), "out of order"),
        (tar_of(("a", {}), ("a", {})), "there twice"),
        (tar_of(("d/a", {})), "without its directory"),
        (tar_of(("a", {"mode": 0o4755})), "canonical"),
        (tar_of(("a", {"uid": 7})), "canonical"),
        (tar_of(("a", {"mtime": 7})), "canonical"),
        (tar_of(("a", {"uname": "root"})), "canonical"),
        (tar_of(("a", {}), ending=0), "cut short"),
        (tar_of(("a", {}), ending=1), "cut short"),
        (tar_of(("a", {}), ending=3), "exactly two"),
        (tar_of(("a", {})) + b"x", "exactly two"),
        (tar_of(), "no file"),
        (b"", "cut short"),
        (b"garbage", "cut short"),
        (b"\x1f\x8b" + b"g" * 2000, "type"),
        (tar_of(("a", {"content": b"x" * (1 << 20) + b"y"})), "exceed"),
        (tar_of(*((f"{n:03}", {}) for n in range(101))), "more than 100"),
    ],
)
def test_unpack_refuses(tmp_path: Path, data: bytes, word: str) -> None:
    (tmp_path / "evil.tar").write_bytes(data)
    with pytest.raises(BundleError, match=word):
        unpack_within_limits(tmp_path / "evil.tar", tmp_path / "dest")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.tar"]


def test_a_size_beyond_the_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evil.tar").write_bytes(tar_of(("a", {"size": 1 << 19, "mode": 0o644})))
    with pytest.raises(BundleError, match=r"canonical|cut short"):
        unpack_within_limits(tmp_path / "evil.tar", tmp_path / "dest")


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_no_byte_can_be_changed_without_changing_the_contents(
    tmp_path_factory: pytest.TempPathFactory, where: int, value: int
) -> None:
    base = tmp_path_factory.mktemp("flip")
    pack(tree(base / "out", {"a": b"1" * 513, "d/b": b"2"}), base / "p.tar", LIMITS)
    data = bytearray((base / "p.tar").read_bytes())
    where %= len(data)
    same = data[where] == value
    data[where] = value
    (base / "q.tar").write_bytes(data)
    try:
        unpack_within_limits(base / "q.tar", base / "again")
    except BundleError:
        return
    assert same or contents(base / "again") != contents(base / "out")


def test_unpack_leaves_an_occupied_destination_alone(tmp_path: Path, bundle: Path) -> None:
    dest = tree(tmp_path / "dest", {"mine": b""})
    with pytest.raises(BundleError, match="already exists"):
        unpack_within_limits(bundle, dest)
    assert contents(dest) == {"mine": b""}


def test_unpack_fills_an_empty_destination(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "dest").mkdir()
    unpack_within_limits(bundle, tmp_path / "dest")
    assert set(contents(tmp_path / "dest")) == {"a", "d/b"}


def test_a_missing_bundle_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="can't be unpacked"):
        unpack_within_limits(tmp_path / "none.tar", tmp_path / "dest")

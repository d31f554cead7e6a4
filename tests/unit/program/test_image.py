from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from client.program.image import Archive, LayerFile, write_image


@pytest.fixture
def files(tmp_path: Path) -> list[LayerFile]:
    program, key = tmp_path / "program", tmp_path / "key"
    program.write_bytes(b"#!/bin/sh\n")
    key.write_bytes(b"\0" * 1000)
    return [LayerFile(program, "/bin/program", 0o755), LayerFile(key, "/keys/demo/key", 0o644)]


def write(path: Path, files: list[LayerFile]) -> Archive:
    return write_image(path, files, ("/bin/program", "-x"), {"b": "2", "a": "1"}, "amd64")


def read_json(archive: tarfile.TarFile, name: str) -> Any:
    member = archive.extractfile(name)
    assert member is not None
    return json.load(member)


def read_blob(archive: tarfile.TarFile, descriptor: dict[str, Any]) -> bytes:
    """The blob that an OCI descriptor names, checked against its digest and size."""
    algorithm, _, digest = descriptor["digest"].partition(":")
    member = archive.extractfile(f"blobs/{algorithm}/{digest}")
    assert member is not None
    data = member.read()
    assert hashlib.sha256(data).hexdigest() == digest
    assert len(data) == descriptor["size"]
    return data


def test_the_archive_is_described_by_its_hash_and_size(tmp_path: Path, files: list[LayerFile]) -> None:
    archive = write(tmp_path / "image.tar", files)

    data = (tmp_path / "image.tar").read_bytes()
    assert archive.sha256 == hashlib.sha256(data).hexdigest()
    assert archive.size == len(data)


def test_the_archive_is_an_oci_image_layout(tmp_path: Path, files: list[LayerFile]) -> None:
    written = write(tmp_path / "image.tar", files)

    with tarfile.open(tmp_path / "image.tar") as archive:
        assert read_json(archive, "oci-layout") == {"imageLayoutVersion": "1.0.0"}
        (entry,) = read_json(archive, "index.json")["manifests"]
        assert entry["platform"] == {"architecture": "amd64", "os": "linux"}
        manifest = json.loads(read_blob(archive, entry))
        config = json.loads(read_blob(archive, manifest["config"]))
        (layer,) = manifest["layers"]
        read_blob(archive, layer)

    assert manifest["config"]["digest"] == written.image_id
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    assert config["config"] == {
        "Cmd": ["/bin/program", "-x"],
        "Labels": {"a": "1", "b": "2"},
        "User": "65532:65532",
        "WorkingDir": "/",
    }


def test_the_archive_is_what_docker_load_takes(tmp_path: Path, files: list[LayerFile]) -> None:
    written = write(tmp_path / "image.tar", files)

    with tarfile.open(tmp_path / "image.tar") as archive:
        (entry,) = read_json(archive, "manifest.json")
        names = archive.getnames()

    assert entry["Config"] == "blobs/sha256/" + written.image_id.removeprefix("sha256:")
    assert entry["RepoTags"] is None
    assert all(layer in names for layer in entry["Layers"])


def test_the_layer_holds_files_parents_and_mount_points(tmp_path: Path, files: list[LayerFile]) -> None:
    write(tmp_path / "image.tar", files)

    with tarfile.open(tmp_path / "image.tar") as archive:
        (entry,) = read_json(archive, "manifest.json")
        layer_file = archive.extractfile(entry["Layers"][0])
        with tarfile.open(fileobj=layer_file) as layer:
            members = {member.name: member for member in layer}

    assert sorted(members) == [
        *("bin", "bin/program", "dev", "keys", "keys/demo", "keys/demo/key", "mnt", "mnt/assets"),
        *("mnt/input", "mnt/output", "mnt/proof", "proc", "sys", "tmp"),
    ]
    assert list(members) == sorted(members), "parents come before what is in them"
    assert members["bin/program"].mode == 0o755
    assert members["keys/demo/key"].size == 1000
    assert members["tmp"].mode == 0o1777
    assert {(member.uid, member.gid, member.uname, member.mtime) for member in members.values()} == {(0, 0, "", 0)}


def test_the_same_files_make_the_same_bytes_anywhere(tmp_path: Path, files: list[LayerFile]) -> None:
    first = write(tmp_path / "first.tar", files)
    moved = []
    for number, file in enumerate(reversed(files)):
        copy = tmp_path / f"elsewhere-{number}"
        copy.write_bytes(file.source.read_bytes())
        copy.chmod(0o600)
        moved.append(LayerFile(copy, file.target, file.mode))
    second = write(tmp_path / "second.tar", moved)

    assert first == second


def test_the_bytes_are_the_same_under_every_python(tmp_path: Path, files: list[LayerFile]) -> None:
    # A change here changes the digest of every program: it must be on purpose.
    assert (
        write(tmp_path / "image.tar", files).sha256
        == "7c7beeeda508f10b5efeccfde7df8197d1890f3a6ba9658c95212920defa9939"
    )

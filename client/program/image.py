"""Container images without a container engine, the same bytes every time.

An archive is an OCI image layout (`oci-layout`, `index.json`, `blobs/`) and, through `manifest.json`, what
`docker load` takes. Everything that could differ between two builds is fixed: one uncompressed layer (compressors
differ between versions), names sorted, times zero, owner root, JSON with sorted keys.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

_CREATED = "1970-01-01T00:00:00Z"
# Where the runner mounts things (protocol §4). A read-only root can't be given mount points later.
_MOUNT_POINTS = ("/dev", "/mnt/assets", "/mnt/input", "/mnt/output", "/mnt/proof", "/proc", "/sys", "/tmp")  # noqa: S108
# The conventional "nonroot" user of minimal images.
_USER = "65532:65532"

_OCI = "application/vnd.oci.image"


@dataclass(frozen=True)
class LayerFile:
    """One regular file of an image: its bytes on this machine, its absolute path and mode there."""

    source: Path
    target: str
    mode: int


@dataclass(frozen=True)
class LayerLink:
    """One symbolic link of an image: its absolute path, and what it points to there."""

    target: str
    to: str


LayerEntry = LayerFile | LayerLink


@dataclass(frozen=True)
class Archive:
    """What identifies a written archive."""

    sha256: str
    """Of the whole archive, hexadecimal: the digest that a program is deployed with."""
    size: int
    image_id: str
    """`sha256:…` of the image's configuration: what engines call the image id."""


def write_image(
    path: Path, entries: Sequence[LayerEntry], command: tuple[str, ...], labels: Mapping[str, str], architecture: str
) -> Archive:
    """Write an image of `entries` that runs `command` as a non-root user to `path`.

    Raises OSError if a file can't be read or the archive can't be written, ValueError if a path is too long for it.
    """
    with tempfile.TemporaryFile(dir=path.parent) as layer:
        _write_layer(layer, entries)
        layer_size = layer.tell()
        layer.seek(0)
        layer_digest = hashlib.file_digest(layer, "sha256").hexdigest()
        layer.seek(0)

        config = _json(
            {
                "architecture": architecture,
                "config": {"Cmd": list(command), "Labels": dict(labels), "User": _USER, "WorkingDir": "/"},
                "created": _CREATED,
                "history": [{"created": _CREATED, "created_by": "mill program build"}],
                "os": "linux",
                "rootfs": {"diff_ids": [f"sha256:{layer_digest}"], "type": "layers"},
            }
        )
        manifest = _json(
            {
                "config": _descriptor("config.v1+json", _digest(config), len(config)),
                "layers": [_descriptor("layer.v1.tar", layer_digest, layer_size)],
                "mediaType": f"{_OCI}.manifest.v1+json",
                "schemaVersion": 2,
            }
        )
        index = _json(
            {
                "manifests": [
                    _descriptor("manifest.v1+json", _digest(manifest), len(manifest))
                    | {"platform": {"architecture": architecture, "os": "linux"}}
                ],
                "mediaType": f"{_OCI}.index.v1+json",
                "schemaVersion": 2,
            }
        )
        # No tag: loading a program must not rename an image that the machine has already.
        docker_manifest = _json([{"Config": _blob(_digest(config)), "Layers": [_blob(layer_digest)], "RepoTags": None}])

        small = {
            "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
            "index.json": index,
            "manifest.json": docker_manifest,
            _blob(_digest(config)): config,
            _blob(_digest(manifest)): manifest,
        }
        with path.open("w+b") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                for directory in ("blobs", "blobs/sha256"):
                    archive.addfile(_directory(directory))
                for name, data in small.items():
                    archive.addfile(_regular(name, len(data), 0o644), io.BytesIO(data))
                archive.addfile(_regular(_blob(layer_digest), layer_size, 0o644), layer)
            size = file.tell()
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return Archive(sha256, size, f"sha256:{_digest(config)}")


def _write_layer(out: IO[bytes], entries: Sequence[LayerEntry]) -> None:
    by_target = {entry.target: entry for entry in entries}
    parents = [parent for target in by_target for parent in PurePosixPath(target).parents]
    mount_points = [path for point in _MOUNT_POINTS for path in (PurePosixPath(point), *PurePosixPath(point).parents)]
    directories = {str(path) for path in parents + mount_points} - {"/"}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as layer:
        for target in sorted(directories | set(by_target)):
            name = target.removeprefix("/")
            if target in directories:
                layer.addfile(_directory(name, 0o1777 if name == "tmp" else 0o755))
                continue
            entry = by_target[target]
            if isinstance(entry, LayerLink):
                layer.addfile(_link(name, entry.to))
                continue
            with entry.source.open("rb") as data:
                layer.addfile(_regular(name, entry.source.stat().st_size, entry.mode), data)


def _directory(name: str, mode: int = 0o755) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE
    entry.mode = mode
    return entry


def _link(name: str, to: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.SYMTYPE
    entry.linkname = to
    entry.mode = 0o777
    return entry


def _regular(name: str, size: int, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = mode
    return entry


def _descriptor(kind: str, digest: str, size: int) -> dict[str, object]:
    return {"digest": f"sha256:{digest}", "mediaType": f"{_OCI}.{kind}", "size": size}


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

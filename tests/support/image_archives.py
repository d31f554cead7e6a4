"""Image archives made in memory, well formed or not, for the tests of runners."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

Entry = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"", mode: int = 0o644) -> Entry:
    """A regular file."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    return info, content


def directory(name: str, mode: int = 0o755) -> Entry:
    """A directory."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info, b""


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Entry:
    """A symbolic link, or with LNKTYPE a hard one."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, 0o755
    return info, b""


def special(name: str, kind: bytes) -> Entry:
    """A device or fifo."""
    info = tarfile.TarInfo(name)
    info.type, info.devmajor, info.devminor = kind, 1, 3
    return info, b""


def tar(entries: Sequence[Entry]) -> bytes:
    """A tar of the entries, in their order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def image_config(layers: Sequence[bytes], settings: Mapping[str, object], **changes: object) -> bytes:
    """An image config over uncompressed layers."""
    document: dict[str, object] = {
        "architecture": ARCHITECTURE,
        "os": "linux",
        "config": dict(settings),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(layer)}" for layer in layers]},
    }
    return json.dumps(document | changes).encode()


def docker_archive(path: Path, layers: Sequence[bytes], config: bytes, *, compress: bool = False) -> str:
    """Write what ``docker save`` would; the archive's sha256."""
    stored = [gzip.compress(layer, mtime=0) if compress else layer for layer in layers]
    names = [f"{index}/layer.tar" for index in range(len(layers))]
    manifest = [{"Config": f"{digest(config)}.json", "RepoTags": ["liar:latest"], "Layers": names}]
    members = [file(f"{digest(config)}.json", config), file("manifest.json", json.dumps(manifest).encode())]
    return write(path, tar([*members, *(file(name, data) for name, data in zip(names, stored, strict=True))]))


def huge_archive(path: Path, size: int, settings: Mapping[str, object]) -> str:
    """Write a docker-archive whose one layer is ``size`` bytes of nothing, as a file with a hole; no sha256."""
    config = image_config([b""], settings)
    manifest = json.dumps([{"Config": "config.json", "Layers": ["layer.tar"]}]).encode()
    layer = tarfile.TarInfo("layer.tar")
    layer.size = size
    with path.open("wb") as out:
        for info, content in (file("config.json", config), file("manifest.json", manifest)):
            out.write(info.tobuf() + content + bytes(-len(content) % tarfile.BLOCKSIZE))
        out.write(layer.tobuf(tarfile.GNU_FORMAT))
        out.truncate(out.tell() + size + 2 * tarfile.BLOCKSIZE)
    return "0" * 64


def oci_layout(path: Path, layers: Sequence[bytes], config: bytes, *, compress: bool = False) -> str:
    """Write an OCI image layout; the archive's sha256."""
    stored = [gzip.compress(layer, mtime=0) if compress else layer for layer in layers]
    manifest = json.dumps(
        {"schemaVersion": 2, "config": descriptor(config), "layers": [descriptor(layer) for layer in stored]}
    ).encode()
    index = json.dumps({"schemaVersion": 2, "manifests": [descriptor(manifest)]}).encode()
    blobs = {digest(blob): blob for blob in (*stored, config, manifest)}
    members = [file("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'), file("index.json", index)]
    return write(path, tar([*members, *(file(f"blobs/sha256/{name}", blob) for name, blob in blobs.items())]))


def descriptor(blob: bytes) -> dict[str, object]:
    """An OCI descriptor of a blob."""
    return {"digest": f"sha256:{digest(blob)}", "size": len(blob)}


def write(path: Path, data: bytes) -> str:
    """Write the file; its sha256."""
    path.write_bytes(data)
    return digest(data)


def digest(data: bytes) -> str:
    """Hex sha256."""
    return hashlib.sha256(data).hexdigest()

"""An image as a container engine should load it: the layers of the archive, under a config of our own.

An engine would also act on volumes, health checks, users and tags that an image names; here it sees
none of them. Since the config is a function of the layers alone, so is the image id.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from prover_node.runner.images import Archive, machine_architecture

_CHUNK = 1 << 20


@dataclass(frozen=True)
class EngineImage:
    """``id`` is what the engine must call the image, ``tag`` what people see."""

    config: bytes
    diff_ids: tuple[str, ...]
    tag: str

    @property
    def id(self) -> str:
        """``sha256:`` and the config's digest."""
        return f"sha256:{hashlib.sha256(self.config).hexdigest()}"


def engine_image(diff_ids: tuple[str, ...], tag: str) -> EngineImage:
    """The image made of these uncompressed layers."""
    config = {
        "architecture": machine_architecture(),
        "config": {},
        "created": "1970-01-01T00:00:00Z",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}" for diff_id in diff_ids]},
    }
    return EngineImage(json.dumps(config, sort_keys=True).encode(), diff_ids, tag)


def docker_archive(archive: Archive, image: EngineImage) -> Iterator[bytes]:
    """The bytes of a docker-archive tar with ``image``, for an engine to load."""
    names = [f"{index}.tar" for index in range(len(archive.config.diff_ids))]
    manifest = [{"Config": "config.json", "RepoTags": [image.tag], "Layers": names}]
    yield from _member("config.json", image.config)
    for name, (size, layer) in zip(names, archive.stored_layers(), strict=True):
        yield _header(name, size)
        with layer:
            while chunk := layer.read(_CHUNK):
                yield chunk
        yield bytes(-size % tarfile.BLOCKSIZE)
    yield from _member("manifest.json", json.dumps(manifest).encode())
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(name: str, data: bytes) -> Iterator[bytes]:
    yield _header(name, len(data))
    yield data + bytes(-len(data) % tarfile.BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)

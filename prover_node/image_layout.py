"""An image from a registry as one tar archive, which is a function of the image's manifest alone.

Source: OCI image-spec, image layout.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator

from prover_node.runner.images import Manifest

_END = bytes(2 * tarfile.BLOCKSIZE)


class LayoutWriter:
    """Writes the archive of the image with this manifest; its blobs are written in between, in their order."""

    def __init__(self, raw_manifest: bytes, manifest: Manifest) -> None:
        digest = hashlib.sha256(raw_manifest).hexdigest()
        descriptor = {"mediaType": manifest.media_type, "digest": f"sha256:{digest}", "size": len(raw_manifest)}
        self._files = {
            "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
            "index.json": _json({"schemaVersion": 2, "manifests": [descriptor]}),
            _blob_name(digest): raw_manifest,
        }
        sizes = [len(data) for data in self._files.values()] + [blob.size for blob in manifest.blobs]
        self.size = sum(tarfile.BLOCKSIZE + size + _padding(size) for size in sizes) + len(_END)
        """Bytes of the whole archive."""
        self._blobs = manifest.blobs

    def write(self, out: Callable[[bytes], object]) -> Iterator[tuple[str, int]]:
        """Gives each blob's sha256 (hex) and size when its bytes are to be written, as all else is with ``out``."""
        for name, data in self._files.items():
            out(_header(name, len(data)) + data + bytes(_padding(len(data))))
        for blob in self._blobs:
            out(_header(_blob_name(blob.sha256), blob.size))
            yield blob.sha256, blob.size
            out(bytes(_padding(blob.size)))
        out(_END)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE


def _blob_name(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

"""A built image as a registry has it after an unchanged push: under its manifest's hash, not its archive's."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from chain.program.image_reference import SCHEME, parse_image_reference
from client.errors import InvalidInput
from client.program.description import BuiltImage


def registry_image(image: BuiltImage, folder: Path, reference: str) -> tuple[str, BuiltImage]:
    """Its URL, and ``image`` with sha256 and bytes as a deploy of that URL states them.

    ``reference`` is ``oci://HOST[:PORT]/REPOSITORY``, with or without ``@sha256:`` and the hash of the manifest.
    ``folder`` holds the archive. Raises InvalidInput.
    """
    archive = folder / image.file
    try:
        digest, size = _manifest(archive)
    except (OSError, tarfile.TarError, ValueError, LookupError, TypeError) as error:
        raise InvalidInput(f"{archive} is not an OCI image layout: build the program again") from error
    url = reference if "@" in reference else f"{reference}@{digest}"
    try:
        named = parse_image_reference(url)
    except ValueError as error:
        raise InvalidInput(f"{reference!r} is not {SCHEME}HOST[:PORT]/REPOSITORY in lower case") from error
    if f"sha256:{named.sha256}" != digest:
        raise InvalidInput(
            f"{reference} is not the image that was built, whose manifest is {digest}: push {archive.name} unchanged"
        )
    return url, replace(image, sha256=named.sha256, bytes=size)


def _manifest(archive: Path) -> tuple[str, int]:
    """Digest of the manifest, and the bytes of manifest, config and layers together."""
    with tarfile.open(archive, "r:") as layout:
        (descriptor,) = _json(layout, "index.json")["manifests"]
        manifest = _json(layout, f"blobs/{descriptor['digest'].replace(':', '/')}")
    blobs = {blob["digest"]: blob["size"] for blob in (manifest["config"], *manifest["layers"])}
    return descriptor["digest"], descriptor["size"] + sum(blobs.values())


def _json(layout: tarfile.TarFile, name: str) -> Any:
    file = layout.extractfile(name)
    if file is None:
        raise LookupError(name)
    with file:
        return json.load(file)

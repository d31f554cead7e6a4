"""From a built program to what a deploy states: the same files, with the URLs where they are published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import httpx
from proofmill.program.v1.state_pb2 import Asset, Image, ProgramSpec
from proofmill.types.v1.types_pb2 import Resources

from client.blobs import upload
from client.errors import InvalidInput
from client.inputs import AUDIENCES
from client.program.description import BuiltImage, BuiltProgram
from client.program.manifest import Resources as BuiltResources
from client.rpc import check_url


def program_spec(program: BuiltProgram, urls: Mapping[str, str]) -> ProgramSpec:
    """``urls``: where each of ``program.files()`` is published."""
    return ProgramSpec(
        name=program.name,
        version=program.version,
        prover=_image(program.prover, urls),
        verifier=_image(program.verifier, urls),
        default_resources=_resources(program.default_resources),
        max_resources=_resources(program.max_resources),
        verifier_resources=_resources(program.verifier_resources),
        verifier_time_limit_s=program.verifier_time_limit_s,
        assets=[
            Asset(
                name=asset.name,
                urls=[urls[asset.file]] if asset.file else asset.urls,
                sha256=bytes.fromhex(asset.sha256),
                bytes=asset.bytes,
                audience=AUDIENCES[asset.audience],
            )
            for asset in program.assets
        ],
    )


def urls_below(program: BuiltProgram, base: str) -> dict[str, str]:
    """The URLs of a program's files that somebody publishes below ``base`` under their own names."""
    return {name: f"{check_url(base)}/{quote(name)}" for name in program.files()}


def blob_urls(program: BuiltProgram, server: str) -> dict[str, str]:
    """The URLs that a program's files have, or will have, on a blob server."""
    return {name: f"{check_url(server)}/blobs/{sha256}" for name, (sha256, _) in program.files().items()}


async def upload_files(
    http: httpx.AsyncClient, server: str, folder: Path, files: Mapping[str, tuple[str, int]]
) -> None:
    """Puts ``files``, of a program's, on a blob server."""
    for name, (sha256, _) in files.items():
        _, digest = await upload(http, server, folder / name)
        if digest.sha256.hex() != sha256:
            raise InvalidInput(f"{folder / name} changed while it was uploaded: build the program again")


def _image(image: BuiltImage, urls: Mapping[str, str]) -> Image:
    return Image(urls=[urls[image.file]], sha256=bytes.fromhex(image.sha256), bytes=image.bytes, command=image.command)


def _resources(resources: BuiltResources) -> Resources:
    return Resources(cpu_millis=resources.cpu_millis, memory_bytes=resources.memory_bytes, gpus=resources.gpus)

"""The capacity program for a benchmark: from a folder that was built, or the one that the chain tests with."""

from __future__ import annotations

from pathlib import Path

from proofmill.program.v1.state_pb2 import Image, ProgramSpec

from client.errors import ClientError, InvalidInput
from client.program import manifest
from client.program.description import BuiltImage, BuiltProgram
from client.queries import Queries
from prover_node.chain_duties import program_files, resources_of
from prover_node.duties import FileRef
from prover_node.fetcher import Fetcher, FetchError
from prover_node.job_files import archive_sha256
from prover_node.public_http import FetchPolicy
from prover_node.settings import FetchSettings
from prover_node.storage import BlobStore
from prover_node.store_errors import StoreError

_STORE_BYTES = 1 << 36


async def fetch_program(queries: Queries, program_id: bytes, folder: Path, fetch: FetchSettings) -> BuiltProgram:
    """The chain's program, with its images below ``folder``; raises ClientError if it can't be had."""
    spec = (await queries.program(program_id.hex())).spec
    if spec.assets:
        raise InvalidInput("the chain's capacity program has assets, which a benchmark can't fetch: name a --program")
    store = BlobStore(folder, _STORE_BYTES)
    prover, verifier, *_ = program_files(spec)
    async with Fetcher(store, FetchPolicy(fetch.allow_private_urls)) as fetcher:
        for ref in (prover, verifier):
            try:
                await fetcher.fetch(ref, fetch.patience_s)
            except (FetchError, StoreError) as error:
                raise ClientError(f"the chain's capacity program can't be had: {error}") from error
    return _built(spec, _image(spec.prover, prover, store), _image(spec.verifier, verifier, store))


def _image(image: Image, ref: FileRef, store: BlobStore) -> BuiltImage:
    path = store.path(ref.key)
    return BuiltImage(str(path.resolve()), archive_sha256(ref, path), path.stat().st_size, "", tuple(image.command))


def _built(spec: ProgramSpec, prover: BuiltImage, verifier: BuiltImage) -> BuiltProgram:
    limits = resources_of(spec.verifier_resources)
    verifier_resources = manifest.Resources(limits.cpu_millis, limits.memory_bytes, limits.gpus)
    return BuiltProgram(
        name=spec.name,
        version=spec.version,
        description="",
        architecture="",
        parameters={},
        prover=prover,
        verifier=verifier,
        default_resources=verifier_resources,
        max_resources=verifier_resources,
        verifier_resources=verifier_resources,
        verifier_time_limit_s=spec.verifier_time_limit_s,
        assets=(),
    )

"""Keeps the capacity program's files here: a test's deadline allows for no transfers (docs/adr/0009)."""

from __future__ import annotations

import asyncio

import structlog

from client.errors import ClientError
from prover_node.chain_duties import program_files
from prover_node.chain_link import ChainLink
from prover_node.duties import FileKind
from prover_node.fetcher import Fetcher, FetchError
from prover_node.job_files import archive_sha256
from prover_node.runner.base import Runner, RunnerError
from prover_node.storage import BlobStore
from prover_node.store_errors import StoreError

_LOOK_AGAIN_S = 60
_TRY_AGAIN_S = 30

log = structlog.get_logger("prover.capacity")


class CapacityProgram:
    """Fetches what tests need, has the runner unpack it, and keeps it from being evicted."""

    def __init__(self, link: ChainLink, store: BlobStore, fetcher: Fetcher, runner: Runner, patience_s: float) -> None:
        self._link = link
        self._store = store
        self._fetcher = fetcher
        self._runner = runner
        self._patience_s = patience_s
        self._program_id = b""
        self._held: tuple[str, ...] = ()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.prepare()
            except (ClientError, FetchError, StoreError, RunnerError, OSError) as error:
                log.warning("the capacity program isn't ready; trying again", reason=str(error))
                await asyncio.sleep(_TRY_AGAIN_S)
            else:
                await asyncio.sleep(_LOOK_AGAIN_S)

    async def prepare(self) -> None:
        """Have the program that the chain tests with now, if there is one."""
        program_id = (await self._link.params()).capacity_program
        if program_id == self._program_id:
            return
        if program_id:
            files = program_files((await self._link.program(program_id)).spec)
            held = tuple(ref.key for ref in files)
            self._store.hold(held)
            self._store.release(self._held)
            self._held = held
            images = []
            for ref in files:
                await self._fetcher.fetch(ref, self._patience_s)
                if ref.kind is FileKind.IMAGE:
                    path = self._store.path(ref.key)
                    images.append(archive_sha256(ref, path))
                    await self._runner.prepare(path, images[-1])
            self._runner.keep_images(images)
            log.info("the capacity program is ready", program=program_id.hex())
        self._program_id = program_id

"""What a daemon does now and then, whatever it is working on."""

from __future__ import annotations

import asyncio
import time

import structlog

from client.errors import ClientError
from prover_node.chain_link import ChainLink
from prover_node.registration import registration_problems
from prover_node.server import Server
from prover_node.settings import Settings
from prover_node.storage import BlobStore
from prover_node.task_files import TaskFiles

_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 24 * _HOUR_S

log = structlog.get_logger("prover")


async def check_registration(link: ChainLink, settings: Settings, node: str) -> None:
    """Say now and then what keeps the chain and this node (its key's address) from working together."""
    while True:
        try:
            prover = await link.prover()
        except ClientError:
            await asyncio.sleep(1)  # the watcher tells of an unreachable chain
            continue
        for problem in registration_problems(prover, settings, node):
            log.warning(problem)
        await asyncio.sleep(_HOUR_S if prover is not None else _MINUTE_S)


async def prune_proofs(tasks: TaskFiles, server: Server, store: BlobStore, keep_days: int) -> None:
    """Stop serving what has been served for long enough."""
    while True:
        dropped = await asyncio.to_thread(tasks.prune, time.time() - keep_days * _DAY_S)
        for digest in dropped:
            server.withdraw(digest)
            store.unkeep(digest)
        await asyncio.sleep(_HOUR_S)

"""What a daemon does now and then, whatever it is working on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from chain.errors import TASK_NOT_FOUND
from client.errors import ClientError, QueryFailed
from prover_node.chain_link import ChainLink
from prover_node.registration import registration_problems
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


async def collect_garbage(
    link: ChainLink, tasks: TaskFiles, store: BlobStore, withdraw: Callable[[str], None], keep_days: int
) -> None:
    """Sweep every hour."""
    while True:
        await sweep(link, tasks, store, withdraw, keep_days)
        await asyncio.sleep(_HOUR_S)


async def sweep(
    link: ChainLink, tasks: TaskFiles, store: BlobStore, withdraw: Callable[[str], None], keep_days: int
) -> None:
    """Drop old partial downloads, and proofs that were kept for long enough and of which no open task is.

    ``withdraw`` hears of the digests of proofs that no task has any more.
    """
    await asyncio.to_thread(store.discard_old_partials)
    for task_id in await asyncio.to_thread(tasks.untouched_since, time.time() - keep_days * _DAY_S):
        if await _is_over(link, task_id):
            digest = await asyncio.to_thread(tasks.drop, task_id)
            if digest is not None:
                withdraw(digest)


async def _is_over(link: ChainLink, task_id: int) -> bool:
    """Whether nobody can need the task's proof any more; while the chain can't be asked, somebody may."""
    try:
        return await link.is_settled(task_id)
    except QueryFailed as error:
        # The chain forgets tasks in the end.
        return (error.codespace, error.code) == (TASK_NOT_FOUND.codespace, TASK_NOT_FOUND.code)
    except ClientError:
        return False

"""What a daemon does now and then, whatever it is working on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog

from chain.errors import TASK_NOT_FOUND
from client.errors import ClientError, QueryFailed
from client.keys.private_key import PrivateKey
from prover_node.chain_link import ChainLink
from prover_node.clock import SKEW_WARNED_MS, ClockCheck, describe_skew
from prover_node.home import Home
from prover_node.registration import registration_problems
from prover_node.settings import Settings
from prover_node.storage import BlobStore
from prover_node.task_files import TaskFiles

_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 24 * _HOUR_S
_CLOCK_S = 10
_LOOK_KEY_S = 1.0
_LOOK_S = 0.1
# Blocks come about once a second.
_FIRST_BLOCKS_S = 5.0

log = structlog.get_logger("prover")


class ClockSkewed(ClientError):
    """This machine's clock is too far away from the chain's."""


async def require_clock(clock: ClockCheck, refuse_s: int) -> None:
    """ClockSkewed if the first blocks that come show that the clock is wrong; without blocks it is believed."""
    if not refuse_s:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FIRST_BLOCKS_S):
            while not clock.is_known:  # noqa: ASYNC110 - blocks come one by one, and two are needed
                await asyncio.sleep(_LOOK_S)
    if abs(clock.skew_ms) > 1000 * refuse_s:
        raise ClockSkewed(f"{describe_skew(clock.skew_ms)}. The node starts once it is within {refuse_s} s")


async def watch_clock(clock: ClockCheck) -> None:
    """Say when the clock goes wrong, and when it is right again."""
    wrong = False
    while True:
        was, wrong = wrong, abs(clock.skew_ms) > SKEW_WARNED_MS
        if wrong and not was:
            log.warning(describe_skew(clock.skew_ms), skew_ms=clock.skew_ms)
        elif was and not wrong:
            log.info("this machine's clock agrees with the chain's again")
        await asyncio.sleep(_CLOCK_S)


async def watch_node_key(home: Home, use: Callable[[PrivateKey], Awaitable[None]]) -> None:
    """Have another node key used as soon as it lies in the home: it does once the chain knows it."""
    known, seen = home.node_key().address, home.key.stat().st_mtime_ns
    while True:
        await asyncio.sleep(_LOOK_KEY_S)
        try:
            changed = home.key.stat().st_mtime_ns
            if changed == seen:
                continue
            key = home.node_key()
        except (OSError, ClientError) as error:
            log.warning("the node key can't be read; the one in use stays", reason=str(error))
            continue
        seen = changed
        if key.address != known:
            known = key.address
            await use(key)


async def check_registration(link: ChainLink, settings: Settings, node: Callable[[], str]) -> None:
    """Say now and then what keeps the chain and this node (its key's address) from working together."""
    while True:
        try:
            prover = await link.prover()
        except ClientError:
            await asyncio.sleep(1)  # the watcher tells of an unreachable chain
            continue
        for problem in registration_problems(prover, settings, node()):
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

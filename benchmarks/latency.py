"""How long a proof takes beyond its container: real tasks on a real localnet of 4 validators and 5 provers."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE, Input

from benchmarks.report import print_table, say
from client.inputs import parse_input, resolve_inputs
from client.life import status_label
from client.sdk import MillClient
from tests.support.localnet import GROTH16, Deployed, Localnet, deploy_groth16, running_localnet

VALIDATORS, PROVERS = 4, 5
TASKS = 20
TIME_LIMIT_S = 60
INLINE_MAX = 4_096
# Tasks overlap, as they do on a network in use, but must not wait for this machine's few cores.
GAP_SECONDS = 2.0


@dataclass(frozen=True)
class Timing:
    """One task: heights of its steps and seconds since its transaction was sent."""

    created: int
    accepted: int
    proved: int
    # All of the committee have committed: each fetched the proof and ran the verifier's container.
    committed: int
    ended: int
    # Of the prover's container, as the prover measured it.
    container_seconds: float
    proof_seconds: float
    payout_seconds: float


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        say(f"a network of {VALIDATORS} validators and {PROVERS} provers")
        with running_localnet(Path(folder) / "net", validators=VALIDATORS, provers=PROVERS) as network:
            say("building and deploying the reference program")
            deployed = deploy_groth16(network, Path(folder) / "built")
            asyncio.run(_measure(network, deployed, Path(folder)))


async def _measure(network: Localnet, deployed: Deployed, folder: Path) -> None:
    async with MillClient(network.node, signer=network.key("alice")) as client:
        params = await client.params()
        specs = [parse_input(f"{name}.json={GROTH16 / 'example' / name}.json") for name in ("public", "witness")]
        inputs = await resolve_inputs(specs, http=client.http, inline_max=INLINE_MAX, blob_server=None, publish=False)
        program = bytes.fromhex(deployed.program_id)
        say("one task to warm up")
        await _run_task(client, program, inputs, folder)
        say(f"{TASKS} tasks, one every {GAP_SECONDS:.0f} s")
        first = (await client.status()).latest_height
        started = time.monotonic()
        runs = []
        for _ in range(TASKS):
            runs.append(asyncio.create_task(_run_task(client, program, inputs, folder)))
            await asyncio.sleep(GAP_SECONDS)
        timings = await asyncio.gather(*runs)
        block_seconds = (time.monotonic() - started) / ((await client.status()).latest_height - first)
    _report(timings, block_seconds, params.commit_window_ms / 1_000, params.reveal_window_ms / 1_000)


async def _run_task(client: MillClient, program: bytes, inputs: Sequence[Input], folder: Path) -> Timing:
    started = time.monotonic()
    task = await client.run_task(program, inputs, time_limit_s=TIME_LIMIT_S)
    proof_seconds = 0.0
    async for step in client.watch_task(task.task_id):
        if step.name == "proved":
            await client.fetch_bundle(task.task_id, folder / f"proof-{task.task_id}.tar")
            proof_seconds = time.monotonic() - started
    payout_seconds = time.monotonic() - started
    answer = await client.task(task.task_id)
    progress = answer.task.progress
    if progress.status != TASK_STATUS_DONE:
        raise SystemExit(f"task {task.task_id} ended {status_label(progress.status)}: {progress.reason}")
    return Timing(
        answer.task.task.created_height,
        progress.accepted_height,
        progress.proved_height,
        answer.rounds[-1].round.commit_closed_height,
        progress.ended_height,
        progress.proof.usage.wall_ms / 1_000,
        proof_seconds,
        payout_seconds,
    )


def _report(timings: Sequence[Timing], block_seconds: float, commit_window: float, reveal_window: float) -> None:
    container = statistics.median(one.container_seconds for one in timings)
    print_table(
        f"{len(timings)} tasks on {VALIDATORS} validators and {PROVERS} provers, a block every {block_seconds:.2f} s, "
        f"the container's own {container:.2f} s taken off; windows: commit {commit_window:.0f} s, "
        f"reveal {reveal_window:.0f} s at most, ended as soon as all have voted",
        ("from the run transaction", "p50 blocks", "p95 blocks", "p50 s", "p95 s"),
        [
            _row("accepted by its prover", [one.accepted - one.created for one in timings], None),
            _row(
                "proof fetched",
                [_beyond(one.proved - one.created, one, block_seconds) for one in timings],
                [one.proof_seconds - one.container_seconds for one in timings],
            ),
            _row(
                "paid",
                [_beyond(one.ended - one.created, one, block_seconds) for one in timings],
                [one.payout_seconds - one.container_seconds for one in timings],
            ),
            _row("from the proof to the last commit", [one.committed - one.proved for one in timings], None),
            _row("from the last commit to the payout", [one.ended - one.committed for one in timings], None),
        ],
    )


def _beyond(blocks: int, one: Timing, block_seconds: float) -> float:
    """Blocks without those that passed while the container ran."""
    return blocks - one.container_seconds / block_seconds


def _row(name: str, blocks: Sequence[float], seconds: Sequence[float] | None) -> tuple[str, ...]:
    shown = [f"{_percentile(blocks, share):.1f}" for share in (50, 95)]
    shown += [f"{_percentile(seconds, share):.1f}" if seconds else "" for share in (50, 95)]
    return (name, *shown)


def _percentile(values: Sequence[float], share: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]

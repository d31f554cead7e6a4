"""Following a task to its end: live where there is a terminal, a line a step elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner

from client.cli.exit_codes import TaskWithoutProof
from client.cli.options import Settings
from client.cli.output import emit, time_label
from client.cli.session import is_terminal, progress_line
from client.cli.task_view import plain_task, task_table
from client.life import status_label
from client.life_provers import ALL_WORK_ENDS, WORK_BEGINS, WORK_ENDS
from client.life_step import Step
from client.sdk import MillClient

_TICK_S = 0.5
_TICKS_A_LINE = 4
_NAME_WIDTH = 15


async def finish_task(settings: Settings, client: MillClient, task_id: int, output: Path | None) -> None:
    """Follows a task, fetches its proof to ``output`` and prints how it ended.

    Raises :class:`TaskWithoutProof` unless its proof was found valid.
    """
    task = (await client.task(task_id)).task.task
    await show_steps(client.watch_task(task_id), task.time_limit_s + task.transfer_ms // 1_000)
    answer = await client.task(task_id)
    files = await client.fetch_proof(task_id, output) if output and _is_done(answer) else ()
    data = await plain_task(client, answer)
    if output and files:
        data |= {"output": str(output), "files": list(files)}
        progress_line(f"the proof is in {output}: {', '.join(files)}")
    table = await task_table(client, answer)
    emit(settings.format, data, lambda: table)
    if not _is_done(answer):
        progress = answer.task.progress
        raise TaskWithoutProof(f"task {task_id} ended {status_label(progress.status)}: {progress.reason}")


async def show_steps(steps: AsyncIterator[Step], allowed_s: int) -> None:
    """Prints steps as they happen, on stderr, and how long the last prover has been running of ``allowed_s``."""
    if is_terminal():
        console = Console(stderr=True)
        with Live(Spinner("dots", "waiting for the chain"), console=console, transient=True) as live:
            async for line, is_step in _lines(steps, allowed_s):
                if is_step:
                    console.print(line, highlight=False, markup=False, soft_wrap=True)
                    live.update(Spinner("dots", "waiting for what comes next"))
                else:
                    live.update(Spinner("dots", line))
        return
    shown = 0
    async for line, is_step in _lines(steps, allowed_s):
        # Where lines stay, one for each tick is too many.
        shown = 0 if is_step else shown + 1
        if is_step or shown % _TICKS_A_LINE == 1:
            progress_line(line)


async def _lines(steps: AsyncIterator[Step], allowed_s: int) -> AsyncIterator[tuple[str, bool]]:
    """A line for each step (True), and while provers run one for each tick between them (False)."""
    begun_ms: list[int] = []
    following = aiter(steps)
    upcoming = asyncio.ensure_future(anext(following, None))
    try:
        while True:
            done, _ = await asyncio.wait((upcoming,), timeout=_TICK_S if begun_ms else None)
            if not done:
                elapsed_s = max(0.0, time.time() - begun_ms[-1] / 1000)
                yield f"{'':<40}{'running':<{_NAME_WIDTH}} {elapsed_s:.0f} s of {allowed_s} s at most", False
                continue
            step = upcoming.result()
            if step is None:
                return
            if step.name in WORK_BEGINS:
                begun_ms.append(step.time_ms)
            elif step.name in WORK_ENDS:
                del begun_ms[-1:]
            elif step.name in ALL_WORK_ENDS:
                begun_ms.clear()
            yield step_line(step), True
            upcoming = asyncio.ensure_future(anext(following, None))
    finally:
        upcoming.cancel()


def step_line(step: Step) -> str:
    height = step.height or "-"
    return f"{time_label(step.time_ms)}  height {height:<8} {step.name:<{_NAME_WIDTH}} {step.text}"


def _is_done(answer: QueryTaskResponse) -> bool:
    return answer.task.progress.status == TASK_STATUS_DONE

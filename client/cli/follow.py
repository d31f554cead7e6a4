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
from client.life import Step, status_label
from client.sdk import MillClient

_TICK_S = 0.5
_TICKS_A_LINE = 4


async def finish_task(settings: Settings, client: MillClient, task_id: int, output: Path | None) -> None:
    """Follows a task, fetches its proof to ``output`` and prints how it ended.

    Raises :class:`TaskWithoutProof` unless its proof was found valid.
    """
    limit_s = (await client.task(task_id)).task.task.time_limit_s
    await show_steps(client.watch_task(task_id), limit_s)
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


async def show_steps(steps: AsyncIterator[Step], time_limit_s: int) -> None:
    """Prints steps as they happen, on stderr, and how long a prover has been running of ``time_limit_s``."""
    if is_terminal():
        console = Console(stderr=True)
        with Live(Spinner("dots", "waiting for the chain"), console=console, transient=True) as live:
            async for line, is_step in _lines(steps, time_limit_s):
                if is_step:
                    console.print(line, highlight=False, markup=False, soft_wrap=True)
                    live.update(Spinner("dots", "waiting for what comes next"))
                else:
                    live.update(Spinner("dots", line))
        return
    shown = 0
    async for line, is_step in _lines(steps, time_limit_s):
        # Where lines stay, one for each tick is too many.
        shown = 0 if is_step else shown + 1
        if is_step or shown % _TICKS_A_LINE == 1:
            progress_line(line)


async def _lines(steps: AsyncIterator[Step], time_limit_s: int) -> AsyncIterator[tuple[str, bool]]:
    """A line for each step (True), and while a prover runs one for each tick between them (False)."""
    accepted_ms = 0
    following = aiter(steps)
    upcoming = asyncio.ensure_future(anext(following, None))
    try:
        while True:
            done, _ = await asyncio.wait((upcoming,), timeout=_TICK_S if accepted_ms else None)
            if not done:
                elapsed_s = max(0.0, time.time() - accepted_ms / 1000)
                yield f"{'':<40}running    {elapsed_s:.0f} s of {time_limit_s} s at most", False
                continue
            step = upcoming.result()
            if step is None:
                return
            accepted_ms = step.time_ms if step.name == "accepted" else 0
            yield step_line(step), True
            upcoming = asyncio.ensure_future(anext(following, None))
    finally:
        upcoming.cancel()


def step_line(step: Step) -> str:
    height = step.height or "-"
    return f"{time_label(step.time_ms)}  height {height:<8} {step.name:<10} {step.text}"


def _is_done(answer: QueryTaskResponse) -> bool:
    return answer.task.progress.status == TASK_STATUS_DONE

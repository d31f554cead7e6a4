"""Following a task to its end: live where there is a terminal, a line a step elsewhere."""

from __future__ import annotations

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


async def finish_task(settings: Settings, client: MillClient, task_id: int, output: Path | None) -> None:
    """Follows a task, fetches its proof to ``output`` and prints how it ended.

    Raises :class:`TaskWithoutProof` unless its proof was found valid.
    """
    await show_steps(client.watch_task(task_id))
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


async def show_steps(steps: AsyncIterator[Step]) -> None:
    """Prints steps as they happen, on stderr."""
    if not is_terminal():
        async for step in steps:
            progress_line(step_line(step))
        return
    console = Console(stderr=True)
    with Live(Spinner("dots", "waiting for the chain"), console=console, transient=True, refresh_per_second=8) as live:
        async for step in steps:
            console.print(step_line(step), highlight=False, markup=False)
            live.update(Spinner("dots", f"{step.name}, waiting for what comes next"))


def step_line(step: Step) -> str:
    height = step.height or "-"
    return f"{time_label(step.time_ms)}  height {height:<8} {step.name:<10} {step.text}"


def _is_done(answer: QueryTaskResponse) -> bool:
    return answer.task.progress.status == TASK_STATUS_DONE

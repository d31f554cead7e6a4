"""`mill task`: what became of requests."""

from __future__ import annotations

from pathlib import Path

import click
from proofmill.task.v1.query_pb2 import TaskView
from proofmill.task.v1.state_pb2 import TaskStatus

from chain.amount import UCREDIT, format_amount
from client.cli.follow import finish_task
from client.cli.options import Settings, node_options
from client.cli.output import columns, emit, time_label
from client.cli.session import asking, resolve_address
from client.cli.task_view import plain_task, task_table
from client.life import status_label
from client.plain import to_plain
from client.sdk import MillClient

_STATUSES = [name.removeprefix("TASK_STATUS_").lower() for name in TaskStatus.keys()[1:]]
_TASK_ID = click.argument("task_id", type=click.IntRange(1, 2**63 - 1), metavar="ID")


@click.group()
def task() -> None:
    """Follow tasks, fetch proofs and logs."""


@task.command("list")
@click.option("--user", metavar="NAME|ADDRESS", help="Only this user's.")
@click.option("--status", type=click.Choice(_STATUSES, case_sensitive=False), help="Only those in this status.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@node_options
def list_(settings: Settings, user: str | None, status: str | None, limit: int) -> None:
    """List tasks, the newest first."""
    address = resolve_address(settings, user) if user else ""
    wanted = f"TASK_STATUS_{status.upper()}" if status else None

    async def work(client: MillClient) -> None:
        found = [one async for one in client.tasks(user=address, status=wanted, limit=limit)]
        header = ("task", "status", "created (UTC)", "fee", "program", "prover")
        emit(settings.format, [to_plain(one) for one in found], lambda: columns(header, [_row(one) for one in found]))

    asking(settings, work)


@task.command()
@_TASK_ID
@node_options
def show(settings: Settings, task_id: int) -> None:
    """Show a task's whole life: draws, heights, committee, votes, verdict and payouts."""

    async def work(client: MillClient) -> None:
        answer = await client.task(task_id)
        if settings.format == "table":
            click.echo(await task_table(client, answer))
        else:
            data = await plain_task(client, answer)
            emit(settings.format, data, str)

    asking(settings, work)


@task.command()
@_TASK_ID
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Unpack the proof into DIR at the end.")
@node_options
def watch(settings: Settings, task_id: int, output: Path | None) -> None:
    """Follow a task until it has ended."""

    async def work(client: MillClient) -> None:
        await finish_task(settings, client, task_id, output)

    asking(settings, work)


@task.command()
@_TASK_ID
@click.option("--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="A new or empty folder.")
@node_options
def proof(settings: Settings, task_id: int, output: Path) -> None:
    """Fetch a task's proof from whoever has it, check its hash and unpack it.

    \b
    Example:
      mill task proof 7 --output proof
    """

    async def work(client: MillClient) -> None:
        files = await client.fetch_proof(task_id, output)
        emit(settings.format, {"output": str(output), "files": list(files)}, lambda: "\n".join(files))

    asking(settings, work)


@task.command()
@_TASK_ID
@node_options
def logs(settings: Settings, task_id: int) -> None:
    """Print what the program wrote while it proved: its stdout, and its stderr to stderr."""

    async def work(client: MillClient) -> None:
        found = await client.task_logs(task_id)
        if settings.format == "table":
            click.echo(found.stdout, nl=False)
            click.echo(found.stderr, nl=False, err=True)
        else:
            emit(settings.format, {"stdout": found.stdout, "stderr": found.stderr}, str)

    asking(settings, work)


def _row(view: TaskView) -> tuple[object, ...]:
    found, progress = view.task, view.progress
    return (
        found.id,
        status_label(progress.status),
        time_label(found.created_ms),
        format_amount(found.fee, UCREDIT),
        found.program_id.hex()[:16],
        progress.prover or "-",
    )

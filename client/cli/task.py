"""`mill task`: what became of requests, and giving them up."""

from __future__ import annotations

from pathlib import Path

import click
from proofmill.task.v1.query_pb2 import TaskView
from proofmill.task.v1.state_pb2 import TaskStatus

from chain.amount import UCREDIT, UMILL, format_amount
from client import messages
from client.cli.follow import finish_task
from client.cli.options import Sender, Settings, node_options, sender_options
from client.cli.output import columns, emit, time_label
from client.cli.session import Detail, asking, print_outcome, resolve_address, sending, show_plan
from client.cli.task_view import plain_task, task_table
from client.life import status_label
from client.plain import Plain, to_plain
from client.sdk import CancelledTask, MillClient

_STATUSES = [name.removeprefix("TASK_STATUS_").lower() for name in TaskStatus.keys()[1:]]
_TASK_ID = click.argument("task_id", type=click.IntRange(1, 2**63 - 1), metavar="ID")


@click.group()
def task() -> None:
    """Follow and cancel tasks, fetch proofs and logs."""


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
        header = ("task", "status", "created (UTC)", "fee", "program", "user", "prover")
        emit(settings.format, [to_plain(one) for one in found], lambda: columns(header, [_row(one) for one in found]))

    asking(settings, work)


@task.command()
@_TASK_ID
@node_options
def show(settings: Settings, task_id: int) -> None:
    """Show a task's whole life: draws, heights, committees, votes, verdicts, slashes and payouts."""

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


@task.command()
@_TASK_ID
@sender_options
def cancel(settings: Settings, sender: Sender, task_id: int) -> None:
    """Cancel a task of yours that no prover has a proof of yet.

    Before a prover accepted it everything comes back; then the elapsed share of the time limit is the prover's.

    \b
    Example:
      mill task cancel 7 --from alice
    """

    async def work(client: MillClient) -> None:
        message = messages.cancel_task(client.address, task_id)
        if sender.dry_run:
            await show_plan(settings, client, message)
            return
        cancelled = await client.cancelled_task(task_id, await client.submit(message))
        print_outcome(settings, cancelled.outcome, _cancel_details(cancelled))

    sending(settings, sender, work)


def _cancel_details(cancelled: CancelledTask) -> list[Detail]:
    paid = cancelled.payments
    text = ", ".join(f"{format_amount(one.umill, UMILL)} to {one.recipient} for its time" for one in paid)
    plain: list[Plain] = [{"prover": one.recipient, "ucredit": one.ucredit, "umill": one.umill} for one in paid]
    return [
        Detail("refund_ucredit", cancelled.refund, "refund", format_amount(cancelled.refund, UCREDIT)),
        Detail("paid", plain, "paid", text or "nothing: no prover had begun"),
    ]


def _row(view: TaskView) -> tuple[object, ...]:
    found, progress = view.task, view.progress
    return (
        found.id,
        status_label(progress.status),
        time_label(found.created_ms),
        format_amount(found.fee, UCREDIT),
        found.program_id.hex()[:16],
        found.user or "capacity test",
        progress.prover or "-",
    )

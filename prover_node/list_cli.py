"""`mill prover list`: all provers of the network, as anybody may see them."""

from __future__ import annotations

import click
from proofmill.prover.v1.state_pb2 import Prover, ProverStatus

from chain.amount import UMILL, format_amount
from client.cli.options import Settings, node_options
from client.cli.output import columns, emit
from client.cli.session import asking
from client.plain import to_plain
from client.quantity import format_memory
from client.sdk import MillClient

_STATUSES = [name.removeprefix("PROVER_STATUS_").lower() for name, value in ProverStatus.items() if value]
_HEADER = ("operator", "status", "claim", "bond", "proved", "failed", "votes", "earned", "slashed", "because")


@click.command("list")
@click.option("--status", type=click.Choice(_STATUSES), help="Only those in this status.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many.")
@node_options
def list_(settings: Settings, status: str | None, limit: int) -> None:
    """List the network's provers: what each claims, has bonded, has done and has lost."""
    wanted = f"PROVER_STATUS_{status.upper()}" if status else None

    async def work(client: MillClient) -> None:
        found = [one async for one in client.provers(status=wanted, limit=limit)]
        emit(settings.format, [to_plain(one) for one in found], lambda: columns(_HEADER, [_row(one) for one in found]))

    asking(settings, work)


def _row(one: Prover) -> tuple[object, ...]:
    claim = one.resources
    return (
        one.operator,
        ProverStatus.Name(one.status).removeprefix("PROVER_STATUS_"),
        f"{claim.cpu_millis / 1_000:g} cores, {format_memory(claim.memory_bytes)}, {claim.gpus} GPUs",
        format_amount(one.bond, UMILL),
        one.tasks_proved,
        one.tasks_failed,
        one.votes_rewarded,
        format_amount(one.earned_umill, UMILL),
        format_amount(one.slashed_umill, UMILL),
        one.jail_reason,
    )

"""What a prover's operator may change on chain: claim, endpoints, region, bond, and leaving."""

from __future__ import annotations

import click
from proofmill.prover.v1.tx_pb2 import MsgExitProver, MsgTopUpBond, MsgUpdateProver
from proofmill.types.v1.types_pb2 import Resources

from chain.amount import UMILL, format_amount
from client.cli.options import CPU, MEMORY, amount_type
from client.cli.session import Detail
from client.quantity import format_memory
from client.sdk import MillClient
from prover_node.cli_options import Operator, operator_options


@click.command()
@operator_options
@click.option("--cpu", "--cpus", "cpu_millis", type=CPU, help="Cores to claim, such as 4 or 2500m.")
@click.option("--memory", "memory_bytes", type=MEMORY, help="Memory to claim, such as 4GiB.")
@click.option("--gpus", type=click.IntRange(0), help="GPUs to claim.")
@click.option("--endpoint", "endpoints", multiple=True, metavar="URL", help="Replaces all endpoints; may be repeated.")
@click.option("--region", default="", help="Where the node is, such as eu-west; free text.")
def update(
    operator: Operator,
    *,
    cpu_millis: int | None,
    memory_bytes: int | None,
    gpus: int | None,
    endpoints: tuple[str, ...],
    region: str,
) -> None:
    """Change what the prover claims and where it is reached; what isn't named stays.

    A larger claim counts once the prover has passed a capacity test of it: try `mill prover benchmark` first. The
    node's own [resources] in config.toml stay as they are: change them too, and start it again.

    \b
    Example:
      mill prover update --cpu 8 --memory 32GiB --from operator
    """
    claims = cpu_millis is not None or memory_bytes is not None or gpus is not None
    if not (claims or endpoints or region):
        raise click.UsageError("nothing to change: give --cpu, --memory, --gpus, --endpoint or --region")
    details: list[Detail] = []

    async def build(client: MillClient) -> MsgUpdateProver:
        message = MsgUpdateProver(operator=operator.settings.chain.operator, endpoints=endpoints, region=region)
        if claims:
            prover = await client.prover(message.operator)
            was = prover.claim if prover.HasField("claim") else prover.resources
            wanted = Resources(
                cpu_millis=was.cpu_millis if cpu_millis is None else cpu_millis,
                memory_bytes=was.memory_bytes if memory_bytes is None else memory_bytes,
                gpus=was.gpus if gpus is None else gpus,
            )
            message.resources.CopyFrom(wanted)
            details.append(_claim_detail(wanted))
        return message

    operator.send(build, lambda: details)


@click.command("top-up")
@operator_options
@click.argument("amount", type=amount_type(UMILL), metavar="AMOUNT")
def top_up(operator: Operator, *, amount: int) -> None:
    """Add MILL from the operator's account to the prover's bond.

    \b
    Example:
      mill prover top-up 500mill --from operator
    """

    async def build(_: MillClient) -> MsgTopUpBond:
        return MsgTopUpBond(operator=operator.settings.chain.operator, amount=amount)

    operator.send(build, lambda: [Detail("added_umill", amount, "added to the bond", format_amount(amount, UMILL))])


@click.command("exit")
@operator_options
def leave(operator: Operator) -> None:
    """Leave the network: no new work, and the bond back once the cooldown after the last duty is over.

    Keep the daemon running until then: what is owed stays owed. `mill prover status` says when the bond comes back.
    """

    async def build(_: MillClient) -> MsgExitProver:
        return MsgExitProver(operator=operator.settings.chain.operator)

    operator.send(build)


def _claim_detail(claim: Resources) -> Detail:
    value = {"cpu_millis": claim.cpu_millis, "memory_bytes": claim.memory_bytes, "gpus": claim.gpus}
    text = f"{claim.cpu_millis / 1000:g} cores, {format_memory(claim.memory_bytes)}, {claim.gpus} GPUs"
    return Detail("claim", value, "claim", text)

"""`mill prover rotate-key`: another node key for the prover, by its operator's word."""

from __future__ import annotations

import click
from google.protobuf.message import Message
from proofmill.prover.v1.tx_pb2 import MsgUpdateProver

from chain.amount import UMILL, format_amount
from client.cli.options import amount_type
from client.cli.session import Detail, print_outcome, progress_line, sending, show_plan
from client.errors import ClientError
from client.keys.private_key import PrivateKey
from client.messages import send
from client.sdk import MillClient
from prover_node.cli_options import Operator, operator_options


@click.command("rotate-key")
@operator_options
@click.option(
    "--fund",
    type=amount_type(UMILL),
    default="1mill",
    show_default=True,
    help="MILL from the operator's account for the new key's fees.",
)
def rotate_key(operator: Operator, *, fund: int) -> None:
    """Give the prover a new node key: the old one signs nothing any more from that transaction on.

    A running daemon takes the new key up by itself. Duties go on; what was committed to with the old key is opened with
    it, so it is kept in the prover's folder under retired-keys. What the old key still holds is sent to the new one. If
    this is cut short, run it again.

    \b
    Example:
      mill prover rotate-key --from operator --dry-run
      mill prover rotate-key --from operator
    """
    home, old = operator.home, operator.home.node_key()

    async def work(client: MillClient) -> None:
        await operator.check(client)
        if operator.sender.dry_run:
            # A key of its own, which is forgotten: nothing is written.
            await show_plan(operator.client, client, *_messages(operator, PrivateKey.generate(), fund))
            return
        prover = await client.prover(client.address)
        new = home.prepare_key()
        if prover.node == new.address:
            home.rotate_key()
            progress_line(f"the chain had the new node key {new.address} already; the prover's folder has it now too")
            return
        outcome = await client.submit(*_messages(operator, new, fund))
        home.rotate_key()
        details = [
            operator.detail,
            Detail("node", new.address, "node key", new.address),
            Detail("old_node", old.address, "old node key", old.address),
            Detail("funded_umill", fund, "sent to it", format_amount(fund, UMILL)),
        ]
        swept = await _sweep(client.rpc.url, old, new)
        details.append(Detail("swept_umill", swept, "left on the old key", f"{format_amount(swept, UMILL)}, sent too"))
        print_outcome(operator.client, outcome, details)

    sending(operator.client, operator.sender, work)


def _messages(operator: Operator, new: PrivateKey, fund: int) -> list[Message]:
    address = operator.settings.chain.operator
    return [send(address, new.address, fund), MsgUpdateProver(operator=address, node=new.address)]


async def _sweep(node: str, old: PrivateKey, new: PrivateKey) -> int:
    """Send what the old key still has to the new one; how much that was (umill). Nothing depends on it."""
    async with MillClient(node, signer=old) as client:
        try:
            held = (await client.balances(old.address))[UMILL]
            if held < 2:
                return 0
            fee = (await client.plan(send(old.address, new.address, held // 2))).terms.fee_umill
            # A longer amount costs a little more.
            rest = held - fee - fee // 10
            if rest <= 0:
                return 0
            await client.submit(send(old.address, new.address, rest))
        except ClientError as error:
            progress_line(f"note: what the old key {old.address} holds couldn't be sent to the new one: {error}")
            return 0
    return rest

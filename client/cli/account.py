"""`mill account`, `mill send`, `mill credits`: money."""

from __future__ import annotations

import click
from google.protobuf.message import Message

from chain.amount import UCREDIT, UMILL, format_amount
from client import messages
from client.cli.options import Sender, Settings, amount_type, node_options, sender_options
from client.cli.output import emit, pairs
from client.cli.session import Detail, asking, resolve_address, send_transaction
from client.plain import Plain
from client.sdk import MillClient
from client.wallet import read_account


@click.command()
@click.argument("account", required=False, metavar="[NAME|ADDRESS]")
@node_options
def account(settings: Settings, account: str | None) -> None:
    """Show an account's balances and sequence; by default your only key's.

    \b
    Examples:
      mill account alice
      mill account mill1… -o json
    """
    address = resolve_address(settings, account)

    async def work(client: MillClient) -> None:
        balances = await client.balances(address)
        state = await read_account(client.rpc, address)
        data: Plain = {
            "address": address,
            "balances": balances,
            "account_number": state.number if state else None,
            "sequence": state.sequence if state else None,
        }
        rows: list[tuple[str, object]] = [("address", address)]
        rows += [(denom.removeprefix("u"), format_amount(amount, denom)) for denom, amount in balances.items()]
        rows.append(("sequence", state.sequence if state else "- (not on chain yet)"))
        emit(settings.format, data, lambda: pairs(rows))

    asking(settings, work)


@click.command()
@click.argument("recipient", metavar="NAME|ADDRESS")
@click.argument("amount", type=amount_type(UMILL))
@click.option("--memo", default="", help="A public note, at most 256 characters.")
@sender_options
def send(settings: Settings, sender: Sender, recipient: str, amount: int, memo: str) -> None:
    """Send AMOUNT of MILL to a key of yours or to any address.

    \b
    Examples:
      mill send mill1… 12.5mill --from alice
      mill send bob 300umill --dry-run
    """
    address = resolve_address(settings, recipient)

    async def build(client: MillClient) -> Message:
        return messages.send(client.address, address, amount)

    send_transaction(
        settings,
        sender,
        build,
        lambda _: _details(address, amount, UMILL),
        memo=memo,
    )


@click.group("credits")
def credits_group() -> None:
    """Grant credits, which pay for tasks."""


@credits_group.command()
@click.argument("recipient", metavar="NAME|ADDRESS")
@click.argument("amount", type=amount_type(UCREDIT))
@sender_options
def grant(settings: Settings, sender: Sender, recipient: str, amount: int) -> None:
    """Mint AMOUNT of credits to an account. Only the network's authority can.

    \b
    Example:
      mill credits grant mill1… 25credits --from authority
    """
    address = resolve_address(settings, recipient)

    async def build(client: MillClient) -> Message:
        return messages.grant_credits(client.address, address, amount)

    send_transaction(settings, sender, build, lambda _: _details(address, amount, UCREDIT))


def _details(recipient: str, amount: int, denom: str) -> list[Detail]:
    return [
        Detail("recipient", recipient, "recipient", recipient),
        Detail(f"amount_{denom}", amount, "amount", format_amount(amount, denom)),
    ]

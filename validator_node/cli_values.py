"""Values of command-line options that need more than a string: addresses, and accounts with their money."""

from __future__ import annotations

from dataclasses import dataclass

import click
from proofmill.genesis.v1.genesis_pb2 import GenesisAccount

from chain.address import AddressError, decode_address
from chain.amount import UCREDIT, UMILL, AmountError, parse_amount


@dataclass(frozen=True)
class GenesisAccountValue:
    """An account and what it holds when a chain begins, in the smallest units."""

    address: str
    umill: int
    ucredit: int

    def message(self) -> GenesisAccount:
        """The same for a genesis file."""
        return GenesisAccount(address=self.address, umill=self.umill, ucredit=self.ucredit)


class AddressType(click.ParamType[str]):
    """An account's address."""

    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value:
            try:
                decode_address(value)
            except AddressError as error:
                self.fail(str(error), param, ctx)
        return value


class AccountType(click.ParamType[GenesisAccountValue]):
    """ADDRESS=AMOUNT[,AMOUNT]."""

    name = "account"

    def convert(
        self, value: str | GenesisAccountValue, param: click.Parameter | None, ctx: click.Context | None
    ) -> GenesisAccountValue:
        if isinstance(value, GenesisAccountValue):
            return value
        address, equals, amounts = value.partition("=")
        if not equals or not amounts:
            self.fail(f"{value!r} isn't ADDRESS=AMOUNT, such as mill1…=100mill,5credit", param, ctx)
        held = {UMILL: 0, UCREDIT: 0}
        try:
            decode_address(address)
            for text in amounts.split(","):
                amount, denom = parse_amount(text)
                held[denom] += amount
        except (AddressError, AmountError) as error:
            self.fail(str(error), param, ctx)
        return GenesisAccountValue(address, held[UMILL], held[UCREDIT])


ADDRESS = AddressType()
ACCOUNT = AccountType()

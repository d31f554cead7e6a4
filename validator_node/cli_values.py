"""Values of command-line options that need more than a string: addresses, chain ids, peers, money."""

from __future__ import annotations

import re
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


class ChainIdType(click.ParamType[str]):
    """A new chain's name: CometBFT takes 50 characters, and nobody should have to quote them."""

    name = "id"
    _RULE = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,49}")

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not self._RULE.fullmatch(value):
            rule = "use letters, digits, '-', '_' and '.', at most 50, a letter or digit first"
            self.fail(f"{value!r} can't name a chain: {rule}", param, ctx)
        return value


class PeerType(click.ParamType[str]):
    """ID@HOST:PORT, as CometBFT writes the address of a node."""

    name = "peer"
    _RULE = re.compile(r"[0-9a-f]{40}@(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        match = self._RULE.fullmatch(value)
        if match is None or not 1 <= int(match[1]) <= 65_535:
            hint = "the id is the 40 digits that `mill node status` shows as node id"
            self.fail(f"{value!r} isn't ID@HOST:PORT: {hint}", param, ctx)
        return value


ADDRESS = AddressType()
CHAIN_ID = ChainIdType()
PEER = PeerType()
ACCOUNT = AccountType()

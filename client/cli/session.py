"""From options to a client with an unlocked key, and one way to send a transaction or only show it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import click
import yaml
from google.protobuf.message import Message

from chain.amount import UMILL, format_amount
from client.cli.options import Sender, Settings
from client.cli.output import emit, pairs
from client.errors import InvalidInput
from client.keys.keystore import KeyInfo, KeyStore
from client.keys.passphrase import ask_passphrase
from client.messages import check_address
from client.plain import Plain, to_plain
from client.sdk import MillClient
from client.tx import Signer, pack
from client.wallet import TxOutcome, TxPlan

T = TypeVar("T")


class Detail(NamedTuple):
    """What a transaction did: ``name`` and ``value`` for programs, ``title`` and ``text`` for people."""

    name: str
    value: Plain
    title: str
    text: str


@dataclass(frozen=True)
class PublicKeyOnly:
    """Stands for a key in a dry run, which needs no signature and so no passphrase."""

    address: str
    pub_key: bytes

    def sign(self, message: bytes) -> bytes:
        raise InvalidInput(f"the key of {self.address} isn't unlocked")


def asking(settings: Settings, work: Callable[[MillClient], Coroutine[Any, Any, T]]) -> T:
    """Runs ``work`` with a client that has no key."""
    return _run(settings, None, work)


def sending(settings: Settings, sender: Sender, work: Callable[[MillClient], Coroutine[Any, Any, T]]) -> T:
    """Runs ``work`` with a client that signs; in a dry run with one that only knows the public key."""
    store = KeyStore(settings.keys)
    name = sender.name or only_key(store).name
    signer: Signer
    if sender.dry_run:
        info = store.find(name)
        signer = PublicKeyOnly(info.address, info.pub_key)
    else:
        signer = store.unlock(name, lambda key: ask_passphrase(sender.passphrase_file, f"Passphrase of {key.name}"))
    return _run(settings, signer, work)


def send_transaction(
    settings: Settings,
    sender: Sender,
    build: Callable[[MillClient], Awaitable[Message]],
    describe: Callable[[TxOutcome], Sequence[Detail]],
    memo: str = "",
) -> None:
    """Builds a message, sends it and prints the outcome; in a dry run prints what would have been sent.

    ``describe`` says what the transaction did.
    """

    async def work(client: MillClient) -> None:
        message = await build(client)
        if sender.dry_run:
            await show_plan(settings, client, message, memo=memo)
            return
        outcome = await client.submit(message, memo=memo)
        print_outcome(settings, outcome, describe(outcome))

    sending(settings, sender, work)


async def show_plan(settings: Settings, client: MillClient, *messages: Message, memo: str = "") -> None:
    """Simulates and prices a transaction, and prints it instead of sending it."""
    _print_plan(settings, await client.plan(*messages, memo=memo))


def _print_plan(settings: Settings, plan: TxPlan) -> None:
    messages: list[Plain] = [{"type": pack(message).type_url, **to_plain(message)} for message in plan.messages]
    data: Plain = {
        "dry_run": True,
        "chain_id": plan.chain_id,
        "account_number": plan.account.number,
        "sequence": plan.terms.sequence,
        "gas": plan.terms.gas_limit,
        "fee_umill": plan.terms.fee_umill,
        "timeout_height": plan.terms.timeout_height,
        "memo": plan.terms.memo,
        "messages": messages,
    }

    def table() -> str:
        body = yaml.safe_dump(messages, sort_keys=False, allow_unicode=True).rstrip("\n")
        fee = f"{format_amount(plan.terms.fee_umill, UMILL)} for {plan.terms.gas_limit} gas"
        return f"Nothing was sent. The transaction would succeed now and cost {fee}:\n\n{body}"

    emit(settings.format, data, table)


def print_outcome(settings: Settings, outcome: TxOutcome, details: Sequence[Detail]) -> None:
    data: Plain = {
        "hash": outcome.hash,
        "height": outcome.height,
        "gas_used": outcome.gas_used,
        "fee_umill": outcome.fee_umill,
        **{detail.name: detail.value for detail in details},
    }
    rows: list[tuple[str, object]] = [
        *((detail.title, detail.text) for detail in details),
        ("transaction", outcome.hash),
        ("height", outcome.height),
        ("fee", f"{format_amount(outcome.fee_umill, UMILL)} for {outcome.gas_used} gas"),
    ]
    emit(settings.format, data, lambda: pairs(rows))


def only_key(store: KeyStore) -> KeyInfo:
    """The key that signs when none is named."""
    keys = store.list()
    if not keys:
        raise InvalidInput(f"there is no key in {store.folder}: make one with mill keys add, or name another --home")
    if len(keys) > 1:
        names = ", ".join(key.name for key in keys)
        raise InvalidInput(f"there are several keys ({names}): choose one with --from")
    return keys[0]


def resolve_address(settings: Settings, name_or_address: str | None) -> str:
    """An address as it is, or that of the key so named; by default that of the only key."""
    if name_or_address is None:
        return only_key(KeyStore(settings.keys)).address
    if name_or_address.startswith("mill1"):
        return check_address(name_or_address)
    return KeyStore(settings.keys).find(name_or_address).address


def progress_line(text: str) -> None:
    """Tells the user what goes on, apart from the result."""
    click.echo(text, err=True)


def is_terminal() -> bool:
    return sys.stderr.isatty()


def _run(settings: Settings, signer: Signer | None, work: Callable[[MillClient], Coroutine[Any, Any, T]]) -> T:
    async def main() -> T:
        async with MillClient(settings.node, signer=signer) as client:
            return await work(client)

    return asyncio.run(main())

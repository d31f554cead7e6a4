"""Uses a Proofmill network through CosmPy and prints what it found as one JSON object.

Runs in an environment of its own (see requirements.in), where nothing of Proofmill is installed. Its input, as JSON on
standard input: urls ({transport: URL}), chain_id, mnemonic, key (hexadecimal), recipient and stranger (addresses),
amount (umill), descriptors (file with a FileDescriptorSet of Proofmill's messages), program_id (hexadecimal) and
inputs ({name, hex, audience}).
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from cosmpy.aerial.client import LedgerClient, NetworkConfig
from cosmpy.aerial.client.utils import prepare_and_broadcast_basic_transaction
from cosmpy.aerial.exceptions import BroadcastError, NotFoundError
from cosmpy.aerial.tx import Transaction, TxFee
from cosmpy.aerial.wallet import LocalWallet
from cosmpy.crypto.address import Address
from cosmpy.crypto.keypairs import PrivateKey
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PREFIX = "mill"


def run_task_type(descriptors: Path) -> Any:
    """The class of MsgRunTask, made from its descriptor: CosmPy's protobuf is older than the one our stubs are for."""
    pool = descriptor_pool.Default()  # where CosmPy's JSON encoder looks
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes()).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("proofmill.task.v1.MsgRunTask"))


def use(client: LedgerClient, given: dict[str, Any], wallet: LocalWallet, run_task: Any) -> dict[str, Any]:
    """Everything over one transport."""
    report = ask(client, given)
    report["sent"] = send(client, given, wallet)
    report["refused"] = refusals(client, given, wallet)
    report["run"] = run(client, given, wallet, run_task)
    return report


def ask(client: LedgerClient, given: dict[str, Any]) -> dict[str, Any]:
    recipient, stranger = Address(given["recipient"]), Address(given["stranger"])
    info = client.query_node_info()
    block = client.query_block(1)
    try:
        unknown = str(client.query_tx("00" * 32))
    except NotFoundError:
        unknown = "not found"
    return {
        "chain_id": client.query_chain_id(),
        "height": client.query_height(),
        "app": info.app_name,
        "first_block": {"height": block.height, "chain_id": block.chain_id},
        "balance": client.query_bank_balance(recipient),
        "all": {coin.denom: int(coin.amount) for coin in client.query_bank_all_balances(recipient)},
        "strangers_balance": client.query_bank_balance(stranger),
        "unknown_tx": unknown,
    }


def send(client: LedgerClient, given: dict[str, Any], wallet: LocalWallet) -> dict[str, Any]:
    recipient = Address(given["recipient"])
    before = client.query_account(wallet.address()), client.query_bank_balance(wallet.address())
    sent = client.send_tokens(recipient, given["amount"], "umill", wallet, memo="a note").wait_to_complete()
    found = client.query_tx(sent.tx_hash)
    return {
        "hash": sent.tx_hash,
        "found": {"hash": found.hash, "code": found.code, "height": found.height, "gas_used": found.gas_used},
        "gas_wanted": found.gas_wanted,
        "account": before[0].number,
        "sequence": [before[0].sequence, client.query_account(wallet.address()).sequence],
        "balance": [before[1], client.query_bank_balance(wallet.address())],
        "recipient": client.query_bank_balance(recipient),
        "events": {kind: dict(attributes) for kind, attributes in found.events.items()},
    }


def refusals(client: LedgerClient, given: dict[str, Any], wallet: LocalWallet) -> dict[str, str]:
    recipient = Address(given["recipient"])

    def refusal(amount: int, denom: str, fee: TxFee) -> str:
        try:
            client.send_tokens(recipient, amount, denom, wallet, fee=fee)
        except BroadcastError as error:
            return str(error)
        return "accepted"

    return {
        "no_fee": refusal(1, "umill", TxFee("0umill", 200_000)),
        "little_gas": refusal(1, "umill", TxFee("5000umill", 1)),
        "other_denom": refusal(1, "uatom", TxFee("5000umill", 200_000)),
    }


def run(client: LedgerClient, given: dict[str, Any], wallet: LocalWallet, run_task: Any) -> dict[str, Any]:
    message = run_task(
        user=str(wallet.address()),
        program_id=bytes.fromhex(given["program_id"]),
        time_limit_s=60,
        redundancy=1,
        max_fee=1_000_000,
        queue_timeout_s=600,
    )
    for one in given["inputs"]:
        content = bytes.fromhex(one["hex"])
        message.inputs.add(
            name=one["name"],
            inline=content,
            sha256=hashlib.sha256(content).digest(),
            size=len(content),
            audience=one["audience"],
        )
    transaction = Transaction()
    transaction.add_message(message)
    sent = prepare_and_broadcast_basic_transaction(client, transaction, wallet).wait_to_complete()
    found = client.query_tx(sent.tx_hash)
    return {"hash": sent.tx_hash, "code": found.code, "events": {k: dict(v) for k, v in found.events.items()}}


def main() -> None:
    given = json.load(sys.stdin)
    run_task = run_task_type(Path(given["descriptors"]))
    wallet = LocalWallet(PrivateKey(bytes.fromhex(given["key"])), prefix=PREFIX)
    report: dict[str, Any] = {
        "sender": str(wallet.address()),
        "address_of_words": str(LocalWallet.from_mnemonic(given["mnemonic"], prefix=PREFIX).address()),
    }
    for transport, url in given["urls"].items():
        config = NetworkConfig(
            chain_id=given["chain_id"],
            url=url,
            fee_minimum_gas_price=0.025,
            fee_denomination="umill",
            staking_denomination="umill",
        )
        client = LedgerClient(config, query_interval_secs=1, query_timeout_secs=60)
        report[transport] = use(client, given, wallet, run_task)
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()

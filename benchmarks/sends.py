"""A chain with 100,000 funded accounts, and signed sends between them: what several benchmarks start from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from cosmos.bank.v1beta1.tx_pb2 import MsgSend
from cosmos.base.v1beta1.coin_pb2 import Coin
from proofmill.genesis.v1.genesis_pb2 import Genesis, GenesisAccount

from chain.address import encode_address
from chain.params import default_params
from tests.support.network import Key, make_tx

ACCOUNTS = 100_000
# So many of them send; each sends again only after its last transaction is in a block.
SENDERS = 5_000
BALANCE = 1_000_000_000


def sender_key(index: int) -> Key:
    return Key(f"bench{index}")


def make_genesis() -> Genesis:
    """Senders come first, so account number = sender index."""
    addresses = [sender_key(index).address for index in range(SENDERS)]
    addresses += [idle_address(index) for index in range(ACCOUNTS - SENDERS)]
    return Genesis(
        params=default_params(),
        accounts=[GenesisAccount(address=address, umill=BALANCE) for address in addresses],
    )


def idle_address(index: int) -> str:
    return encode_address(hashlib.sha256(f"idle{index}".encode()).digest()[:20])


def sign_sends(chain_id: str, rounds: range) -> list[list[bytes]]:
    """For each round one transaction of each sender, to accounts all over the state. Uses all cores."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        chunks = pool.map(_sign_round, [(chain_id, sequence) for sequence in rounds])
        return list(chunks)


def _sign_round(job: tuple[str, int]) -> list[bytes]:
    chain_id, sequence = job
    return list(_sends(chain_id, sequence))


def _sends(chain_id: str, sequence: int) -> Iterator[bytes]:
    for index in range(SENDERS):
        recipient = idle_address((index * 7_919 + sequence * 104_729) % (ACCOUNTS - SENDERS))
        key = sender_key(index)
        message = MsgSend(from_address=key.address, to_address=recipient, amount=[Coin(denom="umill", amount="1")])
        yield make_tx(key, [message], account_number=index, sequence=sequence, chain_id=chain_id)

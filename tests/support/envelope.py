"""Transactions of which any part can be wrong, as long as the signatures fit it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosmos.tx.v1beta1.tx_pb2 import AuthInfo, TxBody, TxRaw
from proofmill.credits.v1.state_pb2 import Account

from chain import schema
from chain.tx import sign_bytes
from tests.support.network import CHAIN_ID, make_tx
from tests.support.sends import make_send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.network import Key, Network

CURVE_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


def account_of(network: Network, key: Key) -> Account:
    """The committed account; an empty one if there is none."""
    return schema.ACCOUNTS.get(network.values, key.raw) or Account()


def valid_send(network: Network, sender: Key, recipient: str, amount: int = 1_000) -> bytes:
    """A transaction that the next block takes."""
    account = account_of(network, sender)
    return make_tx(
        sender,
        [make_send(sender, recipient, amount)],
        account_number=account.number,
        sequence=account.sequence,
    )


def parts(raw: bytes) -> tuple[TxBody, AuthInfo]:
    """The decoded parts of a transaction, to be changed and signed again."""
    envelope = TxRaw.FromString(raw)
    return TxBody.FromString(envelope.body_bytes), AuthInfo.FromString(envelope.auth_info_bytes)


def sign(
    network: Network, keys: Sequence[Key], body: TxBody | bytes, auth_info: AuthInfo | bytes, chain_id: str = CHAIN_ID
) -> bytes:
    """The parts, encoded unless they are bytes already, signed by each key."""
    body_bytes = body if isinstance(body, bytes) else body.SerializeToString()
    auth_info_bytes = auth_info if isinstance(auth_info, bytes) else auth_info.SerializeToString()
    return TxRaw(
        body_bytes=body_bytes,
        auth_info_bytes=auth_info_bytes,
        signatures=[
            key.sign(sign_bytes(body_bytes, auth_info_bytes, chain_id, account_of(network, key).number)) for key in keys
        ],
    ).SerializeToString()

"""Transactions as Cosmos wallets make them: packed messages, TxRaw signed in SIGN_MODE_DIRECT, and their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from cosmos.base.abci.v1beta1.abci_pb2 import TxMsgData
from cosmos.base.v1beta1.coin_pb2 import Coin
from cosmos.crypto.secp256k1.keys_pb2 import PubKey
from cosmos.tx.signing.v1beta1.signing_pb2 import SIGN_MODE_DIRECT
from cosmos.tx.v1beta1.tx_pb2 import AuthInfo, Fee, ModeInfo, SignerInfo, TxBody, TxRaw
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message

from chain.amount import UMILL
from chain.gas import compute_fee, compute_tx_gas
from chain.messages import MESSAGES
from chain.tx import sign_bytes
from client.errors import ClientError

M = TypeVar("M", bound=Message)


class Signer(Protocol):
    """A key that signs; the key itself may be elsewhere."""

    @property
    def address(self) -> str:
        """bech32, `mill1…`."""

    @property
    def pub_key(self) -> bytes:
        """Compressed secp256k1, 33 bytes."""

    def sign(self, message: bytes) -> bytes:
        """The 64-byte (r, s) signature, low s, over sha256 of ``message``."""


@dataclass(frozen=True)
class TxTerms:
    """What a transaction says beside its messages. A ``timeout_height`` of 0 means none."""

    sequence: int
    gas_limit: int
    fee_umill: int
    timeout_height: int = 0
    memo: str = ""


def pack(message: Message) -> Any:
    """A message with its type URL."""
    packed = Any()
    packed.Pack(message, type_url_prefix="/", deterministic=True)
    return packed


def body_bytes(messages: Sequence[Message], terms: TxTerms) -> bytes:
    body = TxBody(
        messages=[pack(message) for message in messages], memo=terms.memo, timeout_height=terms.timeout_height
    )
    return body.SerializeToString(deterministic=True)


def auth_info_bytes(pub_key: bytes, terms: TxTerms) -> bytes:
    fee = Fee(gas_limit=terms.gas_limit)
    if terms.fee_umill:
        fee.amount.append(Coin(denom=UMILL, amount=str(terms.fee_umill)))
    signer = SignerInfo(
        public_key=pack(PubKey(key=pub_key)),
        mode_info=ModeInfo(single=ModeInfo.Single(mode=SIGN_MODE_DIRECT)),
        sequence=terms.sequence,
    )
    return AuthInfo(signer_infos=[signer], fee=fee).SerializeToString(deterministic=True)


def sign_tx(
    messages: Sequence[Message], terms: TxTerms, *, signer: Signer, chain_id: str, account_number: int
) -> bytes:
    """An encoded ``TxRaw``, ready to broadcast."""
    body, auth_info = body_bytes(messages, terms), auth_info_bytes(signer.pub_key, terms)
    signature = signer.sign(sign_bytes(body, auth_info, chain_id, account_number))
    raw = TxRaw(body_bytes=body, auth_info_bytes=auth_info, signatures=[signature])
    return raw.SerializeToString(deterministic=True)


def unsigned_tx(messages: Sequence[Message], terms: TxTerms, *, pub_key: bytes) -> bytes:
    """A ``TxRaw`` with an empty signature: what Simulate wants."""
    raw = TxRaw(
        body_bytes=body_bytes(messages, terms), auth_info_bytes=auth_info_bytes(pub_key, terms), signatures=[b""]
    )
    return raw.SerializeToString(deterministic=True)


def price_tx(messages: Sequence[Message], terms: TxTerms, gas_price_umill: int) -> TxTerms:
    """``terms`` with exactly the gas that the transaction uses, and its fee at a price for 1,000 gas."""
    message_gas = sum(MESSAGES[pack(message).type_url].gas(message) for message in messages)
    gas = compute_tx_gas(len(body_bytes(messages, terms)), 1, message_gas)
    return replace(terms, gas_limit=gas, fee_umill=compute_fee(gas, gas_price_umill))


def decode_response(data: bytes, response_type: type[M], index: int = 0) -> M:
    """The ``index``-th message's response out of a result's ``data``."""
    response = response_type()
    try:
        responses = TxMsgData.FromString(data).msg_responses
        found = index < len(responses) and responses[index].Unpack(response)
    except DecodeError:
        found = False
    if not found:
        raise ClientError(f"the transaction's result holds no {response.DESCRIPTOR.full_name} at position {index}")
    return response

"""The transaction envelope: cosmos.tx.v1beta1.TxRaw in SIGN_MODE_DIRECT, shared with wallets (protocol §2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cosmos.crypto.secp256k1.keys_pb2 import PubKey
from cosmos.tx.signing.v1beta1.signing_pb2 import SIGN_MODE_DIRECT, SIGN_MODE_UNSPECIFIED
from cosmos.tx.v1beta1.tx_pb2 import AuthInfo, SignDoc, SignerInfo, TxBody, TxRaw

from chain.amount import UMILL
from chain.bank.send import parse_coin_amount
from chain.codec import decode_canonical, decode_strict
from chain.errors import INVALID_PUB_KEY, INVALID_REQUEST, MEMO_TOO_LARGE, NO_SIGNATURES, TX_DECODE, UNKNOWN_REQUEST
from chain.fields import check_address
from chain.gas import compute_tx_gas
from chain.messages import MESSAGES, MessageSpec

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any
    from google.protobuf.message import Message

MEMO_MAX: Final = 256
MESSAGES_MAX: Final = 64
SIGNERS_MAX: Final = 7
PUB_KEY_URL: Final = "/cosmos.crypto.secp256k1.PubKey"
# A transaction is looked at when it comes, when it is proposed, when it is voted for and when it is carried out, and
# decoding it is the dearest part but for its signature. A small one that is remembered takes some 1.5 kB.
_REMEMBERED: Final = 30_000
_REMEMBERED_BYTES: Final = 2_048


@dataclass(frozen=True, slots=True)
class Signer:
    """One required signer, in the order in which messages name them."""

    address: bytes
    # 33 bytes, or None where the signer relies on the key that the chain already knows.
    pub_key: bytes | None
    sequence: int
    # Wallets leave the sign mode open in a simulation; nothing else may.
    is_direct: bool
    # 64 bytes; anything in a simulation.
    signature: bytes


@dataclass(frozen=True, slots=True)
class DecodedTx:
    """A transaction that is well-formed and whose messages are valid as far as that needs no state.

    Whoever has the same bytes decoded may get the same object: nobody changes its messages.
    """

    body_bytes: bytes
    auth_info_bytes: bytes
    messages: tuple[tuple[MessageSpec, Message], ...]
    signers: tuple[Signer, ...]
    # umill.
    fee: int
    gas_limit: int
    # What it uses, from the table of chain.gas.
    gas: int
    timeout_height: int


def sign_bytes(body_bytes: bytes, auth_info_bytes: bytes, chain_id: str, account_number: int) -> bytes:
    """What SIGN_MODE_DIRECT signs the sha256 of: the encoding of a SignDoc over the bytes as they travel."""
    return SignDoc(
        body_bytes=body_bytes, auth_info_bytes=auth_info_bytes, chain_id=chain_id, account_number=account_number
    ).SerializeToString(deterministic=True)


def decode_tx(raw: bytes) -> DecodedTx:
    """TxRaw bytes to a DecodedTx; TxError if they are malformed or a message is invalid."""
    return _decode_small(raw) if len(raw) <= _REMEMBERED_BYTES else _decode(raw)


def _decode(raw: bytes) -> DecodedTx:
    # No signature covers the envelope: were several encodings of it valid, anybody could change the transaction's hash.
    envelope = decode_canonical(TxRaw, raw, "the transaction")
    body = decode_strict(TxBody, envelope.body_bytes, "the transaction's body")
    auth_info = decode_strict(AuthInfo, envelope.auth_info_bytes, "the transaction's auth info")
    if len(body.memo) > MEMO_MAX:
        raise MEMO_TOO_LARGE.error(f"the memo has {len(body.memo)} characters, more than {MEMO_MAX}")
    messages = _decode_messages(body)
    signers = _decode_signers(messages, auth_info, envelope)
    fee = auth_info.fee
    if fee.granter:
        raise INVALID_REQUEST.error("fee grants aren't supported: leave fee.granter empty")
    if fee.payer and check_address(fee.payer, "fee.payer") != signers[0].address:
        raise INVALID_REQUEST.error("the first signer pays the fee: leave fee.payer empty")
    return DecodedTx(
        body_bytes=envelope.body_bytes,
        auth_info_bytes=envelope.auth_info_bytes,
        messages=messages,
        signers=signers,
        fee=_decode_fee(auth_info),
        gas_limit=fee.gas_limit,
        gas=compute_tx_gas(
            len(envelope.body_bytes), len(signers), sum(spec.gas(message) for spec, message in messages)
        ),
        timeout_height=body.timeout_height,
    )


# A pure function, so what it remembers is no state: a transaction decodes to the same each time.
_decode_small = lru_cache(maxsize=_REMEMBERED)(_decode)


def _decode_messages(body: TxBody) -> tuple[tuple[MessageSpec, Message], ...]:
    if not 1 <= len(body.messages) <= MESSAGES_MAX:
        raise INVALID_REQUEST.error(f"a transaction carries 1 to {MESSAGES_MAX} messages, not {len(body.messages)}")
    return tuple(decode_message(any_) for any_ in body.messages)


def decode_message(any_: Any) -> tuple[MessageSpec, Message]:
    """A message of a transaction's body, validated without state; TxError if it isn't one of this chain's."""
    spec = MESSAGES.get(any_.type_url)
    if spec is None:
        raise UNKNOWN_REQUEST.error(f"{any_.type_url[:120]!r} is not a message of this chain")
    what = any_.type_url[1:]
    if what.startswith("proofmill."):
        message = decode_canonical(spec.message, any_.value, what)
    else:
        message = decode_strict(spec.message, any_.value, what)
    spec.validate(message)
    return spec, message


def _decode_signers(
    messages: tuple[tuple[MessageSpec, Message], ...], auth_info: AuthInfo, envelope: TxRaw
) -> tuple[Signer, ...]:
    required: dict[str, bytes] = {}
    for spec, message in messages:
        address = getattr(message, spec.signer_field)
        if address not in required:
            required[address] = check_address(address, spec.signer_field)
    infos, signatures = auth_info.signer_infos, envelope.signatures
    if len(required) > SIGNERS_MAX:
        raise INVALID_REQUEST.error(f"the messages need {len(required)} signers, more than {SIGNERS_MAX}")
    if len(infos) != len(required) or len(signatures) != len(required):
        raise NO_SIGNATURES.error(
            f"the messages need {len(required)} signers, but there are {len(infos)} signer infos and "
            f"{len(signatures)} signatures"
        )
    return tuple(
        Signer(address, _decode_pub_key(info), info.sequence, _decode_is_direct(info), signature)
        for address, info, signature in zip(required.values(), infos, signatures, strict=True)
    )


def _decode_pub_key(info: SignerInfo) -> bytes | None:
    if not info.HasField("public_key"):
        return None
    if info.public_key.type_url != PUB_KEY_URL:
        raise INVALID_PUB_KEY.error(f"{info.public_key.type_url[:120]!r} is not {PUB_KEY_URL}, the only kind supported")
    key = decode_strict(PubKey, info.public_key.value, "the public key", INVALID_PUB_KEY).key
    if len(key) != 33 or key[0] not in (2, 3):
        raise INVALID_PUB_KEY.error("the public key is not a compressed point of secp256k1 (33 bytes)")
    return key


def _decode_is_direct(info: SignerInfo) -> bool:
    mode = info.mode_info.single.mode
    if mode not in (SIGN_MODE_DIRECT, SIGN_MODE_UNSPECIFIED):
        raise TX_DECODE.error("only SIGN_MODE_DIRECT with a single key per signer is supported")
    return mode == SIGN_MODE_DIRECT


def _decode_fee(auth_info: AuthInfo) -> int:
    coins = auth_info.fee.amount
    if not coins:
        return 0
    if len(coins) != 1 or coins[0].denom != UMILL:
        raise INVALID_REQUEST.error(f"fees are paid in {UMILL} only")
    if coins[0].amount == "0":
        return 0
    return parse_coin_amount(coins[0].amount)

"""What every transaction must pass before its messages run: protocol §2, "Ante checks, in order".

Size, decoding and stateless validation come first (chain.tx); here follow the checks against state. All of them are
made before the first write, so a refused transaction changes nothing.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from chain import schema
from chain.address import address_bytes_of, encode_address
from chain.bank.ledger import charge_fee
from chain.errors import (
    INSUFFICIENT_FEE,
    INSUFFICIENT_FUNDS,
    INVALID_PUB_KEY,
    OUT_OF_GAS,
    TX_DECODE,
    TX_TIMEOUT_HEIGHT,
    TX_TOO_LARGE,
    UNAUTHORIZED,
    UNKNOWN_ADDRESS,
    WRONG_SEQUENCE,
)
from chain.gas import BLOCK_MAX_GAS, compute_fee
from chain.tx import DecodedTx, Signer, decode_tx, sign_bytes

if TYPE_CHECKING:
    from proofmill.credits.v1.state_pb2 import Account
    from proofmill.params.v1.state_pb2 import Params

    from chain.context import Context
    from chain.signatures import SignatureCache


# More duties at once than that cost their fee: they are counted before the signature is looked at.
FREE_ENTRIES_MAX = 100


def decode_sized(raw: bytes, params: Params) -> DecodedTx:
    """The first ante checks, size and decoding, in their order."""
    if len(raw) > params.tx_bytes_max:
        raise TX_TOO_LARGE.error(f"the transaction has {len(raw)} bytes, more than {params.tx_bytes_max}")
    return decode_tx(raw)


def process_ante(context: Context, tx: DecodedTx, signatures: SignatureCache | None) -> None:
    """Check a transaction against state, then take its fee and advance its signers' sequences.

    Without a cache signatures aren't verified: for a recheck (they were), and for simulations.
    """
    free = check_limits(context, tx)
    accounts = [_check_signer(context, tx, signer, signatures) for signer in tx.signers]
    payer = accounts[0]
    if payer.umill < tx.fee:
        raise INSUFFICIENT_FUNDS.error(f"the fee is {tx.fee} umill, but the account holds {payer.umill} umill")
    charge_fee(context.kv, payer, tx.fee)
    if free:
        payer.free_height = context.block.height
    for signer, account in zip(tx.signers, accounts, strict=True):
        account.sequence += 1
        schema.ACCOUNTS.set(context.kv, signer.address, account)


def check_limits(context: Context, tx: DecodedTx) -> bool:
    """Timeout height, gas and fee; whether it states less than its gas costs, as answers to duties may."""
    height = context.block.height
    if tx.timeout_height and height > tx.timeout_height:
        raise TX_TIMEOUT_HEIGHT.error(
            f"the transaction was valid up to height {tx.timeout_height}, and this is {height}: sign it anew"
        )
    if tx.gas_limit < tx.gas:
        raise OUT_OF_GAS.error(f"the transaction needs {tx.gas} gas, but its limit is {tx.gas_limit}")
    check_gas(tx.gas_limit)
    needed = compute_fee(tx.gas_limit, context.params.gas_price_umill)
    free = tx.fee < needed
    if free and not answers_duties(context, tx):
        raise INSUFFICIENT_FEE.error(f"{tx.gas_limit} gas cost {needed} umill, but the fee is {tx.fee} umill")
    return free


def answers_duties(context: Context, tx: DecodedTx) -> bool:
    """Whether a prover does with it no more than it was drawn for: one such transaction a block costs it no fee.

    A vote earns a share of 8 % of a task's fee. If it cost a transaction's, honest voting would be a loss.
    """
    kv, (signer, *others) = context.kv, tx.signers
    answered = [spec.duties(message) for spec, message in tx.messages]
    wanted = sum(answered)
    operator = schema.PROVERS_BY_NODE.get(kv, signer.address)
    if others or operator is None or not all(answered) or wanted > FREE_ENTRIES_MAX or tx.gas_limit != tx.gas:
        return False
    account = schema.ACCOUNTS.get(kv, signer.address)
    if account is None or account.free_height == context.block.height:
        return False
    return sum(1 for _ in islice(schema.DUTIES.keys(kv, prefix_of=(operator,)), wanted)) == wanted


def check_gas(gas: int) -> None:
    """No transaction may do more than a whole block."""
    if gas > BLOCK_MAX_GAS:
        raise OUT_OF_GAS.error(f"{gas} gas is more than a whole block may use, {BLOCK_MAX_GAS}")


def _check_signer(context: Context, tx: DecodedTx, signer: Signer, signatures: SignatureCache | None) -> Account:
    if not signer.is_direct:
        raise TX_DECODE.error("the signer info states no sign mode: sign in SIGN_MODE_DIRECT")
    account = schema.ACCOUNTS.get(context.kv, signer.address)
    if account is None:
        raise UNKNOWN_ADDRESS.error(
            f"the account {encode_address(signer.address)} isn't on chain yet: it exists once it received coins"
        )
    if signer.sequence != account.sequence:
        # The wording that Cosmos wallets look for.
        raise WRONG_SEQUENCE.error(
            f"account sequence mismatch, expected {account.sequence}, got {signer.sequence}: incorrect account sequence"
        )
    pub_key = account.pub_key
    if not pub_key:
        if signer.pub_key is None:
            raise INVALID_PUB_KEY.error("the account's first transaction must carry its public key")
        if address_bytes_of(signer.pub_key) != signer.address:
            raise INVALID_PUB_KEY.error(f"the public key is not that of {encode_address(signer.address)}")
        account.pub_key = pub_key = signer.pub_key
    elif signer.pub_key is not None and signer.pub_key != pub_key:
        raise INVALID_PUB_KEY.error(f"the public key is not that of {encode_address(signer.address)}")
    if signatures is not None:
        signed = sign_bytes(tx.body_bytes, tx.auth_info_bytes, context.block.chain_id, account.number)
        if not signatures.verify(pub_key, signed, signer.signature):
            raise UNAUTHORIZED.error(
                f"signature verification failed; check the account number ({account.number}), the sequence "
                f"({account.sequence}) and the chain id ({context.block.chain_id})"
            )
    return account

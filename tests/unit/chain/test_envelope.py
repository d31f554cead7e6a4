"""What every transaction must pass before its messages run: protocol §2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cosmos.bank.v1beta1.tx_pb2 import MsgSend
from cosmos.base.v1beta1.coin_pb2 import Coin
from cosmos.crypto.secp256k1.keys_pb2 import PubKey
from cosmos.tx.v1beta1.tx_pb2 import AuthInfo, TxBody, TxRaw
from google.protobuf.any_pb2 import Any as AnyMessage
from proofmill.credits.v1.tx_pb2 import MsgGrantCredits

from chain import schema
from chain.errors import (
    INSUFFICIENT_FEE,
    INSUFFICIENT_FUNDS,
    INVALID_ADDRESS,
    INVALID_COINS,
    INVALID_PUB_KEY,
    INVALID_REQUEST,
    MEMO_TOO_LARGE,
    NO_SIGNATURES,
    OUT_OF_GAS,
    TX_DECODE,
    TX_TIMEOUT_HEIGHT,
    TX_TOO_LARGE,
    UNAUTHORIZED,
    UNKNOWN_ADDRESS,
    UNKNOWN_REQUEST,
    WRONG_SEQUENCE,
)
from chain.gas import BLOCK_MAX_GAS
from chain.params import default_params
from chain.tx import decode_tx
from tests.support.envelope import CURVE_ORDER, account_of, parts, sign, valid_send
from tests.support.network import ALICE, AUTHORITY, BOB, Key, Network, make_genesis, make_tx, pack
from tests.support.refusals import expect, refuse, refuse_raw
from tests.support.sends import make_send

if TYPE_CHECKING:
    from google.protobuf.message import Message

STRANGER = Key("stranger")
UNKNOWN_FIELD = b"\xaa\x06\x01\x00"  # field 101, one byte
NESTED_GROUPS = b"\x7b" * 200 + b"\x7c" * 200


def umill_of(network: Network, key: Key) -> int:
    return account_of(network, key).umill


def test_basic(network: Network) -> None:
    before = umill_of(network, ALICE)
    raw = valid_send(network, ALICE, STRANGER.address)
    network.send_raw(raw)
    (result,) = network.next_block()
    assert result.code == 0
    assert result.gas_used == result.gas_wanted == decode_tx(raw).gas
    assert umill_of(network, STRANGER) == 1_000
    account = account_of(network, ALICE)
    assert account.umill == before - 1_000 - decode_tx(raw).fee
    assert account.sequence == 1
    assert account.pub_key == ALICE.pub_key
    assert schema.POOLS.require(network.values).fees_umill == decode_tx(raw).fee


def test_basic_without_the_public_key_once_it_is_known(network: Network) -> None:
    network.execute(ALICE, make_send(ALICE, BOB.address, 1))
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.signer_infos[0].ClearField("public_key")
    network.send_raw(sign(network, [ALICE], body, auth_info))
    assert network.next_block()[0].code == 0


def test_basic_several_transactions_of_one_sender_in_a_block(network: Network) -> None:
    for amount in (1, 2, 3):
        network.send(ALICE, make_send(ALICE, STRANGER.address, amount))
    assert [result.code for result in network.next_block()] == [0, 0, 0]
    assert umill_of(network, STRANGER) == 6


def test_basic_more_fee_and_gas_than_needed(network: Network) -> None:
    result = network.deliver(ALICE, make_send(ALICE, BOB.address, 1), gas_limit=1_000_000, fee=30_000)
    assert result.code == 0
    assert result.gas_wanted == 1_000_000
    assert result.gas_used < 1_000_000
    assert schema.POOLS.require(network.values).fees_umill == 30_000


def test_basic_the_last_height_of_a_timeout(network: Network) -> None:
    assert network.deliver(ALICE, make_send(ALICE, BOB.address, 1), timeout_height=1).code == 0


def test_basic_zero_fee_where_gas_costs_nothing() -> None:
    params = default_params()
    params.gas_price_umill = 0
    network = Network.start(make_genesis(params=params))
    assert network.deliver(ALICE, make_send(ALICE, BOB.address, 1), fee=0).code == 0
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.fee.amount.append(Coin(denom="umill", amount="0"))
    del auth_info.fee.amount[:-1]
    network.send_raw(sign(network, [ALICE], body, auth_info))
    assert network.next_block()[0].code == 0


def two_signers(network: Network) -> tuple[TxBody, AuthInfo]:
    """Alice pays Bob and Bob pays Alice, in one transaction."""
    body, auth_info = parts(valid_send(network, ALICE, STRANGER.address, 5))
    other_body, other_auth_info = parts(valid_send(network, BOB, STRANGER.address, 7))
    body.messages.extend(other_body.messages)
    auth_info.signer_infos.extend(other_auth_info.signer_infos)
    auth_info.fee.gas_limit = 1_000_000
    auth_info.fee.amount[0].amount = "25000"
    return body, auth_info


def test_basic_two_signers_the_first_pays(network: Network) -> None:
    before = umill_of(network, ALICE), umill_of(network, BOB)
    network.send_raw(sign(network, [ALICE, BOB], *two_signers(network)))
    (result,) = network.next_block()
    assert result.code == 0, result.log
    assert (umill_of(network, ALICE), umill_of(network, BOB)) == (before[0] - 5 - 25_000, before[1] - 7)
    assert (account_of(network, ALICE).sequence, account_of(network, BOB).sequence) == (1, 1)


def test_invalid_signers_in_the_wrong_order(network: Network) -> None:
    body, auth_info = two_signers(network)
    auth_info.signer_infos.reverse()
    refuse_raw(network, INVALID_PUB_KEY, sign(network, [BOB, ALICE], body, auth_info))


def test_invalid_second_signer_missing(network: Network) -> None:
    body, auth_info = two_signers(network)
    del auth_info.signer_infos[1]
    refuse_raw(network, NO_SIGNATURES, sign(network, [ALICE], body, auth_info))


def test_invalid_second_signature_of_somebody_else(network: Network) -> None:
    refuse_raw(network, UNAUTHORIZED, sign(network, [ALICE, ALICE], *two_signers(network)))


def test_several_messages_take_effect_all_or_none(network: Network) -> None:
    messages: list[Message] = [make_send(ALICE, STRANGER.address, 5), make_send(ALICE, STRANGER.address, 10**18)]
    refuse(network, INSUFFICIENT_FUNDS, ALICE, *messages)
    assert umill_of(network, STRANGER) == 0
    messages[1] = make_send(ALICE, STRANGER.address, 10)
    assert len(network.execute(ALICE, *messages)) == 2
    assert umill_of(network, STRANGER) == 15


@pytest.mark.parametrize(
    "raw",
    [b"", b"garbage", b"\x00", b"\x0a\xff\xff\xff\xff\x0f", NESTED_GROUPS, bytes(1_000), b"\x1a\x40" + bytes(64)],
    ids=["empty", "garbage", "zero", "length", "nested", "zeros", "signature alone"],
)
def test_invalid_garbage(network: Network, raw: bytes) -> None:
    # No bytes at all are an empty envelope, which has no message.
    refuse_raw(network, INVALID_REQUEST if raw in (b"", b"\x1a\x40" + bytes(64)) else TX_DECODE, raw)


def test_invalid_truncated(network: Network) -> None:
    raw = valid_send(network, ALICE, BOB.address)
    for size in range(1, len(raw)):
        network.send_raw(raw[:size])
    for result in network.next_block():
        assert result.code != 0
        assert (result.gas_wanted, result.gas_used) == (0, 0)


def test_invalid_oversized(network: Network) -> None:
    limit = schema.PARAMS.require(network.values).tx_bytes_max
    refuse_raw(network, TX_TOO_LARGE, bytes(limit + 1))
    refuse_raw(network, TX_DECODE, bytes(limit))


@pytest.mark.parametrize("where", ["envelope", "body", "auth_info", "any", "message", "coin", "fee", "signer", "key"])
def test_invalid_unknown_field(network: Network, where: str) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    extended: dict[str, Message] = {
        "body": body,
        "auth_info": auth_info,
        "any": body.messages[0],
        "fee": auth_info.fee,
        "signer": auth_info.signer_infos[0],
        "key": auth_info.signer_infos[0].public_key,
    }
    if where in extended:
        extended[where].MergeFromString(UNKNOWN_FIELD)
    elif where == "message":
        body.messages[0].value += UNKNOWN_FIELD
    elif where == "coin":
        send = MsgSend.FromString(body.messages[0].value)
        send.amount[0].MergeFromString(UNKNOWN_FIELD)
        body.messages[0].value = send.SerializeToString()
    raw = sign(network, [ALICE], body, auth_info)
    refuse_raw(network, TX_DECODE, raw + UNKNOWN_FIELD if where == "envelope" else raw)


def test_invalid_unknown_field_in_the_public_key(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.signer_infos[0].public_key.value += UNKNOWN_FIELD
    refuse_raw(network, INVALID_PUB_KEY, sign(network, [ALICE], body, auth_info))


def test_invalid_message_of_ours_in_another_encoding(network: Network) -> None:
    grant = MsgGrantCredits(authority=AUTHORITY.address, recipient=BOB.address, amount=1)
    account = account_of(network, AUTHORITY)
    raw = make_tx(AUTHORITY, [grant], account_number=account.number, sequence=account.sequence)
    body, auth_info = parts(raw)
    body.messages[0].value = grant.SerializeToString() + b"\x18\x01"  # the amount once more
    auth_info.fee.gas_limit += 1_000
    auth_info.fee.amount[0].amount = "1000000"
    refuse_raw(network, TX_DECODE, sign(network, [AUTHORITY], body, auth_info))


def test_invalid_envelope_in_another_encoding(network: Network) -> None:
    """Nobody signs the envelope: with a second encoding anybody could change a transaction's hash."""
    envelope = TxRaw.FromString(valid_send(network, ALICE, BOB.address))
    reordered = TxRaw(signatures=envelope.signatures).SerializeToString()
    reordered += TxRaw(body_bytes=envelope.body_bytes, auth_info_bytes=envelope.auth_info_bytes).SerializeToString()
    assert TxRaw.FromString(reordered) == envelope
    refuse_raw(network, TX_DECODE, reordered)
    refuse_raw(network, TX_DECODE, TxRaw(body_bytes=b"x").SerializeToString() + envelope.SerializeToString())


def test_invalid_text_that_is_not_utf8(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    refuse_raw(network, TX_DECODE, sign(network, [ALICE], body.SerializeToString() + b"\x12\x01\xff", auth_info))


def test_invalid_deeply_nested(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    refuse_raw(network, TX_DECODE, sign(network, [ALICE], body.SerializeToString() + NESTED_GROUPS, auth_info))
    body.messages[0].value += NESTED_GROUPS
    refuse_raw(network, TX_DECODE, sign(network, [ALICE], body, auth_info))


def test_invalid_no_message(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    del body.messages[:]
    refuse_raw(network, INVALID_REQUEST, sign(network, [ALICE], body, auth_info))


def test_invalid_too_many_messages(network: Network) -> None:
    refuse_raw(
        network,
        INVALID_REQUEST,
        make_tx(ALICE, [make_send(ALICE, BOB.address, 1)] * 65, account_number=1, sequence=0),
    )
    assert network.deliver(ALICE, *([make_send(ALICE, BOB.address, 1)] * 64)).code == 0


def test_invalid_unknown_message(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    for url in ("/cosmos.gov.v1.MsgVote", "", "proofmill.task.v1.MsgRunTask", "/proofmill.task.v1.Task", "x" * 4_000):
        body.messages[0].type_url = url
        refuse_raw(network, UNKNOWN_REQUEST, sign(network, [ALICE], body, auth_info))


def test_invalid_memo_too_large(network: Network) -> None:
    assert network.deliver(ALICE, make_send(ALICE, BOB.address, 1), memo="é" * 256).code == 0
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    body.memo = "x" * 257
    refuse_raw(network, MEMO_TOO_LARGE, sign(network, [ALICE], body, auth_info))


def test_invalid_signer_address(network: Network) -> None:
    for address in ("", "mill1", "cosmos1qqqsyqcyq5rqwzqfpg9scrgwpugpzysn", ALICE.address.upper(), "x" * 100_000):
        send = MsgSend(from_address=address, to_address=BOB.address, amount=[Coin(denom="umill", amount="1")])
        body, auth_info = parts(valid_send(network, ALICE, BOB.address))
        body.messages[0].CopyFrom(pack(send))
        refuse_raw(network, INVALID_ADDRESS, sign(network, [ALICE], body, auth_info))


def test_basic_seven_signers(network: Network) -> None:
    keys = [Key(f"signer {index}") for index in range(7)]
    network.execute(ALICE, *[make_send(ALICE, key.address, 10**6) for key in keys])
    raws = [parts(valid_send(network, key, BOB.address, 1)) for key in keys]
    body, auth_info = raws[0]
    for other_body, other_auth_info in raws[1:]:
        body.messages.extend(other_body.messages)
        auth_info.signer_infos.extend(other_auth_info.signer_infos)
    auth_info.fee.gas_limit = 10_000_000
    auth_info.fee.amount[0].amount = "250000"
    network.send_raw(sign(network, keys, body, auth_info))
    assert network.next_block()[0].code == 0


def test_invalid_too_many_signers(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    keys = [Key(f"signer {index}") for index in range(8)]
    del body.messages[:]
    body.messages.extend(pack(make_send(key, BOB.address, 1)) for key in keys)
    refuse_raw(network, INVALID_REQUEST, sign(network, keys, body, auth_info))


def test_invalid_number_of_signatures(network: Network) -> None:
    envelope = TxRaw.FromString(valid_send(network, ALICE, BOB.address))
    for signatures in ([], [*envelope.signatures] * 2):
        del envelope.signatures[:]
        envelope.signatures.extend(signatures)
        refuse_raw(network, NO_SIGNATURES, envelope.SerializeToString())


@pytest.mark.parametrize("mode", [0, 2, 127, 191])
def test_invalid_sign_mode(network: Network, mode: int) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.signer_infos[0].mode_info.single.mode = mode  # type: ignore[assignment]  # enums are open
    refuse_raw(network, TX_DECODE, sign(network, [ALICE], body, auth_info))


def test_invalid_without_mode(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.signer_infos[0].ClearField("mode_info")
    refuse_raw(network, TX_DECODE, sign(network, [ALICE], body, auth_info))


def test_invalid_multi_signature_mode(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.signer_infos[0].ClearField("mode_info")
    auth_info.signer_infos[0].mode_info.MergeFromString(b"\x12\x00")  # upstream's ModeInfo.multi
    refuse_raw(network, TX_DECODE, sign(network, [ALICE], body, auth_info))


@pytest.mark.parametrize(
    ("url", "value"),
    [
        ("/cosmos.crypto.ed25519.PubKey", PubKey(key=ALICE.pub_key).SerializeToString()),
        ("/cosmos.crypto.secp256k1.PubKey", PubKey(key=ALICE.pub_key[:-1]).SerializeToString()),
        ("/cosmos.crypto.secp256k1.PubKey", PubKey(key=b"\x04" + ALICE.pub_key[1:]).SerializeToString()),
        ("/cosmos.crypto.secp256k1.PubKey", PubKey().SerializeToString()),
        ("/cosmos.crypto.secp256k1.PubKey", PubKey(key=BOB.pub_key).SerializeToString()),
        ("/cosmos.crypto.secp256k1.PubKey", PubKey(key=b"\x02" + b"\xff" * 32).SerializeToString()),
        ("/cosmos.crypto.secp256k1.PubKey", b"\x0a\x05"),
    ],
    ids=["ed25519", "short", "uncompressed", "empty", "of another", "not on the curve", "truncated"],
)
def test_invalid_public_key(network: Network, url: str, value: bytes) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.signer_infos[0].public_key.CopyFrom(AnyMessage(type_url=url, value=value))
    refuse_raw(network, INVALID_PUB_KEY, sign(network, [ALICE], body, auth_info))
    network.execute(ALICE, make_send(ALICE, BOB.address, 1))
    auth_info.signer_infos[0].sequence += 1
    refuse_raw(network, INVALID_PUB_KEY, sign(network, [ALICE], body, auth_info))


def test_invalid_public_key_missing_in_the_first_transaction(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.signer_infos[0].ClearField("public_key")
    refuse_raw(network, INVALID_PUB_KEY, sign(network, [ALICE], body, auth_info))


def test_invalid_timeout_height(network: Network) -> None:
    network.next_block()
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    body.timeout_height = 1
    refuse_raw(network, TX_TIMEOUT_HEIGHT, sign(network, [ALICE], body, auth_info))


def test_invalid_gas_limit_too_small(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.fee.gas_limit -= 1
    refuse_raw(network, OUT_OF_GAS, sign(network, [ALICE], body, auth_info))


@pytest.mark.parametrize("gas", [BLOCK_MAX_GAS + 1, 2**63, 2**64 - 1])
def test_invalid_gas_limit_above_a_block(network: Network, gas: int) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.fee.gas_limit = gas
    auth_info.fee.amount[0].amount = str(10**12)
    refuse_raw(network, OUT_OF_GAS, sign(network, [ALICE], body, auth_info))


def test_invalid_fee_too_small(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    fee = auth_info.fee.amount[0]
    fee.amount = str(int(fee.amount) - 1)
    refuse_raw(network, INSUFFICIENT_FEE, sign(network, [ALICE], body, auth_info))
    del auth_info.fee.amount[:]
    refuse_raw(network, INSUFFICIENT_FEE, sign(network, [ALICE], body, auth_info))


def test_invalid_fee_beyond_the_balance(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.fee.amount[0].amount = str(umill_of(network, ALICE) + 1)
    refuse_raw(network, INSUFFICIENT_FUNDS, sign(network, [ALICE], body, auth_info))


def test_invalid_fee_in_another_coin(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.fee.amount[0].denom = "ucredit"
    refuse_raw(network, INVALID_REQUEST, sign(network, [ALICE], body, auth_info))
    auth_info.fee.amount[0].denom = "umill"
    auth_info.fee.amount.append(auth_info.fee.amount[0])
    refuse_raw(network, INVALID_REQUEST, sign(network, [ALICE], body, auth_info))


@pytest.mark.parametrize("amount", ["", "-5", "1.5", "01", "1e9", "9" * 20, "٣", " 7"])
def test_invalid_fee_amount(network: Network, amount: str) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.fee.amount[0].amount = amount
    refuse_raw(network, INVALID_COINS, sign(network, [ALICE], body, auth_info))


def test_invalid_fee_granter_and_payer(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.fee.payer = ALICE.address
    network.send_raw(sign(network, [ALICE], body, auth_info))
    # The payer makes the body no longer, so the gas still suffices.
    assert network.next_block()[0].code == 0
    auth_info.fee.payer = BOB.address
    refuse_raw(network, INVALID_REQUEST, sign(network, [ALICE], body, auth_info))
    auth_info.fee.payer, auth_info.fee.granter = "", BOB.address
    refuse_raw(network, INVALID_REQUEST, sign(network, [ALICE], body, auth_info))


def test_invalid_account_unknown(network: Network) -> None:
    refuse_raw(network, UNKNOWN_ADDRESS, valid_send(network, STRANGER, BOB.address))


def test_invalid_replay(network: Network) -> None:
    raw = valid_send(network, ALICE, BOB.address)
    network.send_raw(raw)
    assert network.next_block()[0].code == 0
    result = refuse_raw(network, WRONG_SEQUENCE, raw)
    assert "account sequence mismatch, expected 1, got 0" in result.log


def test_invalid_duplicate_in_one_block(network: Network) -> None:
    raw = valid_send(network, ALICE, BOB.address)
    network.send_raw(raw)
    network.send_raw(raw)
    first, second = network.next_block()
    assert first.code == 0
    expect(second, WRONG_SEQUENCE)


def test_invalid_sequence_ahead(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    auth_info.signer_infos[0].sequence = 1
    refuse_raw(network, WRONG_SEQUENCE, sign(network, [ALICE], body, auth_info))


def test_a_failed_transaction_cannot_be_replayed(network: Network) -> None:
    account = account_of(network, ALICE)
    raw = make_tx(
        ALICE,
        [make_send(ALICE, BOB.address, 10**18)],
        account_number=account.number,
        sequence=account.sequence,
    )
    network.send_raw(raw)
    expect(network.next_block()[0], INSUFFICIENT_FUNDS)
    network.execute(BOB, make_send(BOB, ALICE.address, 10**6))
    refuse_raw(network, WRONG_SEQUENCE, raw)


def test_invalid_signature_of_another_key(network: Network) -> None:
    refuse_raw(network, UNAUTHORIZED, sign(network, [BOB], *parts(valid_send(network, ALICE, BOB.address))))


def test_invalid_signature_for_another_chain(network: Network) -> None:
    body, auth_info = parts(valid_send(network, ALICE, BOB.address))
    refuse_raw(network, UNAUTHORIZED, sign(network, [ALICE], body, auth_info, chain_id="test-2"))


def test_invalid_signature_for_another_account_number(network: Network) -> None:
    raw = make_tx(ALICE, [make_send(ALICE, BOB.address, 1)], account_number=77, sequence=0)
    refuse_raw(network, UNAUTHORIZED, raw)


def test_invalid_signature_over_other_bytes(network: Network) -> None:
    envelope = TxRaw.FromString(valid_send(network, ALICE, BOB.address))
    body = TxBody.FromString(envelope.body_bytes)
    body.messages[0].CopyFrom(pack(make_send(ALICE, STRANGER.address, 1_000)))
    envelope.body_bytes = body.SerializeToString()
    refuse_raw(network, UNAUTHORIZED, envelope.SerializeToString())


def test_invalid_signature_with_high_s(network: Network) -> None:
    """Its mirror image is as good mathematically: taking both would give each transaction two hashes."""
    envelope = TxRaw.FromString(valid_send(network, ALICE, BOB.address))
    r, s = envelope.signatures[0][:32], int.from_bytes(envelope.signatures[0][32:], "big")
    envelope.signatures[0] = r + (CURVE_ORDER - s).to_bytes(32, "big")
    refuse_raw(network, UNAUTHORIZED, envelope.SerializeToString())


@pytest.mark.parametrize("signature", [b"", bytes(64), b"\xff" * 64, b"\x01" * 63, b"\x01" * 65], ids=len)
def test_invalid_signature_bytes(network: Network, signature: bytes) -> None:
    envelope = TxRaw.FromString(valid_send(network, ALICE, BOB.address))
    envelope.signatures[0] = signature
    refuse_raw(network, UNAUTHORIZED, envelope.SerializeToString())

"""Whatever arrives: the node survives, what is refused changes nothing, and no second encoding of anything is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosmos.tx.v1beta1.tx_pb2 import TxRaw
from hypothesis import given, settings, strategies as st

from chain import schema
from chain.errors import TxError
from chain.genesis import export_genesis, genesis_json
from chain.tx import decode_tx
from tests.support.envelope import valid_send
from tests.support.life import deploy, make_run
from tests.support.network import ALICE, BOB, Key, Network, make_genesis, make_tx
from tests.support.refusals import assert_only
from tests.support.sends import make_send
from tests.support.vectors import make_messages

if TYPE_CHECKING:
    from google.protobuf.message import Message

NETWORK = Network.start(make_genesis())
PROGRAM = deploy(NETWORK)
TXS = [make_tx(key, [message], account_number=1, sequence=0) for key, message in make_messages()]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A valid transaction with bytes changed, cut out, repeated or added."""
    raw = draw(st.sampled_from(TXS))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(raw)))
        end = draw(st.integers(start, min(len(raw), start + 40)))
        middle = draw(st.one_of(st.binary(max_size=8), st.just(raw[start:end] * 2)))
        raw = raw[:start] + middle + raw[end:]
    return raw


def decode(raw: bytes) -> bool:
    """Whether it decodes; anything but a TxError fails the test."""
    try:
        decode_tx(raw)
    except TxError as error:
        # Logs of refused transactions can't be made to grow.
        if len(error.message) > 1_000:
            raise
        return False
    return True


@given(raw=st.binary(max_size=300))
def test_random_bytes_are_refused(raw: bytes) -> None:
    assert not decode(raw)


@settings(max_examples=300)
@given(raw=mutations())
def test_mutated_transactions_are_decoded_or_refused(raw: bytes) -> None:
    if decode(raw):
        # What decodes is the one encoding of its envelope.
        assert TxRaw.FromString(raw).SerializeToString(deterministic=True) == raw


@settings(max_examples=60)
@given(raw=mutations())
def test_a_mutated_transaction_never_takes_effect(raw: bytes) -> None:
    """Every byte of a transaction is signed, or is the signature, or is fixed by the encoding."""
    if raw in TXS:
        return
    network = Network.start(make_genesis())
    network.send_raw(raw)
    (result,) = network.next_block()
    assert result.code != 0
    assert result.codespace != "internal", result.log
    assert_only(network, set())


@st.composite
def message_lists(draw: st.DrawFn) -> list[Message]:
    """Sends and runs of Alice's, of which some can't succeed."""
    messages: list[Message] = []
    for _ in range(draw(st.integers(1, 5))):
        if draw(st.booleans()):
            messages.append(make_send(ALICE, Key("somebody").address, draw(st.sampled_from((1, 10**6, 10**18)))))
        else:
            run = make_run(ALICE, draw(st.sampled_from((PROGRAM, bytes(32)))))
            run.max_fee = draw(st.sampled_from((17, 18, 1_000)))
            messages.append(run)
    return messages


@settings(max_examples=60)
@given(messages=message_lists())
def test_a_transaction_takes_effect_as_a_whole_or_not_at_all(messages: list[Message]) -> None:
    network = Network.start(make_genesis())
    deploy(network)
    apart = Network.start_from(genesis_json(export_genesis(network.values)).encode())
    result = network.deliver(ALICE, *messages)
    codes = [apart.deliver(ALICE, message).code for message in messages]
    if result.code:
        assert_only(network, {schema.ACCOUNTS.prefix + ALICE.raw, schema.POOLS.prefix})
        assert result.events == ()
        assert result.code in codes
    else:
        assert not any(codes)


def test_the_transactions_that_are_mutated_are_good() -> None:
    assert all(decode(raw) for raw in TXS)
    assert decode(valid_send(NETWORK, ALICE, BOB.address))

"""Mempool and proposals, and what happens when a bug of ours meets a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chain.bank.ledger import charge_fee
from chain.errors import INSUFFICIENT_FUNDS, INTERNAL, TX_DECODE, UNAUTHORIZED, WRONG_SEQUENCE
from chain.gas import BLOCK_MAX_GAS
from chain.signatures import SignatureCache
from chain.state.errors import StateError
from chain.transition import CheckState, prepare_proposal, process_proposal
from chain.tx import decode_tx
from tests.support.envelope import account_of, parts, sign, valid_send
from tests.support.network import ALICE, BOB, CHAIN_ID, Key, Network, make_tx
from tests.support.refusals import expect, refuse, refuse_raw
from tests.support.sends import make_send

if TYPE_CHECKING:
    from collections.abc import Callable


def send(network: Network, sequence: int, amount: int = 1, key: Key = ALICE, fee: int | None = None) -> bytes:
    return make_tx(
        key,
        [make_send(key, BOB.address, amount)],
        account_number=account_of(network, key).number,
        sequence=sequence,
        fee=fee,
    )


def checks(network: Network) -> CheckState:
    return CheckState(network.values, CHAIN_ID, network.height, network.time_ms, network.signatures)


def prepare(network: Network, *txs: bytes, max_bytes: int = 10**6) -> list[bytes]:
    return prepare_proposal(
        network.values, CHAIN_ID, network.height + 1, network.time_ms, txs, max_bytes, network.signatures
    )


def test_the_mempool_takes_a_sequence_of_transactions(network: Network) -> None:
    state = checks(network)
    for sequence in range(3):
        result = state.check(send(network, sequence), recheck=False)
        assert result.code == 0
        assert result.gas_wanted == result.gas_used > 0
    expect(state.check(send(network, 2), recheck=False), WRONG_SEQUENCE)
    expect(state.check(send(network, 4), recheck=False), WRONG_SEQUENCE)


def test_the_mempool_counts_fees_it_has_taken(network: Network) -> None:
    poor = Key("poor")
    network.execute(ALICE, make_send(ALICE, poor.address, 1_500))
    state = checks(network)
    assert state.check(send(network, 0, key=poor, fee=1_000), recheck=False).code == 0
    expect(state.check(send(network, 1, key=poor, fee=1_000), recheck=False), INSUFFICIENT_FUNDS)


def test_what_the_mempool_refuses_leaves_no_trace_in_it(network: Network) -> None:
    state = checks(network)
    expect(
        state.check(sign(network, [BOB], *parts(valid_send(network, ALICE, BOB.address))), recheck=False), UNAUTHORIZED
    )
    expect(state.check(b"garbage", recheck=False), TX_DECODE)
    assert state.check(send(network, 0), recheck=False).code == 0


def test_a_recheck_verifies_no_signature(network: Network) -> None:
    raw = send(network, 0)
    assert checks(network).check(raw, recheck=False).code == 0
    before = network.signatures.hits, network.signatures.misses
    assert checks(network).check(raw, recheck=True).code == 0
    assert (network.signatures.hits, network.signatures.misses) == before
    network.execute(ALICE, make_send(ALICE, BOB.address, 1))
    expect(checks(network).check(raw, recheck=True), WRONG_SEQUENCE)


def test_a_signature_found_good_in_the_mempool_is_not_verified_again(network: Network) -> None:
    raw = send(network, 0)
    checks(network).check(raw, recheck=False)
    hits, misses = network.signatures.hits, network.signatures.misses
    assert prepare(network, raw) == [raw]
    network.send_raw(raw)
    assert network.next_block()[0].code == 0
    assert (network.signatures.hits, network.signatures.misses) == (hits + 2, misses)


def test_a_full_signature_cache_forgets_but_stays_right(network: Network) -> None:
    network.signatures = SignatureCache(max_entries=2)
    for sequence in range(5):
        network.send_raw(send(network, sequence))
    assert [result.code for result in network.next_block()] == [0] * 5


def test_a_proposal_keeps_the_order_and_leaves_out_what_would_fail(network: Network) -> None:
    good = [send(network, sequence) for sequence in range(3)]
    assert prepare(network, good[0], b"garbage", good[2], good[1], good[2]) == good


def test_a_proposal_keeps_within_its_bytes(network: Network) -> None:
    txs = [send(network, sequence) for sequence in range(4)]
    room = sum(len(raw) + 6 for raw in txs[:2])
    assert prepare(network, *txs, max_bytes=room) == txs[:2]
    assert prepare(network, *txs, max_bytes=room - 1) == txs[:1]
    assert prepare(network, *txs, max_bytes=0) == []


def test_a_proposal_keeps_within_its_gas(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    txs = [send(network, sequence) for sequence in range(4)]
    gas = decode_tx(txs[0]).gas
    monkeypatch.setattr("chain.transition.BLOCK_MAX_GAS", 2 * gas)
    assert prepare(network, *txs) == txs[:2]
    assert process_proposal(tuple(txs[:2]))
    assert not process_proposal(tuple(txs[:3]))


def test_a_proposal_with_bad_transactions_is_accepted(network: Network) -> None:
    assert process_proposal((b"garbage", b"", send(network, 77), b"\x7b" * 10_000))
    assert process_proposal(())
    assert decode_tx(send(network, 0)).gas < BLOCK_MAX_GAS


def break_with(error: type[BaseException]) -> Callable[..., None]:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise error("a bug")

    return broken


@pytest.mark.parametrize("place", ["chain.transition.process_ante", "chain.transition.decode_sized"])
def test_a_bug_in_the_ante_refuses_the_transaction(
    network: Network, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    raw = send(network, 0)
    with monkeypatch.context() as patch:
        patch.setattr(place, break_with(ValueError))
        refuse_raw(network, INTERNAL, raw)
        expect(checks(network).check(raw, recheck=False), INTERNAL)
        assert prepare(network, raw) == []
    network.send_raw(raw)
    assert network.next_block()[0].code == 0


def test_a_bug_in_the_middle_of_the_ante_leaves_no_trace(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def charge_and_break(*args: object) -> None:
        charge_fee(*args)  # type: ignore[arg-type]
        raise ZeroDivisionError

    monkeypatch.setattr("chain.ante.charge_fee", charge_and_break)
    refuse_raw(network, INTERNAL, send(network, 0))


def test_a_bug_in_decoding_does_not_reject_a_proposal(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chain.transition.decode_tx", break_with(KeyError))
    assert process_proposal((send(network, 0),))


def test_a_bug_in_a_handler_fails_its_transaction_only(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chain.bank.ledger.move_umill", break_with(ZeroDivisionError))
    result = refuse(network, INTERNAL, ALICE, make_send(ALICE, BOB.address, 1))
    assert "ZeroDivisionError" in result.log


@pytest.mark.parametrize("error", [MemoryError, RecursionError, OSError, StateError])
def test_a_failing_machine_is_never_a_result(
    network: Network, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    raw = send(network, 0)
    for place in ("chain.bank.ledger.move_umill", "chain.transition.process_ante", "chain.transition.decode_sized"):
        with monkeypatch.context() as patch:
            patch.setattr(place, break_with(error))
            network.send_raw(raw)
            with pytest.raises(error):
                network.next_block()
    with monkeypatch.context() as patch:
        patch.setattr("chain.transition.decode_tx", break_with(error))
        with pytest.raises(error):
            process_proposal((raw,))

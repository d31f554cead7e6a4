"""Decoded transactions are remembered, so carrying one out must leave what was decoded as it was."""

from __future__ import annotations

import pytest
from cosmos.tx.v1beta1.tx_pb2 import TxBody
from proofmill.task.v1.state_pb2 import VERDICT_VALID

from chain.errors import TxError
from chain.tx import decode_tx
from tests.support.life import committee_of, deploy, prove, run, vote
from tests.support.network import ALICE, Network


def test_a_whole_life_changes_no_message_of_its_transactions(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    prove(network, task_id)
    vote(network, task_id, dict.fromkeys(committee_of(network, task_id), VERDICT_VALID))
    transactions = [raw for block in network.blocks for raw in block.txs]
    assert len(transactions) > 5
    for raw in transactions:
        remembered = decode_tx(raw)
        body = TxBody.FromString(remembered.body_bytes)
        assert [message.SerializeToString(deterministic=True) for _, message in remembered.messages] == [
            any_.value for any_ in body.messages
        ]


def test_the_same_bytes_decode_once(network: Network) -> None:
    deploy(network)
    (raw,) = network.blocks[-1].txs
    assert decode_tx(raw) is decode_tx(bytes(bytearray(raw)))


def test_what_does_not_decode_is_refused_again_and_again(network: Network) -> None:
    deploy(network)
    (raw,) = network.blocks[-1].txs
    for _ in range(2):
        with pytest.raises(TxError, match="decode"):
            decode_tx(raw[:-1])

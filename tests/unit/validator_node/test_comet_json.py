"""CometBFT's JSON in Cosmos's messages: what a localnet without misbehaviour never shows."""

from __future__ import annotations

from typing import Any

import pytest

from validator_node.services import comet_json

HASH = "AB" * 32
BLOCK_ID = {"hash": HASH, "parts": {"total": 1, "hash": HASH}}
NIL = {"hash": "", "parts": {"total": 0, "hash": ""}}
HEADER = {
    "version": {"block": "11", "app": "1"},
    "chain_id": "c-1",
    "height": "7",
    "time": "2026-01-02T03:04:05.678901234Z",
    "last_block_id": BLOCK_ID,
    "last_commit_hash": HASH,
    "data_hash": HASH,
    "validators_hash": HASH,
    "next_validators_hash": HASH,
    "consensus_hash": HASH,
    "app_hash": HASH,
    "last_results_hash": "",
    "evidence_hash": HASH,
    "proposer_address": "CD" * 20,
}


def vote(index: int) -> dict[str, Any]:
    return {
        "type": 2,
        "height": "6",
        "round": 1,
        "block_id": BLOCK_ID if index else NIL,
        "timestamp": "2026-01-02T03:04:05Z",
        "validator_address": "EF" * 20,
        "validator_index": index,
        "signature": "AQID",
    }


def block(**changes: Any) -> dict[str, Any]:
    empty = {"header": HEADER, "data": {"txs": []}, "evidence": {"evidence": []}, "last_commit": None}
    return empty | changes


def test_a_header_keeps_its_nanoseconds_and_empty_hashes() -> None:
    header = comet_json.header(HEADER)
    assert (header.time.seconds, header.time.nanos) == (1767323045, 678901234)
    assert header.last_results_hash == b""
    assert header.proposer_address == b"\xcd" * 20
    assert header.last_block_id.part_set_header.total == 1


def test_evidence_of_a_double_vote() -> None:
    evidence = {
        "type": "tendermint/DuplicateVoteEvidence",
        "value": {
            "vote_a": vote(0),
            "vote_b": vote(1),
            "TotalVotingPower": "40",
            "ValidatorPower": "10",
            "Timestamp": "2026-01-02T03:04:05Z",
        },
    }
    found = comet_json.block(block(evidence={"evidence": [evidence]})).evidence.evidence[0].duplicate_vote_evidence
    assert (found.total_voting_power, found.validator_power) == (40, 10)
    assert found.vote_a.block_id.hash == b""
    assert found.vote_b.validator_index == 1
    assert found.vote_b.signature == b"\x01\x02\x03"


def test_evidence_of_another_kind_is_an_error_and_not_left_out() -> None:
    evidence = {"type": "tendermint/LightClientAttackEvidence", "value": {}}
    with pytest.raises(ValueError, match="LightClientAttack"):
        comet_json.block(block(evidence={"evidence": [evidence]}))


def test_an_absent_validator_in_a_commit() -> None:
    absent = {
        "block_id_flag": 1,
        "validator_address": "",
        "timestamp": "0001-01-01T00:00:00Z",
        "signature": None,
    }
    commit = comet_json.commit({"height": "6", "round": 0, "block_id": BLOCK_ID, "signatures": [absent]})
    assert commit.signatures[0].block_id_flag == 1
    assert commit.signatures[0].signature == b""


def test_the_first_block_has_no_last_commit() -> None:
    assert not comet_json.block(block()).HasField("last_commit")
    assert comet_json.block(block(data={"txs": ["AQI="]})).data.txs == [b"\x01\x02"]


def test_events_without_values() -> None:
    (event,) = comet_json.events([{"type": "t", "attributes": [{"key": "k", "value": None, "index": True}]}])
    assert (event.attributes[0].key, event.attributes[0].value, event.attributes[0].index) == ("k", "", True)
    assert comet_json.events(None) == []

"""CometBFT's JSON, as its RPC answers, in the protobuf messages that Cosmos clients expect.

The functions raise KeyError, TypeError, ValueError or AttributeError on an answer of another shape.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tendermint.abci import types_pb2 as abci
from tendermint.types import block_pb2, evidence_pb2, params_pb2, types_pb2
from tendermint.version import types_pb2 as version_pb2

Json = Mapping[str, Any]


def timestamp(text: str) -> Timestamp:
    """An RFC 3339 time, to the nanosecond."""
    result = Timestamp()
    result.FromJsonString(text)
    return result


def block_id(data: Json) -> types_pb2.BlockID:
    parts = data.get("parts") or {}
    return types_pb2.BlockID(
        hash=bytes.fromhex(data["hash"]),
        part_set_header=types_pb2.PartSetHeader(
            total=int(parts.get("total") or 0), hash=bytes.fromhex(parts.get("hash") or "")
        ),
    )


def header(data: Json) -> types_pb2.Header:
    version = data.get("version") or {}
    return types_pb2.Header(
        version=version_pb2.Consensus(block=int(version.get("block") or 0), app=int(version.get("app") or 0)),
        chain_id=data["chain_id"],
        height=int(data["height"]),
        time=timestamp(data["time"]),
        last_block_id=block_id(data["last_block_id"]),
        last_commit_hash=bytes.fromhex(data["last_commit_hash"]),
        data_hash=bytes.fromhex(data["data_hash"]),
        validators_hash=bytes.fromhex(data["validators_hash"]),
        next_validators_hash=bytes.fromhex(data["next_validators_hash"]),
        consensus_hash=bytes.fromhex(data["consensus_hash"]),
        app_hash=bytes.fromhex(data["app_hash"]),
        last_results_hash=bytes.fromhex(data["last_results_hash"]),
        evidence_hash=bytes.fromhex(data["evidence_hash"]),
        proposer_address=bytes.fromhex(data["proposer_address"]),
    )


def commit(data: Json) -> types_pb2.Commit:
    return types_pb2.Commit(
        height=int(data["height"]),
        round=int(data["round"]),
        block_id=block_id(data["block_id"]),
        signatures=[
            types_pb2.CommitSig(
                block_id_flag=one["block_id_flag"],
                validator_address=bytes.fromhex(one["validator_address"]),
                timestamp=timestamp(one["timestamp"]),
                signature=base64.b64decode(one["signature"] or ""),
            )
            for one in data.get("signatures") or ()
        ],
    )


def block(data: Json) -> block_pb2.Block:
    result = block_pb2.Block(
        header=header(data["header"]),
        data=types_pb2.Data(txs=[base64.b64decode(tx) for tx in data["data"].get("txs") or ()]),
        evidence=evidence_pb2.EvidenceList(
            evidence=[_evidence(one) for one in (data.get("evidence") or {}).get("evidence") or ()]
        ),
    )
    if data.get("last_commit"):
        result.last_commit.CopyFrom(commit(data["last_commit"]))
    return result


def _evidence(data: Json) -> evidence_pb2.Evidence:
    if data["type"] != "tendermint/DuplicateVoteEvidence":
        raise ValueError(f"evidence of the kind {data['type']} has no JSON form here")
    value = data["value"]
    return evidence_pb2.Evidence(
        duplicate_vote_evidence=evidence_pb2.DuplicateVoteEvidence(
            vote_a=_vote(value["vote_a"]),
            vote_b=_vote(value["vote_b"]),
            total_voting_power=int(value["TotalVotingPower"]),
            validator_power=int(value["ValidatorPower"]),
            timestamp=timestamp(value["Timestamp"]),
        )
    )


def _vote(data: Json) -> types_pb2.Vote:
    return types_pb2.Vote(
        type=data["type"],
        height=int(data["height"]),
        round=int(data["round"]),
        block_id=block_id(data["block_id"]),
        timestamp=timestamp(data["timestamp"]),
        validator_address=bytes.fromhex(data["validator_address"]),
        validator_index=int(data["validator_index"]),
        signature=base64.b64decode(data["signature"] or ""),
    )


def consensus_params(data: Json) -> params_pb2.ConsensusParams:
    max_age_ns = int(data["evidence"]["max_age_duration"])
    return params_pb2.ConsensusParams(
        block=params_pb2.BlockParams(max_bytes=int(data["block"]["max_bytes"]), max_gas=int(data["block"]["max_gas"])),
        evidence=params_pb2.EvidenceParams(
            max_age_num_blocks=int(data["evidence"]["max_age_num_blocks"]),
            max_age_duration=Duration(seconds=max_age_ns // 10**9, nanos=max_age_ns % 10**9),
            max_bytes=int(data["evidence"]["max_bytes"]),
        ),
        validator=params_pb2.ValidatorParams(pub_key_types=data["validator"]["pub_key_types"]),
        version=params_pb2.VersionParams(app=int(data["version"].get("app") or 0)),
        abci=params_pb2.ABCIParams(
            vote_extensions_enable_height=int((data.get("abci") or {}).get("vote_extensions_enable_height") or 0)
        ),
    )


def events(data: list[Json] | None) -> list[abci.Event]:
    return [
        abci.Event(
            type=event["type"],
            attributes=[
                abci.EventAttribute(key=one["key"], value=one.get("value") or "", index=bool(one.get("index", False)))
                for one in event.get("attributes") or ()
            ],
        )
        for event in data or ()
    ]

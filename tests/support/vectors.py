"""Golden vectors for other implementations: `python -m tests.support.vectors` writes tests/vectors/ anew.

They are part of the wire contract: a change of one is a change of the protocol.
"""

from __future__ import annotations

import hashlib
import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos.tx.v1beta1.tx_pb2 import TxRaw
from proofmill.credits.v1.tx_pb2 import MsgGrantCredits
from proofmill.params.v1.tx_pb2 import MsgUpdateParams
from proofmill.program.v1.state_pb2 import Asset
from proofmill.program.v1.tx_pb2 import MsgDeployProgram, MsgDeprecateProgram
from proofmill.prover.v1.tx_pb2 import (
    MsgExitProver,
    MsgRegisterProver,
    MsgRequestTest,
    MsgTopUpBond,
    MsgUpdateProver,
)
from proofmill.task.v1.state_pb2 import FAILURE_REASON_OUT_OF_MEMORY, VERDICT_INVALID, VERDICT_VALID
from proofmill.task.v1.tx_pb2 import Decline, MsgAcceptTasks, MsgCancelTask, MsgDeclineTasks, MsgReportFailure
from proofmill.types.v1.types_pb2 import AUDIENCE_PROVER, Resources

from chain.beacon import Draw, compute_beacon
from chain.capacity.schedule import make_challenge
from chain.params import GIB, default_params
from chain.pricing import price
from chain.program.ids import program_id
from chain.task.proof_handlers import proof_commitment
from chain.tx import decode_tx, sign_bytes
from chain.verification.votes import vote_commitment
from tests.support.life import (
    make_commit,
    make_proof,
    make_proof_commit,
    make_proof_reveal,
    make_reveal,
    make_run,
    make_spec,
)
from tests.support.network import ALICE, AUTHORITY, BOB, CHAIN_ID, DEPLOYER, make_tx, node_key, operator_key
from tests.support.sends import make_send

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from proofmill.params.v1.state_pb2 import Params
    from proofmill.program.v1.state_pb2 import ProgramSpec

    from tests.support.network import Key

FOLDER = Path(__file__).resolve().parents[1] / "vectors"


def make_full_spec() -> ProgramSpec:
    spec = make_spec("vector")
    spec.prover.command.extend(["/prove", "--threads", "4"])
    spec.assets.append(
        Asset(
            name="proving.key",
            urls=["https://blobs.example/proving.key"],
            sha256=hashlib.sha256(b"proving key").digest(),
            bytes=123_456_789,
            audience=AUDIENCE_PROVER,
        )
    )
    return spec


def make_messages() -> list[tuple[Key, Message]]:
    """At least one of each type, with every field set somewhere."""
    spec = make_full_spec()
    run = make_run(ALICE, program_id(spec))
    run.resources.CopyFrom(Resources(cpu_millis=2_000, memory_bytes=4 * GIB, gpus=1))
    run.commitment = bytes(range(32))
    votes = make_commit(0, 7, 1, VERDICT_VALID)
    votes.reveals.extend(make_reveal(0, 6, 2, VERDICT_INVALID).reveals)
    node = node_key(0)
    return [
        (ALICE, make_send(ALICE, BOB.address, 1_500_000)),
        (AUTHORITY, MsgGrantCredits(authority=AUTHORITY.address, recipient=ALICE.address, amount=25_000_000)),
        (DEPLOYER, MsgDeployProgram(deployer=DEPLOYER.address, spec=spec)),
        (DEPLOYER, MsgDeprecateProgram(deployer=DEPLOYER.address, program_id=program_id(spec))),
        (
            operator_key(0),
            MsgRegisterProver(
                operator=operator_key(0).address,
                node=node.address,
                resources=Resources(cpu_millis=64_000, memory_bytes=380 * GIB, gpus=2),
                endpoints=["https://prover.example:8700"],
                region="eu-1",
                bond=1_000_000_000,
            ),
        ),
        (ALICE, run),
        (node, MsgAcceptTasks(node=node.address, task_ids=[1, 2, 300])),
        (
            node,
            MsgDeclineTasks(node=node.address, entries=[Decline(task_id=4, reason="busy"), Decline(task_id=5)]),
        ),
        (node, make_proof_commit(0, 9)),
        (node, make_proof(node, 1)),
        (node, make_proof_reveal(0, 9)),
        (ALICE, MsgCancelTask(user=ALICE.address, task_id=300)),
        (
            operator_key(0),
            MsgUpdateProver(
                operator=operator_key(0).address,
                resources=Resources(cpu_millis=96_000, memory_bytes=768 * GIB),
                endpoints=["https://prover.example:8701"],
                region="us-2",
                node=node_key(1).address,
            ),
        ),
        (operator_key(0), MsgTopUpBond(operator=operator_key(0).address, amount=250_000_000)),
        (operator_key(0), MsgExitProver(operator=operator_key(0).address)),
        (node, MsgRequestTest(node=node.address)),
        (AUTHORITY, MsgUpdateParams(authority=AUTHORITY.address, params=make_params())),
        (
            node,
            MsgReportFailure(
                node=node.address, task_id=2, reason=FAILURE_REASON_OUT_OF_MEMORY, detail="killed at 4 GiB"
            ),
        ),
        (node, votes),
    ]


def make_params() -> Params:
    """The defaults as the first update would send them."""
    params = default_params()
    params.version = 1
    params.capacity_program = program_id(make_full_spec())
    return params


def message_vectors() -> list[dict[str, Any]]:
    return [_message_vector(key, message) for key, message in make_messages()]


def _message_vector(key: Key, message: Message) -> dict[str, Any]:
    raw = make_tx(key, [message], account_number=11, sequence=3, memo="vector", timeout_height=1_000)
    envelope, tx = TxRaw.FromString(raw), decode_tx(raw)
    signed = sign_bytes(envelope.body_bytes, envelope.auth_info_bytes, CHAIN_ID, 11)
    return {
        "type_url": f"/{message.DESCRIPTOR.full_name}",
        "value": message.SerializeToString(deterministic=True).hex(),
        "chain_id": CHAIN_ID,
        "account_number": 11,
        "sequence": 3,
        "signer": key.address,
        "pub_key": key.pub_key.hex(),
        "sign_bytes": signed.hex(),
        "tx": raw.hex(),
        "tx_hash": hashlib.sha256(raw).hexdigest().upper(),
        "gas": tx.gas,
        "fee_umill": tx.fee,
    }


def hash_vectors() -> dict[str, Any]:
    beacon = compute_beacon(bytes(range(32)), 77)
    return {
        "beacon": {"previous_block_hash": bytes(range(32)).hex(), "height": 77, "beacon": beacon.hex()},
        "draws": [
            {
                "beacon": beacon.hex(),
                "purpose": purpose.hex(),
                "number": number,
                "size": size,
                "permutation": list(islice(Draw(beacon, purpose, number).permutation(size), 16)),
            }
            for purpose, number, size in (
                (b"assign" + bytes(4), 1, 5),
                (b"assign" + b"\0\0\0\1", 1, 5),
                (b"committee" + b"\0\0\0\1", 9, 1_000),
                (b"committee" + b"\0\0\0\3", 2**40, 100_000),
            )
        ],
        "program_id": {
            "spec": make_full_spec().SerializeToString(deterministic=True).hex(),
            "id": program_id(make_full_spec()).hex(),
        },
        "proof_commitment": {
            "operator": ALICE.raw.hex(),
            "proof_sha256": bytes(range(32)).hex(),
            "salt": bytes(range(32, 64)).hex(),
            "commitment": proof_commitment(ALICE.raw, bytes(range(32)), bytes(range(32, 64))).hex(),
        },
        "challenge": {
            "beacon": beacon.hex(),
            "prover": ALICE.address,
            "cpu_millis": 64_000,
            "memory_bytes": 380 * GIB,
            "gpus": 2,
            "challenge": make_challenge(
                beacon, ALICE.address, Resources(cpu_millis=64_000, memory_bytes=380 * GIB, gpus=2)
            ).decode(),
        },
        "vote_commitment": {
            "voter": ALICE.raw.hex(),
            "task_id": 300,
            "round": 2,
            "verdict": VERDICT_INVALID,
            "salt": bytes(range(32)).hex(),
            "commitment": vote_commitment(ALICE.raw, 300, 2, VERDICT_INVALID, bytes(range(32))).hex(),
        },
    }


def price_vectors() -> list[dict[str, int]]:
    """With the default parameters."""
    return [
        {
            "cpu_millis": cpu,
            "memory_bytes": memory,
            "gpus": gpus,
            "time_limit_s": seconds,
            "redundancy": redundancy,
            "ucredit": price(
                default_params(), Resources(cpu_millis=cpu, memory_bytes=memory, gpus=gpus), seconds, redundancy
            ),
        }
        for cpu, memory, gpus, seconds, redundancy in (
            (32_000, 190 * GIB, 1, 300, 1),
            (96_000, 760 * GIB, 0, 600, 1),
            (1_000, 2 * GIB, 0, 10, 1),
            (1, 1, 0, 1, 1),
            (1_500, 3 * GIB + 1, 0, 77, 3),
            (64_000, 380 * GIB, 2, 86_400, 5),
        )
    ]


VECTORS = {"messages": message_vectors, "hashes": hash_vectors, "prices": price_vectors}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, make in VECTORS.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(make(), indent=1) + "\n")

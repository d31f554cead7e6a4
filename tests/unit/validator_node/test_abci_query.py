"""ABCI Query: gRPC paths, rows with proofs, heights, and errors that tell what is wrong."""

from __future__ import annotations

import pytest
from cosmos.auth.v1beta1 import query_pb2 as auth_pb
from cosmos.bank.v1beta1 import query_pb2 as bank_pb
from cosmos.ics23.v1 import proofs_pb2 as ics23

from chain import schema
from tests.support.consensus import Consensus
from tests.support.network import ALICE, BOB, Key, make_tx
from tests.support.sends import make_send
from validator_node import queries

BALANCE = "/cosmos.bank.v1beta1.Query/Balance"
ALICE_BALANCE = bank_pb.QueryBalanceRequest(address=ALICE.address, denom="umill").SerializeToString()


def balance(consensus: Consensus, height: int = 0) -> int:
    answer = consensus.query(BALANCE, ALICE_BALANCE, height=height)
    assert answer.code == 0, answer.log
    return int(bank_pb.QueryBalanceResponse.FromString(answer.value).balance.amount)


def alice_pays(consensus: Consensus, sequence: int, amount: int) -> None:
    message = make_send(ALICE, BOB.address, amount)
    consensus.block(make_tx(ALICE, [message], account_number=1, sequence=sequence))


def test_a_grpc_path_answers_with_the_height_of_the_header_that_carries_the_root(running: Consensus) -> None:
    answer = running.query(BALANCE, ALICE_BALANCE)
    assert answer.code == 0
    assert answer.height == 3


def test_a_height_names_the_header_so_the_state_is_that_of_the_block_before(running: Consensus) -> None:
    rich = balance(running)
    alice_pays(running, 0, 1_000)
    assert running.height == 3
    assert balance(running) == balance(running, 4) < rich - 1_000
    assert balance(running, 3) == rich


@pytest.mark.parametrize(
    ("height", "reason"), [(-1, "negative"), (1, "no state"), (9, "not committed yet"), (1 << 62, "not committed yet")]
)
def test_a_height_without_state_is_an_error(running: Consensus, height: int, reason: str) -> None:
    answer = running.query(BALANCE, ALICE_BALANCE, height=height)
    assert (answer.codespace, answer.code != 0) == ("sdk", True)
    assert reason in answer.log


def test_a_query_before_the_first_block_is_an_error(consensus: Consensus) -> None:
    consensus.init_chain()
    answer = consensus.query(BALANCE, ALICE_BALANCE)
    assert answer.code
    assert "no block is committed yet" in answer.log


@pytest.mark.parametrize(
    ("path", "data", "reason"),
    [
        ("/nonsense", b"", "not a query"),
        ("", b"", "not a query"),
        (BALANCE, b"\xff\xff", "don't decode"),
        ("/store/xyz", b"", "hexadecimal"),
        ("/store", b"", "no key"),
        ("/store/", b"", "no key"),
    ],
)
def test_what_cannot_be_answered_says_why(running: Consensus, path: str, data: bytes, reason: str) -> None:
    answer = running.query(path, data)
    assert answer.code
    assert answer.codespace == "sdk"
    assert reason in answer.log


def test_a_missing_account_is_said_in_the_words_that_cosmjs_looks_for(running: Consensus) -> None:
    request = auth_pb.QueryAccountRequest(address=Key("nobody").address)
    answer = running.query("/cosmos.auth.v1beta1.Query/Account", request.SerializeToString())
    assert answer.log.startswith("rpc error: code = NotFound")


def test_a_grpc_path_cannot_be_proved(running: Consensus) -> None:
    assert "can't be proved" in running.query(BALANCE, ALICE_BALANCE, prove=True).log


def test_a_row_comes_with_a_proof_against_the_app_hash(running: Consensus) -> None:
    key = schema.ACCOUNTS.prefix + ALICE.raw
    answer = running.query(f"/store/{key.hex()}", prove=True)
    assert answer.code == 0, answer.log
    assert answer.height == running.height + 1
    assert answer.key == key
    (operation,) = answer.proof_ops.ops
    assert operation.type.startswith("ics23:")
    proof = ics23.CommitmentProof.FromString(operation.data)
    assert (proof.exist.key, proof.exist.value) == (key, answer.value)
    by_data = running.query("/store", key, prove=True)
    assert by_data == answer


def test_a_row_that_is_not_there_comes_with_a_proof_of_absence(running: Consensus) -> None:
    key = schema.ACCOUNTS.prefix + Key("nobody").raw
    answer = running.query(f"/store/{key.hex()}", prove=True)
    assert answer.code == 0
    assert answer.value == b""
    proof = ics23.CommitmentProof.FromString(answer.proof_ops.ops[0].data)
    assert proof.nonexist.key == key


def test_a_row_without_proof_is_just_the_row(running: Consensus) -> None:
    answer = running.query(f"/store/{(schema.ACCOUNTS.prefix + ALICE.raw).hex()}")
    assert answer.value
    assert not answer.proof_ops.ops


def test_a_bug_in_a_query_is_an_error_and_not_the_end_of_the_node(
    running: Consensus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(queries, "query", broken)
    answer = running.query(BALANCE, ALICE_BALANCE)
    assert (answer.codespace, answer.code) == ("internal", 1)


def test_a_failing_machine_is_the_end_of_the_node(running: Consensus, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(queries, "query", broken)
    with pytest.raises(OSError, match="Input/output"):
        running.query(BALANCE, ALICE_BALANCE)

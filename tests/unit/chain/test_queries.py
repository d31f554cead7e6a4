"""Every query: what it answers, and what it says to a question that has no answer."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from cosmos.auth.v1beta1 import query_pb2 as auth
from cosmos.auth.v1beta1.auth_pb2 import BaseAccount
from cosmos.bank.v1beta1 import query_pb2 as bank
from cosmos.base.v1beta1.coin_pb2 import Coin
from cosmos.crypto.secp256k1.keys_pb2 import PubKey
from cosmos.tx.v1beta1.service_pb2 import SimulateRequest, SimulateResponse
from cosmos.tx.v1beta1.tx_pb2 import Tx
from proofmill.credits.v1 import query_pb2 as credits_pb
from proofmill.params.v1 import query_pb2 as params_pb
from proofmill.program.v1 import query_pb2 as program
from proofmill.prover.v1 import query_pb2 as prover
from proofmill.prover.v1.state_pb2 import PROVER_STATUS_ACTIVE, PROVER_STATUS_JOINING
from proofmill.task.v1 import query_pb2 as task
from proofmill.task.v1.state_pb2 import TASK_STATUS_PENDING, VERDICT_VALID
from proofmill.task.v1.tx_pb2 import MsgAcceptTasks, MsgRunTaskResponse
from proofmill.types.v1.types_pb2 import Resources
from proofmill.verification.v1.state_pb2 import ROUND_PHASE_COMMITTING

from chain.amount import MAX_AMOUNT
from chain.errors import (
    FEE_ABOVE_MAX,
    INSUFFICIENT_FUNDS,
    INVALID_ADDRESS,
    INVALID_REQUEST,
    NOT_FOUND,
    OUT_OF_GAS,
    PROGRAM_NOT_FOUND,
    PROVER_NOT_FOUND,
    RESOURCES_TOO_LARGE,
    TASK_INVALID,
    TASK_NOT_FOUND,
    UNKNOWN_REQUEST,
    TxError,
)
from chain.params import GIB, default_params
from chain.program.ids import program_id
from chain.query import QUERY_PATHS, QueryContext, query
from tests.support.envelope import account_of, valid_send
from tests.support.life import (
    PROOF_SHA256,
    committee_of,
    deploy,
    make_commit,
    make_run,
    make_spec,
    prove,
    prover_of,
    run,
)
from tests.support.network import (
    ALICE,
    BOB,
    CHAIN_ID,
    DEPLOYER,
    MILL,
    RICH,
    Key,
    Network,
    endpoint_of,
    make_genesis,
    make_tx,
    node_key,
    operator_key,
)
from tests.support.sends import make_send

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from chain.errors import ErrorCode

AUTH, BANK = "/cosmos.auth.v1beta1.Query/", "/cosmos.bank.v1beta1.Query/"
SIMULATE = "/cosmos.tx.v1beta1.Service/Simulate"
PROGRAM, PROVER, TASK = "/proofmill.program.v1.Query/", "/proofmill.prover.v1.Query/", "/proofmill.task.v1.Query/"
NOBODY = Key("nobody").address


def refused(network: Network, error: ErrorCode, path: str, request: Message | bytes) -> TxError:
    raw = request if isinstance(request, bytes) else request.SerializeToString()
    with pytest.raises(TxError) as caught:
        query(QueryContext(network.values, CHAIN_ID, network.height, network.time_ms), path, raw)
    assert (caught.value.codespace, caught.value.code) == (error.codespace, error.code), caught.value.message
    assert 10 < len(caught.value.message) < 1_000
    return caught.value


@pytest.mark.parametrize("path", ["", "/", "/nowhere", "proofmill.task.v1.Query/Task", "/proofmill.task.v1.Query/Nope"])
def test_invalid_path(network: Network, path: str) -> None:
    refused(network, UNKNOWN_REQUEST, path, b"")


@pytest.mark.parametrize("path", QUERY_PATHS)
def test_invalid_request_bytes(network: Network, path: str) -> None:
    for raw in (b"\xff", b"\x0a\x05", b"\xaa\x06\x01\x00", b"\x7b" * 200 + b"\x7c" * 200):
        refused(network, INVALID_REQUEST, path, raw)


@pytest.mark.parametrize("path", QUERY_PATHS)
def test_an_empty_request_gets_an_answer_or_an_error(network: Network, path: str) -> None:
    context = QueryContext(network.values, CHAIN_ID, network.height, network.time_ms)
    with contextlib.suppress(TxError):
        query(context, path, b"")


@pytest.mark.parametrize("path", QUERY_PATHS)
def test_a_query_changes_nothing(network: Network, path: str) -> None:
    rows = list(network.values.iterate(b"", b"\xff"))
    test_an_empty_request_gets_an_answer_or_an_error(network, path)
    assert list(network.values.iterate(b"", b"\xff")) == rows


def test_account(network: Network) -> None:
    network.execute(ALICE, make_send(ALICE, BOB.address, 1))
    for path in ("Account", "AccountInfo"):
        if path == "Account":
            request = auth.QueryAccountRequest(address=ALICE.address)
            packed = network.query(AUTH + path, request, auth.QueryAccountResponse).account
            assert packed.type_url == "/cosmos.auth.v1beta1.BaseAccount"
            base = BaseAccount.FromString(packed.value)
        else:
            info = auth.QueryAccountInfoRequest(address=ALICE.address)
            base = network.query(AUTH + path, info, auth.QueryAccountInfoResponse).info
        assert base.address == ALICE.address
        assert (base.account_number, base.sequence) == (account_of(network, ALICE).number, 1)
        assert base.pub_key.type_url == "/cosmos.crypto.secp256k1.PubKey"
        assert PubKey.FromString(base.pub_key.value).key == ALICE.pub_key


def test_account_that_never_signed_has_no_key(network: Network) -> None:
    request = auth.QueryAccountInfoRequest(address=BOB.address)
    info = network.query(f"{AUTH}AccountInfo", request, auth.QueryAccountInfoResponse).info
    assert not info.HasField("pub_key")


def test_invalid_account(network: Network) -> None:
    for path in ("Account", "AccountInfo"):
        # The words "not found" are what CosmJS looks for.
        error = refused(network, NOT_FOUND, AUTH + path, auth.QueryAccountRequest(address=NOBODY))
        assert "not found" in error.message
        refused(network, INVALID_ADDRESS, AUTH + path, auth.QueryAccountRequest(address="cosmos1x"))


def test_auth_params_and_prefix(network: Network) -> None:
    params = network.query(f"{AUTH}Params", auth.QueryParamsRequest(), auth.QueryParamsResponse).params
    assert (params.max_memo_characters, params.tx_sig_limit) == (256, 7)
    answer = network.query(f"{AUTH}Bech32Prefix", auth.Bech32PrefixRequest(), auth.Bech32PrefixResponse)
    assert answer.bech32_prefix == "mill"


def test_balances(network: Network) -> None:
    both = [Coin(denom="ucredit", amount=str(100 * MILL)), Coin(denom="umill", amount=str(RICH))]

    def balance(address: str, denom: str) -> Coin:
        request = bank.QueryBalanceRequest(address=address, denom=denom)
        coin: Coin = network.query(f"{BANK}Balance", request, bank.QueryBalanceResponse).balance
        return coin

    assert balance(ALICE.address, "umill") == both[1]
    assert balance(ALICE.address, "ucredit") == both[0]
    assert balance(ALICE.address, "uatom") == Coin(denom="uatom", amount="0")
    assert balance(NOBODY, "umill") == Coin(denom="umill", amount="0")
    answer = network.query(
        f"{BANK}AllBalances", bank.QueryAllBalancesRequest(address=ALICE.address), bank.QueryAllBalancesResponse
    )
    assert list(answer.balances) == both
    spendable = network.query(
        f"{BANK}SpendableBalances",
        bank.QuerySpendableBalancesRequest(address=ALICE.address),
        bank.QuerySpendableBalancesResponse,
    )
    assert list(spendable.balances) == both
    for path in ("Balance", "AllBalances", "SpendableBalances"):
        refused(network, INVALID_ADDRESS, BANK + path, bank.QueryBalanceRequest(address="x"))


def test_supply(network: Network) -> None:
    pools = network.query(
        "/proofmill.credits.v1.Query/Pools", credits_pb.QueryPoolsRequest(), credits_pb.QueryPoolsResponse
    ).pools
    assert pools.bonds_umill == 5 * 2_000 * MILL
    answer = network.query(f"{BANK}TotalSupply", bank.QueryTotalSupplyRequest(), bank.QueryTotalSupplyResponse)
    assert {coin.denom: int(coin.amount) for coin in answer.supply} == {
        "ucredit": pools.ucredit_supply,
        "umill": pools.umill_supply,
    }
    for denom, amount in (("umill", pools.umill_supply), ("ucredit", pools.ucredit_supply), ("uatom", 0)):
        coin = network.query(
            f"{BANK}SupplyOf", bank.QuerySupplyOfRequest(denom=denom), bank.QuerySupplyOfResponse
        ).amount
        assert (coin.denom, int(coin.amount)) == (denom, amount)


def test_coins(network: Network) -> None:
    answer = network.query(f"{BANK}DenomsMetadata", bank.QueryDenomsMetadataRequest(), bank.QueryDenomsMetadataResponse)
    assert [metadata.base for metadata in answer.metadatas] == ["ucredit", "umill"]
    one = network.query(
        f"{BANK}DenomMetadata", bank.QueryDenomMetadataRequest(denom="umill"), bank.QueryDenomMetadataResponse
    ).metadata
    assert (one.symbol, [unit.exponent for unit in one.denom_units]) == ("MILL", [0, 6])
    refused(network, NOT_FOUND, f"{BANK}DenomMetadata", bank.QueryDenomMetadataRequest(denom="uatom"))
    assert network.query(
        f"{BANK}Params", bank.QueryParamsRequest(), bank.QueryParamsResponse
    ).params.default_send_enabled


def test_params(network: Network) -> None:
    path = "/proofmill.params.v1.Query/Params"
    answer = network.query(path, params_pb.QueryParamsRequest(), params_pb.QueryParamsResponse)
    expected = default_params()
    expected.version = 1
    assert answer.params == expected
    first = network.query(path, params_pb.QueryParamsRequest(version=1), params_pb.QueryParamsResponse)
    assert first.params == expected
    refused(network, NOT_FOUND, path, params_pb.QueryParamsRequest(version=2))


def simulate(network: Network, raw: bytes) -> SimulateResponse:
    answer: SimulateResponse = network.query(SIMULATE, SimulateRequest(tx_bytes=raw), SimulateResponse)
    return answer


def test_simulate_tells_the_exact_gas_and_the_responses(network: Network) -> None:
    message = make_run(ALICE, deploy(network))
    account = account_of(network, ALICE)
    raw = make_tx(ALICE, [message], account_number=account.number, sequence=account.sequence)
    answer = simulate(network, raw)
    (response,) = answer.result.msg_responses
    assert response.type_url == "/proofmill.task.v1.MsgRunTaskResponse"
    assert MsgRunTaskResponse.FromString(response.value).task_id == 1
    assert [event.type for event in answer.result.events] == ["proofmill.task.v1.EventTaskCreated"]
    network.send_raw(raw)
    (result,) = network.next_block()
    assert result.gas_used == answer.gas_info.gas_used
    assert result.data == answer.result.data


def test_simulate_needs_neither_signature_nor_sequence_nor_fee(network: Network) -> None:
    raw = make_tx(ALICE, [make_send(ALICE, BOB.address, 1)], account_number=0, sequence=99, fee=0, gas_limit=0)
    tx = Tx.FromString(raw)
    tx.signatures[0] = b""
    tx.auth_info.signer_infos[0].mode_info.single.mode = 0  # type: ignore[assignment]  # left open by wallets
    assert simulate(network, tx.SerializeToString()).gas_info.gas_used > 0
    # The older form, with the transaction decoded.
    answer = network.query(SIMULATE, SimulateRequest(tx=tx), SimulateResponse)
    assert answer == simulate(network, tx.SerializeToString())


def test_simulate_takes_a_fee_that_is_stated(network: Network) -> None:
    def everything(fee: int) -> bytes:
        message = make_send(ALICE, BOB.address, account_of(network, ALICE).umill)
        return make_tx(ALICE, [message], account_number=0, sequence=0, fee=fee)

    assert simulate(network, everything(0)).gas_info.gas_used > 0
    refused(network, INSUFFICIENT_FUNDS, SIMULATE, SimulateRequest(tx_bytes=everything(1)))
    refused(network, INSUFFICIENT_FUNDS, SIMULATE, SimulateRequest(tx_bytes=everything(2 * RICH)))


def test_invalid_simulate(network: Network) -> None:
    raw = make_tx(ALICE, [make_send(ALICE, BOB.address, 2 * RICH)], account_number=0, sequence=0)
    refused(network, INSUFFICIENT_FUNDS, SIMULATE, SimulateRequest(tx_bytes=raw))
    refused(network, INVALID_REQUEST, SIMULATE, SimulateRequest())
    node = node_key(0)
    accepts = [MsgAcceptTasks(node=node.address, task_ids=[1] * 1_000)] * 41
    too_much = make_tx(node, accepts, account_number=4, sequence=0)
    refused(network, OUT_OF_GAS, SIMULATE, SimulateRequest(tx_bytes=too_much))


def test_program(network: Network) -> None:
    identifier = deploy(network)
    for text in (identifier.hex(), identifier.hex().upper(), identifier.hex()[:8], identifier.hex()[:9]):
        request = program.QueryProgramRequest(program_id=text)
        answer = network.query(f"{PROGRAM}Program", request, program.QueryProgramResponse)
        assert answer.program.id == identifier
        assert answer.program.spec == make_spec()


@pytest.mark.parametrize("text", ["", "abcdef0", "g" * 64, "a" * 65, "x" * 10_000, "ab cdef01", "é" * 8])
def test_invalid_program_id(network: Network, text: str) -> None:
    refused(network, INVALID_REQUEST, f"{PROGRAM}Program", program.QueryProgramRequest(program_id=text))


def test_invalid_program_unknown(network: Network) -> None:
    for text in ("00" * 32, "ff" * 32, "ffffffff"):
        refused(network, PROGRAM_NOT_FOUND, f"{PROGRAM}Program", program.QueryProgramRequest(program_id=text))


def test_programs_by_name_and_deployer(network: Network) -> None:
    ids = {name: deploy(network, make_spec(name)) for name in ("b", "a", "c")}
    second = make_spec("a")
    second.version = "2"
    deploy(network, second)

    def programs(**fields: Any) -> set[bytes]:
        request = program.QueryProgramsRequest(**fields)
        answer = network.query(f"{PROGRAM}Programs", request, program.QueryProgramsResponse)
        assert sorted(found.id for found in answer.programs) == [found.id for found in answer.programs]
        return {found.id for found in answer.programs}

    assert programs() == {*ids.values(), program_id(second)}
    assert programs(name="a") == {ids["a"], program_id(second)}
    assert programs(name="d") == set()
    assert programs(name="a", deployer=DEPLOYER.address) == {ids["a"], program_id(second)}
    assert programs(deployer=DEPLOYER.address) == programs()
    assert programs(deployer=ALICE.address) == set()


def test_prover(network: Network) -> None:
    for address in (operator_key(2).address, node_key(2).address):
        request = prover.QueryProverRequest(address=address)
        answer = network.query(f"{PROVER}Prover", request, prover.QueryProverResponse)
        assert answer.prover.operator == operator_key(2).address
    for path in ("Prover", "ProverStatus", "ProverDuties"):
        refused(network, PROVER_NOT_FOUND, PROVER + path, prover.QueryProverRequest(address=ALICE.address))
        refused(network, INVALID_ADDRESS, PROVER + path, prover.QueryProverRequest(address="x"))


def test_provers_by_status(network: Network) -> None:
    def provers(**fields: Any) -> int:
        request = prover.QueryProversRequest(**fields)
        return len(network.query(f"{PROVER}Provers", request, prover.QueryProversResponse).provers)

    assert provers() == provers(status=PROVER_STATUS_ACTIVE) == 5
    assert provers(status=PROVER_STATUS_JOINING) == 0


def test_prover_status(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    index = prover_of(network, task_id)

    def status() -> prover.QueryProverStatusResponse:
        request = prover.QueryProverStatusRequest(address=node_key(index).address)
        answer: prover.QueryProverStatusResponse = network.query(
            f"{PROVER}ProverStatus", request, prover.QueryProverStatusResponse
        )
        return answer

    answer = status()
    assert (answer.status, answer.may_work) == (PROVER_STATUS_ACTIVE, True)
    assert answer.free == Resources(cpu_millis=3_000, memory_bytes=6 * GIB)
    assert (answer.misses, answer.misses_to_jail, answer.declines_left) == (0, 3, 1)
    assert (answer.open_assignments, answer.open_votes) == (1, 0)
    for _ in range(4):
        network.next_block()
    answer = status()
    assert (answer.misses, answer.open_assignments) == (1, 0)


def test_prover_duties(network: Network) -> None:
    def duties(index: int) -> prover.QueryProverDutiesResponse:
        request = prover.QueryProverDutiesRequest(address=node_key(index).address)
        answer: prover.QueryProverDutiesResponse = network.query(
            f"{PROVER}ProverDuties", request, prover.QueryProverDutiesResponse
        )
        assert (answer.height, answer.time_ms) == (network.height, network.time_ms)
        return answer

    task_id = run(network, ALICE, deploy(network))
    network.next_block()
    index = prover_of(network, task_id)
    (duty,) = duties(index).assignments
    assert duty.task.id == task_id
    assert duty.assignment.prover == operator_key(index).address
    assert duty.program.spec == make_spec()
    other_id = run(network, ALICE, duty.program.id)
    prove(network, other_id)
    member = committee_of(network, other_id)[0]
    network.execute(node_key(member), make_commit(member, other_id, 1, VERDICT_VALID))
    (vote,) = duties(member).votes
    assert (vote.task.id, vote.round.phase, vote.round.commits) == (other_id, ROUND_PHASE_COMMITTING, 1)
    assert vote.proof.sha256 == PROOF_SHA256
    assert vote.vote.voter == operator_key(member).address
    assert len(vote.vote.commitment) == 32
    assert vote.prover_endpoints == [endpoint_of(prover_of(network, other_id))]


def test_task(network: Network) -> None:
    task_id = run(network, ALICE, deploy(network))
    answer = network.query(f"{TASK}Task", task.QueryTaskRequest(task_id=task_id), task.QueryTaskResponse)
    assert (answer.task.task.id, answer.task.progress.status) == (task_id, TASK_STATUS_PENDING)
    assert not answer.assignments
    assert not answer.prover_endpoints
    prove(network, task_id)
    answer = network.query(f"{TASK}Task", task.QueryTaskRequest(task_id=task_id), task.QueryTaskResponse)
    assert len(answer.assignments) == len(answer.rounds) == 1
    assert len(answer.rounds[0].votes) == 4
    for unknown in (0, task_id + 1, 2**64 - 1):
        refused(network, TASK_NOT_FOUND, f"{TASK}Task", task.QueryTaskRequest(task_id=unknown))


def test_tasks_newest_first_by_user_and_status(network: Network) -> None:
    identifier = deploy(network)
    for user in (ALICE, BOB, ALICE, DEPLOYER, ALICE):
        run(network, user, identifier)

    def tasks(**fields: Any) -> list[int]:
        request = task.QueryTasksRequest(**fields)
        answer = network.query(f"{TASK}Tasks", request, task.QueryTasksResponse)
        return [view.task.id for view in answer.tasks]

    assert tasks() == [5, 4, 3, 2, 1]
    assert tasks(user=ALICE.address) == [5, 3, 1]
    assert tasks(user=NOBODY) == []
    assert tasks(status=TASK_STATUS_PENDING) == [5]
    assert tasks(status=TASK_STATUS_PENDING, user=BOB.address) == []
    refused(network, INVALID_ADDRESS, f"{TASK}Tasks", task.QueryTasksRequest(user="x"))


def test_estimate_is_what_a_run_locks(network: Network) -> None:
    identifier = deploy(network)

    def estimate(**fields: Any) -> task.QueryEstimateResponse:
        request = task.QueryEstimateRequest(program_id=identifier.hex(), **fields)
        answer: task.QueryEstimateResponse = network.query(f"{TASK}Estimate", request, task.QueryEstimateResponse)
        return answer

    assert estimate(time_limit_s=10).fee == 18
    assert estimate(time_limit_s=10, redundancy=1).resources == make_spec().default_resources
    resources = Resources(cpu_millis=4_000, memory_bytes=8 * GIB)
    assert estimate(time_limit_s=3_600, resources=resources).fee == 25_417


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (PROGRAM_NOT_FOUND, {"program_id": "ab" * 32, "time_limit_s": 1}),
        (TASK_INVALID, {"time_limit_s": 0}),
        (TASK_INVALID, {"time_limit_s": 2**64 - 1}),
        (TASK_INVALID, {"time_limit_s": 1, "resources": Resources()}),
        (RESOURCES_TOO_LARGE, {"time_limit_s": 1, "resources": Resources(cpu_millis=10**6, memory_bytes=1)}),
        (TASK_INVALID, {"time_limit_s": 1, "redundancy": 6}),
        (TASK_INVALID, {"time_limit_s": 1, "redundancy": 2**32 - 1}),
    ],
)
def test_invalid_estimate(network: Network, error: ErrorCode, fields: dict[str, Any]) -> None:
    identifier = deploy(network)
    refused(network, error, f"{TASK}Estimate", task.QueryEstimateRequest(**{"program_id": identifier.hex()} | fields))


def test_invalid_estimate_that_nobody_could_pay() -> None:
    params = default_params()
    params.cpu_node.ucredit_per_hour = MAX_AMOUNT
    params.time_limit_max_s = 10**8
    network = Network.start(make_genesis(params=params))
    request = task.QueryEstimateRequest(program_id=deploy(network).hex(), time_limit_s=10**8)
    refused(network, FEE_ABOVE_MAX, f"{TASK}Estimate", request)
    message = make_run(ALICE, deploy(network, make_spec("other")))
    message.time_limit_s = 10**8
    message.max_fee = MAX_AMOUNT
    assert network.deliver(ALICE, message).code == FEE_ABOVE_MAX.code


def test_simulation_leaves_the_mempool_alone(network: Network) -> None:
    raw = valid_send(network, ALICE, BOB.address)
    assert simulate(network, raw) == simulate(network, raw)

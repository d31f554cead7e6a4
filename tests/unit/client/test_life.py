"""A task's life explains every step and every payment, from the state alone, and never tells a step anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_ACCEPTED,
    ASSIGNMENT_STATUS_OFFERED,
    FAILURE_REASON_EXIT_CODE,
    FAILURE_REASON_INPUT_UNAVAILABLE,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_VALID,
    FailureReason,
    Verdict,
)
from proofmill.task.v1.tx_pb2 import Decline, MsgCancelTask, MsgDeclineTasks, MsgReportFailure

from chain import schema
from chain.params import default_params
from client.life_money import earnings
from tests.support.life import (
    accept,
    accept_all,
    assigned,
    committee_of,
    deploy,
    make_commit,
    make_proof,
    make_proof_commit,
    make_proof_reveal,
    make_reveal,
    make_run,
    make_test_genesis,
    prove_fallback,
    prover_of,
    task_of,
)
from tests.support.network import ALICE, MILL, Network, make_genesis, node_key, operator_key
from tests.support.watched import Watched

if TYPE_CHECKING:
    from proofmill.genesis.v1.genesis_pb2 import Genesis

ANSWER = {VERDICT_VALID: "valid", VERDICT_INVALID: "invalid", VERDICT_INCONCLUSIVE: "inconclusive"}


@pytest.fixture
def network() -> Watched:
    return Watched.watch(make_dear_genesis(9))


def make_dear_genesis(provers: int) -> Genesis:
    """Fees that are large enough for everybody to get something."""
    params = default_params()
    params.cpu_node.ucredit_per_hour *= 1_000
    return make_genesis(provers, params)


def start(network: Network, *, redundancy: int = 1) -> int:
    message = make_run(ALICE, deploy(network))
    message.redundancy = redundancy
    message.max_fee = MILL
    network.execute(ALICE, message)
    network.next_block()
    return 1


def report(network: Network, index: int, reason: FailureReason = FAILURE_REASON_EXIT_CODE, detail: str = "") -> None:
    node = node_key(index)
    network.execute(node, MsgReportFailure(node=node.address, task_id=1, reason=reason, detail=detail))


def vote(network: Network, votes: dict[int, Verdict], *, silent: tuple[int, ...] = ()) -> None:
    """The newest committee commits and reveals; the `silent` only commit."""
    round_ = task_of(network, 1).rounds[-1].round.round
    for index, verdict in votes.items():
        network.send(node_key(index), make_commit(index, 1, round_, verdict))
    network.next_block(after_ms=1_000)
    if len(votes) < len(committee_of(network, 1)):
        network.next_block(after_ms=30_000)
        network.next_block()
    for index, verdict in votes.items():
        if index not in silent:
            network.send(node_key(index), make_reveal(index, 1, round_, verdict))
    network.next_block()
    if silent or len(votes) < len(committee_of(network, 1)):
        network.next_block(after_ms=10_000)
        network.next_block()


def agree(network: Network, verdict: Verdict) -> None:
    vote(network, dict.fromkeys(committee_of(network, 1), verdict))
    network.next_block()


def name_of(index: int) -> str:
    return operator_key(index).address


def check_earnings(network: Watched, genesis_provers: int = 9) -> None:
    """What the life says that everybody earned and lost is what they have more and less than at the beginning."""
    answer = task_of(network, 1)
    rows = {one.account: one for one in earnings(answer)}
    account = schema.ACCOUNTS.require(network.values, ALICE.raw)
    assert account.ucredit - 100 * MILL == rows[ALICE.address].ucredit
    for index in range(genesis_provers):
        operator = operator_key(index)
        row = rows.get(operator.address)
        held = schema.ACCOUNTS.get(network.values, operator.raw)
        assert (held.umill if held else 0) == (row.umill if row else 0)
        bond = schema.PROVERS.require(network.values, operator.raw).bond
        assert bond - 2_000 * MILL == (row.bond_umill if row else 0)


def test_an_ordinary_task_is_told_in_few_words(network: Watched) -> None:
    start(network)
    prover = name_of(accept(network, 1))
    network.execute(node_key(prover_of(network, 1)), make_proof(node_key(prover_of(network, 1)), 1))
    network.next_block()
    agree(network, VERDICT_VALID)
    assert network.names() == [
        "created", "offered", "accepted", "proved", "committee", "committed", "revealed", "decided", "paid", "paid",
        "burned", "ended",
    ]  # fmt: skip
    assert network.text("created") == f"by {ALICE.address}, 0.017651 credits in escrow"
    assert network.text("accepted") == f"by {prover}, to be proved within 40 s"
    assert network.text("proved").startswith("1,234 bytes, sha256 ")
    assert network.text("committee") == "of 8 drawn"
    assert network.text("decided") == "verdict VALID: 8 valid of 8"
    assert network.texts("paid")[0].startswith(f"0.016202 MILL to {prover} for a valid proof: ")
    assert network.text("ended") == "DONE: the committee found the proof valid"
    check_earnings(network)


def test_declined_and_expired_offers(network: Watched) -> None:
    start(network)
    first = prover_of(network, 1)
    node = node_key(first).address
    network.execute(node_key(first), MsgDeclineTasks(node=node, entries=[Decline(task_id=1, reason="too busy")]))
    network.next_block()
    second = prover_of(network, 1)
    for _ in range(4):
        network.next_block()
    assert network.names() == ["created", "offered", "declined", "offered", "expired", "offered"]
    assert network.text("declined") == f"by {name_of(first)}: too busy"
    assert network.text("expired") == f"by {name_of(second)}: no answer in time"


def test_a_reported_failure_and_its_fallback(network: Watched) -> None:
    start(network)
    first = accept(network, 1)
    report(network, first, detail="status 3")
    network.next_block()
    second = prove_fallback(network, 1)
    agree(network, VERDICT_VALID)
    assert network.names() == [
        "created", "offered", "accepted", "failed", "fallback", "refunded", "offered", "accepted", "proof committed",
        "proved", "committee", "committed", "revealed", "decided", "slashed", "paid", "paid", "burned", "ended",
    ]  # fmt: skip
    assert network.text("failed") == f"by {name_of(first)}: exit code: status 3"
    assert network.text("fallback") == (
        "the prover reported a failure: exit code: status 3; one more prover is drawn"
    )  # fmt: skip
    assert network.text("refunded") == f"0.008825 credits, 50 % of the fee, at once to {ALICE.address}"
    assert network.text("slashed") == (
        f"{name_of(first)} loses 100 MILL of its bond: it failed the task that another prover did "
        "(exit code: status 3), and is jailed; 50 MILL burned, 50 MILL for those whom it cost, and the network pool"
    )
    assert network.texts("paid")[0] == (
        f"0.016202 MILL to {name_of(second)} for a valid proof: 0.007943 MILL for 0.007943 credits of the fee, "
        "0.007942 MILL out of the slash, 0.000317 MILL subsidy"
    )
    check_earnings(network)


def test_a_missed_deadline_that_the_fallback_misses_too(network: Watched) -> None:
    start(network)
    first = accept(network, 1)
    network.next_block(after_ms=60_000)
    network.next_block()
    second = accept(network, 1)
    network.next_block(after_ms=60_000)
    network.next_block()
    assert network.text("fallback").startswith("the prover missed the deadline; ")
    assert network.texts("timed out") == [f"by {name_of(one)}: missed the deadline" for one in (first, second)]
    assert [one.split()[0] for one in network.texts("let go")] == [name_of(first), name_of(second)]
    assert "may be the program's fault" in network.texts("let go")[0]
    assert network.text("strike").endswith(f"counted by {name_of(first)}, which failed first")
    assert network.text("burned").startswith("0.008826 credits: what was left of the fee")
    assert network.text("ended").startswith("FAILED: the fallback failed too")
    check_earnings(network)


def test_an_invalid_proof_and_those_who_found_it(network: Watched) -> None:
    start(network)
    first = accept(network, 1)
    network.execute(node_key(first), make_proof(node_key(first), 1))
    network.next_block()
    members = committee_of(network, 1)
    contrary, unrevealed, *finders = members[:-1]
    votes = dict.fromkeys(finders, VERDICT_INVALID) | {contrary: VERDICT_VALID, unrevealed: VERDICT_INVALID}
    vote(network, votes, silent=(unrevealed,))
    # Five of eight are no quorum: a second committee, of the same nodes since there are no others.
    assert network.texts("committee")[1] == (
        "of 8 drawn, pass 2: the one before found no quorum, with 1 valid, 5 invalid, 2 without a vote of 8"
    )
    vote(network, dict.fromkeys(members, VERDICT_INVALID))
    network.next_block()
    assert network.text("decided") == "verdict INVALID: 8 invalid of 8"
    slashed = network.texts("slashed")
    assert sorted(one.partition(": it ")[2].partition(";")[0] for one in slashed) == [
        "committed to a vote and didn't reveal it",
        "voted VALID against the verdict INVALID",
        "was drawn and didn't vote",
    ]
    assert all(one.endswith("to the network pool") for one in slashed)
    prove_fallback(network, 1)
    agree(network, VERDICT_VALID)
    assert any("that found the first proof invalid" in one for one in network.texts("paid"))
    assert "its proof was found invalid" in network.texts("slashed")[-1]
    check_earnings(network)


def test_an_input_that_nobody_can_get(network: Watched) -> None:
    start(network)
    for _ in range(2):
        report(network, accept(network, 1), FAILURE_REASON_INPUT_UNAVAILABLE)
        network.next_block()
    assert network.texts("let go")[0].endswith("nobody could get the input")
    assert "strike" not in network.names()
    assert network.text("ended") == "FAILED: no prover could get the input"
    check_earnings(network)


def test_a_fallback_that_nobody_is_there_for() -> None:
    network = Watched.watch(make_dear_genesis(1))
    start(network)
    report(network, accept(network, 1))
    network.next_block(after_ms=70_000)
    network.next_block()
    assert network.names()[-4:] == ["refunded", "let go", "refunded", "ended"]
    assert network.text("let go").endswith("no fallback prover was there to show whose fault it was")
    check_earnings(network, 1)


def test_several_provers_of_whom_one_fails(network: Watched) -> None:
    start(network, redundancy=4)
    failing, late, *proving = accept_all(network, 1)
    report(network, failing)
    for make in (make_proof_commit, make_proof_reveal):
        for index in proving:
            network.send(node_key(index), make(index, 1))
        network.next_block()
    network.next_block()
    good, bad = (view.round.prover for view in task_of(network, 1).rounds)
    for make_vote in (make_commit, make_reveal):
        for view in task_of(network, 1).rounds:
            for index in committee_of_round(network, view.round.round):
                verdict = VERDICT_VALID if view.round.prover == good else VERDICT_INVALID
                network.send(node_key(index), make_vote(index, 1, view.round.round, verdict))
        network.next_block()
    network.next_block()
    assert network.text("created").endswith(", for 4 provers")
    assert network.text("superseded").startswith(f"by {name_of(late)}: another prover revealed its proof")
    assert network.names().count("proof committed") == network.names().count("proved") == 2
    assert set(network.texts("decided")) == {
        f"verdict {verdict} on the proof of {prover}: 5 {verdict.lower()} of 5"
        for prover, verdict in ((good, "VALID"), (bad, "INVALID"))
    }
    assert {one.split()[0] for one in network.texts("slashed")} == {bad, name_of(failing)}
    assert len(network.texts("revealed")) == 2
    check_earnings(network)


def committee_of_round(network: Network, number: int) -> list[int]:
    (view,) = (view for view in task_of(network, 1).rounds if view.round.round == number)
    return [next(index for index in range(9) if name_of(index) == vote.voter) for vote in view.votes]


def test_no_verdict_after_three_committees(network: Watched) -> None:
    start(network)
    prover = accept(network, 1)
    network.execute(node_key(prover), make_proof(node_key(prover), 1))
    network.next_block()
    for _ in range(3):
        members = committee_of(network, 1)
        vote(network, {index: (VERDICT_VALID, VERDICT_INVALID)[place % 2] for place, index in enumerate(members)})
        network.next_block()
    assert len(network.texts("committee")) == 3
    assert network.text("decided") == "no verdict: 4 valid, 4 invalid of 8"
    assert network.text("ended") == "UNDECIDED: no committee reached a quorum"
    check_earnings(network)


def test_a_task_that_is_cancelled_while_it_runs(network: Watched) -> None:
    start(network)
    prover = name_of(accept(network, 1))
    network.next_block(after_ms=4_000)
    network.execute(ALICE, MsgCancelTask(user=ALICE.address, task_id=1))
    assert network.names()[-4:] == ["cancelled", "paid", "refunded", "ended"]
    assert network.text("paid") == (
        f"0.008825 MILL to {prover} for the time that it had worked: 0.008825 MILL for 0.008825 credits of the fee"
    )
    check_earnings(network)


@pytest.mark.parametrize(
    ("verdict", "ending"),
    [
        (VERDICT_VALID, "DONE: the committee found the proof valid; the prover stays"),
        (VERDICT_INVALID, "FAILED: the committee found the proof invalid; the prover is jailed"),
        (
            VERDICT_INCONCLUSIVE,
            "UNDECIDED: the committee could not run the verifier to a verdict; nothing changes for the prover",
        ),
    ],
    ids=ANSWER.values(),
)
def test_a_capacity_test_is_called_one(verdict: Verdict, ending: str) -> None:
    params = default_params()
    params.retest_idle_after_ms = 10_000
    network = Watched.watch(make_test_genesis(5, params))
    while not network.told:
        network.next_block(after_ms=2_000)
    (tested,) = assigned(network, 1, ASSIGNMENT_STATUS_ACCEPTED)
    assert not assigned(network, 1, ASSIGNMENT_STATUS_OFFERED)
    network.execute(node_key(tested), make_proof(node_key(tested), 1))
    network.next_block()
    agree(network, verdict)
    assert network.names()[:3] == ["created", "assigned", "proved"]
    assert network.text("created") == (
        f"by the chain itself: a capacity test of {name_of(tested)}, which had nothing to do for long"
    )
    assert network.text("assigned") == f"to {name_of(tested)}, to be proved within 25 s"
    assert network.text("ended") == ending
    assert not {"paid", "refunded", "let go"} & set(network.names())
    assert earnings(task_of(network, 1)) == []

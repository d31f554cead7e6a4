"""Random life on chain: whatever is sent, in whatever order, every invariant of protocol §8 holds after each block."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from proofmill.credits.v1.tx_pb2 import MsgGrantCredits
from proofmill.genesis.v1.genesis_pb2 import GenesisAccount
from proofmill.params.v1.tx_pb2 import MsgUpdateParams
from proofmill.program.v1.tx_pb2 import MsgDeployProgram, MsgDeprecateProgram
from proofmill.prover.v1.tx_pb2 import (
    MsgExitProver,
    MsgRegisterProver,
    MsgRequestTest,
    MsgTopUpBond,
    MsgUpdateProver,
)
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_OFFERED,
    FAILURE_REASON_EXIT_CODE,
    FAILURE_REASON_INPUT_UNAVAILABLE,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_VALID,
)
from proofmill.task.v1.tx_pb2 import Decline, MsgAcceptTasks, MsgCancelTask, MsgDeclineTasks, MsgReportFailure
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.invariants import check_invariants
from chain.messages import MESSAGES
from chain.params import GIB, default_params
from chain.program.ids import program_id
from chain.prover.duties import Duty
from tests.support.life import (
    make_commit,
    make_proof,
    make_proof_commit,
    make_proof_reveal,
    make_reveal,
    make_run,
    make_spec,
    make_test_genesis,
)
from tests.support.network import (
    ALICE,
    AUTHORITY,
    BOB,
    DEPLOYER,
    Key,
    Network,
    node_key,
    operator_key,
)
from tests.support.sends import make_send

PROVERS = 6
USERS = (ALICE, BOB, DEPLOYER, AUTHORITY)
SPECS = (make_spec("first"), make_spec("second"))

users = st.sampled_from(USERS)
provers = st.integers(0, PROVERS)  # the last one isn't registered at first
tasks = st.integers(1, 8)
rounds = st.integers(0, 3)
verdicts = st.sampled_from((VERDICT_VALID, VERDICT_VALID, VERDICT_VALID, VERDICT_INVALID, VERDICT_INCONCLUSIVE))


class ChainMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.sent: set[str] = set()

    @initialize()
    def start(self) -> None:
        params = default_params()
        params.draw_looks_max = 4
        params.retest_random_blocks = 40
        params.retest_idle_after_ms = 60_000
        params.test_retry_ms = 5_000
        params.exit_cooldown_ms = 20_000
        params.program_strikes_max = 2
        genesis = make_test_genesis(PROVERS, params)
        genesis.accounts.extend(
            GenesisAccount(address=operator_key(index).address, umill=10**12) for index in range(PROVERS)
        )
        self.network = Network.start(genesis)
        self.network.execute(DEPLOYER, MsgDeployProgram(deployer=DEPLOYER.address, spec=SPECS[0]))

    def send(self, key: Key, *messages: Any) -> None:
        self.network.send(key, *messages)
        self.sent.update(f"/{message.DESCRIPTOR.full_name}" for message in messages)

    @rule(after_ms=st.sampled_from((1_000, 1_000, 1_000, 6_000, 30_000)), count=st.integers(1, 3))
    def blocks(self, after_ms: int, count: int) -> None:
        for _ in range(count):
            for result in self.network.next_block(after_ms=after_ms):
                assert result.codespace != "internal", result.log

    @rule(sender=users, recipient=users, amount=st.integers(1, 2 * 10**12))
    def send_coins(self, sender: Key, recipient: Key, amount: int) -> None:
        self.send(sender, make_send(sender, recipient.address, amount))

    @rule(signer=users, recipient=users, amount=st.integers(1, 10**9))
    def grant(self, signer: Key, recipient: Key, amount: int) -> None:
        self.send(signer, MsgGrantCredits(authority=signer.address, recipient=recipient.address, amount=amount))

    @rule(deployer=users, spec=st.sampled_from(SPECS))
    def deploy(self, deployer: Key, spec: Any) -> None:
        self.send(deployer, MsgDeployProgram(deployer=deployer.address, spec=spec))

    @rule(deployer=users, spec=st.sampled_from(SPECS[1:]))
    def deprecate(self, deployer: Key, spec: Any) -> None:
        self.send(deployer, MsgDeprecateProgram(deployer=deployer.address, program_id=program_id(spec)))

    @rule(sender=users)
    def register(self, sender: Key) -> None:
        self.send(
            sender,
            MsgRegisterProver(
                operator=sender.address,
                node=node_key(PROVERS).address,
                resources=Resources(cpu_millis=1_000, memory_bytes=GIB),
                endpoints=["http://127.0.0.1:8999"],
                bond=1_000_000_000,
            ),
        )

    @rule(
        user=users,
        spec=st.sampled_from(SPECS),
        cpus=st.integers(1, 5),
        timeout=st.sampled_from((1, 20, 600)),
        redundancy=st.sampled_from((1, 1, 2, 3, 6)),
    )
    def run_task(self, user: Key, spec: Any, cpus: int, timeout: int, redundancy: int) -> None:
        message = make_run(user, program_id(spec))
        message.redundancy = redundancy
        message.resources.CopyFrom(Resources(cpu_millis=cpus * 1_000, memory_bytes=cpus * GIB))
        message.queue_timeout_s = timeout
        self.send(user, message)

    @rule(index=provers, task=tasks)
    def accept(self, index: int, task: int) -> None:
        self.send(node_key(index), MsgAcceptTasks(node=node_key(index).address, task_ids=[task, task + 1]))

    @rule(index=provers, task=tasks)
    def decline(self, index: int, task: int) -> None:
        node = node_key(index)
        self.send(node, MsgDeclineTasks(node=node.address, entries=[Decline(task_id=task, reason="busy")]))

    @rule(index=provers, task=tasks, proof=st.sampled_from((b"one", b"two")))
    def prove(self, index: int, task: int, proof: bytes) -> None:
        self.send(node_key(index), make_proof(node_key(index), task, hashlib.sha256(proof).digest()))

    @rule(index=provers, task=tasks, wrong=st.booleans())
    def commit_to_a_proof(self, index: int, task: int, wrong: bool) -> None:
        self.send(node_key(index), make_proof_commit(index, task, bytes(32) if wrong else None))

    @rule(index=provers, task=tasks)
    def reveal_a_proof(self, index: int, task: int) -> None:
        self.send(node_key(index), make_proof_reveal(index, task))

    @rule(
        index=provers,
        task=tasks,
        reason=st.sampled_from((FAILURE_REASON_EXIT_CODE, FAILURE_REASON_INPUT_UNAVAILABLE)),
    )
    def report(self, index: int, task: int, reason: Any) -> None:
        node = node_key(index)
        self.send(node, MsgReportFailure(node=node.address, task_id=task, reason=reason))

    @rule(user=users, task=tasks)
    def cancel(self, user: Key, task: int) -> None:
        self.send(user, MsgCancelTask(user=user.address, task_id=task))

    @rule(index=provers, cpus=st.integers(1, 8))
    def change_claim(self, index: int, cpus: int) -> None:
        operator = operator_key(index)
        resources = Resources(cpu_millis=cpus * 1_000, memory_bytes=8 * GIB)
        self.send(operator, MsgUpdateProver(operator=operator.address, resources=resources))

    @rule(index=provers, amount=st.integers(1, 10**9))
    def top_up(self, index: int, amount: int) -> None:
        self.send(operator_key(index), MsgTopUpBond(operator=operator_key(index).address, amount=amount))

    @rule(index=provers)
    def leave(self, index: int) -> None:
        self.send(operator_key(index), MsgExitProver(operator=operator_key(index).address))

    @rule(index=provers)
    def ask_for_a_test(self, index: int) -> None:
        self.send(node_key(index), MsgRequestTest(node=node_key(index).address))

    @rule(
        signer=st.sampled_from((AUTHORITY, AUTHORITY, ALICE)), refund_bp=st.integers(0, 6_000), size=st.integers(1, 5)
    )
    def update_params(self, signer: Key, refund_bp: int, size: int) -> None:
        params = schema.PARAMS.require(self.network.values)
        params.refund_on_fallback_bp, params.committee_min = refund_bp, size
        self.send(signer, MsgUpdateParams(authority=signer.address, params=params))

    @rule(index=provers, task=tasks, round_=rounds, verdict=verdicts)
    def commit(self, index: int, task: int, round_: int, verdict: Any) -> None:
        self.send(node_key(index), make_commit(index, task, round_, verdict))

    @rule(index=provers, task=tasks, round_=rounds, verdict=verdicts)
    def reveal(self, index: int, task: int, round_: int, verdict: Any) -> None:
        self.send(node_key(index), make_reveal(index, task, round_, verdict))

    @rule(verdict=verdicts, honest=st.booleans(), failing=st.booleans())
    def everybody_does_their_duty(self, verdict: Any, honest: bool, failing: bool) -> None:
        """Random messages alone seldom get far: this rule does what is due now, so that every state is reached."""
        kv = self.network.values
        indexes = {operator_key(index).raw: index for index in range(PROVERS)}
        for operator, kind, task_id, round_ in list(schema.DUTIES.keys(kv)):
            index = indexes.get(operator)
            if index is None:
                continue
            node = node_key(index)
            if kind == Duty.ASSIGNMENT:
                self._work(index, task_id, failing=failing)
            else:
                mine = verdict if honest or index % 2 else VERDICT_INCONCLUSIVE
                self.send(node, make_commit(index, task_id, round_, mine))
                self.send(node, make_reveal(index, task_id, round_, mine))
        self.network.next_block()

    def _work(self, index: int, task_id: int, *, failing: bool) -> None:
        node = node_key(index)
        assignment = schema.ASSIGNMENTS.require(self.network.values, (task_id, operator_key(index).raw))
        if assignment.status == ASSIGNMENT_STATUS_OFFERED:
            self.send(node, MsgAcceptTasks(node=node.address, task_ids=[task_id]))
        if failing and not assignment.commitment:
            report = MsgReportFailure(node=node.address, task_id=task_id, reason=FAILURE_REASON_EXIT_CODE)
            self.send(node, report)
        elif assignment.commitment:
            self.send(node, make_proof_reveal(index, task_id))
        elif assignment.commit_first:
            self.send(node, make_proof_commit(index, task_id))
        else:
            self.send(node, make_proof(node, task_id))

    @invariant()
    def invariants_hold(self) -> None:
        if hasattr(self, "network"):
            check_invariants(self.network.values)


TestChain = ChainMachine.TestCase
TestChain.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)


@settings(max_examples=3)
@given(data=st.data())
def test_every_message_has_a_rule_that_sends_it(data: st.DataObject) -> None:
    machine = ChainMachine()
    machine.start()
    for one in machine.rules:
        one.function(machine, **{name: data.draw(strategy) for name, strategy in one.arguments.items()})
    assert machine.sent == set(MESSAGES)

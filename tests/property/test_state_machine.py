"""Random life on chain: whatever is sent, in whatever order, every invariant of protocol §8 holds after each block."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from proofmill.credits.v1.tx_pb2 import MsgGrantCredits
from proofmill.program.v1.tx_pb2 import MsgDeployProgram, MsgDeprecateProgram
from proofmill.prover.v1.tx_pb2 import MsgRegisterProver
from proofmill.task.v1.state_pb2 import (
    FAILURE_REASON_EXIT_CODE,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_VALID,
)
from proofmill.task.v1.tx_pb2 import Decline, MsgAcceptTasks, MsgDeclineTasks, MsgReportFailure
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.invariants import check_invariants
from chain.messages import MESSAGES
from chain.params import GIB, default_params
from chain.program.ids import program_id
from tests.support.life import make_commit, make_proof, make_reveal, make_run, make_spec
from tests.support.network import (
    ALICE,
    AUTHORITY,
    BOB,
    DEPLOYER,
    Key,
    Network,
    make_genesis,
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
        self.network = Network.start(make_genesis(PROVERS, params))
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

    @rule(user=users, spec=st.sampled_from(SPECS), cpus=st.integers(1, 5), timeout=st.sampled_from((1, 20, 600)))
    def run_task(self, user: Key, spec: Any, cpus: int, timeout: int) -> None:
        message = make_run(user, program_id(spec))
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

    @rule(index=provers, task=tasks)
    def report(self, index: int, task: int) -> None:
        node = node_key(index)
        self.send(node, MsgReportFailure(node=node.address, task_id=task, reason=FAILURE_REASON_EXIT_CODE))

    @rule(index=provers, task=tasks, round_=rounds, verdict=verdicts)
    def commit(self, index: int, task: int, round_: int, verdict: Any) -> None:
        self.send(node_key(index), make_commit(index, task, round_, verdict))

    @rule(index=provers, task=tasks, round_=rounds, verdict=verdicts)
    def reveal(self, index: int, task: int, round_: int, verdict: Any) -> None:
        self.send(node_key(index), make_reveal(index, task, round_, verdict))

    @rule(verdict=verdicts, honest=st.booleans())
    def everybody_does_their_duty(self, verdict: Any, honest: bool) -> None:
        """Random messages alone seldom get far: this rule does what is due now, so that every state is reached."""
        kv = self.network.values
        for operator, kind, task_id in list(schema.DUTIES.keys(kv)):
            index = next(i for i in range(PROVERS) if operator_key(i).raw == operator)
            node = node_key(index)
            progress = schema.PROGRESS.require(kv, task_id)
            if kind == 1:
                self.send(node, MsgAcceptTasks(node=node.address, task_ids=[task_id]), make_proof(node, task_id))
            else:
                mine = verdict if honest or index % 2 else VERDICT_INCONCLUSIVE
                self.send(node, make_commit(index, task_id, progress.round, mine))
                self.send(node, make_reveal(index, task_id, progress.round, mine))
        self.network.next_block()

    @invariant()
    def invariants_hold(self) -> None:
        if hasattr(self, "network"):
            check_invariants(self.network.values)


TestChain = ChainMachine.TestCase
TestChain.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


@settings(max_examples=3)
@given(data=st.data())
def test_every_message_has_a_rule_that_sends_it(data: st.DataObject) -> None:
    machine = ChainMachine()
    machine.start()
    for one in machine.rules:
        one.function(machine, **{name: data.draw(strategy) for name, strategy in one.arguments.items()})
    assert machine.sent == set(MESSAGES)

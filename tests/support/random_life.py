"""A network's life by the dice: users, provers and verifiers, most of them honest, over many blocks.

The same seed gives the same blocks on every machine, so that what one process did can be replayed in another.
"""

from __future__ import annotations

import hashlib
from random import Random
from typing import TYPE_CHECKING

from cosmos.tx.v1beta1.tx_pb2 import TxRaw
from proofmill.credits.v1.tx_pb2 import MsgGrantCredits
from proofmill.genesis.v1.genesis_pb2 import Genesis, GenesisValidator
from proofmill.program.v1.tx_pb2 import MsgDeployProgram, MsgDeprecateProgram
from proofmill.prover.v1.tx_pb2 import MsgRegisterProver
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_OFFERED,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_VALID,
    FailureReason,
    Verdict,
)
from proofmill.task.v1.tx_pb2 import Decline, MsgAcceptTasks, MsgDeclineTasks, MsgReportFailure
from proofmill.types.v1.types_pb2 import Resources

from chain import schema
from chain.params import GIB, default_params
from chain.program.ids import program_id
from chain.prover.duties import Duty
from tests.support.life import make_commit, make_proof, make_reveal, make_run, make_spec
from tests.support.network import ALICE, AUTHORITY, BOB, DEPLOYER, Key, Network, make_genesis, node_key, operator_key
from tests.support.sends import make_send

if TYPE_CHECKING:
    from proofmill.program.v1.state_pb2 import ProgramSpec

PROVERS = 9
USERS = (ALICE, BOB, DEPLOYER, AUTHORITY)
VALIDATORS = tuple((bytes([number]) * 20, number) for number in (1, 2, 3))
GOOD, BAD = hashlib.sha256(b"good").digest(), hashlib.sha256(b"bad").digest()
VERDICTS = (VERDICT_VALID, VERDICT_INVALID, VERDICT_INCONCLUSIVE)


def make_spec_for_giants() -> ProgramSpec:
    """Its tasks may ask for more than any prover has."""
    spec = make_spec("giant")
    spec.max_resources.cpu_millis = 64_000
    return spec


SPECS = (make_spec("first"), make_spec("second"), make_spec_for_giants())


def make_life_genesis() -> Genesis:
    """Small limits, so that every queue overflows now and then."""
    params = default_params()
    params.assignments_per_block_max = 2
    params.draw_looks_max = 6
    params.committee_min = 5
    params.inflation_per_block = 1_000
    genesis = make_genesis(PROVERS, params)
    genesis.network_pool = 300
    genesis.validators.extend(
        GenesisValidator(consensus_address=address, operator=Key(f"validator{power}").address)
        for address, power in VALIDATORS
    )
    return genesis


class Life:
    """Random transactions on a network; `step` adds a block."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.genesis = make_life_genesis()
        self.network = Network.start(self.genesis)
        self.network.execute(DEPLOYER, MsgDeployProgram(deployer=DEPLOYER.address, spec=SPECS[0]))
        self._operators = {operator_key(index).raw: index for index in range(PROVERS)}

    def chance(self, percent: int) -> bool:
        return self.dice.randrange(100) < percent

    def step(self) -> None:
        """Whatever everybody feels like doing, then a block, sooner or later."""
        for act, percent in (
            (self._send_coins, 30),
            (self._grant, 10),
            (self._run_task, 70),
            (self._run_giant, 25),
            (self._manage_programs, 10),
            (self._register, 5),
            (self._send_nonsense, 20),
        ):
            if self.chance(percent):
                act()
        for operator, duty, task_id in list(schema.DUTIES.keys(self.network.values)):
            if self.chance(70):
                index = self._operators[operator]
                if duty == Duty.ASSIGNMENT:
                    self._work(index, task_id)
                else:
                    self._vote(index, task_id)
        self.network.next_block(
            after_ms=self.dice.choice((1_000, 1_000, 1_000, 1_000, 1_500, 6_000, 30_000)),
            votes=tuple((address, power, self.chance(90)) for address, power in VALIDATORS),
        )

    def _send_coins(self) -> None:
        sender, recipient = self.dice.choice(USERS), self.dice.choice((*USERS, operator_key(0), Key("new")))
        amount = self.dice.choice((1, 10**6, 10**13))
        self.network.send(sender, make_send(sender, recipient.address, amount))

    def _grant(self) -> None:
        signer = self.dice.choice((AUTHORITY, AUTHORITY, ALICE))
        recipient = self.dice.choice(USERS)
        self.network.send(
            signer,
            MsgGrantCredits(authority=signer.address, recipient=recipient.address, amount=self.dice.randrange(9**9)),
        )

    def _run_task(self) -> None:
        user, spec = self.dice.choice(USERS), self.dice.choice(SPECS)
        messages = [make_run(user, program_id(spec)) for _ in range(self.dice.choice((1, 1, 3)))]
        for message in messages:
            cpus = self.dice.randint(1, 4)
            message.resources.CopyFrom(Resources(cpu_millis=cpus * 1_000, memory_bytes=cpus * GIB))
            message.time_limit_s = self.dice.choice((5, 20, 60))
            message.queue_timeout_s = self.dice.choice((1, 5, 60))
        self.network.send(user, *messages)

    def _run_giant(self) -> None:
        message = make_run(BOB, program_id(SPECS[2]))
        message.resources.CopyFrom(Resources(cpu_millis=64_000, memory_bytes=GIB))
        message.max_fee = 10**6
        message.queue_timeout_s = 20
        self.network.send(BOB, *[message] * 4)

    def _manage_programs(self) -> None:
        deployer, spec = self.dice.choice((DEPLOYER, DEPLOYER, ALICE)), self.dice.choice(SPECS)
        if self.chance(80):
            self.network.send(deployer, MsgDeployProgram(deployer=deployer.address, spec=spec))
        elif spec == SPECS[1]:
            self.network.send(deployer, MsgDeprecateProgram(deployer=deployer.address, program_id=program_id(spec)))

    def _register(self) -> None:
        user = self.dice.choice(USERS)
        self.network.send(
            user,
            MsgRegisterProver(
                operator=user.address,
                node=Key(f"node of {user.name}").address,
                resources=Resources(cpu_millis=1_000, memory_bytes=GIB),
                endpoints=["http://127.0.0.1:8999"],
                bond=10**9,
            ),
        )

    def _send_nonsense(self) -> None:
        """Bytes that no decoder likes, or those of an old transaction, as they were or with some of them changed."""
        if self.chance(20):
            body = self.dice.choice(
                (b"\x12\x01\xff", b"\x12\x03\xed\xa0\x80", b"\x7b" * 300, b"\x7b" * 300 + b"\x7c" * 300)
            )
            self.network.send_raw(TxRaw(body_bytes=body, auth_info_bytes=b"\x0a\x00").SerializeToString())
        old = self.dice.choice(self.network.blocks).txs
        raw = bytearray(self.dice.choice(old) if old else b"nonsense")
        for _ in range(self.dice.randrange(4)):
            raw[self.dice.randrange(len(raw))] = self.dice.randrange(256)
        self.network.send_raw(bytes(raw[: self.dice.choice((None, None, len(raw) // 2))]))

    def _work(self, index: int, task_id: int) -> None:
        node = node_key(index)
        assignment = schema.ASSIGNMENTS.require(self.network.values, (task_id, operator_key(index).raw))
        roll = self.dice.randrange(100)
        if assignment.status == ASSIGNMENT_STATUS_OFFERED:
            if roll < 60:
                self.network.send(node, MsgAcceptTasks(node=node.address, task_ids=[task_id, task_id + 1]))
            elif roll < 70:
                self.network.send(
                    node, MsgDeclineTasks(node=node.address, entries=[Decline(task_id=task_id, reason="busy")])
                )
        elif task_id % 11 == 5:
            pass  # some programs never end
        elif roll < 70:
            self.network.send(node, make_proof(node, task_id, BAD if task_id % 7 == 3 else GOOD))
        elif roll < 75:
            reason = FailureReason.Name(self.dice.choice(FailureReason.values()[1:]))
            self.network.send(
                node, MsgReportFailure(node=node.address, task_id=task_id, reason=reason, detail="by the dice")
            )

    def _vote(self, index: int, task_id: int) -> None:
        progress = schema.PROGRESS.require(self.network.values, task_id)
        verdict = self._opinion(index, task_id, progress.proof.sha256)
        for make in (make_commit, make_reveal):
            self.network.send(node_key(index), make(index, task_id, progress.round, verdict))

    def _opinion(self, index: int, task_id: int, proof: bytes) -> Verdict:
        if task_id % 13 == 6:
            return VERDICTS[(index + task_id) % 3]  # nobody agrees on some programs
        if task_id % 13 == 9:
            return VERDICT_INCONCLUSIVE
        if index == 8:
            return VERDICT_INVALID
        return VERDICT_INVALID if proof == BAD else VERDICT_VALID

"""A network's life by the dice: users, provers and verifiers, most of them honest, over many blocks.

The same seed gives the same blocks on every machine, so that what one process did can be replayed in another.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from cosmos.tx.v1beta1.tx_pb2 import TxRaw
from proofmill.credits.v1.tx_pb2 import MsgGrantCredits
from proofmill.genesis.v1.genesis_pb2 import Genesis, GenesisAccount, GenesisValidator
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
    ASSIGNMENT_STATUS_COMMITTED,
    ASSIGNMENT_STATUS_OFFERED,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_VALID,
    Assignment,
    FailureReason,
    Task,
    Verdict,
)
from proofmill.task.v1.tx_pb2 import (
    Decline,
    MsgAcceptTasks,
    MsgCancelTask,
    MsgCommitProofs,
    MsgDeclineTasks,
    MsgReportFailure,
    ProofCommit,
)
from proofmill.types.v1.types_pb2 import Resources
from proofmill.verification.v1.tx_pb2 import Commit, MsgVotes, Reveal

from chain import schema
from chain.params import GIB, MINUTE_MS, default_params
from chain.program.ids import program_id
from chain.prover.duties import Duty
from chain.task.proof_handlers import proof_commitment
from chain.verification.votes import vote_commitment
from tests.support.life import make_proof, make_run, make_spec, make_test_genesis
from tests.support.network import ALICE, AUTHORITY, BOB, DEPLOYER, MILL, Key, Network, node_key, operator_key
from tests.support.sends import make_send

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from proofmill.program.v1.state_pb2 import ProgramSpec

PROVERS = 9
_BLOCKS_BETWEEN_ROTATIONS = 25
USERS = (ALICE, BOB, DEPLOYER, AUTHORITY)
VALIDATORS = tuple((bytes([number]) * 20, number) for number in (1, 2, 3))
GOOD, BAD = hashlib.sha256(b"good").digest(), hashlib.sha256(b"bad").digest()
VERDICTS = (VERDICT_VALID, VERDICT_INVALID, VERDICT_INCONCLUSIVE)


@dataclass(frozen=True)
class Member:
    """A prover: those of the genesis, and users who registered one."""

    operator: Key
    node: Key

    def salt(self, *what: int) -> bytes:
        return hashlib.sha256(f"{self.operator.name} {what}".encode()).digest()


MEMBERS = (
    *(Member(operator_key(index), node_key(index)) for index in range(PROVERS)),
    *(Member(user, Key(f"node of {user.name}")) for user in USERS),
)


def make_spec_for_giants() -> ProgramSpec:
    """Its tasks may ask for more than any prover has."""
    spec = make_spec("giant")
    spec.max_resources.cpu_millis = 64_000
    return spec


# Nobody ever finishes the third.
SPECS = (make_spec("first"), make_spec("second"), make_spec("endless"), make_spec_for_giants(), make_spec("fleeting"))
ENDLESS = SPECS[2]


def make_life_genesis() -> Genesis:
    """Small limits, so that every queue overflows now and then."""
    params = default_params()
    params.assignments_per_block_max = 3
    params.draw_looks_max = 8
    params.committee_min = 4
    # Fees large enough to be shared.
    params.cpu_node.ucredit_per_hour *= 100
    params.inflation_per_block = 1_000
    params.retest_random_blocks = 60
    params.retest_idle_after_ms = 2 * MINUTE_MS
    params.test_retry_ms = 20_000
    params.exit_cooldown_ms = 2 * MINUTE_MS
    params.decline_window_ms = 5 * MINUTE_MS
    params.program_strikes_max = 2
    genesis = make_test_genesis(PROVERS, params)
    genesis.network_pool = 300
    genesis.validators.extend(
        GenesisValidator(consensus_address=address, operator=Key(f"validator{power}").address)
        for address, power in VALIDATORS
    )
    genesis.accounts.extend(
        GenesisAccount(address=key.address, umill=10_000 * MILL)
        for key in (*(operator_key(index) for index in range(PROVERS)), *(one.node for one in MEMBERS[PROVERS:]))
    )
    return genesis


class Life:
    """Random transactions on a network; `step` adds a block."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.genesis = make_life_genesis()
        self.network = Network.start(self.genesis)
        for spec in (SPECS[0], ENDLESS):
            self.network.execute(DEPLOYER, MsgDeployProgram(deployer=DEPLOYER.address, spec=spec))
        self._members = {member.operator.raw: member for member in MEMBERS}

    @property
    def _everybody(self) -> list[Member]:
        return list(self._members.values())

    def chance(self, percent: int) -> bool:
        return self.dice.randrange(100) < percent

    def step(self) -> None:
        """Whatever everybody feels like doing, then a block, sooner or later."""
        for act, percent in (
            (self._send_coins, 30),
            (self._grant, 10),
            (self._run_task, 70),
            (self._run_giant, 15),
            (self._cancel, 10),
            (self._manage_programs, 10),
            (self._register, 8),
            (self._manage_prover, 12),
            (self._update_params, 4),
            (self._send_nonsense, 20),
        ):
            if self.chance(percent):
                act()
        for member in self._everybody:
            if self.chance(15) and schema.PROVERS_BY_NODE.has(self.network.values, member.node.raw):
                self.network.send(member.node, MsgRequestTest(node=member.node.address))
        for operator, duty, task_id, round_ in list(schema.DUTIES.keys(self.network.values)):
            if self.chance(75):
                member = self._members[operator]
                if duty == Duty.ASSIGNMENT:
                    self._work(member, task_id)
                else:
                    self._vote(member, task_id, round_)
        rotated = self._rotate_node_key()
        self.network.next_block(
            after_ms=self.dice.choice((1_000, 1_000, 1_000, 1_000, 1_500, 6_000, 30_000)),
            votes=tuple((address, power, self.chance(90)) for address, power in VALIDATORS),
        )
        if rotated and schema.PROVERS_BY_NODE.has(self.network.values, rotated.node.raw):
            self._members[rotated.operator.raw] = rotated

    def _rotate_node_key(self) -> Member | None:
        """Now and then an operator gives its prover another node key, with coins for its fees; as it will be then."""
        number, rest = divmod(self.network.height, _BLOCKS_BETWEEN_ROTATIONS)
        if rest:
            return None
        member = self._members[operator_key(number % PROVERS).raw]
        operator, node = member.operator, Key(f"node key {number} of {member.operator.name}")
        self.network.send(
            operator,
            make_send(operator, node.address, 20 * MILL),
            MsgUpdateProver(operator=operator.address, node=node.address),
        )
        return replace(member, node=node)

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
            message.redundancy = self.dice.choice((1, 1, 1, 2, 3))
            message.max_fee = 10**7
        self.network.send(user, *messages)

    def _run_giant(self) -> None:
        message = make_run(BOB, program_id(SPECS[3]))
        message.resources.CopyFrom(Resources(cpu_millis=64_000, memory_bytes=GIB))
        message.max_fee = 10**8
        message.queue_timeout_s = 20
        self.network.send(BOB, *[message] * 4)

    def _cancel(self) -> None:
        newest = schema.TASK_IDS.peek(self.network.values) - 1
        task_id = max(1, newest - self.dice.randrange(8))
        task = schema.TASKS.get(self.network.values, task_id)
        user = next((key for key in USERS if task and key.address == task.user), ALICE)
        self.network.send(user, MsgCancelTask(user=user.address, task_id=task_id))

    def _manage_prover(self) -> None:
        """An operator changes its mind about its prover."""
        member = self.dice.choice(self._everybody)
        operator = member.operator.address
        roll = self.dice.randrange(10)
        if roll < 4:
            cpus = self.dice.choice((2, 4, 6))
            wanted = Resources(cpu_millis=cpus * 1_000, memory_bytes=2 * cpus * GIB)
            self.network.send(member.operator, MsgUpdateProver(operator=operator, resources=wanted))
        elif roll < 8:
            self.network.send(member.operator, MsgTopUpBond(operator=operator, amount=self.dice.randrange(300 * MILL)))
        elif member.operator in USERS:
            self.network.send(member.operator, MsgExitProver(operator=operator))

    def _update_params(self) -> None:
        params = schema.PARAMS.require(self.network.values)
        params.version += self.chance(10)
        params.committee_min = self.dice.choice((3, 4, 5))
        params.accept_window_blocks = self.dice.choice((2, 3))
        params.refund_on_fallback_bp = self.dice.choice((0, 3_333, 5_000))
        params.verdict_quorum_bp = self.dice.choice((6_000, 7_000, 10_000))
        self.network.send(AUTHORITY, MsgUpdateParams(authority=AUTHORITY.address, params=params))

    def _manage_programs(self) -> None:
        deployer, spec = self.dice.choice((DEPLOYER, DEPLOYER, ALICE)), self.dice.choice(SPECS)
        if self.chance(80):
            self.network.send(deployer, MsgDeployProgram(deployer=deployer.address, spec=spec))
        elif spec in (SPECS[1], SPECS[4]):
            self.network.send(deployer, MsgDeprecateProgram(deployer=deployer.address, program_id=program_id(spec)))

    def _register(self) -> None:
        user = self.dice.choice(USERS)
        self.network.send(
            user,
            MsgRegisterProver(
                operator=user.address,
                node=Key(f"node of {user.name}").address,
                resources=Resources(cpu_millis=4_000, memory_bytes=8 * GIB),
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

    def _answer(self, node: Key, message: Message) -> None:
        """Do a duty, often free of charge; that is refused where it isn't the node's first in the block."""
        changes = {"fee": 0} if self.chance(60) else {}
        self.network.send(node, message, **changes)

    def _work(self, member: Member, task_id: int) -> None:
        node, values = member.node, self.network.values
        task = schema.TASKS.require(values, task_id)
        assignment = schema.ASSIGNMENTS.require(values, (task_id, member.operator.raw))
        roll = self.dice.randrange(100)
        if assignment.status == ASSIGNMENT_STATUS_OFFERED:
            if roll < 65:
                self._answer(node, MsgAcceptTasks(node=node.address, task_ids=[task_id, task_id + 1]))
            elif roll < 75:
                self._answer(
                    node, MsgDeclineTasks(node=node.address, entries=[Decline(task_id=task_id, reason="busy")])
                )
        elif task.program_id == program_id(ENDLESS) or (task_id + member.node.raw[0]) % 5 == 2:
            self._fail(member, task_id, roll)
        elif roll < 80:
            self._prove(member, task, assignment)

    def _fail(self, member: Member, task_id: int, roll: int) -> None:
        """Say that it can't be done, or say nothing until the deadline."""
        if roll < 40:
            reasons = FailureReason.values()[1:] if task_id % 3 else [FailureReason.values()[4]]
            reason = FailureReason.Name(self.dice.choice(reasons))
            self._answer(
                member.node,
                MsgReportFailure(node=member.node.address, task_id=task_id, reason=reason, detail="by the dice"),
            )

    def _prove(self, member: Member, task: Task, assignment: Assignment) -> None:
        node = member.node
        digest = BAD if (task.id + node.raw[1]) % 6 == 3 else GOOD
        salt = member.salt(task.id) if assignment.commit_first else b""
        if assignment.commit_first and assignment.status != ASSIGNMENT_STATUS_COMMITTED:
            commitment = proof_commitment(member.operator.raw, digest, salt)
            entry = ProofCommit(task_id=task.id, commitment=commitment)
            self._answer(node, MsgCommitProofs(node=node.address, entries=[entry]))
        elif not assignment.commit_first or self.chance(70):
            self._answer(node, make_proof(node, task.id, digest, salt))

    def _vote(self, member: Member, task_id: int, round_: int) -> None:
        row = schema.ROUNDS.require(self.network.values, (task_id, round_))
        judged = next(one for one in MEMBERS if one.operator.address == row.prover)
        proof = schema.ASSIGNMENTS.require(self.network.values, (task_id, judged.operator.raw)).proof.sha256
        verdict = self._opinion(member, task_id, proof)
        salt = member.salt(task_id, round_)
        commitment = vote_commitment(member.operator.raw, task_id, round_, verdict, salt)
        address = member.node.address
        self._answer(
            member.node,
            MsgVotes(node=address, commits=[Commit(task_id=task_id, round=round_, commitment=commitment)]),
        )
        self._answer(
            member.node,
            MsgVotes(node=address, reveals=[Reveal(task_id=task_id, round=round_, verdict=verdict, salt=salt)]),
        )

    def _opinion(self, member: Member, task_id: int, proof: bytes) -> Verdict:
        index = self._everybody.index(member)
        if task_id % 13 == 6:
            return VERDICTS[(index + task_id) % 3]  # nobody agrees on some programs
        if task_id % 13 == 9:
            return VERDICT_INCONCLUSIVE
        if index == 8:
            return VERDICT_INVALID
        return VERDICT_INVALID if proof == BAD else VERDICT_VALID

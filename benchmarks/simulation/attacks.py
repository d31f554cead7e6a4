"""Attacks by users and deployers: programs made to hurt, and tasks that one gives to oneself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from proofmill.program.v1.event_pb2 import EventProgramBlocked
from proofmill.program.v1.tx_pb2 import MsgDeployProgram
from proofmill.task.v1.event_pb2 import EventTaskCreated, EventTaskEnded, EventTaskOffered
from proofmill.task.v1.state_pb2 import VERDICT_INCONCLUSIVE, VERDICT_INVALID
from proofmill.task.v1.tx_pb2 import MsgCancelTask

from benchmarks.simulation.agents import Node
from benchmarks.simulation.build import Setup, build
from benchmarks.simulation.demand import Kind, make_run
from benchmarks.simulation.measure import Group, measure
from benchmarks.simulation.population import (
    HONEST_PROGRAM,
    MILL,
    OPERATOR_UMILL,
    USER_UCREDIT,
    Size,
    make_program,
    make_wallet,
)
from benchmarks.simulation.world import Program
from chain import schema
from chain.pricing import price
from chain.program.ids import program_id

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from proofmill.task.v1.state_pb2 import Verdict

    from benchmarks.simulation.world import Ballot, Job, World

# What one may ask of a node of the uniform size: half a GPU node for a day, 10.08 credits.
DEAR: Final = Kind("dear", 100, 32, 128, 1, 86_400)
# One ucredit.
CHEAP: Final = Kind("cheap", 100, 1, 1, 0, 1)
# 35,000 ucredit.
ORDINARY: Final = Kind("ordinary", 100, 16, 64, 1, 300)


class Accomplice(Node):
    """A node of the attacker: knows the secrets of the attacker's programs, and is honest otherwise."""

    name = "accomplice"


class SecretProgram(Program):
    """Its proof is a secret of the deployer's: nobody else can make it, and any machine finds it valid."""

    def run_ms(self, _node: Node, _job: Job) -> int:
        return 1_000

    def proving_cost(self, _job: Job) -> int:
        return 0

    def works(self, node: Node, _job: Job) -> bool:
        return isinstance(node, Accomplice)


class MoodyVerifier(Program):
    """Its verifier says invalid on one machine in five, and never on the attacker's."""

    INVALID_PERCENT: ClassVar[int] = 20

    def verdict(self, node: Node, ballot: Ballot) -> Verdict:
        moody = not isinstance(node, Accomplice) and node.dice.randrange(100) < self.INVALID_PERCENT
        return VERDICT_INVALID if moody else ballot.truth


class DumbVerifier(Program):
    """Its verifier never says anything, so nobody is paid and the proof is public."""

    def verdict(self, _node: Node, _ballot: Ballot) -> Verdict:
        return VERDICT_INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class Attack:
    """A user with some nodes of its own keeps so many tasks in flight for so long."""

    name: str
    percent: int
    program: str
    kind: Kind
    # Which first draws it keeps: any, of strangers only, of own nodes only, or some of both. The others it cancels.
    keep: str
    redundancy: int
    seed: int
    hours: float = 1
    in_flight: int = 4
    bond: int = 2_000 * MILL
    # Strangers that are as large as its own nodes, if not all are.
    large: int | None = None


@dataclass(frozen=True, slots=True)
class Damage:
    """umill of a run, as the attacker and its victims see it."""

    attack: Attack
    tasks: int
    cancelled: int
    done: int
    ends: dict[str, int]
    # Fees that were locked, credits that are gone for good, transaction and deployment fees of the user.
    turned_over: int
    credits_spent: int
    user_fees: int
    # What its nodes were paid, and what their transactions and work cost.
    nodes_earned: int
    nodes_fees: int
    nodes_work: int
    victims_slashed: int
    victims_jails: int
    victims_unpaid_work: int
    blocked: int
    accomplices: Group
    strangers: Group

    @property
    def profit(self) -> int:
        """The attacker's, nodes and user together."""
        return self.nodes_earned - self.nodes_fees - self.nodes_work - self.credits_spent - self.user_fees

    @property
    def spent(self) -> int:
        return self.credits_spent + self.user_fees + self.nodes_fees + self.nodes_work - self.nodes_earned


class _User:
    """Runs tasks one after the other and cancels those whose draw it doesn't like."""

    def __init__(self, world: World, attack: Attack) -> None:
        self.world = world
        self.attack = attack
        self.wallet = make_wallet("user0", signed=False)
        self.tasks: set[int] = set()
        self.cancelled = self.made = self.blocked = 0
        self.ends: dict[str, int] = {}
        self._version = 0
        self._program = self._deploy()
        world.listeners.append(self.listen)

    def _deploy(self) -> bytes:
        behaviour = {
            "honest": Program,
            "secret proof": SecretProgram,
            "moody verifier": MoodyVerifier,
            "dumb verifier": DumbVerifier,
        }[self.attack.program]()
        if self.attack.program == "honest":
            return program_id(HONEST_PROGRAM)
        self._version += 1
        spec = make_program(f"trap{self._version}")
        self.world.programs[program_id(spec)] = behaviour
        deploy: list[Message] = [MsgDeployProgram(deployer=self.wallet.address, spec=spec)]
        self.world.out(self.wallet).others.append(deploy)
        return program_id(spec)

    def act(self) -> None:
        missing = self.attack.in_flight - len(self.tasks)
        for _ in range(missing):
            message = make_run(self.wallet.address, self._program, self.attack.kind, self.attack.redundancy)
            run: list[Message] = [message]
            self.world.out(self.wallet).others.append(run)

    def listen(self, events: list[Message]) -> None:
        drawn: dict[int, list[bool]] = {}
        for event in events:
            if isinstance(event, EventTaskCreated) and event.user == self.wallet.address:
                self.tasks.add(event.task_id)
                self.made += 1
            elif isinstance(event, EventTaskOffered) and event.task_id in self.tasks:
                own = isinstance(self.world.by_operator[event.prover], Accomplice)
                drawn.setdefault(event.task_id, []).append(own)
            elif isinstance(event, EventTaskEnded) and event.task_id in self.tasks:
                self.tasks.remove(event.task_id)
                self.ends[event.status] = self.ends.get(event.status, 0) + 1
            elif isinstance(event, EventProgramBlocked):
                self.blocked += 1
                self._program = self._deploy()

        for task_id, owned in drawn.items():
            if task_id in self.tasks and not self.world.jobs[task_id].fallback and not self._likes(owned):
                cancel: list[Message] = [MsgCancelTask(user=self.wallet.address, task_id=task_id)]
                self.world.out(self.wallet).others.append(cancel)
                self.cancelled += 1

    def _likes(self, owned: list[bool]) -> bool:
        """Whether a first draw is worth keeping, of which these are the provers: own or not."""
        return {"any": True, "strangers": not any(owned), "own": all(owned), "both": len(set(owned)) == 2}[
            self.attack.keep
        ]


def run_attack(attack: Attack) -> Damage:
    nodes = 100
    world = build(
        Setup(
            nodes=nodes,
            seed=attack.seed,
            peak_per_s=0,
            strategy=Accomplice,
            cheaters=nodes * attack.percent // 100,
            careless_percent=0,
            redundant_percent=0,
            params=(("retest_random_blocks", 1_000_000), ("retest_idle_after_ms", 86_400_000)),
            bond=attack.bond,
            small_size=None if attack.large is None else _SMALL,
            large_others=attack.large or 0,
        )
    )
    user = _User(world, attack)
    end = world.now + round(attack.hours * 3_600_000)
    world.step(1_000)
    while world.now < end:
        user.act()
        world.step(1_000)
    own = [node for node in world.nodes if isinstance(node, Accomplice)]
    strangers = [node for node in world.nodes if not isinstance(node, Accomplice)]
    account = schema.ACCOUNTS.require(world.engine.rows, user.wallet.raw)
    open_fees = sum(world.jobs[task_id].fee for task_id in user.tasks)
    fee = make_fee(world, attack)
    work = [node.proving_umill + node.verifying_umill for node in own]
    days = attack.hours / 24
    accomplices, others = measure(world, own, days), measure(world, strangers, days)
    own_count, other_count = len(own) * days, len(strangers) * days
    return Damage(
        attack=attack,
        tasks=user.made,
        cancelled=user.ends.get("CANCELLED", 0),
        done=user.ends.get("DONE", 0),
        ends=user.ends,
        turned_over=fee * user.ends.get("DONE", 0),
        credits_spent=USER_UCREDIT - account.ucredit - open_fees,
        user_fees=OPERATOR_UMILL - account.umill,
        nodes_earned=round(accomplices.earned * own_count),
        nodes_fees=round(accomplices.tx_fees * own_count),
        nodes_work=sum(work),
        victims_slashed=round(others.slashed * other_count),
        victims_jails=sum(node.jails for node in strangers),
        victims_unpaid_work=round((others.proving_cost + others.verifying_cost) * other_count),
        blocked=user.blocked,
        accomplices=accomplices,
        strangers=others,
    )


def make_fee(world: World, attack: Attack) -> int:
    """ucredit for such a task."""
    resources = make_run("", bytes(32), attack.kind).resources
    return price(world.params, resources, attack.kind.time_limit_s, attack.redundancy)


_SMALL: Final = Size("16 cores", 16, 64, 0)
# Name, program, tasks, redundancy, which first draws are kept, bonds of all nodes in MILL, strangers that are large.
ATTACKS: Final = (
    ("collect with a secret proof", "secret proof", DEAR, 1, "strangers", 2_000, None),
    ("the same, five strangers large enough", "secret proof", DEAR, 1, "strangers", 2_000, 5),
    ("ruin with a secret proof", "secret proof", CHEAP, 1, "strangers", 2_000, None),
    ("the same among five provers", "secret proof", CHEAP, 5, "both", 2_000, None),
    ("ruin with a moody verifier", "moody verifier", CHEAP, 1, "any", 2_000, None),
    ("the same, bonds at the least", "moody verifier", CHEAP, 1, "any", 1_000, None),
    ("free proofs with a dumb verifier", "dumb verifier", ORDINARY, 1, "strangers", 2_000, None),
    ("buy from oneself", "honest", ORDINARY, 1, "own", 2_000, None),
)


def plan_attacks(percents: tuple[int, ...], seeds: tuple[int, ...], hours: float) -> list[Attack]:
    return [
        Attack(name, percent, program, kind, keep, redundancy, seed, hours, bond=bond * MILL, large=large)
        for name, program, kind, redundancy, keep, bond, large in ATTACKS
        for percent in percents
        for seed in seeds
    ]

"""Runs the scenarios of tests/vectors/money: what happens to a task, and where all the money is afterwards.

A scenario says who by role, since draws are random though always the same: `first` … `sixth` in the order in which a
task's provers were drawn (by address within a block), `fallback` for the last one drawn for the second attempt, and
`PANEL.valid`, `PANEL.invalid`, `PANEL.inconclusive`, `PANEL.silent`, `PANEL.unrevealed` for those of a committee who
voted so. With several tasks a role is `TASK.first`. If two of the roles that a scenario expects something of fall to
the same prover, it is run again with other block hashes.

Whoever isn't named must have what it began with.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from cosmos.base.abci.v1beta1.abci_pb2 import TxMsgData
from google.protobuf import descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from proofmill.genesis.v1.genesis_pb2 import Genesis, GenesisAccount, GenesisProver
from proofmill.params.v1.state_pb2 import Params
from proofmill.params.v1.tx_pb2 import MsgUpdateParams
from proofmill.program.v1.state_pb2 import PROGRAM_STATUS_ACTIVE, PROGRAM_STATUS_BLOCKED
from proofmill.prover.v1.state_pb2 import ProverStatus
from proofmill.prover.v1.tx_pb2 import MsgExitProver, MsgRegisterProver, MsgRequestTest, MsgTopUpBond
from proofmill.task.v1.state_pb2 import (
    ASSIGNMENT_STATUS_EXPIRED,
    ASSIGNMENT_STATUS_TIMED_OUT,
    VERDICT_INCONCLUSIVE,
    VERDICT_INVALID,
    VERDICT_VALID,
    Proof,
    TaskStatus,
)
from proofmill.task.v1.tx_pb2 import (
    Decline,
    MsgAcceptTasks,
    MsgCancelTask,
    MsgCommitProofs,
    MsgDeclineTasks,
    MsgReportFailure,
    MsgRunTask,
    MsgRunTaskResponse,
    MsgSubmitProofs,
    ProofCommit,
    ProofEntry,
)
from proofmill.types.v1.types_pb2 import Resources
from proofmill.verification.v1.state_pb2 import ROUND_PHASE_CLOSED, ROUND_PHASE_COMMITTING, ROUND_PHASE_REVEALING, Round
from proofmill.verification.v1.tx_pb2 import Commit, MsgVotes, Reveal

from chain import schema
from chain.bank.ledger import get_pools
from chain.invariants import check_invariants
from chain.params import GIB, default_params
from chain.program.ids import program_id
from chain.task.proof_handlers import proof_commitment
from chain.verification.votes import vote_commitment
from tests.support.life import make_spec
from tests.support.network import ALICE, AUTHORITY, BOB, Key, Network, endpoint_of, node_key, operator_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message
    from proofmill.task.v1.state_pb2 import Assignment, Verdict

FOLDER: Final = Path(__file__).resolve().parents[1] / "vectors" / "money"
_USERS: Final = {"alice": ALICE, "bob": BOB}
_ORDINALS: Final = ("first", "second", "third", "fourth", "fifth", "sixth")
_VERDICTS: Final = {"valid": VERDICT_VALID, "invalid": VERDICT_INVALID, "inconclusive": VERDICT_INCONCLUSIVE}
_BALLOTS: Final = (*_VERDICTS, "unrevealed", "silent")
# One prover's worth of a task: so a task costs the node's price.
_CPU_MILLIS: Final = 1_000
_MEMORY: Final = 2 * GIB
_SEEDS: Final = 1_000
_SALT: Final = bytes(32)
_SETTINGS: Final = (
    "params",
    "node_price",
    "provers",
    "slots",
    "bond",
    "operator_umill",
    "newcomers",
    "credits",
    "network_pool",
)
_EXPECTED: Final = ("tasks", "provers", "users", "escrow", "network_pool", "umill_supply", "ucredit_supply")


class ScenarioError(Exception):
    """The scenario itself is wrong: it says what can't be, or too little."""


class RolesOverlapError(Exception):
    """Two roles fell to the same prover."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(keys)) != len(keys):
            raise ScenarioError(f"a key is there twice: {keys}{node.start_mark}")
        return super().construct_mapping(node, deep)


def load(path: Path) -> Any:
    return yaml.load(path.read_text(), Loader=_StrictLoader)  # noqa: S506  # a SafeLoader


def load_scenarios(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """All scenarios of all files, by file name, each checked for what it must say."""
    base = check_keys(load(folder / "base.yaml"), _SETTINGS, (), "base.yaml")
    scenarios = []
    for path in sorted(folder.glob("*.yaml")):
        if path.name != "base.yaml":
            scenarios += [complete(base, scenario, path.stem) for scenario in load(path)]
    return scenarios


def complete(base: dict[str, Any], scenario: dict[str, Any], where: str) -> dict[str, Any]:
    """A scenario with what it leaves to the base."""
    check_keys(scenario, ("name", "events", "expect"), ("why", *_SETTINGS), where)
    where = f"{where}: {scenario['name']}"
    check_keys(scenario["expect"], _EXPECTED, ("program",), where)
    for part in ("tasks", "users"):
        if not scenario["expect"][part]:
            raise ScenarioError(f"{where}: nothing is expected of the {part}")
    for role, wanted in scenario["expect"]["provers"].items():
        check_keys(wanted, (), ("umill", "bond", "status"), f"{where}: {role}")
        if not wanted:
            raise ScenarioError(f"{where}: nothing is expected of {role}")
    return {**base, **scenario, "params": {**base["params"], **scenario.get("params", {})}}


def check_keys(mapping: Any, required: tuple[str, ...], optional: tuple[str, ...], where: str) -> dict[str, Any]:
    """ScenarioError unless it is a mapping with exactly these keys."""
    if not isinstance(mapping, dict):
        raise ScenarioError(f"{where}: {mapping!r} is no mapping")
    missing = [key for key in required if key not in mapping]
    unknown = [key for key in mapping if key not in required and key not in optional]
    if missing or unknown:
        raise ScenarioError(f"{where}: missing {missing}, unknown {unknown}")
    return mapping


def run_scenario(scenario: dict[str, Any]) -> None:
    """Play the events and compare everything; AssertionError where the chain has it otherwise."""
    for seed in range(_SEEDS):
        stage = Stage(scenario, seed)
        try:
            stage.play(scenario["events"])
            stage.compare(scenario["expect"])
        except RolesOverlapError:
            continue
        return
    raise ScenarioError(f"in {_SEEDS} draws two roles always fell to the same prover")


@dataclass
class Stage:
    """A chain in memory and the names that the scenario has given."""

    scenario: dict[str, Any]
    seed: int
    network: Network = field(init=False)
    tasks: dict[str, int] = field(default_factory=dict)
    # Operators of committees, and of provers that joined, by role.
    groups: dict[str, list[bytes]] = field(default_factory=dict)
    newcomers: int = 0
    # What each task must cost.
    fees: dict[str, int] = field(default_factory=dict)
    keys: dict[bytes, tuple[Key, Key]] = field(default_factory=dict)
    senders: dict[str, Callable[[Any], None]] = field(init=False)
    doers: dict[str, Callable[[Any], None]] = field(init=False)

    def __post_init__(self) -> None:
        count = self.scenario["provers"]
        for index in range(count + self.scenario["newcomers"]):
            self.keys[operator_key(index).raw] = operator_key(index), node_key(index)
        self.network = Network.start(self._make_genesis(count))
        self.senders = {
            "run": self._run,
            "accept": self._accept,
            "decline": self._decline,
            "prove": self._prove,
            "commit": self._commit,
            "reveal": self._reveal,
            "fail": self._fail,
            "cancel": self._cancel,
            "update_params": self._update_params,
            "top_up": self._top_up,
            "exit": self._exit,
            "request_test": self._request_test,
            "join": self._join,
        }
        self.doers = {
            "draw": self._draw,
            "expire": self._expire,
            "late": self._late,
            "queue_timeout": self._queue_timeout,
            "vote": self._vote,
            "settle": self._settle,
            "wait_ms": self._wait,
            "begin_test": self._begin_test,
            "together": self._together,
            "distinct": self._distinct,
            "same": self._same,
            "refused": self._refused,
        }

    def _make_genesis(self, count: int) -> Genesis:
        setting = self.scenario
        nodes = [node for _, node in self.keys.values()]
        operators = [operator for operator, _ in self.keys.values()]
        return Genesis(
            params=self._params(default_params(), setting["params"]),
            authority=AUTHORITY.address,
            accounts=[
                *(GenesisAccount(address=user.address, ucredit=setting["credits"]) for user in _USERS.values()),
                *(GenesisAccount(address=key.address, umill=setting["operator_umill"]) for key in operators),
                *(GenesisAccount(address=key.address) for key in (AUTHORITY, *nodes)),
            ],
            provers=[
                GenesisProver(
                    operator=operator_key(index).address,
                    node=node_key(index).address,
                    resources=self._capacity(),
                    endpoints=[endpoint_of(index)],
                    region="test",
                    bond=setting["bond"],
                )
                for index in range(count)
            ],
            network_pool=setting["network_pool"],
            programs=[make_spec()],
        )

    def _params(self, params: Params, changes: dict[str, Any]) -> Params:
        """`node_price` is the price of as much as a task takes; `capacity_program: true` names the only program."""
        known = [name.name for name in Params.DESCRIPTOR.fields if name.name not in ("cpu_node", "gpu_node", "version")]
        for name, value in check_keys(changes, (), tuple(known), "params").items():
            setattr(params, name, program_id(make_spec()) if name == "capacity_program" else value)
        node = Resources(cpu_millis=_CPU_MILLIS, memory_bytes=_MEMORY)
        params.cpu_node.resources.CopyFrom(node)
        params.cpu_node.ucredit_per_hour = self.scenario["node_price"]
        return params

    def _capacity(self) -> Resources:
        slots = self.scenario["slots"]
        return Resources(cpu_millis=_CPU_MILLIS * slots, memory_bytes=_MEMORY * slots)

    # Names.

    def _task(self, name: str | None) -> int:
        if name is not None:
            return self.tasks[name]
        (task_id,) = self.tasks.values()
        return task_id

    def _drawn(self, task_id: int) -> list[tuple[bytes, Assignment]]:
        rows = [(key[1], row) for key, row in schema.ASSIGNMENTS.iterate(self.network.values, prefix_of=(task_id,))]
        return sorted(rows, key=lambda pair: (pair[1].offered_height, pair[0]))

    def _of(self, role: str) -> tuple[int, bytes]:
        """(task, operator) of a prover of a task."""
        *task, which = role.split(".")
        task_id = self._task(task[0] if task else None)
        drawn = self._drawn(task_id)
        if which == "fallback":
            return task_id, [operator for operator, row in drawn if row.attempt == 2][-1]
        return task_id, drawn[_ORDINALS.index(which)][0]

    def _who(self, role: str) -> list[bytes]:
        if role in self.groups:
            return self.groups[role]
        return [self._of(role)[1]]

    def _row(self, role: str) -> Assignment:
        return schema.ASSIGNMENTS.require(self.network.values, self._of(role))

    def _node(self, operator: bytes) -> Key:
        return self.keys[operator][1]

    # Blocks.

    def _block(self, after_ms: int = 1_000) -> None:
        height = self.network.height + 1
        block_hash = hashlib.sha256(f"money {self.seed} {height}".encode()).digest()
        for result in self.network.next_block(after_ms=after_ms, block_hash=block_hash):
            assert result.code == 0, result.log
            for response in TxMsgData.FromString(result.data).msg_responses:
                name = response.type_url.removeprefix("/")
                answer = GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))()
                answer.ParseFromString(response.value)
                for entry in getattr(answer, "results", ()):
                    assert entry.code == 0, entry.log
                if isinstance(answer, MsgRunTaskResponse):
                    (task,) = [name for name, task_id in self.tasks.items() if task_id == answer.task_id]
                    assert answer.fee == self.fees[task], f"{task} costs {answer.fee}"
        check_invariants(self.network.values)

    def _jump(self, until_ms: int) -> None:
        """Let a time pass, and a block more: only then has it passed for the chain."""
        if until_ms > self.network.time_ms:
            self._block(until_ms - self.network.time_ms)
        self._block(1)

    def play(self, events: list[Any]) -> None:
        for event in events:
            name, argument = self._split(event)
            if name in self.senders:
                self.senders[name](argument)
                self._block(argument.get("after_ms", 1_000) if isinstance(argument, dict) else 1_000)
            elif name in self.doers:
                self.doers[name](argument)
            else:
                raise ScenarioError(f"there is no event {name}")

    @staticmethod
    def _split(event: Any) -> tuple[str, Any]:
        if not isinstance(event, dict) or len(event) != 1:
            raise ScenarioError(f"{event!r} isn't one event")
        ((name, argument),) = event.items()
        return name, argument

    # Events that are transactions.

    def _run(self, argument: Any) -> None:
        check_keys(argument, ("fee",), ("as", "user", "seconds", "redundancy", "queue_timeout"), "run")
        name = argument.get("as", "task")
        user = _USERS[argument.get("user", "alice")]
        if name in self.tasks:
            raise ScenarioError(f"there are two tasks {name}")
        self.tasks[name] = max([*schema.TASKS.keys(self.network.values), *self.tasks.values()], default=0) + 1
        self.fees[name] = argument["fee"]
        self.network.send(
            user,
            MsgRunTask(
                user=user.address,
                program_id=program_id(make_spec()),
                time_limit_s=argument.get("seconds", 10),
                redundancy=argument.get("redundancy", 1),
                max_fee=argument["fee"],
                queue_timeout_s=argument.get("queue_timeout", 60),
            ),
            gas_price=0,
        )

    def _each(self, roles: Any, make: Callable[[str, int, bytes, Key], Message]) -> None:
        for role in [roles] if isinstance(roles, str) else roles:
            task_id, operator = self._of(role)
            node = self._node(operator)
            self.network.send(node, make(role, task_id, operator, node), gas_price=0)

    def _accept(self, roles: Any) -> None:
        self._each(roles, lambda _, task_id, __, node: MsgAcceptTasks(node=node.address, task_ids=[task_id]))

    def _decline(self, roles: Any) -> None:
        self._each(
            roles,
            lambda _, task_id, __, node: MsgDeclineTasks(node=node.address, entries=[Decline(task_id=task_id)]),
        )

    def _make_proof(self, task_id: int, operator: bytes) -> Proof:
        digest = hashlib.sha256(b"proof" + task_id.to_bytes(8, "big") + operator).digest()
        return Proof(sha256=digest, size=1_000, urls=["http://127.0.0.1:9/proof.tar"])

    def _prove(self, roles: Any) -> None:
        self._each(
            roles,
            lambda _, task_id, operator, node: MsgSubmitProofs(
                node=node.address, entries=[ProofEntry(task_id=task_id, proof=self._make_proof(task_id, operator))]
            ),
        )

    def _commit(self, roles: Any) -> None:
        self._each(
            roles,
            lambda _, task_id, operator, node: MsgCommitProofs(
                node=node.address,
                entries=[
                    ProofCommit(
                        task_id=task_id,
                        commitment=proof_commitment(operator, self._make_proof(task_id, operator).sha256, _SALT),
                    )
                ],
            ),
        )

    def _reveal(self, roles: Any) -> None:
        self._each(
            roles,
            lambda _, task_id, operator, node: MsgSubmitProofs(
                node=node.address,
                entries=[ProofEntry(task_id=task_id, proof=self._make_proof(task_id, operator), salt=_SALT)],
            ),
        )

    def _fail(self, reasons: Any) -> None:
        self._each(
            list(reasons),
            lambda role, task_id, _, node: MsgReportFailure(
                node=node.address,
                task_id=task_id,
                reason=f"FAILURE_REASON_{reasons[role].upper()}",
            ),
        )

    def _cancel(self, argument: Any) -> None:
        check_keys(argument, (), ("task", "user", "after_ms"), "cancel")
        user = _USERS[argument.get("user", "alice")]
        message = MsgCancelTask(user=user.address, task_id=self._task(argument.get("task")))
        self.network.send(user, message, gas_price=0)

    def _update_params(self, changes: Any) -> None:
        others = {name: value for name, value in changes.items() if name != "node_price"}
        params = self._params(schema.PARAMS.require(self.network.values), others)
        params.cpu_node.ucredit_per_hour = changes.get("node_price", params.cpu_node.ucredit_per_hour)
        self.network.send(AUTHORITY, MsgUpdateParams(authority=AUTHORITY.address, params=params), gas_price=0)

    def _top_up(self, amounts: Any) -> None:
        for role, amount in amounts.items():
            for operator in self._who(role):
                key = self.keys[operator][0]
                self.network.send(key, MsgTopUpBond(operator=key.address, amount=amount), gas_price=0)

    def _exit(self, roles: Any) -> None:
        for role in [roles] if isinstance(roles, str) else roles:
            for operator in self._who(role):
                key = self.keys[operator][0]
                self.network.send(key, MsgExitProver(operator=key.address), gas_price=0)

    def _request_test(self, role: Any) -> None:
        (operator,) = self._who(role)
        node = self._node(operator)
        self.network.send(node, MsgRequestTest(node=node.address), gas_price=0)

    def _join(self, argument: Any) -> None:
        check_keys(argument, ("as", "bond"), (), "join")
        index = self.scenario["provers"] + self.newcomers
        self.newcomers += 1
        operator, node = operator_key(index), node_key(index)
        self.groups[argument["as"]] = [operator.raw]
        message = MsgRegisterProver(
            operator=operator.address,
            node=node.address,
            resources=self._capacity(),
            endpoints=[endpoint_of(index)],
            region="test",
            bond=argument["bond"],
        )
        self.network.send(operator, message, gas_price=0)

    # Events that are blocks.

    def _draw(self, offers: Any) -> None:
        """A block in which so many offers are made."""
        before = len(list(schema.ASSIGNMENTS.keys(self.network.values)))
        self._block()
        made = len(list(schema.ASSIGNMENTS.keys(self.network.values))) - before
        assert made == offers, f"{made} offers instead of {offers}"

    def _expire(self, role: Any) -> None:
        """Nobody answers, until the offer has expired."""
        operator = self._of(role)
        while self.network.height <= self._row(role).accept_by_height:
            self._block()
        row = schema.ASSIGNMENTS.require(self.network.values, operator)
        assert row.status == ASSIGNMENT_STATUS_EXPIRED

    def _late(self, roles: Any) -> None:
        """The deadlines of these provers pass, for their proofs or for revealing them."""
        named = [roles] if isinstance(roles, str) else roles
        who = [self._of(role) for role in named]
        self._jump(max(self._row(role).deadline_ms for role in named))
        for key in who:
            assert schema.ASSIGNMENTS.require(self.network.values, key).status == ASSIGNMENT_STATUS_TIMED_OUT

    def _queue_timeout(self, name: Any) -> None:
        progress = schema.PROGRESS.require(self.network.values, self._task(name))
        self._jump(progress.queue_deadline_ms)

    def _wait(self, milliseconds: Any) -> None:
        self._jump(self.network.time_ms + milliseconds)

    def _settle(self, statuses: Any) -> None:
        """A block, after which the tasks have these statuses."""
        self._block()
        self._compare_tasks(statuses if isinstance(statuses, dict) else {next(iter(self.tasks)): statuses})

    def _begin_test(self, argument: Any) -> None:
        """A block in which the capacity test of a prover begins, from now on a task with this name."""
        ((role, name),) = argument.items()
        (operator,) = self._who(role)
        self._block()
        self.tasks[name] = schema.PROVERS.require(self.network.values, operator).test_task_id
        assert self.tasks[name], f"{role} isn't being tested"

    def _together(self, events: Any) -> None:
        """Several transactions in one block, in this order."""
        for event in events:
            name, argument = self._split(event)
            self.senders[name](argument)
        self._block()

    def _refused(self, event: Any) -> None:
        name, argument = self._split(event)
        self.senders[name](argument)
        try:
            self._block()
        except AssertionError:
            check_invariants(self.network.values)
            return
        raise AssertionError(f"{event} was taken")

    def _distinct(self, roles: Any) -> None:
        """Only draws in which these roles are different provers."""
        if len({self._of(role)[1] for role in roles}) != len(roles):
            raise RolesOverlapError(roles)

    def _same(self, roles: Any) -> None:
        """Only draws in which these roles are one prover."""
        if len({self._of(role)[1] for role in roles}) != 1:
            raise RolesOverlapError(roles)

    # Votes.

    def _vote(self, panels: Any) -> None:
        """Committees on proofs are drawn, if they haven't been yet, and vote until their rounds are over."""
        opened = {}
        for name, ballot in panels.items():
            check_keys(ballot, (), ("of", *_BALLOTS), f"panel {name}")
            opened[name] = self._of(ballot.get("of") or self._last_proved())
        if any(self._round(*key).phase != ROUND_PHASE_COMMITTING for key in opened.values()):
            self._block()
        votes = {name: self._seat(name, panels[name], *key) for name, key in opened.items()}
        for name, (task_id, prover) in opened.items():
            number = self._round(task_id, prover).round
            for voter, ballot in votes[name]:
                if ballot != "silent":
                    commitment = vote_commitment(voter, task_id, number, _VERDICTS.get(ballot, VERDICT_VALID), _SALT)
                    commit = Commit(task_id=task_id, round=number, commitment=commitment)
                    node = self._node(voter)
                    self.network.send(node, MsgVotes(node=node.address, commits=[commit]), gas_price=0)
        rounds = {name: self._round(*key).round for name, key in opened.items()}
        self._block()
        waiting = dict(opened)
        while waiting:
            ready = [n for n, key in waiting.items() if self._round(*key).phase != ROUND_PHASE_COMMITTING]
            if not ready:
                self._jump(min(self._round(*key).commit_deadline_ms for key in waiting.values()))
                continue
            for name in ready:
                self._send_reveals(waiting.pop(name)[0], rounds[name], votes[name])
            self._block()
        for name, (task_id, _) in opened.items():
            round_ = schema.ROUNDS.require(self.network.values, (task_id, rounds[name]))
            if round_.phase == ROUND_PHASE_REVEALING:
                self._jump(round_.reveal_deadline_ms)
            round_ = schema.ROUNDS.require(self.network.values, (task_id, rounds[name]))
            assert round_.phase == ROUND_PHASE_CLOSED

    def _send_reveals(self, task_id: int, number: int, votes: list[tuple[bytes, str]]) -> None:
        for voter, ballot in votes:
            verdict: Verdict | None = _VERDICTS.get(ballot)
            if verdict is not None:
                reveal = Reveal(task_id=task_id, round=number, verdict=verdict, salt=_SALT)
                node = self._node(voter)
                self.network.send(node, MsgVotes(node=node.address, reveals=[reveal]), gas_price=0)

    def _seat(self, name: str, ballot: dict[str, Any], task_id: int, prover: bytes) -> list[tuple[bytes, str]]:
        """(voter, how it votes) of a committee, by address; it must have as many members as there are ballots."""
        round_ = self._round(task_id, prover)
        members = [key[2] for key in schema.VOTES.keys(self.network.values, prefix_of=(task_id, round_.round))]
        ballots = [how for how in _BALLOTS for _ in range(ballot.get(how, 0))]
        assert len(members) == len(ballots), f"the committee {name} has {len(members)} members"
        if f"{name}.{_BALLOTS[0]}" in self.groups:
            raise ScenarioError(f"there are two panels {name}")
        votes = list(zip(members, ballots, strict=True))
        for how in _BALLOTS:
            self.groups[f"{name}.{how}"] = [voter for voter, its in votes if its == how]
        return votes

    def _round(self, task_id: int, prover: bytes) -> Round:
        """The last round on a prover's proof; one without a phase if there was none."""
        number = schema.ASSIGNMENTS.require(self.network.values, (task_id, prover)).round
        return schema.ROUNDS.require(self.network.values, (task_id, number)) if number else Round()

    def _last_proved(self) -> str:
        """The role of the only task's prover that published last."""
        drawn = [row for _, row in self._drawn(self._task(None))]
        return _ORDINALS[max(range(len(drawn)), key=lambda position: drawn[position].proved_height)]

    # What came of it.

    def compare(self, expect: dict[str, Any]) -> None:
        """Everything that has money in it, against what is expected."""
        network = self.network
        pools = get_pools(network.values)
        found: dict[str, Any] = {
            "escrow": pools.escrow_ucredit,
            "network_pool": pools.network_umill,
            "umill_supply": pools.umill_supply,
            "ucredit_supply": pools.ucredit_supply,
            "fees": pools.fees_umill,
        }
        wanted: dict[str, Any] = {name: expect[name] for name in found if name != "fees"} | {"fees": 0}
        who = self._expected_provers(expect["provers"])
        for operator, (role, its) in who.items():
            prover = schema.PROVERS.get(network.values, operator)
            found[f"{role}: umill"] = self._account(operator)[0]
            found[f"{role}: bond"] = prover.bond if prover else 0
            found[f"{role}: status"] = _name_status(prover.status) if prover else "none"
            found[f"{role}: node"] = sum(self._account(self._node(operator).raw))
            found[f"{role}: ucredit"] = self._account(operator)[1]
            wanted |= {f"{role}: {name}": value for name, value in its.items()}
            wanted |= {f"{role}: node": 0, f"{role}: ucredit": 0}
        for name, key in _USERS.items():
            found[f"{name}: umill"], found[f"{name}: ucredit"] = self._account(key.raw)
            wanted |= {f"{name}: umill": 0, f"{name}: ucredit": self.scenario["credits"]}
        for name, ucredit in check_keys(expect["users"], (), tuple(_USERS), "users").items():
            wanted[f"{name}: ucredit"] = ucredit
        found["authority"], wanted["authority"] = sum(self._account(AUTHORITY.raw)), 0
        found["accounts"] = len(list(schema.ACCOUNTS.keys(network.values)))
        wanted["accounts"] = 2 * len(self.keys) + len(_USERS) + 1
        program = schema.PROGRAMS.require(network.values, program_id(make_spec()))
        found["strikes"], found["blocked"] = len(program.strikes), program.status == PROGRAM_STATUS_BLOCKED
        assert program.status in (PROGRAM_STATUS_ACTIVE, PROGRAM_STATUS_BLOCKED)
        wanted |= {"strikes": 0, "blocked": False}
        wanted |= check_keys(expect.get("program", {}), (), ("strikes", "blocked"), "program")
        differences = [
            f"{name}: {found[name]!r}, expected {wanted[name]!r}" for name in found if found[name] != wanted[name]
        ]
        assert not differences, "\n".join(differences)
        self._compare_tasks(expect["tasks"])
        assert set(expect["tasks"]) == set(self.tasks), "a task is left out"

    def _expected_provers(self, expect: dict[str, Any]) -> dict[bytes, tuple[str, dict[str, Any]]]:
        """Who must have what: those with a role as it says, all others what they began with."""
        setting = self.scenario
        who: dict[bytes, tuple[str, dict[str, Any]]] = {}
        for role, wanted in expect.items():
            members = self._who(role)
            if not members:
                raise ScenarioError(f"nobody is {role}")
            for position, operator in enumerate(members):
                if operator in who:
                    raise RolesOverlapError(f"{role} and {who[operator][0]}")
                its = {"umill": setting["operator_umill"], "bond": setting["bond"], "status": "active"}
                for name, value in wanted.items():
                    # A list: one figure for each, by address.
                    its[name] = value[position] if isinstance(value, list) else value
                    if isinstance(value, list) and len(value) != len(members):
                        raise ScenarioError(f"{len(members)} are {role}, not {len(value)}")
                who[operator] = role, its
        for index, (operator, _) in enumerate(self.keys.items()):
            is_newcomer = index >= setting["provers"]
            unchanged: dict[str, Any] = {
                "umill": setting["operator_umill"],
                "bond": 0 if is_newcomer else setting["bond"],
                "status": "none" if is_newcomer else "active",
            }
            who.setdefault(operator, (f"prover {index}, without a role,", unchanged))
        return who

    def _compare_tasks(self, statuses: dict[str, str]) -> None:
        for name, status in statuses.items():
            progress = schema.PROGRESS.require(self.network.values, self.tasks[name])
            found = TaskStatus.Name(progress.status).removeprefix("TASK_STATUS_").lower()
            assert found == status, f"{name} is {found} ({progress.reason}), expected {status}"

    def _account(self, address: bytes) -> tuple[int, int]:
        account = schema.ACCOUNTS.get(self.network.values, address)
        return (account.umill, account.ucredit) if account else (0, 0)


def _name_status(status: ProverStatus) -> str:
    return ProverStatus.Name(status).removeprefix("PROVER_STATUS_").lower()

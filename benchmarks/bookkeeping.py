"""The chain's own work on tasks: one task's whole life, and 2,000 assignments in a block among 100,000 provers."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable

from proofmill.program.v1.tx_pb2 import MsgDeployProgram
from proofmill.task.v1.state_pb2 import TASK_STATUS_DONE, TASK_STATUS_OFFERED, VERDICT_VALID
from proofmill.task.v1.tx_pb2 import MsgAcceptTasks, MsgSubmitProofs
from proofmill.verification.v1.tx_pb2 import MsgVotes

from benchmarks.report import print_table, say
from chain import schema
from chain.program.ids import program_id
from chain.prover.duties import Duty
from chain.state.merkle import Tree
from chain.transition import BlockInput, BlockResult, CheckState
from tests.support.life import make_commit, make_proof, make_reveal, make_run, make_spec
from tests.support.network import (
    ALICE,
    CHAIN_ID,
    DEPLOYER,
    Network,
    make_genesis,
    node_key,
    operator_key,
)
from validator_node.collector import tune_collector

PROVERS = 100
TASKS = 200
ROUNDS = 5
REGISTERED = 100_000
ASSIGNMENTS = 2_000
SPEC = make_spec("bench")


class TimedNetwork(Network):
    """Counts the CPU time of applying a block, whose transactions the mempool has checked before, as on a node."""

    cpu_s = 0.0
    # Of it, the authenticated tree's part.
    tree_s = 0.0

    def apply(self, block: BlockInput) -> BlockResult:
        check = CheckState(self.values, CHAIN_ID, self.height - 1, self.time_ms, self.signatures)
        for raw in block.txs:
            check.check(raw, recheck=False)
        before = time.process_time()
        result = super().apply(block)
        self.cpu_s = time.process_time() - before
        before = time.process_time()
        Tree(self.nodes).apply(result.writes)
        self.tree_s = time.process_time() - before
        failed = [one for one in result.results if one.code]
        if failed:
            raise SystemExit(f"{len(failed)} transactions failed, the first one: {failed[0].log}")
        return result


def main() -> None:
    tune_collector()
    _measure_lives()
    _measure_assignments()


def _start(provers: int) -> TimedNetwork:
    network = TimedNetwork.start(make_genesis(provers))
    network.execute(DEPLOYER, MsgDeployProgram(deployer=DEPLOYER.address, spec=SPEC))
    return network


def _measure_lives() -> None:
    """So many tasks at once, from their run transactions to their payouts, by the blocks of their lives."""
    say(f"{TASKS} tasks at a time, {PROVERS} provers, committees of 10")
    network = _start(PROVERS)
    empty_s = _median(lambda: _block(network))
    # The first round warms caches up.
    rounds = [_live(network, empty_s) for _ in range(ROUNDS + 1)][1:]
    steps = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    bytes_before = _count_bytes(network)
    _live(network, empty_s)
    grown = (_count_bytes(network) - bytes_before) / TASKS
    rows = [(name, f"{seconds / TASKS * 1e6:.0f}") for name, seconds in steps.items()]
    rows.append(("whole life", f"{sum(steps.values()) / TASKS * 1e6:.0f}"))
    print_table(
        f"apply_block, CPU µs a task (median of {ROUNDS} × {TASKS} tasks; batched transactions)", ("block", ""), rows
    )
    say(f"state: {grown:,.0f} bytes of keys and values a finished task, the tree's nodes not counted")


def _live(network: TimedNetwork, empty_s: float) -> dict[str, float]:
    """CPU seconds by block, less those of an empty one."""
    first = schema.TASK_IDS.peek(network.values)
    indexes = {operator_key(index).raw: index for index in range(PROVERS)}
    steps: dict[str, float] = {}

    def step(name: str) -> None:
        steps[name] = max(0.0, _block(network) - empty_s)

    wanted = make_run(ALICE, program_id(SPEC))
    wanted.resources.cpu_millis = 500
    wanted.resources.memory_bytes = 1 << 29
    for _ in range(TASKS):
        network.send(ALICE, wanted)
    step("run")
    step("offer: draw a prover")
    offers = _duties(network, indexes, Duty.ASSIGNMENT)
    for index, owed in offers.items():
        node = node_key(index)
        network.send(node, MsgAcceptTasks(node=node.address, task_ids=[task_id for task_id, _ in owed]))
    step("accept")
    for index, owed in offers.items():
        proofs = [entry for task_id, _ in owed for entry in make_proof(node_key(index), task_id).entries]
        network.send(node_key(index), MsgSubmitProofs(node=node_key(index).address, entries=proofs))
    step("prove")
    step("draw a committee of 10")
    seats = _duties(network, indexes, Duty.VOTE)
    for name, make in (("10 commits", make_commit), ("10 reveals", make_reveal)):
        for index, owed in seats.items():
            votes = MsgVotes(node=node_key(index).address)
            for task_id, round_ in owed:
                one = make(index, task_id, round_, VERDICT_VALID)
                votes.MergeFrom(MsgVotes(commits=one.commits, reveals=one.reveals))
            network.send(node_key(index), votes)
        step(name)
    step("settle and pay 11")
    done = [schema.PROGRESS.require(network.values, first + number).status for number in range(TASKS)]
    if done != [TASK_STATUS_DONE] * TASKS:
        raise SystemExit("not every task was done")
    return steps


def _duties(network: Network, indexes: dict[bytes, int], kind: Duty) -> dict[int, list[tuple[int, int]]]:
    """(task, round) of what each prover owes, by the prover's index."""
    owed: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for operator, duty, task_id, round_ in schema.DUTIES.keys(network.values):
        if duty == kind:
            owed[indexes[operator]].append((task_id, round_))
    return owed


def _measure_assignments() -> None:
    """As many offers as a block may make, drawn among many provers that are all free."""
    say(f"registering {REGISTERED:,} provers")
    network = _start(REGISTERED)
    for _ in range(4):
        _block(network)
    times, trees = [], []
    for number in range(ROUNDS):
        say(f"{ASSIGNMENTS:,} assignments, {number + 1} of {ROUNDS}")
        wanted = make_run(ALICE, program_id(SPEC))
        wanted.queue_timeout_s = 1
        for _ in range(ASSIGNMENTS // 50):
            network.send(ALICE, *[wanted] * 50)
        _block(network)
        first = schema.TASK_IDS.peek(network.values) - ASSIGNMENTS
        times.append(_block(network))
        trees.append(network.tree_s)
        offered = [schema.PROGRESS.require(network.values, first + one).status for one in range(ASSIGNMENTS)]
        if offered != [TASK_STATUS_OFFERED] * ASSIGNMENTS:
            raise SystemExit("not every task was offered")
        # Nobody answers: the offers expire, and the tasks end before the next round.
        for _ in range(6):
            _block(network)
    print_table(
        f"A block that makes {ASSIGNMENTS:,} offers among {REGISTERED:,} provers (median of {ROUNDS})",
        ("apply_block", "CPU ms", "µs an offer"),
        [
            _offer_row("draw and offer", statistics.median(times) - statistics.median(trees)),
            _offer_row("tree", statistics.median(trees)),
        ],
    )


def _offer_row(name: str, seconds: float) -> tuple[str, str, str]:
    return name, f"{seconds * 1e3:.0f}", f"{seconds / ASSIGNMENTS * 1e6:.0f}"


def _block(network: TimedNetwork) -> float:
    network.next_block()
    return network.cpu_s


def _median(run: Callable[[], float]) -> float:
    return statistics.median(run() for _ in range(5))


def _count_bytes(network: Network) -> int:
    return sum(len(key) + len(value) for key, value in network.values.iterate(b"", b"\xff"))

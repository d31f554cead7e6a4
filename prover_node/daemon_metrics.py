"""What of a daemon's parts is read when Prometheus asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from prover_node.account import Account
from prover_node.chain_link import ChainLink
from prover_node.chronicle import Chronicle
from prover_node.clock import ClockCheck
from prover_node.duties import Resources, Role
from prover_node.fetcher import Fetcher
from prover_node.live_status import VERSION
from prover_node.machine import Machine
from prover_node.metrics import Labelled, Metrics
from prover_node.publishing import Publishing
from prover_node.storage import BlobStore
from prover_node.submitter import Submitter
from prover_node.use_samples import UseSamples

T = TypeVar("T")
# umill in a MILL.
_UMILL = 1_000_000


def watch_daemon(
    metrics: Metrics,
    *,
    machine: Machine,
    capacity: Resources,
    link: ChainLink,
    clock: ClockCheck,
    chronicle: Chronicle,
    samples: UseSamples,
    account: Account,
    store: BlobStore,
    fetcher: Fetcher,
    submitter: Submitter,
    publishing: Publishing,
) -> None:
    """Publish the gauges of one daemon."""
    metrics.watch_each("build_info", "The version that runs.", ("version",), lambda: {(VERSION,): 1})
    _watch_chain(metrics, machine, link, clock, submitter)
    _watch_work(metrics, machine, capacity, samples)
    _watch_standing(metrics, chronicle, account)
    metrics.watch("store_bytes", "Bytes in the store.", lambda: store.total_bytes)
    metrics.watch("store_room_bytes", "Bytes that can be fetched now.", lambda: store.room)
    metrics.watch("disk_free_bytes", "Free bytes of the disk beside the reserve.", lambda: store.free_bytes)
    metrics.watch("fetch_bytes_per_second", "How fast files come, lately.", lambda: fetcher.rate.bytes_per_s)
    metrics.watch("unpublished_proofs", "Proofs to be copied.", lambda: publishing.waiting)


def _watch_chain(metrics: Metrics, machine: Machine, link: ChainLink, clock: ClockCheck, submitter: Submitter) -> None:
    metrics.watch("height", "Height of the last report of duties.", lambda: machine.height)
    metrics.watch("clock_skew_seconds", "How far this clock is ahead of the chain's.", lambda: clock.skew_ms / 1000)
    metrics.watch_each(
        "chain_node_height",
        "What each chain node said last, where there are several.",
        ("node",),
        lambda: {(one.url,): one.height for one in link.nodes if not one.problem},
    )
    metrics.watch_each("chain_node_used", "The chain node in use.", ("node",), lambda: {(link.url,): 1})
    metrics.watch_counts(
        "transactions",
        "Transactions by whether they got into a block and succeeded.",
        ("result",),
        lambda: {("included",): submitter.sent, ("failed",): submitter.failed},
    )


def _watch_work(metrics: Metrics, machine: Machine, capacity: Resources, samples: UseSamples) -> None:
    metrics.watch("unfinished_duties", "Duties that need work or a message.", lambda: machine.unfinished)
    metrics.watch_each("duties", "Duties by how far they are.", ("role", "phase"), lambda: _phases(machine))
    metrics.watch("capacity_cpu_cores", "Cores that may be proved with.", lambda: capacity.cpu_millis / 1000)
    metrics.watch("capacity_memory_bytes", "Memory that may be proved with.", lambda: capacity.memory_bytes)
    metrics.watch("capacity_gpus", "GPUs that may be proved with.", lambda: capacity.gpus)
    metrics.watch("held_cpu_cores", "Cores given to running provers.", lambda: machine.held.cpu_millis / 1000)
    metrics.watch("held_memory_bytes", "Memory given to running provers.", lambda: machine.held.memory_bytes)
    metrics.watch("held_gpus", "GPUs given to running provers.", lambda: machine.held.gpus)
    metrics.watch("containers", "Containers that run.", lambda: len(samples.containers))
    metrics.watch(
        "containers_cpu_cores",
        "Cores that containers use.",
        lambda: sum(use.cpu_millis for use in samples.containers.values()) / 1000,
    )
    metrics.watch(
        "containers_memory_bytes",
        "Memory that containers use.",
        lambda: sum(use.memory_bytes for use in samples.containers.values()),
    )
    metrics.watch_each(
        "gpu_utilisation_ratio",
        "Share of the time that a GPU computes.",
        ("gpu",),
        lambda: {(str(number),): share for number, share in samples.gpu_utilisation.items()},
    )


def _watch_standing(metrics: Metrics, chronicle: Chronicle, account: Account) -> None:
    metrics.watch_each(
        "status",
        "The prover's status on chain.",
        ("status",),
        lambda: {(chronicle.standing_now.status,): 1} if chronicle.standing_now is not None else {},
    )
    metrics.watch("misses", "Misses that count now.", lambda: _known(chronicle.standing_now, lambda one: one.misses))
    metrics.watch(
        "declines_left",
        "Declines that cost nothing.",
        lambda: _known(chronicle.standing_now, lambda one: one.declines_left),
    )
    metrics.watch(
        "next_test_timestamp_seconds",
        "When the chain tests the prover if it stays idle.",
        lambda: _known(chronicle.standing_now, lambda one: one.next_test_ms) / 1000,
    )
    metrics.watch(
        "earned_mill", "MILL earned in all.", lambda: _known(account.prover, lambda one: one.earned_umill) / _UMILL
    )
    metrics.watch(
        "slashed_mill",
        "MILL lost to slashes in all.",
        lambda: _known(account.prover, lambda one: one.slashed_umill) / _UMILL,
    )
    metrics.watch("bond_mill", "MILL bonded.", lambda: _known(account.prover, lambda one: one.bond) / _UMILL)
    metrics.watch("earned_last_day_mill", "MILL earned in 24 hours.", lambda: account.last_day.umill / _UMILL)
    metrics.watch("node_balance_mill", "MILL that the node key has.", lambda: account.node_umill / _UMILL)


def _phases(machine: Machine) -> Labelled:
    proving = Counter((Role.PROVE.value, phase.value) for phase in machine.prove_phases().values())
    voting = Counter((Role.VERIFY.value, phase.value) for phase in machine.vote_phases().values())
    return {key: float(count) for key, count in (proving + voting).items()}


def _known(thing: T | None, read: Callable[[T], float]) -> float:
    return read(thing) if thing is not None else 0

"""What the daemon is doing, as its operator sees it: plain values for `mill prover status` and the control socket."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata

from client.plain import Plain
from prover_node.account import Account
from prover_node.assignment import Assignment, Phase
from prover_node.chain_link import ChainLink
from prover_node.clock import ClockCheck
from prover_node.duties import JobKey, Resources
from prover_node.fetcher import Fetcher
from prover_node.machine import Machine
from prover_node.runner.base import Runner
from prover_node.seats import Seat
from prover_node.storage import BlobStore
from prover_node.use_samples import UseSamples

VERSION = metadata.version("proofmill")


class LiveStatus:
    """Reads it all off the parts of a daemon."""

    def __init__(
        self,
        *,
        machine: Machine,
        capacity: Resources,
        runner: Runner,
        link: ChainLink,
        clock: ClockCheck,
        samples: UseSamples,
        account: Account,
        store: BlobStore,
        fetcher: Fetcher,
    ) -> None:
        self._machine = machine
        self._capacity = capacity
        self._runner = runner
        self._link = link
        self._clock = clock
        self._samples = samples
        self._account = account
        self._store = store
        self._fetcher = fetcher
        self._reported = (0, 0.0)

    def heard(self) -> None:
        """The chain's time of now is known: deadlines are counted down from here."""
        self._reported = (self._machine.time_ms, time.monotonic())

    def now_ms(self) -> int:
        """Block time as it would be by now."""
        block_ms, at_s = self._reported
        return block_ms + int((time.monotonic() - at_s) * 1000) if block_ms else 0

    def snapshot(self) -> dict[str, Plain]:
        """All but what the daemon itself knows of its state."""
        gain = self._account.last_day
        return {
            "version": VERSION,
            "runner": self._runner.name,
            "unenforced": list(self._runner.unenforced()),
            "height": self._machine.height,
            "chain_node": self._link.url,
            "chain_nodes": [asdict(one) for one in self._link.nodes],
            "clock_skew_ms": self._clock.skew_ms if self._clock.is_known else None,
            "capacity": asdict(self._capacity),
            "held": asdict(self._machine.held),
            "gpus": [
                {"number": number, "utilisation": share}
                for number, share in sorted(self._samples.gpu_utilisation.items())
            ],
            "assignments": [self._assignment(one) for one in self._machine.assignments()],
            "votes": [self._seat(one) for one in self._machine.seats()],
            "earned_last_day": {"umill": gain.umill, "since_ms": gain.since_ms},
            "node_umill": self._account.node_umill,
            "store_bytes": self._store.total_bytes,
            "free_bytes": self._store.free_bytes,
            "fetch_bytes_per_s": self._fetcher.rate.bytes_per_s,
        }

    def _assignment(self, one: Assignment) -> Mapping[str, Plain]:
        duty = one.duty
        return {
            "task_id": duty.task_id,
            "program": duty.spec.program,
            "phase": one.phase.value,
            "accepted": duty.accepted,
            "test": duty.is_test,
            "by_experience": one.hopeful,
            "attempts": one.attempts,
            "deadline_ms": one.deadline_ms,
            "left_s": self._left_s(one.deadline_ms),
            "time_limit_s": duty.spec.time_limit_s,
            "likely_ms": one.likely_ms,
            "running_s": self._running_s(one),
            "resources": asdict(duty.spec.resources),
            "use": self._use(one.key),
        }

    def _seat(self, one: Seat) -> Mapping[str, Plain]:
        duty = one.duty
        return {
            "task_id": duty.task_id,
            "round": duty.round,
            "program": duty.spec.program,
            "phase": one.phase.value,
            "deadline_ms": duty.commit_deadline_ms,
            "left_s": self._left_s(duty.commit_deadline_ms),
            "committed": bool(duty.commitment),
            "resources": asdict(duty.spec.resources),
            "use": self._use(one.key),
        }

    def _left_s(self, deadline_ms: int) -> int:
        return max(deadline_ms - self.now_ms(), 0) // 1000

    def _running_s(self, one: Assignment) -> int | None:
        return (self.now_ms() - one.started_ms) // 1000 if one.phase is Phase.RUNNING else None

    def _use(self, key: JobKey | None) -> Plain:
        use = self._samples.containers.get(key.name) if key is not None else None
        if use is None:
            return None
        return {"cpu_millis": use.cpu_millis, "memory_bytes": use.memory_bytes, "gpus": list(use.gpus)}

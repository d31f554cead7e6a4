"""The prover daemon: the machine's decisions, performed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import deque
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, replace

import structlog

from chain.address import decode_address
from client.errors import ClientError
from client.keys.private_key import PrivateKey
from prover_node.account import Account
from prover_node.assignment import Phase
from prover_node.ballots import Ballots
from prover_node.capacity_program import CapacityProgram
from prover_node.chain_link import ChainLink
from prover_node.chores import check_registration, collect_garbage, require_clock, watch_clock, watch_node_key
from prover_node.chronicle import Chronicle
from prover_node.clock import SKEW_WARNED_MS, ClockCheck, describe_skew
from prover_node.control import ControlSocket
from prover_node.daemon_metrics import watch_daemon
from prover_node.deadlines import Deadlines
from prover_node.duties import ProofRecord, Resources, Usage
from prover_node.earnings import Earnings
from prover_node.effects import (
    Cancel,
    DeclineTask,
    Effect,
    Entry,
    FetchFiles,
    Forget,
    Inquire,
    Journal as Write,
    PackProof,
    Prefetch,
    RunJob,
    SubmitProof,
    Warn,
)
from prover_node.events import Draining, DutiesReported, Event, NodeKeyRotated, Restarted, StandingReported
from prover_node.experience import Experience
from prover_node.favourites import Favourites
from prover_node.fetcher import Fetcher
from prover_node.home import Home
from prover_node.incidents import Incidents
from prover_node.inheritance import Inheritance
from prover_node.jobs import Jobs
from prover_node.journal import Journal, JournalFull
from prover_node.journal_entries import JournalEntry, ProofMade
from prover_node.live_status import VERSION, LiveStatus
from prover_node.machine import Machine, MachineConfig
from prover_node.metrics import Metrics
from prover_node.proof_commitments import ProofCommitments
from prover_node.public_http import FetchPolicy
from prover_node.publishing import Publishing
from prover_node.runner.base import Runner
from prover_node.runner.gpus import discover
from prover_node.server import READY, Server
from prover_node.settings import Settings
from prover_node.storage import BlobStore
from prover_node.submitter import Submitter
from prover_node.supervision import tell_manager
from prover_node.task_files import TaskFiles
from prover_node.transfers import Transfers
from prover_node.use_samples import UseSamples
from prover_node.watcher import Watcher

_LAST_PROOFS = 100
_ASK_AGAIN_S = 0.5
_TRY_AGAIN_S = 1.0

log = structlog.get_logger("prover")


class UnenforcedLimits(ClientError):
    """The runner can't enforce the whole container contract on this machine."""


@dataclass(frozen=True)
class _Stop:
    """Ends the loop that performs effects."""


class Daemon:
    """One prover node, from start to stop."""

    def __init__(self, home: Home, settings: Settings, runner: Runner) -> None:
        self._home = home
        self._settings = settings
        self._runner = runner
        self._queue: asyncio.Queue[Event | _Stop] = asyncio.Queue()
        self._started_at = time.time()
        self._stopping = asyncio.Event()
        self._at_once = False
        self._idle = asyncio.Event()
        self._proved: deque[int] = deque(maxlen=_LAST_PROOFS)
        key = home.node_key()
        chain = settings.chain
        self.node_address = key.address
        self._journal = Journal(home.journal)
        self._store = BlobStore(home.blobs, settings.store.max_bytes, settings.store.reserve_bytes)
        self._tasks = TaskFiles(home.tasks)
        for digest in self._tasks.proofs():
            self._store.keep(digest)
        self._metrics = Metrics()
        resources = settings.resources
        capacity = Resources(resources.cpu_millis, resources.memory_bytes, resources.gpus)
        operator = decode_address(chain.operator)
        secrets = [one.secret for one in (key, *home.retired_keys())]
        self._machine = Machine(
            MachineConfig(
                capacity,
                resources.parallel_verifiers,
                settings.auto_retest,
                settings.schedule.trust_learned_times,
            ),
            Ballots(secrets, chain.id, operator),
            ProofCommitments(secrets, chain.id, operator),
        )
        self._link = ChainLink(chain.nodes, chain.id, chain.operator, key)
        self._chronicle = Chronicle(Incidents(home.incidents), self._metrics, self._link)
        self._clock = ClockCheck()
        self._watcher = Watcher(self._link, self._queue.put, self._clock)
        self._submitter = Submitter(
            self._link, key.address, settings.http.endpoints, self._queue.put, self._chronicle.rejection
        )
        self._account = Account(self._link, Earnings(home.earnings))
        self._publishing = Publishing(settings.publish, home.root, self._store)
        for digest in self._tasks.proofs():
            self._publishing.add(digest)
        self._server = Server(self._store, self._tasks, self._metrics, self.health)
        self._fetcher = Fetcher(self._store, FetchPolicy(settings.fetch.allow_private_urls))
        self._experience = Experience(home.experience)
        self._inheritance = Inheritance(runner, home.work)
        self._deadlines = Deadlines()
        self._jobs = Jobs(
            work=home.work,
            store=self._store,
            tasks=self._tasks,
            fetcher=self._fetcher,
            patience_s=settings.fetch.patience_s,
            runner=runner,
            experience=self._experience,
            favourites=Favourites(self._store, settings.store.max_bytes // 4),
            inheritance=self._inheritance,
            deadlines=self._deadlines,
            metrics=self._metrics,
            report=self._queue.put,
            publish=self._publish,
        )
        self._capacity_program = CapacityProgram(
            self._link, self._store, self._fetcher, runner, settings.fetch.patience_s
        )
        self._aside: set[asyncio.Task[None]] = set()
        self._samples = UseSamples(runner, discover() if runner.gpus else ())
        self._live = LiveStatus(
            machine=self._machine,
            capacity=capacity,
            runner=runner,
            link=self._link,
            clock=self._clock,
            samples=self._samples,
            account=self._account,
            store=self._store,
            fetcher=self._fetcher,
        )
        self._control = ControlSocket(home.root, self.status)
        watch_daemon(
            self._metrics,
            machine=self._machine,
            capacity=capacity,
            link=self._link,
            clock=self._clock,
            chronicle=self._chronicle,
            samples=self._samples,
            account=self._account,
            store=self._store,
            fetcher=self._fetcher,
            submitter=self._submitter,
            publishing=self._publishing,
        )
        self._metrics.watch("ready", "1 while the node takes part in everything.", lambda: self._status() == READY)
        self._metrics.watch("chain_reachable", "1 while the chain answers.", lambda: float(self._watcher.connected))

    def health(self) -> dict[str, object]:
        """What ``/health`` answers: what anybody may know."""
        return {
            "status": self._status(),
            "version": VERSION,
            "operator": self._settings.chain.operator,
            "node": self.node_address,
            "chain_id": self._settings.chain.id,
            "height": self._machine.height,
            "uptime_s": int(time.time() - self._started_at),
        }

    def status(self) -> dict[str, object]:
        """What the control socket answers: all that the operator may want to know."""
        return {
            **self.health(),
            "warnings": self._warnings(),
            **self._live.snapshot(),
            "unpublished": self._publishing.waiting,
        }

    def _warnings(self) -> list[str]:
        skew_ms = self._clock.skew_ms
        found = [describe_skew(skew_ms)] if abs(skew_ms) > SKEW_WARNED_MS else []
        if self._account.prover is not None and not self._account.node_umill:
            found.append("the node key has no MILL for fees: send it some (mill send)")
        return found

    def _status(self) -> str:
        if self._stopping.is_set():
            return "stopping"
        if not self._watcher.connected:
            return "chain unreachable"
        return READY if self._store.room > 0 else "disk full"

    def stop(self) -> None:
        """Drain and end, and leave what goes on to the next process; when called again, end everything now."""
        if self._stopping.is_set():
            self._at_once = True
            self._queue.put_nowait(_Stop())
        self._stopping.set()

    async def run(self) -> None:
        """Work until :meth:`stop`; raises ClientError for what makes working impossible."""
        host, port = self._settings.listen_address()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            self._check_runner()
            async with self._fetcher:
                await self._server.start(host, port, self._settings.metrics_address())
                await self._control.start()
                await self._inheritance.enter()
                await self._work(host, port)
        finally:
            if self._settings.runner.leave_running and not self._at_once:
                self._runner.leave_running()
            await self._jobs.close()
            await self._runner.close()
            await self._control.stop()
            await self._server.stop()
            await self._link.close()
            self._journal.close()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        log.info("stopped")

    def _check_runner(self) -> None:
        unenforced = self._runner.unenforced()
        if unenforced and not self._settings.runner.allow_unenforced:
            raise UnenforcedLimits(
                f"the {self._runner.name} runner can't enforce the whole container contract here: "
                f"{' '.join(unenforced)} Start with --allow-unenforced to accept this"
            )
        for sentence in unenforced:
            log.warning("not enforced", runner=self._runner.name, what=sentence)
        gpus = self._settings.resources.gpus
        if gpus > self._runner.gpus:
            raise ClientError(
                f"resources.gpus is {gpus}, but the {self._runner.name} runner can give programs {self._runner.gpus}: "
                f"{self._runner.gpu_obstacle or 'lower it, or choose another runner'}"
            )

    async def _work(self, host: str, port: int) -> None:
        services = [
            asyncio.create_task(self._watcher.run(), name="watcher"),
            asyncio.create_task(self._submitter.run(), name="submitter"),
            asyncio.create_task(self._capacity_program.run(), name="capacity program"),
            asyncio.create_task(
                collect_garbage(
                    self._link, self._tasks, self._store, self._withdraw, self._settings.store.keep_proofs_days
                ),
                name="garbage",
            ),
            asyncio.create_task(
                check_registration(self._link, self._settings, lambda: self.node_address), name="registration"
            ),
            asyncio.create_task(watch_node_key(self._home, self._use_key), name="node key"),
            asyncio.create_task(watch_clock(self._clock), name="clock"),
            asyncio.create_task(self._account.run(), name="account"),
            asyncio.create_task(self._samples.run(), name="samples"),
            asyncio.create_task(self._publishing.run(), name="publishing"),
            asyncio.create_task(self._drain(), name="drain"),
        ]
        performer = asyncio.create_task(self._perform_all(), name="machine")
        tell_manager("READY=1")
        log.info(
            "ready",
            runner=self._runner.name,
            listen=f"{host}:{port}",
            operator=self._settings.chain.operator,
            node=self.node_address,
            chain=self._link.url,
        )
        try:
            done, _ = await asyncio.wait([performer, *services], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            under_way = (performer, *services, *self._aside)
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _perform_all(self) -> None:
        """The one loop that feeds the machine; ends when the node has drained."""
        await require_clock(self._clock, self._settings.clock.refuse_s)
        event: Event | _Stop = Restarted(tuple(self._still_true()), frozenset(self._runner.survivors()))
        while not isinstance(event, _Stop):
            await self._perform(self._machine.handle(event))
            if isinstance(event, DutiesReported):
                self._live.heard()
            if self._machine.height:
                await self._inheritance.settle(self._machine.works_under_way())
            if self._machine.unfinished:
                self._idle.clear()
            else:
                self._idle.set()
            event = self._completed(await self._queue.get())

    def _completed(self, event: Event | _Stop) -> Event | _Stop:
        """The event with what this machine adds to the chain's word."""
        if isinstance(event, StandingReported):
            self._chronicle.standing(event.standing)
        if not isinstance(event, DutiesReported):
            return event
        self._deadlines.report(event)
        phases = self._machine.prove_phases()
        unanswered = [one for one in event.assignments if phases.get(one.task_id) in (None, Phase.UNDECIDED)]
        here = frozenset(ref.key for duty in unanswered for ref in duty.spec.all_files if self._store.has(ref.key))
        likely_ms = {duty.task_id: self._experience.likely_ms(duty.spec) for duty in unanswered}
        transfers = Transfers(here, self._fetcher.rate.bytes_per_s, self._store.room)
        return replace(event, transfers=transfers, likely_ms=likely_ms)

    def _still_true(self) -> Iterable[JournalEntry]:
        """What the journal says, as far as the files that it speaks of are still there."""
        for entry in self._journal.entries():
            if isinstance(entry, ProofMade) and self._store.find(entry.proof.sha256) is None:
                log.warning("a proof is gone from the store and is made again", task=entry.task_id)
                continue
            yield entry
        if self._journal.is_new:
            # Perhaps it was lost, and a proof that is committed to can only be revealed as it was.
            for task_id, digest in self._tasks.by_task():
                path = self._store.find(digest)
                if path is not None:
                    yield ProofMade(task_id, ProofRecord(digest, path.stat().st_size, Usage()))

    async def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Write(entry):
                    await self._write_down(entry)
                    if isinstance(entry, ProofMade):
                        self._proved.append(entry.task_id)
                    self._chronicle.result(entry)
                case FetchFiles() | RunJob() | PackProof() | Prefetch() | Cancel() | Forget():
                    self._jobs.perform(effect)
                case Inquire():
                    self._begin(self._chronicle.inquire(effect))
                case Warn():
                    self._chronicle.warning(effect)
                case _:
                    self._send(effect)

    async def _write_down(self, entry: JournalEntry) -> None:
        """Nothing is sent that isn't on disk: a full one is waited for."""
        while True:
            try:
                await asyncio.to_thread(self._journal.append, entry)
            except JournalFull as error:
                if self._stopping.is_set():
                    raise
                log.warning("what was finished can't be written down; trying again", reason=str(error))
                await asyncio.sleep(_TRY_AGAIN_S)
            else:
                return

    async def _use_key(self, key: PrivateKey) -> None:
        """The operator gave the prover another node key."""
        self._link.use_key(key)
        self._submitter.node = self.node_address = key.address
        await self._queue.put(NodeKeyRotated(key.secret))
        log.info("the node key was rotated", node=key.address)

    def _publish(self, digest: str) -> None:
        self._server.publish(digest)
        self._publishing.add(digest)

    def _withdraw(self, digest: str) -> None:
        self._server.withdraw(digest)
        self._publishing.forget(digest)
        self._store.unkeep(digest)

    def _send(self, entry: Entry) -> None:
        if isinstance(entry, DeclineTask):
            self._chronicle.decline(entry)
        self._metrics.entries.labels(entry.ref.kind.value).inc()
        if isinstance(entry, SubmitProof):
            self._begin(self._submit(entry))
        else:
            self._submitter.add(entry)

    async def _submit(self, entry: SubmitProof) -> None:
        digest = entry.proof.sha256
        await self._publishing.wait(digest, entry.spare_ms)
        self._submitter.add(replace(entry, urls=self._publishing.urls(digest)))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        """What the loop doesn't wait for."""
        task = asyncio.create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def _drain(self) -> None:
        """Once asked to stop: nothing new, and the end as soon as nothing is owed or time is up."""
        await self._stopping.wait()
        tell_manager("STOPPING=1")
        log.info("stopping", unfinished=self._machine.unfinished, at_most_s=self._settings.drain_s)
        await self._queue.put(Draining())
        try:
            async with asyncio.timeout(self._settings.drain_s):
                await self._idle.wait()
                await self._serve_until_judged()
        except TimeoutError:
            left = self._machine.unfinished
            log.warning("stopping although work is unfinished; it goes on at the next start", unfinished=left)
        await self._queue.put(_Stop())
        await asyncio.Event().wait()

    async def _serve_until_judged(self) -> None:
        """Stay until the committees have had this node's last proofs: nobody else may have them."""
        with contextlib.suppress(ClientError):
            for task_id in self._proved:
                while not await self._link.is_settled(task_id):  # noqa: ASYNC110 - the chain must be asked
                    await asyncio.sleep(_ASK_AGAIN_S)

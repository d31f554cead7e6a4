"""The Python SDK: everything that a user of the network does, in one asynchronous client.

async with MillClient("http://127.0.0.1:26657", signer=key) as mill:
    program = await mill.program("groth16")
    task = await mill.run_task(program.id, inputs, time_limit_s=60)
    async for step in mill.watch_task(task.task_id):
        print(step.height, step.name, step.text)
    await mill.fetch_proof(task.task_id, Path("proof"))
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from google.protobuf.message import Message
from proofmill.params.v1.state_pb2 import Params
from proofmill.params.v1.tx_pb2 import MsgUpdateParamsResponse
from proofmill.program.v1.state_pb2 import ProgramSpec
from proofmill.program.v1.tx_pb2 import MsgDeployProgramResponse
from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import Input
from proofmill.task.v1.tx_pb2 import MsgCancelTaskResponse, MsgRunTaskResponse
from proofmill.types.v1.types_pb2 import Resources

from client import messages
from client.blobs import BlobError, Digest, download, fetch_text, http_client
from client.errors import InvalidInput
from client.life import is_final, status_label, task_life
from client.life_money import Payment, payments
from client.life_step import Step
from client.proofs import check_target, unpack_proof
from client.queries import Queries
from client.rpc import DEFAULT_NODE, Rpc
from client.tx import Signer
from client.wallet import TxOutcome, TxPlan, Wallet

LOG_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class RunningTask:
    """A task that is in a block; ``fee`` in ucredit is in escrow."""

    task_id: int
    fee: int
    outcome: TxOutcome


@dataclass(frozen=True)
class CancelledTask:
    """``refund``: ucredit that came back in all; ``payments``: what provers got for the time that they had worked."""

    refund: int
    payments: tuple[Payment, ...]
    outcome: TxOutcome


@dataclass(frozen=True)
class TaskLogs:
    """What a program wrote, cut off by the prover at 1 MiB each."""

    stdout: str
    stderr: str


class MillClient(Queries):
    """A user's client of one node.

    Without ``signer`` it can only ask. ``chain_id`` guards against sending to another chain. ``rpc`` and ``http``
    replace the network.
    """

    def __init__(
        self,
        node: str = DEFAULT_NODE,
        *,
        signer: Signer | None = None,
        chain_id: str | None = None,
        rpc: Rpc | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        super().__init__(rpc or Rpc(node))
        self._http = http
        self._wallet = Wallet(self.rpc, signer, chain_id=chain_id) if signer else None

    async def close(self) -> None:
        if self._http:
            await self._http.aclose()
        await super().close()

    @property
    def http(self) -> httpx.AsyncClient:
        """For files; made when it is first needed."""
        if self._http is None:
            self._http = http_client()
        return self._http

    @property
    def wallet(self) -> Wallet:
        if self._wallet is None:
            raise InvalidInput("this needs a key: none was given to sign with")
        return self._wallet

    @property
    def address(self) -> str:
        """The signer's."""
        return self.wallet.address

    async def plan(self, *messages: Message, memo: str = "") -> TxPlan:
        """Simulates a transaction and prices it, without sending it."""
        return await self.wallet.plan(messages, memo=memo)

    async def submit(self, *messages: Message, memo: str = "") -> TxOutcome:
        """Sends any messages in one transaction and waits until it is in a block."""
        return await self.wallet.send(messages, memo=memo)

    async def send(self, recipient: str, umill: int, *, memo: str = "") -> TxOutcome:
        return await self.submit(messages.send(self.address, recipient, umill), memo=memo)

    async def grant_credits(self, recipient: str, ucredit: int) -> TxOutcome:
        return await self.submit(messages.grant_credits(self.address, recipient, ucredit))

    async def deploy_program(self, spec: ProgramSpec) -> bytes:
        """The new program's id, 32 bytes."""
        outcome = await self.submit(messages.deploy_program(self.address, spec))
        return outcome.response(MsgDeployProgramResponse).program_id

    async def deprecate_program(self, program_id: bytes) -> TxOutcome:
        return await self.submit(messages.deprecate_program(self.address, program_id))

    async def run_message(
        self,
        program_id: bytes,
        inputs: Sequence[Input],
        *,
        resources: Resources | None = None,
        time_limit_s: int,
        redundancy: int = 1,
        max_fee: int | None = None,
        queue_timeout_s: int = messages.DEFAULT_QUEUE_TIMEOUT_S,
    ) -> Message:
        """The run's message; without ``max_fee`` (ucredit) it allows exactly what the run costs now."""
        if max_fee is None:
            estimate = await self.estimate(
                program_id.hex(), time_limit_s=time_limit_s, resources=resources, redundancy=redundancy
            )
            max_fee = estimate.fee
        return messages.run_task(
            self.address,
            program_id,
            inputs,
            resources=resources,
            time_limit_s=time_limit_s,
            redundancy=redundancy,
            max_fee=max_fee,
            queue_timeout_s=queue_timeout_s,
        )

    async def run_task(
        self,
        program_id: bytes,
        inputs: Sequence[Input],
        *,
        resources: Resources | None = None,
        time_limit_s: int,
        redundancy: int = 1,
        max_fee: int | None = None,
        queue_timeout_s: int = messages.DEFAULT_QUEUE_TIMEOUT_S,
    ) -> RunningTask:
        """Asks for a proof, made by ``redundancy`` provers, and returns once the request is in a block."""
        message = await self.run_message(
            program_id,
            inputs,
            resources=resources,
            time_limit_s=time_limit_s,
            redundancy=redundancy,
            max_fee=max_fee,
            queue_timeout_s=queue_timeout_s,
        )
        return started_task(await self.submit(message))

    async def cancel_task(self, task_id: int) -> CancelledTask:
        """Cancels a task of the signer's: free before a prover accepted it, then the elapsed share is the prover's."""
        outcome = await self.submit(messages.cancel_task(self.address, task_id))
        return await self.cancelled_task(task_id, outcome)

    async def cancelled_task(self, task_id: int, outcome: TxOutcome) -> CancelledTask:
        """What became of the fee of a task that was cancelled."""
        refund = outcome.response(MsgCancelTaskResponse).refund
        return CancelledTask(refund, tuple(payments(await self.task(task_id))), outcome)

    async def update_params(self, params: Params) -> int:
        """Replaces the network's parameters, which were made from those of ``params.version``; the new version."""
        outcome = await self.submit(messages.update_params(self.address, params))
        return outcome.response(MsgUpdateParamsResponse).version

    async def watch_task(self, task_id: int, *, patience_s: float | None = 60.0) -> AsyncGenerator[Step, None]:
        """The steps of a task's life, those of the past first, until it has ended; each has height and block time.

        Read anew from the state at every block, so nothing is missed while the node is away for up to ``patience_s``.
        """
        seen: set[Step] = set()
        times: dict[int, int] = {}
        async with aclosing(self.rpc.new_blocks(patience_s=patience_s)) as headers:
            async for header in headers:
                times[header.height] = header.time_ms
                answer = await self.task(task_id)
                for step in task_life(answer):
                    if step not in seen:
                        seen.add(step)
                        yield await self._timed(step, times)
                if is_final(answer):
                    return

    async def task_steps(self, answer: QueryTaskResponse) -> tuple[Step, ...]:
        """A task's steps with the times of their blocks, as far as the node still has those."""
        times: dict[int, int] = {}
        return tuple([await self._timed(step, times) for step in task_life(answer)])

    async def wait_task(self, task_id: int) -> QueryTaskResponse:
        """The task once it has ended, however it did."""
        async for _ in self.watch_task(task_id):
            pass
        return await self.task(task_id)

    async def fetch_proof(self, task_id: int, target: Path) -> tuple[str, ...]:
        """Fetches a task's proof, checks its hash and unpacks it to ``target``; the names of its files."""
        check_target(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as scratch:
            bundle = Path(scratch, "proof.tar")
            await self.fetch_bundle(task_id, bundle)
            return unpack_proof(bundle, target)

    async def fetch_bundle(self, task_id: int, target: Path) -> str:
        """Fetches a task's proof as it is, one tar file; returns the URL that had it."""
        answer = await self.task(task_id)
        progress = answer.task.progress
        if not progress.proof.sha256:
            raise InvalidInput(f"task {task_id} has no proof: it is {status_label(progress.status)}")
        proof = progress.proof
        urls = [*proof.urls, *(f"{base.rstrip('/')}/blobs/{proof.sha256.hex()}" for base in answer.prover_endpoints)]
        return await download(self.http, list(dict.fromkeys(urls)), Digest(proof.sha256, proof.size), target)

    async def task_logs(self, task_id: int) -> TaskLogs:
        """What the program wrote while it ran, from the prover that ran it."""
        answer = await self.task(task_id)
        if not answer.task.progress.prover:
            raise InvalidInput(f"task {task_id} has no logs yet: no prover has it")
        bases = [f"{base.rstrip('/')}/tasks/{task_id}" for base in answer.prover_endpoints]
        try:
            stdout = await fetch_text(self.http, [f"{base}/stdout" for base in bases], LOG_MAX_BYTES)
            stderr = await fetch_text(self.http, [f"{base}/stderr" for base in bases], LOG_MAX_BYTES)
        except BlobError as error:
            raise BlobError(f"the logs of task {task_id} aren't available: {error}") from error
        return TaskLogs(stdout, stderr)

    async def _timed(self, step: Step, times: dict[int, int]) -> Step:
        if step.time_ms or not step.height:
            return step
        if step.height not in times:
            times[step.height] = await self.rpc.block_time_ms(step.height)
        return replace(step, time_ms=times[step.height])


def started_task(outcome: TxOutcome) -> RunningTask:
    """The task that a run's transaction created."""
    response = outcome.response(MsgRunTaskResponse)
    return RunningTask(response.task_id, response.fee, outcome)

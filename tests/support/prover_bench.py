"""What users and deployers do with real prover daemons."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import Message
from proofmill.program.v1.state_pb2 import Image, ProgramSpec
from proofmill.task.v1.state_pb2 import Input
from proofmill.task.v1.tx_pb2 import MsgRunTaskResponse
from proofmill.types.v1.types_pb2 import Resources

from client.messages import run_task
from client.sdk import MillClient
from client.wallet import TxOutcome
from tests.support.docker_registry import DockerRegistry
from tests.support.network import ALICE, DEPLOYER, Key
from tests.support.prover_nodes import ProverNodes

MIB = 1 << 20


@dataclass
class Bench:
    """Daemons, and how a user and a deployer use them."""

    nodes: ProverNodes
    behave: Path
    versions: int = 0

    def send(self, key: Key, message: Message) -> TxOutcome:
        async def work() -> TxOutcome:
            async with MillClient(self.nodes.http.url, signer=key) as client:
                return await client.submit(message)

        return asyncio.run(work())

    def deploy(self, prover: Image, verifier: Image, *, time_limit_s: int = 30) -> bytes:
        self.versions += 1
        spec = ProgramSpec(
            name="program",
            version=str(self.versions),
            prover=prover,
            verifier=verifier,
            default_resources=Resources(cpu_millis=1_000, memory_bytes=256 * MIB),
            max_resources=Resources(cpu_millis=8_000, memory_bytes=1024 * MIB),
            verifier_resources=Resources(cpu_millis=1_000, memory_bytes=128 * MIB),
            verifier_time_limit_s=time_limit_s,
        )

        async def work() -> bytes:
            async with MillClient(self.nodes.http.url, signer=DEPLOYER) as client:
                return await client.deploy_program(spec)

        return asyncio.run(work())

    def image(self, path: Path, *command: str) -> Image:
        data = path.read_bytes()
        url, digest = self.nodes.publish(data)
        return Image(urls=[url], sha256=digest, bytes=len(data), command=command)

    def registry_image(self, registry: DockerRegistry, path: Path, repository: str, *command: str) -> Image:
        pushed = registry.push(path, repository)
        url = f"oci://{registry.address}/{repository}@sha256:{pushed.sha256}"
        return Image(urls=[url], sha256=bytes.fromhex(pushed.sha256), bytes=pushed.size, command=command)

    def behaving(self, *prover: str, verifier: tuple[str, ...] = ("exit", "0")) -> bytes:
        """A program whose containers do as told."""
        return self.deploy(self.image(self.behave, "/behave", *prover), self.image(self.behave, "/behave", *verifier))

    def run(
        self,
        program_id: bytes,
        *inputs: Input,
        time_limit_s: int = 60,
        cpu_millis: int = 1_000,
        redundancy: int = 1,
        queue_timeout_s: int = 600,
    ) -> int:
        message = run_task(
            ALICE.address,
            program_id,
            inputs,
            resources=Resources(cpu_millis=cpu_millis, memory_bytes=256 * MIB),
            time_limit_s=time_limit_s,
            max_fee=10_000_000,
            redundancy=redundancy,
            queue_timeout_s=queue_timeout_s,
        )
        return self.send(ALICE, message).response(MsgRunTaskResponse).task_id

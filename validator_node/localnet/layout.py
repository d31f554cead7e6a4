"""What a localnet consists of, where its files lie and what it listens on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from client.errors import ClientError
from validator_node.home import NodeHome
from validator_node.ports import Ports

DEFAULT_HOME = Path.home() / ".mill" / "localnet"
LOOPBACK = "127.0.0.1"
# Names of the funded keys.
USERS = ("authority", "deployer", "alice", "bob")
# So many nodes fit before the ports of the last validator meet those of something else.
MAX_VALIDATORS = 20
MAX_PROVERS = 99

_BLOB_PORT = 8600
_PROVER_PORT = 8700


class LocalnetError(ClientError):
    """The localnet can't do what was asked; the message says why and what to do."""


@dataclass(frozen=True)
class Plan:
    """How many nodes of which chain, and what is added to all ports."""

    chain_id: str
    validators: int
    provers: int
    port_offset: int
    # What the provers run containers with: auto, docker or sandbox.
    runner: str
    # Id of the program that capacity tests run, hexadecimal; empty: there are no tests.
    capacity_program: str = ""

    def validator_ports(self, index: int) -> Ports:
        """What the index-th validator, from 0, listens on."""
        return Ports.of(index, self.port_offset)

    def prover_port(self, index: int) -> int:
        """Where the index-th prover, from 0, serves its proofs."""
        return _PROVER_PORT + index + self.port_offset

    @property
    def blob_port(self) -> int:
        """Where the blob server listens."""
        return _BLOB_PORT + self.port_offset

    def rpc_url(self, index: int) -> str:
        """The index-th validator's CometBFT RPC."""
        return f"http://{LOOPBACK}:{self.validator_ports(index).rpc}"

    def prover_url(self, index: int) -> str:
        """The index-th prover's base URL."""
        return f"http://{LOOPBACK}:{self.prover_port(index)}"

    @property
    def blob_url(self) -> str:
        """The blob server's base URL."""
        return f"http://{LOOPBACK}:{self.blob_port}"

    def all_ports(self) -> list[int]:
        """Every port that must be free."""
        ports = [self.blob_port, *(self.prover_port(index) for index in range(self.provers))]
        for index in range(self.validators):
            ports += asdict(self.validator_ports(index)).values()
        return ports


@dataclass(frozen=True)
class Layout:
    """The paths below a localnet's home."""

    root: Path

    @property
    def plan_file(self) -> Path:
        return self.root / "localnet.json"

    @property
    def user(self) -> Path:
        """A home for `mill --home`, with the keys of all funded accounts."""
        return self.root / "user"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def records(self) -> Path:
        """Which processes run; see validator_node.processes."""
        return self.root / "run"

    def validator(self, index: int) -> NodeHome:
        """The index-th validator's home."""
        return NodeHome(self.root / "validators" / f"validator{index}")

    def prover(self, index: int) -> Path:
        """The index-th prover's home."""
        return self.root / "provers" / f"prover{index}"

    def log(self, name: str) -> Path:
        """Where a process's output goes."""
        return self.logs / f"{name}.log"

    def record(self, name: str) -> Path:
        """Which process runs under a name."""
        return self.records / f"{name}.pid"

    def save_plan(self, plan: Plan) -> None:
        """Remember the plan: it marks the home as complete."""
        self.plan_file.write_text(json.dumps(asdict(plan), indent=1) + "\n")

    def load_plan(self) -> Plan | None:
        """The plan of the localnet in this home, None if there is none. Raises LocalnetError if it can't be read."""
        if not self.plan_file.exists():
            return None
        try:
            return Plan(**json.loads(self.plan_file.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise LocalnetError(
                f"{self.plan_file} can't be read ({error}): delete {self.root} and start anew"
            ) from error

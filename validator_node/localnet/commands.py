"""The command lines of a localnet's processes: the same that anyone would type."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from proofmill.types.v1.types_pb2 import Resources

from validator_node.localnet.layout import LOOPBACK, Layout, LocalnetError, Plan


@dataclass(frozen=True)
class Service:
    """One process. `health` answers with HTTP status 200 once it is ready; for a validator it is the RPC's URL."""

    name: str
    command: tuple[str, ...]
    health: str


def services(layout: Layout, plan: Plan) -> list[Service]:
    """All processes, in the order in which they are started."""
    blobs = (sys.executable, "-m", "validator_node.localnet.blob_server", "--folder", str(layout.blobs))
    return [
        Service("blobs", (*blobs, "--port", str(plan.blob_port)), f"{plan.blob_url}/health"),
        *(
            Service(
                f"validator{index}",
                (_mill(), "node", "start", "--home", str(layout.validator(index).root)),
                f"{plan.rpc_url(index)}/health",
            )
            for index in range(plan.validators)
        ),
        *(prover_service(layout, plan, index) for index in range(plan.provers)),
    ]


def prover_service(layout: Layout, plan: Plan, index: int) -> Service:
    """The index-th prover's daemon."""
    command = (_mill(), "prover", "start", "--home", str(layout.prover(index)))
    return Service(f"prover{index}", command, f"{plan.prover_url(index)}/health")


def prover_init_command(layout: Layout, plan: Plan, index: int, operator: str, resources: Resources) -> list[str]:
    """`mill prover init` for the index-th prover."""
    # Each prover asks another validator first, and all of them if that one is away.
    order = [(index + shift) % plan.validators for shift in range(plan.validators)]
    command = [_mill(), "prover", "init", "--home", str(layout.prover(index))]
    command += ["--chain-id", plan.chain_id, "--operator", operator]
    for validator in order:
        command += ["--node", plan.rpc_url(validator)]
    command += ["--listen", f"{LOOPBACK}:{plan.prover_port(index)}", "--endpoint", plan.prover_url(index)]
    command += ["--cpu", f"{resources.cpu_millis}m", "--memory", f"{resources.memory_bytes >> 20}MiB"]
    # All addresses are on loopback; and whoever starts a localnet runs programs of their own choice in it.
    # And whoever stops it wants nothing to go on.
    command += ["--no-leave-running"]
    return [*command, "--runner", plan.runner, "--allow-private-urls", "--allow-unenforced"]


def prover_register_command(layout: Layout, plan: Plan, index: int, bond_umill: int) -> list[str]:
    """`mill prover register` for the index-th prover, whose operator's key is among the users'."""
    command = [_mill(), "prover", "register", "--home", str(layout.prover(index))]
    command += ["--keys-home", str(layout.user), "--node", plan.rpc_url(index % plan.validators)]
    return [*command, "--bond", f"{bond_umill}umill", "--region", "local"]


def _mill() -> str:
    """This installation's own `mill`."""
    beside = Path(sys.executable).with_name("mill")
    program = str(beside) if beside.is_file() else shutil.which("mill")
    if program is None:
        raise LocalnetError("the command mill isn't installed; run `make setup`")
    return program

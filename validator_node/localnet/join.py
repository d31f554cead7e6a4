"""One more prover for a localnet that runs: it registers as any other would, with money of the authority's."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace

from proofmill.types.v1.types_pb2 import Resources

from client.keys.files import read_key_file
from client.keys.keystore import KeyStore
from client.messages import send
from client.sdk import MillClient
from validator_node.localnet.commands import prover_init_command, prover_register_command, prover_service
from validator_node.localnet.create import BOND_UMILL, NODE_UMILL, new_key, require_done, run_quietly
from validator_node.localnet.launch import require_free_ports, running_processes, start_services, stop_all
from validator_node.localnet.layout import MAX_PROVERS, Layout, LocalnetError, Plan


@dataclass(frozen=True)
class Joined:
    """The new prover: its name among the processes and keys, and the addresses of its two keys."""

    name: str
    operator: str
    node: str
    # Whether the chain has a capacity program, by genesis or by a change of parameters since.
    tested: bool


def add_prover(layout: Layout, plan: Plan, claim: Resources, report: Callable[[str], None]) -> Joined:
    """Make, start, fund and register a prover that claims `claim`, and remember it in the plan.

    Raises LocalnetError; what was started is stopped then, and its home deleted. Its operator's key stays.
    """
    index = plan.provers
    if index == MAX_PROVERS:
        raise LocalnetError(f"a localnet has at most {MAX_PROVERS} provers")
    if "validator0" not in running_processes(layout):
        raise LocalnetError(f"the network isn't running: start it with mill localnet start --home {layout.root}")
    grown = replace(plan, provers=index + 1)
    require_free_ports(grown, [grown.prover_port(index)])
    keys, name = KeyStore(layout.user / "keys"), f"prover{index}"
    known = {key.name: key.address for key in keys.list()}
    # Left over from an attempt that failed.
    operator = known.get(name) or new_key(keys, name)
    shutil.rmtree(layout.prover(index), ignore_errors=True)
    try:
        require_done(
            run_quietly(prover_init_command(layout, grown, index, operator, claim)),
            f"the home of {name} can't be made",
        )
        node = read_key_file(layout.prover(index) / "key").address
        tested = asyncio.run(_fund(layout, plan, operator, node))
        report(f"Funded {name}; starting its daemon.")
        # Its test may begin in the block after it is registered: the daemon has to be there by then.
        start_services(layout, grown, [prover_service(layout, grown, index)])
        require_done(run_quietly(prover_register_command(layout, grown, index, BOND_UMILL)), f"{name} can't register")
    except BaseException:
        stop_all(layout, [name])
        shutil.rmtree(layout.prover(index), ignore_errors=True)
        raise
    layout.save_plan(grown)
    return Joined(name, operator, node, tested)


async def _fund(layout: Layout, plan: Plan, operator: str, node: str) -> bool:
    """Send both keys what they need; whether the chain tests who joins."""

    def no_passphrase(_: object) -> str:
        raise LocalnetError("the key authority of this localnet is encrypted, so it can't fund a prover")

    signer = KeyStore(layout.user / "keys").unlock("authority", no_passphrase)
    async with MillClient(plan.rpc_url(0), signer=signer, chain_id=plan.chain_id) as client:
        funds = [
            send(client.address, operator, BOND_UMILL + NODE_UMILL),
            send(client.address, node, NODE_UMILL),
        ]
        await client.wallet.send(funds)
        return bool((await client.params()).capacity_program)

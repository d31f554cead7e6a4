"""What a running node says of itself, for `mill node status`."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from importlib import metadata

from client.rpc import Rpc


@dataclass(frozen=True)
class StatusReport:
    """A running node at one moment. app_hash: of the state after `height`."""

    chain_id: str
    moniker: str
    node_id: str
    height: int
    block_time: str
    app_hash: str
    catching_up: bool
    peers: int
    mempool: int
    voting_power: int
    comet: str
    application: str
    client: str


async def fetch_status(url: str) -> StatusReport:
    """Ask a node's RPC. Raises ClientError if it can't be reached."""
    async with Rpc(url) as rpc:
        status, network, mempool, info = await asyncio.gather(
            rpc.call("status"), rpc.call("net_info"), rpc.call("num_unconfirmed_txs"), rpc.call("abci_info")
        )
    sync, node, application = status["sync_info"], status["node_info"], info["response"]
    return StatusReport(
        chain_id=node["network"],
        moniker=node["moniker"],
        node_id=node["id"],
        height=int(sync["latest_block_height"]),
        block_time=sync["latest_block_time"],
        app_hash=_hex_of(application.get("last_block_app_hash") or ""),
        catching_up=bool(sync["catching_up"]),
        peers=int(network["n_peers"]),
        mempool=int(mempool["n_txs"]),
        voting_power=int(status["validator_info"]["voting_power"]),
        comet=node["version"],
        application=application.get("version") or "",
        client=metadata.version("proofmill"),
    )


def _hex_of(encoded: str) -> str:
    return base64.b64decode(encoded).hex()

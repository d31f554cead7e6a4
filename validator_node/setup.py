"""Makes a validator node's home: keys, configuration, genesis."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from validator_node.comet import Comet
from validator_node.home import HomeError, NodeHome
from validator_node.ports import Ports
from validator_node.settings import Settings
from validator_node.toml_edit import Value, set_values

_MAX_TX_BYTES = 1 << 20
_LOOPBACK = "127.0.0.1"
_EVERYWHERE = "0.0.0.0"  # noqa: S104  (peers have to reach a validator)


def make_home(comet: Comet, home: NodeHome, moniker: str, ports: Ports, *, p2p_host: str = "") -> None:
    """Keys and configuration of a new node whose queries are served on loopback. Raises HomeError if there is one.

    Peers are listened to at p2p_host, by default at all of the machine's addresses.
    """
    if home.config.exists() or home.app_db.exists() or home.data.exists():
        raise HomeError(f"{home.root} holds a node already; choose another --home, or delete it")
    home.root.mkdir(parents=True, exist_ok=True)
    comet.init(home.root)
    home.logs.mkdir(exist_ok=True)
    configure_comet(
        home,
        {
            "moniker": moniker,
            "rpc.laddr": f"tcp://{_LOOPBACK}:{ports.rpc}",
            # A transaction of the largest size, in base64, and room.
            "rpc.max_body_bytes": 2 * _MAX_TX_BYTES,
            "p2p.laddr": f"tcp://{p2p_host or _EVERYWHERE}:{ports.p2p}",
            # Blocks of 4 MiB have to reach everyone well within a second.
            "p2p.send_rate": 51_200_000,
            "p2p.recv_rate": 51_200_000,
            "mempool.max_tx_bytes": _MAX_TX_BYTES,
            "mempool.size": 50_000,
            "mempool.cache_size": 200_000,
            # A full mempool takes the application longer than the default second to look through again.
            "mempool.recheck_timeout": "10s",
            # Together a block a second: the pause after a commit, and a round of votes that isn't held up by gossip.
            "consensus.timeout_commit": "950ms",
            "consensus.peer_gossip_sleep_duration": "10ms",
        },
    )
    settings = Settings(
        grpc_address=f"{_LOOPBACK}:{ports.grpc}",
        rest_address=f"{_LOOPBACK}:{ports.rest}",
        metrics_address=f"{_LOOPBACK}:{ports.metrics}",
    )
    home.settings.write_text(settings.dump())


def configure_comet(home: NodeHome, values: dict[str, Value]) -> None:
    """Change keys of CometBFT's config.toml."""
    home.comet_config.write_text(set_values(home.comet_config.read_text(), values))


def connect_peers(home: NodeHome, peers: Sequence[str], *, same_machine: bool = False) -> None:
    """Let a node keep connections to id@host:port; on one machine several may share an address."""
    values: dict[str, Value] = {"p2p.persistent_peers": ",".join(peers)}
    if same_machine:
        values |= {"p2p.addr_book_strict": False, "p2p.allow_duplicate_ip": True, "p2p.pex": False}
    configure_comet(home, values)


def rpc_url(config: Path) -> str:
    """Where the CometBFT that a config.toml describes answers RPC calls from this machine."""
    address = str(tomllib.loads(config.read_text())["rpc"]["laddr"]).removeprefix("tcp://")
    host, _, port = address.rpartition(":")
    return f"http://{_LOOPBACK if host in {'', _EVERYWHERE, '[::]'} else host}:{port}"

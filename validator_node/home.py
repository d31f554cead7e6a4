"""Where a validator node keeps its files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.errors import ClientError

DEFAULT_HOME = Path.home() / ".mill" / "node"


class HomeError(ClientError):
    """A node's home is missing, incomplete or in the way; the message says what to do."""


@dataclass(frozen=True)
class NodeHome:
    """The paths below one node's home directory; CometBFT's own files lie where CometBFT expects them."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def app_db(self) -> Path:
        return self.root / "app.db"

    @property
    def comet_config(self) -> Path:
        return self.config / "config.toml"

    @property
    def settings(self) -> Path:
        return self.config / "app.toml"

    @property
    def genesis(self) -> Path:
        return self.config / "genesis.json"

    @property
    def validator_key(self) -> Path:
        return self.config / "priv_validator_key.json"

    @property
    def comet_record(self) -> Path:
        """Which CometBFT process serves this home; see validator_node.processes."""
        return self.data / "cometbft.pid"

    def require_initialized(self) -> None:
        """Raise HomeError unless `mill node init` was run here."""
        for path in (self.comet_config, self.settings, self.genesis, self.validator_key):
            if not path.is_file():
                raise HomeError(f"{path} doesn't exist; make this home with `mill node init --home {self.root}`")

    def read_genesis(self) -> dict[str, Any]:
        """The whole genesis file, decoded; HomeError if it can't be."""
        try:
            document = json.loads(self.genesis.read_bytes())
        except (OSError, ValueError) as error:
            raise HomeError(f"can't read the genesis file {self.genesis}: {error}") from error
        if not isinstance(document, dict) or not isinstance(document.get("chain_id"), str):
            raise HomeError(f"{self.genesis} isn't a genesis file: it names no chain_id")
        return document

"""The node's own settings, `config/app.toml`; CometBFT's are beside them in `config/config.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, cast

from client.errors import ClientError

TEMPLATE = """\
# Settings of the application. CometBFT's own are in config.toml.

# Old versions of the state that queries may still name by height; the newest is always there.
retain_blocks = {retain_blocks}

# How many verified signatures to remember between the mempool and the block.
signature_cache = {signature_cache}

# "console" for people, "json" for machines; logs go to standard error and to logs/node.log.
log_format = "{log_format}"
log_level = "{log_level}"

# Where queries are served. An empty address turns a server off.
grpc_address = "{grpc_address}"
rest_address = "{rest_address}"

# Prometheus metrics, at /metrics.
metrics_address = "{metrics_address}"
"""

LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingsError(ClientError):
    """A settings file can't be used; the message names the file, the key and what is wrong."""


@dataclass(frozen=True)
class Settings:
    """All keys of app.toml with their defaults; addresses are host:port."""

    retain_blocks: int = 1_000
    signature_cache: int = 100_000
    log_format: Literal["console", "json"] = "json"
    log_level: str = "info"
    grpc_address: str = "127.0.0.1:9090"
    rest_address: str = "127.0.0.1:1317"
    metrics_address: str = "127.0.0.1:26660"

    def dump(self) -> str:
        """The settings as a commented app.toml."""
        return TEMPLATE.format(**{field.name: getattr(self, field.name) for field in fields(self)})


def load_settings(path: Path) -> Settings:
    """Read app.toml; keys that it leaves out have their defaults. Raises SettingsError."""
    try:
        given = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"can't read the settings {path}: {error}") from error
    defaults = Settings()
    for key, value in given.items():
        default = getattr(defaults, key, None)
        if default is None:
            known = ", ".join(field.name for field in fields(Settings))
            raise SettingsError(f"{path} sets {key!r}, which isn't a setting; these are: {known}")
        if type(value) is not type(default):
            raise SettingsError(f"{path}: {key} must be a {type(default).__name__}, not {value!r}")
    settings = Settings(**given)
    _check(path, settings)
    return settings


def _check(path: Path, settings: Settings) -> None:
    if settings.retain_blocks < 1:
        raise SettingsError(f"{path}: retain_blocks must be at least 1, not {settings.retain_blocks}")
    if settings.signature_cache < 0:
        raise SettingsError(f"{path}: signature_cache can't be negative")
    if cast(str, settings.log_format) not in {"console", "json"}:
        raise SettingsError(f'{path}: log_format must be "console" or "json", not "{settings.log_format}"')
    if settings.log_level not in LOG_LEVELS:
        raise SettingsError(f"{path}: log_level must be one of {', '.join(LOG_LEVELS)}, not {settings.log_level!r}")
    for key in ("grpc_address", "rest_address", "metrics_address"):
        address = getattr(settings, key)
        if address:
            try:
                split_address(address)
            except ValueError as error:
                raise SettingsError(f"{path}: {key}: {error}") from None


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port"; ValueError says what is wrong."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 <= int(port) <= 65_535:
        raise ValueError(f"{address!r} isn't host:port")
    return host, int(port)

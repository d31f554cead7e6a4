"""The node's configuration: ``config.toml`` in its home, read strictly."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from chain.address import AddressError, decode_address
from client.errors import ClientError
from client.rpc import check_url
from prover_node.runner.image_store import IMAGE_BYTES

CONFIG_NAME = "config.toml"


class SettingsError(ClientError):
    """The configuration can't be used; the message names the file, the setting and what is wrong."""


@dataclass(frozen=True, kw_only=True)
class ChainSettings:
    """Which chain, which prover on it, and which nodes to ask, the first that answers first."""

    id: str
    operator: str
    nodes: list[str]


@dataclass(frozen=True, kw_only=True)
class HttpSettings:
    """``listen`` is ``host:port``; ``endpoints`` are the base URLs under which others reach it.

    ``metrics_listen`` is where metrics are served, and nowhere else; empty: beside the proofs.
    """

    listen: str
    endpoints: list[str]
    metrics_listen: str = ""


@dataclass(frozen=True, kw_only=True)
class ResourceSettings:
    """What may be proved with at once; ``parallel_verifiers`` run beside it."""

    cpu_millis: int
    memory_bytes: int
    gpus: int
    parallel_verifiers: int = 2


@dataclass(frozen=True, kw_only=True)
class RunnerSettings:
    """``kind`` is auto, docker or sandbox; ``allow_unenforced`` accepts a runner that can't enforce everything.

    Unpacked images take ``image_bytes`` at most; those not used for longest go first. Containers that a stopping
    node still owes go on for its next process, where the runner can do that, unless ``leave_running`` is false.
    """

    kind: str = "auto"
    allow_unenforced: bool = False
    image_bytes: int = IMAGE_BYTES
    leave_running: bool = True


@dataclass(frozen=True, kw_only=True)
class FetchSettings:
    """``allow_private_urls`` only where all of a network is one's own.

    ``patience_s`` is how long servers that don't answer are asked for a task's files before it is reported as failed.
    """

    allow_private_urls: bool = False
    patience_s: int = 20


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """``max_bytes`` bounds the cache; own proofs are served for ``keep_proofs_days``, and as long as tasks are open.

    ``reserve_bytes`` of the disk stay free for what is made here: where they aren't, offers are declined.
    """

    max_bytes: int = 64 << 30
    reserve_bytes: int = 1 << 30
    keep_proofs_days: int = 7


@dataclass(frozen=True, kw_only=True)
class PublishSettings:
    """Where proofs are copied to, for others to fetch them from; nowhere if ``push_url`` is empty.

    ``push_url`` is a folder's fsspec URL, such as ``s3://bucket/proofs``, and ``public_url`` the http or https URL of
    the same folder. ``options_file`` is a TOML file, mode 0600, with the file system's options, credentials among
    them; relative to the home. A proof's submission waits for its copy for ``wait_ms`` at most.
    """

    push_url: str = ""
    public_url: str = ""
    options_file: str = ""
    wait_ms: int = 1000

    def __post_init__(self) -> None:
        if bool(self.push_url) != bool(self.public_url):
            raise SettingsError("publish.push_url and publish.public_url go together: set both, or neither")
        if self.push_url:
            try:
                parts = urlsplit(self.push_url)
                userinfo = parts.password or parts.query
            except ValueError as error:
                raise SettingsError(f"publish.push_url is not a URL: {error}") from error
            if not parts.scheme or "::" in self.push_url:
                raise SettingsError("publish.push_url must be a URL such as s3://bucket/proofs")
            if userinfo or (parts.username and parts.scheme in ("http", "https", "s3")):
                raise SettingsError(
                    "publish.push_url holds credentials: put them in the environment or in publish.options_file"
                )
            check_url(self.public_url)
            # The chain would refuse every proof that names it.
            if len(self.public_url) > 1900 or re.fullmatch(r"[!-~]+", self.public_url) is None:
                raise SettingsError("publish.public_url must be at most 1900 characters of printable ASCII")
        if not 0 <= self.wait_ms <= 10_000:
            raise SettingsError(f"publish.wait_ms must be 0 to 10000, not {self.wait_ms}")


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """``trust_learned_times`` accepts what fits only if programs take no longer than usual.

    That is worth it where users set limits that are far from what their programs take. A wrong guess costs the task
    that was accepted by it its deadline, with all that follows for the bond, but none of those accepted before.
    """

    trust_learned_times: bool = False


@dataclass(frozen=True, kw_only=True)
class ClockSettings:
    """The daemon doesn't start while this machine's clock is ``refuse_s`` away from the chain's; 0 never."""

    refuse_s: int = 60


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """``format`` is console or json."""

    format: str = "console"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that an operator decides."""

    chain: ChainSettings
    http: HttpSettings
    resources: ResourceSettings
    runner: RunnerSettings = field(default_factory=RunnerSettings)
    fetch: FetchSettings = field(default_factory=FetchSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    publish: PublishSettings = field(default_factory=PublishSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    clock: ClockSettings = field(default_factory=ClockSettings)
    log: LogSettings = field(default_factory=LogSettings)
    drain_s: int = 30
    """How long a stopping node still works on what it owes."""
    auto_retest: bool = False
    """Whether the node asks by itself for the capacity test that ends a jail or a failed joining."""

    def __post_init__(self) -> None:
        if not self.chain.id:
            raise SettingsError("chain.id is empty: name the chain that the prover works for")
        try:
            decode_address(self.chain.operator)
        except AddressError as error:
            raise SettingsError(f"chain.operator: {error}") from error
        if not self.chain.nodes:
            raise SettingsError("chain.nodes is empty: name at least one node's RPC URL")
        for url in (*self.chain.nodes, *self.http.endpoints):
            check_url(url)
        self.listen_address()
        self.metrics_address()
        self._one_of("runner.kind", self.runner.kind, ("auto", "docker", "sandbox"))
        self._one_of("log.format", self.log.format, ("console", "json"))
        for name, value, least in (
            ("resources.cpu_millis", self.resources.cpu_millis, 1),
            ("resources.memory_bytes", self.resources.memory_bytes, 1),
            ("resources.gpus", self.resources.gpus, 0),
            ("resources.parallel_verifiers", self.resources.parallel_verifiers, 1),
            ("runner.image_bytes", self.runner.image_bytes, 1),
            ("fetch.patience_s", self.fetch.patience_s, 0),
            ("store.max_bytes", self.store.max_bytes, 1),
            ("store.reserve_bytes", self.store.reserve_bytes, 0),
            ("store.keep_proofs_days", self.store.keep_proofs_days, 1),
            ("clock.refuse_s", self.clock.refuse_s, 0),
            ("drain_s", self.drain_s, 0),
        ):
            if value < least:
                raise SettingsError(f"{name} must be at least {least}, not {value}")

    def listen_address(self) -> tuple[str, int]:
        """``http.listen`` as host and port."""
        return _address("http.listen", self.http.listen)

    def metrics_address(self) -> tuple[str, int] | None:
        """``http.metrics_listen`` as host and port, if it is set."""
        return _address("http.metrics_listen", self.http.metrics_listen) if self.http.metrics_listen else None

    @staticmethod
    def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
        if value not in allowed:
            raise SettingsError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def _address(name: str, text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.path:
        raise SettingsError(f"{name} must be host:port such as 127.0.0.1:8700, not {text!r}")
    return host, port


def load_settings(path: Path) -> Settings:
    """Read ``path``; raises SettingsError, naming it, for anything unknown, missing or unusable."""
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise SettingsError(f"{path} does not exist: make a prover's home with mill prover init") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} can't be read: {error}") from error
    try:
        settings: Settings = _build(Settings, content, "")
    except ClientError as error:
        raise SettingsError(f"{path}: {error}") from error
    return settings


def dump_settings(settings: Settings) -> str:
    """The TOML text that :func:`load_settings` reads back as ``settings``."""
    values = dataclasses.asdict(settings)
    lines = [f"{name} = {_toml(value)}" for name, value in values.items() if not isinstance(value, dict)]
    for table, content in values.items():
        if isinstance(content, dict):
            lines += ["", f"[{table}]", *(f"{name} = {_toml(value)}" for name, value in content.items())]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    # A JSON string, number, truth value or list of strings is written the same in TOML.
    return json.dumps(value, ensure_ascii=False)


def _build(kind: type[Any], content: Mapping[str, Any], prefix: str) -> Any:
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, value in content.items():
        if name not in hints:
            raise SettingsError(f"there is no setting {prefix}{name}: remove it, or check its spelling")
        values[name] = _checked(hints[name], value, prefix + name)
    for one in dataclasses.fields(kind):
        required = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        if required and one.name not in values:
            raise SettingsError(f"the setting {prefix}{one.name} is missing")
    return kind(**values)


def _checked(hint: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise SettingsError(f"{name} must be a table of settings")
        return _build(hint, value, f"{name}.")
    if hint == list[str]:
        fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
    else:
        fits = type(value) is hint  # a TOML true is no integer
    if not fits:
        wanted = {int: "a whole number", bool: "true or false", str: "a text in quotes"}.get(hint, "a list of texts")
        raise SettingsError(f"{name} must be {wanted}")
    return value

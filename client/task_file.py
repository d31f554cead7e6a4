"""task.yaml: a run's whole description in one file.

program: groth16@1.0.0
inputs:
  - name: public.json
    file: public.json        # relative to task.yaml; or url:, with sha256: and size: if they are known
    audience: both           # prover, verifier or both
resources: {cpu: 2, memory: 1GiB, gpus: 0}
time_limit: 60s
redundancy: 1              # so many provers do it, 1 to 5; each costs the price
queue_timeout: 10m
max_fee: 0.5credits
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from proofmill.types.v1.types_pb2 import Resources

from chain.amount import UCREDIT, AmountError, parse_amount
from client.errors import InvalidInput
from client.inputs import AUDIENCES, InputSpec
from client.program.yaml_node import YamlNode
from client.quantity import QuantityError, parse_cpu, parse_duration, parse_memory

REDUNDANCY_MAX = 5
_BYTES_MAX = 1 << 50
T = TypeVar("T")


@dataclass(frozen=True)
class TaskRequest:
    """A run as the user describes it; None: the default applies. ``max_fee`` in ucredit."""

    program: str | None = None
    inputs: tuple[InputSpec, ...] = ()
    resources: Resources | None = None
    time_limit_s: int | None = None
    redundancy: int | None = None
    queue_timeout_s: int | None = None
    max_fee: int | None = None


def load_task_file(path: Path) -> TaskRequest:
    """Raises :class:`client.errors.ClientError`, with file, line and key."""
    if not path.is_file():
        raise InvalidInput(f"there is no file {path}")
    root = YamlNode.load(path)
    fields = root.fields(("program",), ("inputs", "resources", "time_limit", "redundancy", "queue_timeout", "max_fee"))
    inputs = [_input(node, path.parent) for node in fields["inputs"].sequence()] if "inputs" in fields else []
    return TaskRequest(
        program=fields["program"].text(),
        inputs=tuple(inputs),
        resources=_resources(fields["resources"]) if "resources" in fields else None,
        time_limit_s=_read(fields.get("time_limit"), parse_duration),
        redundancy=fields["redundancy"].integer(1, REDUNDANCY_MAX) if "redundancy" in fields else None,
        queue_timeout_s=_read(fields.get("queue_timeout"), parse_duration),
        max_fee=_read(fields.get("max_fee"), _ucredit),
    )


def _input(node: YamlNode, folder: Path) -> InputSpec:
    fields = node.fields(("name",), ("file", "url", "sha256", "size", "audience"))
    if ("file" in fields) == ("url" in fields):
        node.fail("must have either file or url")
    if "file" in fields and ("sha256" in fields or "size" in fields):
        node.fail("states sha256 and size only for a url")
    audience = fields["audience"].text() if "audience" in fields else "both"
    if audience not in AUDIENCES:
        fields["audience"].fail(f"must be one of {', '.join(AUDIENCES)}, not {audience!r}")
    sha256 = fields["sha256"].matching("[0-9a-f]{64}", "64 lower-case hexadecimal digits") if "sha256" in fields else ""
    return InputSpec(
        name=fields["name"].text(),
        audience=audience,
        file=folder / fields["file"].text() if "file" in fields else None,
        url=fields["url"].text() if "url" in fields else None,
        sha256=bytes.fromhex(sha256) or None,
        size=fields["size"].integer(0, _BYTES_MAX) if "size" in fields else None,
    )


def _resources(node: YamlNode) -> Resources:
    fields = node.fields(("cpu", "memory"), ("gpus",))
    return Resources(
        cpu_millis=_read(fields["cpu"], parse_cpu),
        memory_bytes=_read(fields["memory"], parse_memory),
        gpus=fields["gpus"].integer(0, 1024) if "gpus" in fields else 0,
    )


def _read(node: YamlNode | None, parse: Callable[[str], T]) -> T | None:
    if node is None:
        return None
    try:
        return parse(node.text())
    except (QuantityError, AmountError) as error:
        node.fail(str(error))


def _ucredit(text: str) -> int:
    amount, denom = parse_amount(text)
    if denom != UCREDIT:
        raise AmountError(f"{text!r} is in {denom}, but fees are paid in credits")
    return amount

"""program.json: a built program as `mill program deploy` and `mill local-run` take it up."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from client.program.errors import BuildError
from client.program.manifest import Resources

DESCRIPTION_FILE = "program.json"
_FORMAT = "proofmill.program/1"


@dataclass(frozen=True)
class BuiltImage:
    file: str
    """Name of the archive, beside program.json."""
    sha256: str
    """Of the archive, hexadecimal."""
    bytes: int
    image_id: str
    command: tuple[str, ...]
    """The whole argument vector."""


@dataclass(frozen=True)
class BuiltAsset:
    name: str
    audience: str
    """`prover`, `verifier` or `both`."""
    sha256: str
    bytes: int
    urls: tuple[str, ...]
    """Where it is published already; empty if the build made it."""
    file: str
    """Its path beside program.json if the build made it, else empty."""


@dataclass(frozen=True)
class BuiltProgram:
    """Everything that a deploy states but URLs, which whoever publishes the files decides."""

    name: str
    version: str
    description: str
    architecture: str
    parameters: dict[str, str]
    prover: BuiltImage
    verifier: BuiltImage
    default_resources: Resources
    max_resources: Resources
    verifier_resources: Resources
    verifier_time_limit_s: int
    assets: tuple[BuiltAsset, ...]

    def files(self) -> dict[str, tuple[str, int]]:
        """The files beside program.json: name to (sha256 in hexadecimal, size in bytes)."""
        images = {image.file: (image.sha256, image.bytes) for image in (self.prover, self.verifier)}
        return images | {asset.file: (asset.sha256, asset.bytes) for asset in self.assets if asset.file}

    def write(self, directory: Path) -> None:
        """Write program.json into `directory`."""
        text = json.dumps({"format": _FORMAT} | asdict(self), indent=2) + "\n"
        (directory / DESCRIPTION_FILE).write_text(text, encoding="utf-8")


def read_program(directory: Path) -> BuiltProgram:
    """Read `directory`/program.json and check that the files beside it are the ones it names.

    Raises BuildError if anything is missing, malformed or changed.
    """
    path = directory / DESCRIPTION_FILE
    try:
        program = _parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BuildError(f"{path} does not exist: run `mill program build` first") from None
    except OSError as error:
        raise BuildError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise BuildError(f"{path} is not a {_FORMAT} description: build the program again") from error
    for name, (sha256, size) in program.files().items():
        file = directory / name
        if not file.is_file() or file.stat().st_size != size or file_sha256(file) != sha256:
            raise BuildError(f"{file} is missing or is not the file that {path.name} names: build the program again")
    return program


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parse(raw: dict[str, Any]) -> BuiltProgram:
    fields = dict(raw)
    if fields.pop("format") != _FORMAT:
        raise ValueError("another format")
    for key in ("prover", "verifier"):
        fields[key] = BuiltImage(**(fields[key] | {"command": tuple(fields[key]["command"])}))
    for key in ("default_resources", "max_resources", "verifier_resources"):
        fields[key] = Resources(**fields[key])
    fields["assets"] = tuple(BuiltAsset(**(asset | {"urls": tuple(asset["urls"])})) for asset in fields["assets"])
    return BuiltProgram(**fields)

"""program.yaml: what a program is made of and how its two images are built.

The format is described key by key in programs/README.md; programs/groth16/program.yaml is an example.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chain.fields import CPU_MILLIS_MAX, GPUS_MAX, MEMORY_BYTES_MAX, URLS_MAX
from chain.program.handlers import ARGUMENT_BYTES_MAX, ASSETS_MAX, COMMAND_MAX
from client.program.errors import ManifestError
from client.program.recipe import BUILD_FOLDER, Recipe, read_recipe
from client.program.yaml_node import YamlNode

MANIFEST_FILE = "program.yaml"

ARCHITECTURES = ("amd64", "arm64")
AUDIENCES = ("prover", "verifier", "both")
# Mounted by the runner (protocol §4), so nothing that an image puts there would be seen.
RESERVED_DIRECTORIES = ("/dev", "/mnt", "/proc", "/sys", "/tmp")  # noqa: S108  paths inside the image

_NAME = (
    r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}",
    "1 to 128 letters, digits, '.', '_' and '-', starting with a letter, digit or '_'",
)
_PARAMETER = (r"[a-z][a-z0-9_]{0,31}", "a lower-case word")
_MEMORY = (r"[0-9]{1,6}[KMGT]iB|[0-9]{1,15}", "bytes, or a whole number of KiB, MiB, GiB or TiB")
_SHA256 = (r"[0-9a-f]{64}", "64 lower-case hexadecimal digits")
_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


@dataclass(frozen=True)
class Parameter:
    """One choice that the author leaves to whoever builds, set with `--set name=value`."""

    name: str
    default: str
    minimum: int | None
    maximum: int | None
    choices: tuple[str, ...]

    def check(self, value: str) -> str | None:
        """Why `value` is refused, or None."""
        if self.choices:
            return None if value in self.choices else f"must be one of {', '.join(self.choices)}, not {value!r}"
        if self.minimum is None or self.maximum is None:
            return None
        if value.isascii() and value.isdigit() and self.minimum <= int(value) <= self.maximum:
            return None
        return f"must be a whole number from {self.minimum} to {self.maximum}, not {value!r}"


@dataclass(frozen=True)
class ImageFile:
    """A file, or a directory with all that is in it, that goes into an image."""

    source: str
    """Relative to the build folder."""
    target: str
    """Absolute, in the image."""
    mode: int | None
    """None: 0644, and in a directory 0755 for what is executable."""


@dataclass(frozen=True)
class ImageSpec:
    files: tuple[ImageFile, ...]
    command: tuple[str, ...]
    """The whole argument vector."""
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Resources:
    cpu_millis: int
    memory_bytes: int
    gpus: int


@dataclass(frozen=True)
class Asset:
    """A large read-only file beside the image: made by the build (`source`), or published already (`urls`)."""

    name: str
    audience: str
    source: str | None = None
    urls: tuple[str, ...] = ()
    sha256: str = ""
    size: int = 0


@dataclass(frozen=True)
class Manifest:
    """A program.yaml with its parameters put in."""

    file: Path
    name: str
    version: str
    description: str
    architecture: str
    parameters: Mapping[str, str]
    recipe: Recipe
    prover: ImageSpec
    verifier: ImageSpec
    default_resources: Resources
    max_resources: Resources
    verifier_resources: Resources
    verifier_time_limit_s: int
    assets: tuple[Asset, ...] = field(default=())


def load_manifest(place: Path, overrides: Mapping[str, str] | None = None) -> Manifest:
    """Read a manifest and put `overrides` (`--set`) in place of the parameters' defaults.

    `place` is a folder with a program.yaml, or a manifest of another name: variants of a program share a folder.
    Raises ManifestError, which names file, line and key.
    """
    file = place if place.is_file() else place / MANIFEST_FILE
    root = YamlNode.load(file)
    fields = root.fields(
        ("name", "version", "architecture", "build", "images", "resources"), ("description", "parameters", "assets")
    )
    values = _resolve(fields.get("parameters"), overrides or {})
    fields = {key: node.bind(values) for key, node in fields.items()}

    images = fields["images"].fields(("prover", "verifier"))
    resources = fields["resources"].fields(("default", "max", "verifier", "verifier_time_limit_s"))
    default, maximum = _resources(resources["default"]), _resources(resources["max"])
    for name in ("cpu_millis", "memory_bytes", "gpus"):
        if getattr(default, name) > getattr(maximum, name):
            resources["default"].fail(f"{name} is above resources.max: raise the maximum or lower the default")
    architecture = fields["architecture"].text()
    if architecture not in ARCHITECTURES:
        fields["architecture"].fail(f"must be one of {', '.join(ARCHITECTURES)}, not {architecture!r}")
    return Manifest(
        file=file,
        name=fields["name"].matching(*_NAME),
        version=fields["version"].matching(*_NAME),
        description=fields["description"].text() if "description" in fields else "",
        architecture=architecture,
        parameters=values,
        recipe=read_recipe(fields["build"].bind(values | {BUILD_FOLDER: f"${{{BUILD_FOLDER}}}"})),
        prover=_image(images["prover"]),
        verifier=_image(images["verifier"]),
        default_resources=default,
        max_resources=maximum,
        verifier_resources=_resources(resources["verifier"]),
        verifier_time_limit_s=resources["verifier_time_limit_s"].integer(1, 3600),
        assets=_assets(fields.get("assets")),
    )


def _resolve(node: YamlNode | None, overrides: Mapping[str, str]) -> dict[str, str]:
    parameters = {name: _parameter(name, child) for name, child in (node.mapping() if node else {}).items()}
    values = {name: parameter.default for name, parameter in parameters.items()}
    for name, value in overrides.items():
        if name not in parameters:
            known = f"it has {', '.join(parameters)}" if parameters else "it has none"
            raise ManifestError(f"--set {name}: this program has no such parameter; {known}")
        problem = parameters[name].check(value)
        if problem:
            raise ManifestError(f"--set {name}: {problem}")
        values[name] = value
    return values


def _parameter(name: str, node: YamlNode) -> Parameter:
    fields = node.fields(("default",), ("help", "min", "max", "choices"))
    if ("min" in fields) != ("max" in fields) or ("min" in fields and "choices" in fields):
        node.fail("must have both min and max (a whole number), or choices, or neither (text)")
    parameter = Parameter(
        name=_checked_key(node, name),
        default=fields["default"].text(),
        minimum=fields["min"].integer(0, 10**15) if "min" in fields else None,
        maximum=fields["max"].integer(0, 10**15) if "max" in fields else None,
        choices=tuple(choice.text() for choice in fields["choices"].sequence()) if "choices" in fields else (),
    )
    problem = parameter.check(parameter.default)
    if problem:
        fields["default"].fail(problem)
    return parameter


def _checked_key(node: YamlNode, name: str) -> str:
    pattern, rule = _PARAMETER
    if not re.fullmatch(pattern, name) or name == BUILD_FOLDER:
        node.fail(f"a parameter's name must be {rule} other than {BUILD_FOLDER}")
    return name


def _image(node: YamlNode) -> ImageSpec:
    fields = node.fields(("files", "command"), ("labels",))
    files: dict[str, ImageFile] = {}
    for item in fields["files"].sequence():
        entry = item.fields(("from", "to"), ("mode",))
        target = _image_path(entry["to"])
        if target in files:
            entry["to"].fail(f"{target} is given twice")
        mode = entry["mode"].matching(r"0?[0-7]{3}", "three octal digits such as 0755") if "mode" in entry else None
        files[target] = ImageFile(entry["from"].relative_path(), target, int(mode, 8) if mode else None)
    command = fields["command"].words()
    if len(command) > COMMAND_MAX or any(len(word.encode()) > ARGUMENT_BYTES_MAX for word in command):
        fields["command"].fail(f"must have at most {COMMAND_MAX} words of at most {ARGUMENT_BYTES_MAX} bytes")
    mode_of_command = files[command[0]].mode or 0 if command[0] in files else 0o755
    if not any(f"{command[0]}/".startswith(f"{target}/") for target in files) or not mode_of_command & 0o001:
        fields["command"].fail(f"{command[0]} is not one of this image's files with a mode such as 0755")
    labels = {key: value.text() for key, value in (fields["labels"].mapping() if "labels" in fields else {}).items()}
    return ImageSpec(tuple(files.values()), command, labels)


def _resources(node: YamlNode) -> Resources:
    fields = node.fields(("cpu_millis", "memory"), ("gpus",))
    memory = fields["memory"].matching(*_MEMORY)
    number, unit = (memory[:-3], _UNITS[memory[-3:]]) if memory.endswith("iB") else (memory, 1)
    if not 1 <= int(number) * unit <= MEMORY_BYTES_MAX:
        fields["memory"].fail(f"must be 1 to {MEMORY_BYTES_MAX} bytes")
    return Resources(
        cpu_millis=fields["cpu_millis"].integer(1, CPU_MILLIS_MAX),
        memory_bytes=int(number) * unit,
        gpus=fields["gpus"].integer(0, GPUS_MAX) if "gpus" in fields else 0,
    )


def _assets(node: YamlNode | None) -> tuple[Asset, ...]:
    assets: dict[str, Asset] = {}
    for item in node.sequence() if node else []:
        fields = item.fields(("name", "audience"), ("from", "urls", "sha256", "bytes"))
        name = fields["name"].matching(*_NAME)
        audience = fields["audience"].text()
        if audience not in AUDIENCES:
            fields["audience"].fail(f"must be one of {', '.join(AUDIENCES)}, not {audience!r}")
        if name in assets:
            fields["name"].fail("is given twice")
        published = {"urls", "sha256", "bytes"} & set(fields)
        if "from" in fields and not published:
            assets[name] = Asset(name, audience, source=fields["from"].relative_path())
        elif "from" not in fields and len(published) == 3:
            urls = tuple(url.matching(r"https?://\S+", "an http or https URL") for url in fields["urls"].sequence())
            if not 1 <= len(urls) <= URLS_MAX:
                fields["urls"].fail(f"must have 1 to {URLS_MAX} URLs")
            size = fields["bytes"].integer(1, 1 << 40)
            assets[name] = Asset(name, audience, urls=urls, sha256=fields["sha256"].matching(*_SHA256), size=size)
        else:
            item.fail("must have either from (made by the build) or all of urls, sha256 and bytes (published already)")
    if node and len(assets) > ASSETS_MAX:
        node.fail(f"must have at most {ASSETS_MAX} files")
    return tuple(assets.values())


def _image_path(node: YamlNode) -> str:
    text = node.text()
    if not text.startswith("/") or posixpath.normpath(text) != text or text == "/" or not text.isprintable():
        node.fail(f"must be a plain absolute path, not {text!r}")
    for reserved in RESERVED_DIRECTORIES:
        if text == reserved or text.startswith(reserved + "/"):
            node.fail(f"{reserved} belongs to the runner: choose another path than {text}")
    return text

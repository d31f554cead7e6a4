"""The `build` part of a manifest: tools, packages, sources and steps. programs/README.md describes it key by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from client.program.toolchains import TOOL_VERSIONS
from client.program.yaml_node import YamlNode

BUILD_FOLDER = "build"
"""`${build}` in a step stands for the absolute path of the build folder, known only when it runs."""

_SHA256 = (r"[0-9a-f]{64}", "64 lower-case hexadecimal digits")
_DEBIAN_NAME = (r"[a-z0-9][a-z0-9+.-]{1,99}", "the name of a Debian package")
_DEBIAN_VERSION = (r"[0-9][A-Za-z0-9.+:~-]{0,99}", "the exact version of a Debian package, such as 2.36-9+deb12u14")
_WHEEL = (r"[A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+(-\d\w*)?(-[A-Za-z0-9_.]+){3}\.whl", "the whole file name of a wheel")


@dataclass(frozen=True)
class DebianPackage:
    """One package of the machine's Debian archive, by name, exact version and the sha256 of its .deb."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Wheel:
    """One wheel of PyPI, by its file name, which says project, version and platform, and its sha256."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Step:
    """One command of the build, run without a shell in the folder of the copied sources."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True)
class Recipe:
    """How the files of both images are made."""

    tools: Mapping[str, str]
    """Name to version, as in `toolchains.TOOL_VERSIONS`."""
    debian: tuple[DebianPackage, ...]
    """Unpacked together into debian/ of the build folder."""
    wheels: tuple[Wheel, ...]
    """Unpacked together into pypi/ of the build folder."""
    sources: tuple[str, ...]
    """File patterns, relative to the manifest's folder."""
    steps: tuple[Step, ...]


def read_recipe(node: YamlNode) -> Recipe:
    """The recipe in a manifest's `build`. Raises ManifestError."""
    fields = node.fields(("sources",), ("tools", "packages", "steps"))
    packages = fields["packages"].fields((), ("debian", "pypi")) if "packages" in fields else {}
    return Recipe(
        tools=_tools(fields["tools"]) if "tools" in fields else {},
        debian=tuple(_debian(item) for item in packages["debian"].sequence()) if "debian" in packages else (),
        wheels=tuple(_wheel(item) for item in packages["pypi"].sequence()) if "pypi" in packages else (),
        sources=tuple(item.relative_path() for item in fields["sources"].sequence()),
        steps=tuple(_step(item) for item in fields["steps"].sequence()) if "steps" in fields else (),
    )


def _tools(node: YamlNode) -> dict[str, str]:
    # Exact where another version makes other bytes, and so another program.
    found = node.fields((), tuple(TOOL_VERSIONS))
    return {name: version.matching(*TOOL_VERSIONS[name]) for name, version in found.items()}


def _debian(node: YamlNode) -> DebianPackage:
    fields = node.fields(("name", "version", "sha256"))
    return DebianPackage(
        fields["name"].matching(*_DEBIAN_NAME),
        fields["version"].matching(*_DEBIAN_VERSION),
        fields["sha256"].matching(*_SHA256),
    )


def _wheel(node: YamlNode) -> Wheel:
    fields = node.fields(("file", "sha256"))
    return Wheel(fields["file"].matching(*_WHEEL), fields["sha256"].matching(*_SHA256))


def _step(node: YamlNode) -> Step:
    fields = node.fields(("name", "argv"), ("env",))
    env = {key: value.text() for key, value in (fields["env"].mapping() if "env" in fields else {}).items()}
    return Step(fields["name"].text(), fields["argv"].words(), env)

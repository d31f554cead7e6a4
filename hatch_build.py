"""Build hook: generate the protobuf stubs and, for a wheel, add them to it as top-level packages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProtobufStubs(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's config type is private
    """Run scripts/protos.py before the target is collected."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        sys.path.insert(0, str(root / "scripts"))
        import protos  # noqa: PLC0415  (lives in the checkout that is being built)

        protos.generate(root)
        if version == "editable":
            return  # dev-mode-dirs puts gen/ itself on the path
        for package in sorted(path for path in (root / "gen").iterdir() if path.is_dir()):
            build_data["force_include"][str(package)] = package.name

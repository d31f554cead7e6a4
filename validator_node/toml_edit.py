"""Changes single values of a TOML file and leaves all else, comments included, as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

Value = str | int | bool | list[str]

_SECTION = re.compile(r"^\s*\[([^\[\]]+)\]\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_-]+)\s*=")


class TomlError(Exception):
    """The file hasn't the key that should be changed."""


def literal(value: Value) -> str:
    """`value` as TOML writes it; JSON's strings, numbers, booleans and lists of strings are valid TOML."""
    return json.dumps(value)


def set_values(text: str, values: Mapping[str, Value]) -> str:
    """`text` with values["section.key"] (or "key" above all sections) in place of what each key held.

    Only keys whose value is on one line can be changed. Raises TomlError if a key isn't there.
    """
    missing = set(values)
    section = ""
    lines = []
    for line in text.splitlines():
        heading = _SECTION.match(line)
        if heading:
            section = heading[1].strip()
        key = _KEY.match(line)
        name = (f"{section}.{key[1]}" if section else key[1]) if key else None
        if name in missing:
            missing.discard(name)
            lines.append(f"{line[: line.index('=')].rstrip()} = {literal(values[name])}")
        else:
            lines.append(line)
    if missing:
        raise TomlError(f"the file has no key {', '.join(sorted(missing))}")
    return "\n".join(lines) + "\n"

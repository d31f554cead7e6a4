"""Changed parameters, from `name=value` or from a file in the form in which `mill params -o yaml` prints them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from proofmill.params.v1.state_pb2 import Params

from chain.params import ParamsError, default_params, validate_params
from client.errors import InvalidInput
from client.plain import Plain, flatten, to_plain
from client.program.yaml_node import YamlNode

_INTEGER = re.compile(r"[0-9]{1,20}")
_HEX = re.compile(r"([0-9a-f]{2})*")
_VERSION = "version"


class Change(NamedTuple):
    """One parameter, by its dotted name, before and after."""

    name: str
    old: Plain
    new: Plain


def apply_settings(params: Params, settings: Sequence[str]) -> None:
    """Sets what each `name=value` says; :class:`InvalidInput` for unknown names and values that can't be."""
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise InvalidInput(f"--set {setting!r} must be NAME=VALUE, such as committee_min=12")
        if name == _VERSION:
            raise InvalidInput("version counts the changes: the chain sets it")
        _set(params, name, value.strip(), f"--set {setting}")


def apply_file(params: Params, path: Path) -> None:
    """Sets what a file says; others stay.

    Where it states a version, that must be the one in force: somebody else changed the parameters otherwise.
    """
    if not path.is_file():
        raise InvalidInput(f"there is no file {path}")
    for name, node in _leaves(YamlNode.load(path)):
        if name != _VERSION:
            _set(params, name, node.text(), f"{path}: {name}")
        elif node.text() != str(params.version):
            raise InvalidInput(
                f"{path} was made from version {node.text()} of the parameters, but version {params.version} is in "
                "force: make it anew from mill params -o yaml"
            )


def list_changes(old: Params, new: Params) -> list[Change]:
    """What differs, in the order of the fields; :class:`InvalidInput` if nothing does, or if the chain can't run so."""
    before, after = (dict(flatten(to_plain(one))) for one in (old, new))
    changes = [Change(name, value, after[name]) for name, value in before.items() if value != after[name]]
    if not changes:
        raise InvalidInput("nothing would change: the parameters are so already")
    try:
        validate_params(new)
    except ParamsError as error:
        raise InvalidInput(str(error)) from None
    return changes


def _leaves(node: YamlNode) -> list[tuple[str, YamlNode]]:
    """Dotted names and values."""
    found = []
    for child in node.mapping().values():
        found += _leaves(child) if child.is_mapping() else [(child.key, child)]
    return found


def _set(params: Message, name: str, text: str, where: str) -> None:
    *path, last = name.split(".")
    part = params
    for step in path:
        _require_field(part, step, name, where)
        part = getattr(part, step)
        if not isinstance(part, Message):
            raise InvalidInput(f"{where}: {step} is one value and has no parts")
    _require_field(part, last, name, where)
    field = part.DESCRIPTOR.fields_by_name[last]
    if field.message_type is not None:
        inner = ", ".join(f"{name}.{one.name}" for one in field.message_type.fields)
        raise InvalidInput(f"{where}: {name} has several values: set {inner}")
    if field.type == FieldDescriptor.TYPE_BYTES:
        if not _HEX.fullmatch(text):
            raise InvalidInput(f"{where}: {name} must be hexadecimal digits, two for each byte, not {text!r}")
        setattr(part, last, bytes.fromhex(text))
        return
    most = (1 << (32 if field.type == FieldDescriptor.TYPE_UINT32 else 64)) - 1
    if not _INTEGER.fullmatch(text) or int(text) > most:
        raise InvalidInput(f"{where}: {name} must be a whole number from 0 to {most}, not {text!r}")
    setattr(part, last, int(text))


def _require_field(message: Message, name: str, full: str, where: str) -> None:
    if name in message.DESCRIPTOR.fields_by_name:
        return
    near = difflib.get_close_matches(full, [one for one, _ in flatten(to_plain(default_params()))], n=1)
    hint = f"did you mean {near[0]}?" if near else "see mill params"
    raise InvalidInput(f"{where}: there is no parameter {full!r}: {hint}")

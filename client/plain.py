"""Protobuf messages as plain JSON values, in one stable form.

Every field is there in the order of its declaration, under its own name; enums are their names without the common
prefix; integers are numbers; bytes are lower-case hexadecimal, except a file's content, which is base64.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from google.protobuf.message import Message

Plain: TypeAlias = "bool | int | float | str | Sequence[Plain] | Mapping[str, Plain] | None"
_CONTENT_FIELDS = frozenset({"inline"})


class _Named(Protocol):
    name: str


class Enum(Protocol):
    """An enum's descriptor, whichever protobuf backend made it."""

    @property
    def values_by_number(self) -> Mapping[int, _Named]: ...


def to_plain(message: Message) -> dict[str, Plain]:
    """``message`` as a dict; an unset message field is None."""
    return {field.name: _field(message, field.name) for field in message.DESCRIPTOR.fields}


def flatten(data: Plain, prefix: str = "") -> list[tuple[str, Plain]]:
    """Nested dicts and lists as dotted names and values."""
    if isinstance(data, Mapping):
        inner = [(f"{prefix}.{name}" if prefix else name, value) for name, value in data.items()]
    elif isinstance(data, Sequence) and not isinstance(data, str):
        inner = [(f"{prefix}.{index}", one) for index, one in enumerate(data)]
    else:
        return [(prefix, data)]
    return [row for name, value in inner for row in flatten(value, name)]


def enum_label(descriptor: Enum, number: int) -> str:
    """An enum value's name without its type's prefix: ``TASK_STATUS_DONE`` of ``TaskStatus`` is ``DONE``."""
    value = descriptor.values_by_number.get(number)
    if value is None:
        return str(number)
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return value.name.removeprefix(prefix)


def _field(message: Message, name: str) -> Plain:
    field = message.DESCRIPTOR.fields_by_name[name]
    value = getattr(message, name)
    if field.is_repeated:
        return [_value(name, field.enum_type, one) for one in value]
    if field.message_type is not None and not message.HasField(name):
        return None
    return _value(name, field.enum_type, value)


def _value(name: str, enum: Enum | None, value: object) -> Plain:
    if isinstance(value, Message):
        return to_plain(value)
    if isinstance(value, bytes):
        return b64encode(value).decode() if name in _CONTENT_FIELDS else value.hex()
    if enum is not None and isinstance(value, int):
        return enum_label(enum, value)
    if isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"field {name} has a value of unknown type")

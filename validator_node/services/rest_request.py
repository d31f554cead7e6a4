"""An HTTP request's path, query string and body as the protobuf message that they stand for."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from validator_node.grpc_status import QueryError, Status

_MAX_DEPTH = 8
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_INTEGERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)


def build_request(request_class: type[Message], parameters: Iterable[tuple[str, str]], body: bytes | None) -> Message:
    """The request with a JSON body, then path and query parameters such as ("pagination.limit", "5"), laid over it.

    Field names are accepted as in the .proto file and in lowerCamelCase. Raises QueryError.
    """
    request = request_class()
    if body is not None:
        try:
            content = json.loads(body)
            if not isinstance(content, dict):
                raise _bad("the body must be a JSON object")
            json_format.ParseDict(content, request)
        except (json_format.ParseError, ValueError, RecursionError) as error:
            raise _bad(f"the body isn't a {request_class.DESCRIPTOR.full_name} as JSON: {error}") from None
    for name, text in parameters:
        _set_parameter(request, name, text)
    return request


def _set_parameter(request: Message, name: str, text: str) -> None:
    parts = name.removesuffix("[]").split(".")
    if len(parts) > _MAX_DEPTH:
        raise _bad(f"the parameter {name!r} is nested too deep")
    message: Any = request
    for part in parts[:-1]:
        field = _field(message.DESCRIPTOR, part, name)
        if field.message_type is None or field.is_repeated:
            raise _bad(f"the parameter {name!r} goes into {part!r}, which has no fields")
        message = getattr(message, field.name)
        message.SetInParent()
    field = _field(message.DESCRIPTOR, parts[-1], name)
    if field.message_type is not None:
        raise _bad(f"the parameter {name!r} is a message: name one of its fields, {name}.…")
    value = _parse(field, text, name)
    try:
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    except ValueError:
        raise _bad(f"the parameter {name!r} can't be {text!r}: it is out of range") from None


def _field(descriptor: Descriptor, part: str, name: str) -> FieldDescriptor:
    field = descriptor.fields_by_name.get(part) or descriptor.fields_by_camelcase_name.get(part)
    if field is None:
        known = ", ".join(descriptor.fields_by_name) or "none"
        raise _bad(f"there is no parameter {name!r}; {descriptor.full_name} has: {known}")
    return field


def _parse(field: FieldDescriptor, text: str, name: str) -> object:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return text if field.type == FieldDescriptor.TYPE_STRING else _parse_bytes(text, name)
    if field.cpp_type in _INTEGERS:
        digits = text.removeprefix("-")
        if not digits.isdecimal() or len(digits) > 20:
            raise _bad(f"the parameter {name!r} must be an integer, not {text!r}")
        return int(text)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if field.enum_type is not None:
        by_name = field.enum_type.values_by_name.get(text)
        if by_name is not None:
            return by_name.number
        if text.isdecimal() and len(text) < 10 and int(text) in field.enum_type.values_by_number:
            return int(text)
        known = ", ".join(field.enum_type.values_by_name)
        raise _bad(f"the parameter {name!r} must be one of {known}, not {text!r}")
    raise _bad(f"the parameter {name!r} can't be {text!r}")


def _parse_bytes(text: str, name: str) -> bytes:
    """Base64, either alphabet, with or without padding; a "+" that was read as a space is meant as a "+"."""
    standard = text.replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except binascii.Error:
        raise _bad(f"the parameter {name!r} must be bytes in base64, not {text!r}") from None


def _bad(message: str) -> QueryError:
    return QueryError(Status.INVALID_ARGUMENT, message)

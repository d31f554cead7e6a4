"""Says where our statement of a wire contract differs from its authors'; leaving things out is no difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

Declaration = DescriptorProto | EnumDescriptorProto | ServiceDescriptorProto


def declarations(files: Iterable[FileDescriptorProto]) -> dict[str, Declaration]:
    """Every message, enum and service, nested ones included, by full name."""
    found: dict[str, Declaration] = {}

    def add(prefix: str, messages: Iterable[DescriptorProto], enums: Iterable[EnumDescriptorProto]) -> None:
        for enum in enums:
            found[f"{prefix}.{enum.name}"] = enum
        for message in messages:
            found[f"{prefix}.{message.name}"] = message
            add(f"{prefix}.{message.name}", message.nested_type, message.enum_type)

    for file in files:
        add(file.package, file.message_type, file.enum_type)
        for service in file.service:
            found[f"{file.package}.{service.name}"] = service
    return found


def differences(ours: Iterable[FileDescriptorProto], theirs: Iterable[FileDescriptorProto]) -> list[str]:
    """A sentence for each thing of ours that theirs lacks or has otherwise; empty when we agree."""
    published = declarations(theirs)
    found: list[str] = []
    for name, declaration in declarations(ours).items():
        other = published.get(name)
        if other is None:
            found.append(f"{name}: not upstream")
        elif isinstance(declaration, DescriptorProto) and isinstance(other, DescriptorProto):
            found += [f"{name}.{problem}" for problem in message_differences(declaration, other)]
        elif isinstance(declaration, EnumDescriptorProto) and isinstance(other, EnumDescriptorProto):
            found += [f"{name}.{problem}" for problem in enum_differences(declaration, other)]
        elif isinstance(declaration, ServiceDescriptorProto) and isinstance(other, ServiceDescriptorProto):
            found += [f"{name}.{problem}" for problem in service_differences(declaration, other)]
        else:
            found.append(f"{name}: a {type(declaration).__name__}, upstream a {type(other).__name__}")
    return found


def field_facts(message: DescriptorProto, field: FieldDescriptorProto) -> dict[str, object]:
    """All that decides how a field looks on the wire and in JSON."""
    oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
    return {
        "number": field.number,
        "label": FieldDescriptorProto.Label.Name(field.label),
        "type": FieldDescriptorProto.Type.Name(field.type),
        "type name": field.type_name,
        "JSON name": field.json_name,
        "oneof": oneof,
        "explicit presence": field.proto3_optional,
        "packing": field.options.packed if field.options.HasField("packed") else None,
        "deprecation": field.options.deprecated,
    }


def unequal(name: str, ours: dict[str, object], theirs: dict[str, object]) -> Iterator[str]:
    for fact, value in ours.items():
        if value != theirs[fact]:
            yield f"{name}: {fact} is {value}, upstream {theirs[fact]}"


def message_differences(ours: DescriptorProto, theirs: DescriptorProto) -> Iterator[str]:
    published = {field.name: field for field in theirs.field}
    for field in ours.field:
        other = published.get(field.name)
        if other is None:
            yield f"{field.name}: not upstream"
        else:
            yield from unequal(field.name, field_facts(ours, field), field_facts(theirs, other))


def enum_differences(ours: EnumDescriptorProto, theirs: EnumDescriptorProto) -> Iterator[str]:
    published = {value.name: value.number for value in theirs.value}
    for value in ours.value:
        if published.get(value.name) != value.number:
            yield f"{value.name}: {value.number}, upstream {published.get(value.name)}"


def method_facts(method: MethodDescriptorProto) -> dict[str, object]:
    rule = method.options.Extensions[annotations_pb2.http]
    return {
        "request": method.input_type,
        "response": method.output_type,
        "streaming": (method.client_streaming, method.server_streaming),
        "HTTP rule": str(rule),
    }


def service_differences(ours: ServiceDescriptorProto, theirs: ServiceDescriptorProto) -> Iterator[str]:
    published = {method.name: method for method in theirs.method}
    for method in ours.method:
        other = published.get(method.name)
        if other is None:
            yield f"{method.name}: not upstream"
        else:
            yield from unequal(method.name, method_facts(method), method_facts(other))

"""What is served, read from the descriptors of the compiled .proto files: no method is described a second time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message


@dataclass(frozen=True)
class HttpRule:
    """One way to call a method over HTTP; `template` holds fields in braces, `body` is "" or "*"."""

    verb: str
    template: str
    body: str


@dataclass(frozen=True)
class Method:
    """One gRPC method; `path` is "/package.Service/Method"."""

    path: str
    service: str
    name: str
    request: type[Message]
    response: type[Message]
    rules: tuple[HttpRule, ...]


def describe_methods(paths: Iterable[str]) -> tuple[Method, ...]:
    """The methods with these gRPC paths, whose modules have been imported; KeyError if one isn't defined."""
    return tuple(_describe(path) for path in paths)


def _describe(path: str) -> Method:
    service, name = path.strip("/").split("/")
    found: MethodDescriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    options = found.GetOptions()
    rules: tuple[HttpRule, ...] = ()
    if options.HasExtension(annotations_pb2.http):
        rules = tuple(_flatten(options.Extensions[annotations_pb2.http]))
    return Method(
        path=path,
        service=service,
        name=name,
        request=message_factory.GetMessageClass(found.input_type),
        response=message_factory.GetMessageClass(found.output_type),
        rules=rules,
    )


def _flatten(rule: http_pb2.HttpRule) -> Iterator[HttpRule]:
    verb = rule.WhichOneof("pattern")
    if verb in {"get", "post", "put", "delete", "patch"}:
        yield HttpRule(verb.upper(), getattr(rule, verb), rule.body)
    for more in rule.additional_bindings:
        yield from _flatten(more)

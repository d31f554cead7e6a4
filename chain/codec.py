"""Decoding what strangers send."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError, Message

from chain.errors import TX_DECODE

if TYPE_CHECKING:
    from chain.errors import ErrorCode

M = TypeVar("M", bound=Message)


def decode_strict(message_class: type[M], data: bytes, what: str, code: ErrorCode = TX_DECODE) -> M:
    """A message of a wallet's: unknown fields, at any depth, are an error. Its bytes are signed as they came."""
    message = _parse(message_class, data, what, code)
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        raise code.error(f"{what} has fields that {message_class.DESCRIPTOR.full_name} doesn't: leave them out")
    return message


def decode_canonical(message_class: type[M], data: bytes, what: str) -> M:
    """A message of ours, or the unsigned envelope: exactly one encoding is accepted, the deterministic one."""
    message = _parse(message_class, data, what, TX_DECODE)
    message.DiscardUnknownFields()
    if message.SerializeToString(deterministic=True) != data:
        raise TX_DECODE.error(
            f"{what} isn't in canonical encoding: fields in order of their numbers, defaults left out, none unknown"
        )
    return message


def _parse(message_class: type[M], data: bytes, what: str, code: ErrorCode) -> M:
    try:
        return message_class.FromString(data)
    except (DecodeError, UnicodeDecodeError):  # the latter by protobuf's pure Python backend, for text that isn't UTF-8
        raise code.error(f"{what} is not a {message_class.DESCRIPTOR.full_name}: its bytes don't decode") from None

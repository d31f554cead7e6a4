"""Value codecs: every encoding is non-empty, because ICS-23 can't prove an empty value."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from chain.state.errors import StateError
from chain.state.keys import KeyCodec

K = TypeVar("K")
V = TypeVar("V")
M = TypeVar("M", bound=Message)

# Field 536870911 (the largest number there is, used by nobody) as varint zero: any protobuf decoder reads these bytes
# as the empty message, whose own encoding would be no bytes at all.
_EMPTY_MESSAGE = b"\xf8\xff\xff\xff\x0f\x00"


class ValueCodec(Protocol[V]):
    """Turns a value into non-empty bytes and back."""

    def encode(self, value: V, /) -> bytes:
        """The bytes of value; StateError if it doesn't fit."""
        ...

    def decode(self, data: bytes, /) -> V:
        """The value of which data is the encoding; StateError if there is none."""
        ...


class Proto(Generic[M]):
    """A protobuf message in deterministic encoding; every decode makes a new message, so nothing is shared."""

    __slots__ = ("_class",)

    def __init__(self, message_class: type[M]) -> None:
        self._class = message_class

    def encode(self, value: M) -> bytes:
        if type(value) is not self._class:
            raise StateError(f"a {type(value).__name__} can't be stored where a {self._class.__name__} belongs")
        return value.SerializeToString(deterministic=True) or _EMPTY_MESSAGE

    def decode(self, data: bytes) -> M:
        if data == _EMPTY_MESSAGE:
            return self._class()
        try:
            return self._class.FromString(data)
        except DecodeError:
            raise StateError(f"stored bytes are not a {self._class.__name__}: {data[:64].hex()}") from None


class KeyValue(Generic[K]):
    """A key of some collection, stored as a value."""

    __slots__ = ("_key",)

    def __init__(self, key: KeyCodec[K]) -> None:
        self._key = key

    def encode(self, value: K) -> bytes:
        return self._key.encode(value)

    def decode(self, data: bytes) -> K:
        return self._key.decode(data)


class _U64Value:
    __slots__ = ()

    def encode(self, value: int) -> bytes:
        try:
            return value.to_bytes(8, "big")
        except OverflowError:
            raise StateError(f"{value} is not an unsigned integer of 8 bytes") from None

    def decode(self, data: bytes) -> int:
        if len(data) != 8:
            raise StateError(f"a stored integer has {len(data)} bytes instead of 8")
        return int.from_bytes(data, "big")


class _BytesValue:
    __slots__ = ()

    def encode(self, value: bytes) -> bytes:
        if not value:
            raise StateError("empty bytes can't be stored; delete the row instead")
        return value

    def decode(self, data: bytes) -> bytes:
        return data


class _StringValue:
    __slots__ = ()

    def encode(self, value: str) -> bytes:
        if not value:
            raise StateError("an empty text can't be stored; delete the row instead")
        return value.encode()

    def decode(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise StateError(f"a stored text is not UTF-8: {data[:64].hex()}") from None


class _Unit:
    __slots__ = ()

    def encode(self, _value: None) -> bytes:
        return b"\x01"

    def decode(self, data: bytes) -> None:
        if data != b"\x01":
            raise StateError(f"a stored mark is {data[:64].hex()} instead of 01")


U64Value = _U64Value()
BytesValue = _BytesValue()
StringValue = _StringValue()
Unit = _Unit()

"""Key codecs that keep order: a < b exactly when encode(a) < encode(b), so ranges of keys are ranges of bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from chain.state.errors import StateError

K = TypeVar("K")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

_ESCAPED_ZERO = b"\x00\xff"
_TERMINATOR = b"\x00\x00"


class KeyCodec(ABC, Generic[K]):
    """Turns a key (or a part of one) into bytes and back.

    `encode` is the form of the last part of a key; `encode_inner` is self-delimiting, for parts that others follow.
    """

    __slots__ = ()

    @abstractmethod
    def encode(self, value: K) -> bytes:
        """The bytes of value in last position; StateError if it doesn't fit."""

    @abstractmethod
    def decode(self, data: bytes) -> K:
        """The value of which data is the encoding in last position; StateError if there is none."""

    @abstractmethod
    def encode_inner(self, value: K) -> bytes:
        """The self-delimiting bytes of value."""

    @abstractmethod
    def decode_inner(self, data: bytes, offset: int) -> tuple[K, int]:
        """The value whose self-delimiting bytes begin at offset, and the offset that follows them."""


class _FixedKey(KeyCodec[K]):
    """A codec whose encodings all have the same size: both forms are one."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size

    def encode_inner(self, value: K) -> bytes:
        return self.encode(value)

    def decode_inner(self, data: bytes, offset: int) -> tuple[K, int]:
        end = offset + self.size
        return self.decode(data[offset:end]), end


class UnsignedKey(_FixedKey[int]):
    """An unsigned integer, big endian."""

    __slots__ = ()

    def encode(self, value: int) -> bytes:
        try:
            return value.to_bytes(self.size, "big")
        except OverflowError:
            raise StateError(f"{value} is not an unsigned integer of {self.size} bytes") from None

    def decode(self, data: bytes) -> int:
        if len(data) != self.size:
            raise StateError(f"an integer key has {len(data)} bytes instead of {self.size}")
        return int.from_bytes(data, "big")


class FixedBytesKey(_FixedKey[bytes]):
    """Raw bytes of one known size."""

    __slots__ = ()

    def encode(self, value: bytes) -> bytes:
        if len(value) != self.size:
            raise StateError(f"a key part has {len(value)} bytes instead of {self.size}")
        return value

    def decode(self, data: bytes) -> bytes:
        return self.encode(data)


class BytesKey(KeyCodec[bytes]):
    """Bytes of any size: raw in last position, else with zeros escaped and two zero bytes at the end."""

    __slots__ = ()

    def encode(self, value: bytes) -> bytes:
        return value

    def decode(self, data: bytes) -> bytes:
        return data

    def encode_inner(self, value: bytes) -> bytes:
        return value.replace(b"\x00", _ESCAPED_ZERO) + _TERMINATOR

    def decode_inner(self, data: bytes, offset: int) -> tuple[bytes, int]:
        position = offset
        while True:
            position = data.find(b"\x00", position)
            if position < 0:
                raise StateError(f"a bytes key part at offset {offset} of {data.hex()} has no end")
            mark = data[position : position + 2]
            if mark == _TERMINATOR:
                return data[offset:position].replace(_ESCAPED_ZERO, b"\x00"), position + 2
            if mark != _ESCAPED_ZERO:
                raise StateError(f"a bytes key part at offset {offset} of {data.hex()} has a stray zero")
            position += 2


class StringKey(KeyCodec[str]):
    """Text as UTF-8: ordered by code point."""

    __slots__ = ()

    def encode(self, value: str) -> bytes:
        return value.encode()

    def decode(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise StateError(f"a text key part is not UTF-8: {data.hex()}") from None

    def encode_inner(self, value: str) -> bytes:
        return BYTES.encode_inner(value.encode())

    def decode_inner(self, data: bytes, offset: int) -> tuple[str, int]:
        raw, end = BYTES.decode_inner(data, offset)
        return self.decode(raw), end


U64 = UnsignedKey(8)
U32 = UnsignedKey(4)
ADDRESS = FixedBytesKey(20)
HASH = FixedBytesKey(32)
BYTES = BytesKey()
STRING = StringKey()


class TupleKey(KeyCodec[K]):
    """Several parts, ordered by the first, then the second, and so on. Use Pair, Triple or Quad."""

    __slots__ = ("_inner", "_last", "parts")

    def __init__(self, *parts: KeyCodec[Any]) -> None:
        self.parts = parts
        self._inner = parts[:-1]
        self._last = parts[-1]

    def encode(self, value: K) -> bytes:
        values = self._checked(value)
        encoded = self._last.encode(values[-1])
        for codec, part in zip(reversed(self._inner), reversed(values[:-1]), strict=True):
            encoded = codec.encode_inner(part) + encoded
        return encoded

    def decode(self, data: bytes) -> K:
        values, offset = self._decode_parts(self._inner, data, 0)
        values.append(self._last.decode(data[offset:]))
        return tuple(values)  # type: ignore[return-value]  # K is the tuple type of the parts

    def encode_inner(self, value: K) -> bytes:
        return self.encode_partial(self._checked(value))

    def decode_inner(self, data: bytes, offset: int) -> tuple[K, int]:
        values, end = self._decode_parts(self.parts, data, offset)
        return tuple(values), end  # type: ignore[return-value]  # K is the tuple type of the parts

    def encode_partial(self, values: tuple[Any, ...]) -> bytes:
        """The bytes that every key whose first parts are `values` starts with."""
        if len(values) > len(self.parts):
            raise StateError(f"a key of {len(self.parts)} parts has no prefix of {len(values)}")
        return b"".join(codec.encode_inner(part) for codec, part in zip(self.parts, values, strict=False))

    def _checked(self, value: object) -> tuple[Any, ...]:
        if not isinstance(value, tuple) or len(value) != len(self.parts):
            raise StateError(f"{value!r} is not a key of {len(self.parts)} parts")
        return value

    @staticmethod
    def _decode_parts(codecs: tuple[KeyCodec[Any], ...], data: bytes, offset: int) -> tuple[list[Any], int]:
        values = []
        for codec in codecs:
            value, offset = codec.decode_inner(data, offset)
            values.append(value)
        return values, offset


class Pair(TupleKey[tuple[A, B]], Generic[A, B]):
    """Two parts."""

    __slots__ = ()

    def __init__(self, a: KeyCodec[A], b: KeyCodec[B]) -> None:
        super().__init__(a, b)


class Triple(TupleKey[tuple[A, B, C]], Generic[A, B, C]):
    """Three parts."""

    __slots__ = ()

    def __init__(self, a: KeyCodec[A], b: KeyCodec[B], c: KeyCodec[C]) -> None:
        super().__init__(a, b, c)


class Quad(TupleKey[tuple[A, B, C, D]], Generic[A, B, C, D]):
    """Four parts."""

    __slots__ = ()

    def __init__(self, a: KeyCodec[A], b: KeyCodec[B], c: KeyCodec[C], d: KeyCodec[D]) -> None:
        super().__init__(a, b, c, d)

"""Frames on an ABCI socket: an unsigned varint with the body's length, then the body. No I/O here."""

from __future__ import annotations

from collections.abc import Iterator

MAX_UVARINT_BYTES = 10  # 64 bits, seven a byte
SINGLE_BYTE = tuple(bytes((n,)) for n in range(0x80))


class FrameError(Exception):
    """The stream can't be cut into frames; nothing after this point in it can be trusted."""


def encode_uvarint(number: int) -> bytes:
    """`number` (at least 0), seven bits a byte, lowest first, the top bit set on all bytes but the last."""
    if number < 0x80:
        return SINGLE_BYTE[number]
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def decode_uvarint(data: bytes, start: int) -> tuple[int, int] | None:
    """The number at `data[start:]` and the offset after it; None if it isn't there whole.

    Raises FrameError if it is longer than 64 bits can need.
    """
    number = shift = 0
    for offset in range(start, min(start + MAX_UVARINT_BYTES, len(data))):
        byte = data[offset]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, offset + 1
        shift += 7
    if len(data) - start >= MAX_UVARINT_BYTES:
        raise FrameError(f"a frame's length has more than {MAX_UVARINT_BYTES} bytes")
    return None


def encode_frame(body: bytes) -> bytes:
    """`body` with its length in front."""
    return encode_uvarint(len(body)) + body


class FrameReader:
    """Cuts a stream, fed in chunks of any size, into frame bodies of at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending = bytearray()
        self._needed = 0

    @property
    def pending(self) -> int:
        """How many bytes of an unfinished frame are held; 0 at a frame's boundary."""
        return len(self._pending)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the bodies that `chunk` completes, in order. To be run to its end before the next call.

        Raises FrameError, after all bodies in front of it, at a length that is malformed or over the limit.
        """
        data = chunk
        if self._pending:
            self._pending += chunk
            if len(self._pending) < self._needed:
                return  # a large frame arrives in thousands of chunks: look at it once, when it is whole
            data = bytes(self._pending)
            self._pending.clear()
        start, end = 0, len(data)
        while start < end:
            length, body = data[start], start + 1
            if length >= 0x80:
                decoded = decode_uvarint(data, start)
                if decoded is None:
                    self._needed = end - start + 1
                    break
                length, body = decoded
            if length > self._limit:
                raise FrameError(f"a frame of {length} bytes is over the limit of {self._limit} bytes")
            stop = body + length
            if stop > end:
                self._needed = stop - start
                break
            yield data[body:stop]
            start = stop
        self._pending += data[start:]

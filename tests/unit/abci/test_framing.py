from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st
from tendermint.abci import types_pb2 as abci

from validator_node.abci.framing import FrameError, FrameReader, decode_uvarint, encode_frame, encode_uvarint

LIMIT = 1 << 16

bodies = st.lists(st.binary(max_size=300) | st.integers(120, 20_000).map(bytes), max_size=12)


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(at % (len(stream) + 1) for at in cuts), len(stream)]
    return [stream[start:stop] for start, stop in itertools.pairwise(edges)]


@given(st.integers(1, 2**64 - 1))
def test_uvarint_is_protobufs_and_comes_back(number: int) -> None:
    encoded = encode_uvarint(number)
    assert encoded == abci.RequestInfo(block_version=number).SerializeToString()[1:]
    assert decode_uvarint(b"??" + encoded + b"rest", 2) == (number, 2 + len(encoded))


@given(st.integers(0, 2**64 - 1), st.data())
def test_part_of_a_uvarint_is_not_one(number: int, data: st.DataObject) -> None:
    encoded = encode_uvarint(number)
    assert decode_uvarint(encoded[: data.draw(st.integers(0, len(encoded) - 1))], 0) is None


def test_invalid_uvarint_of_eleven_bytes() -> None:
    with pytest.raises(FrameError, match="more than 10 bytes"):
        decode_uvarint(b"\x80" * 10 + b"\x01", 0)


@given(bodies, st.lists(st.integers(0, 1 << 20), max_size=40))
def test_frames_come_back_however_the_stream_is_cut(frames: list[bytes], cuts: list[int]) -> None:
    reader = FrameReader(LIMIT)
    stream = b"".join(map(encode_frame, frames))
    received = [body for chunk in cut(stream, cuts) for body in reader.feed(chunk)]
    assert received == frames
    assert reader.pending == 0


def test_frames_come_back_a_byte_at_a_time() -> None:
    reader = FrameReader(LIMIT)
    frames = [b"", b"a", bytes(127), bytes(128), bytes(300), b"", b"z" * 16_384]
    stream = b"".join(map(encode_frame, frames))
    assert [body for byte in stream for body in reader.feed(bytes((byte,)))] == frames


def test_two_frames_split_at_every_byte() -> None:
    frames = [b"x" * 5, b"y" * 200]
    stream = b"".join(map(encode_frame, frames))
    for at in range(len(stream) + 1):
        reader = FrameReader(LIMIT)
        assert [*reader.feed(stream[:at]), *reader.feed(stream[at:])] == frames


def test_pending_counts_an_unfinished_frame() -> None:
    reader = FrameReader(LIMIT)
    assert list(reader.feed(encode_frame(b"whole") + b"\x05ab")) == [b"whole"]
    assert reader.pending == 3


def test_a_frame_of_exactly_the_limit_passes() -> None:
    assert list(FrameReader(300).feed(encode_frame(bytes(300)))) == [bytes(300)]


def test_invalid_length_over_the_limit_after_the_frames_in_front() -> None:
    received = FrameReader(300).feed(encode_frame(b"fine") + encode_frame(bytes(301)))
    assert next(received) == b"fine"
    with pytest.raises(FrameError, match="301 bytes is over the limit of 300"):
        next(received)


def test_invalid_length_is_seen_before_the_body_arrives() -> None:
    with pytest.raises(FrameError):
        list(FrameReader(LIMIT).feed(encode_uvarint(1 << 40)))


@given(st.lists(st.binary(max_size=64), max_size=20))
def test_garbage_gives_frames_within_the_limit_or_an_error(chunks: list[bytes]) -> None:
    reader = FrameReader(1000)
    try:
        for chunk in chunks:
            for body in reader.feed(chunk):
                assert len(body) <= 1000
    except FrameError:
        pass
    assert reader.pending <= 1000 + 10

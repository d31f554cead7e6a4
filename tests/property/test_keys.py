"""Key codecs keep order and lose nothing, alone and inside of each other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from chain.state.errors import StateError
from chain.state.keys import ADDRESS, BYTES, HASH, STRING, U32, U64, KeyCodec, Pair, Quad, Triple

# Zeros, ff and near-prefixes are where an escaping would go wrong.
TRICKY = st.lists(st.sampled_from([b"\x00", b"\x01", b"\xff", b"a"]), max_size=5).map(b"".join)
TEXT = st.text(st.sampled_from("\x00\x01aé\U0001f600"), max_size=4)

CODECS: list[tuple[KeyCodec[Any], st.SearchStrategy[Any]]] = [
    (U64, st.integers(0, 2**64 - 1)),
    (U32, st.integers(0, 2**32 - 1)),
    (ADDRESS, st.binary(min_size=20, max_size=20)),
    (HASH, st.binary(min_size=32, max_size=32)),
    (BYTES, TRICKY),
    (STRING, TEXT),
    (Pair(BYTES, BYTES), st.tuples(TRICKY, TRICKY)),
    (Pair(STRING, U64), st.tuples(TEXT, st.integers(0, 3))),
    (Triple(U32, BYTES, STRING), st.tuples(st.integers(0, 2), TRICKY, TEXT)),
    (Quad(BYTES, U64, BYTES, BYTES), st.tuples(TRICKY, st.integers(0, 1), TRICKY, TRICKY)),
    (Pair(Pair(BYTES, STRING), BYTES), st.tuples(st.tuples(TRICKY, TEXT), TRICKY)),
]
CASES = st.one_of(*(st.tuples(st.just(codec), values, values) for codec, values in CODECS))


@given(CASES, st.binary(max_size=3))
def test_codecs_keep_order_and_round_trip(case: tuple[KeyCodec[Any], Any, Any], rest: bytes) -> None:
    codec, a, b = case
    assert codec.decode(codec.encode(a)) == a
    inner = codec.encode_inner(a)
    assert codec.decode_inner(b"junk" + inner + rest, 4) == (a, 4 + len(inner))
    assert (codec.encode(a) < codec.encode(b)) == (a < b)
    assert (codec.encode_inner(a) < codec.encode_inner(b)) == (a < b)
    if a != b:
        assert not codec.encode_inner(b).startswith(codec.encode_inner(a))


@given(CASES, st.binary(max_size=40))
def test_any_bytes_decode_or_are_refused(case: tuple[KeyCodec[Any], Any, Any], data: bytes) -> None:
    codec = case[0]
    try:
        value = codec.decode(data)
    except StateError:
        return
    assert codec.encode(value) == data


@pytest.mark.parametrize(
    ("codec", "value", "reason"),
    [
        (U64, -1, "-1 is not an unsigned integer of 8 bytes"),
        (U64, 2**64, "is not an unsigned integer of 8 bytes"),
        (U32, 2**32, "is not an unsigned integer of 4 bytes"),
        (ADDRESS, bytes(19), "has 19 bytes instead of 20"),
        (HASH, bytes(33), "has 33 bytes instead of 32"),
        (Pair(U64, U64), (1, 2, 3), "is not a key of 2 parts"),
        (Pair(U64, U64), 1, "is not a key of 2 parts"),
        (Pair(ADDRESS, U64), (b"", 1), "has 0 bytes instead of 20"),
    ],
)
def test_values_that_do_not_fit_are_refused(codec: KeyCodec[Any], value: object, reason: str) -> None:
    with pytest.raises(StateError, match=reason):
        codec.encode(value)

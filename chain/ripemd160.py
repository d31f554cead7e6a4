"""RIPEMD-160, for account addresses.

hashlib has it only where the system's OpenSSL was built with legacy digests, and the state machine may not depend on
that. Source: Dobbertin, Bosselaers, Preneel, "RIPEMD-160: a strengthened version of RIPEMD" (1996), appendix A.
"""

from __future__ import annotations

_MASK = 0xFFFFFFFF
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_LEFT_CONSTANTS = (0x00000000, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E)
_RIGHT_CONSTANTS = (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0x00000000)

# Message word and rotation of each step: a row a round, one hexadecimal digit a step.
_LEFT_WORDS = (
    "0123456789abcdef",
    "74d1a6f3c0952eb8",
    "3ae49f812706db5c",
    "19ba08c4d37fe562",
    "40597c2ae138b6fd",
)
_RIGHT_WORDS = (
    "5e7092b4d6f81a3c",
    "6b370d5aef8c4912",
    "f5137e69b8c2a04d",
    "86413bf05c2d97ae",
    "cfa4158762de039b",
)
_LEFT_ROTATIONS = (
    "befc5879bdef6798",
    "768db97f7cf9b7dc",
    "bd67e9dfe8d65c75",
    "bcefef989e56865c",
    "9f5b68dc5cdeb856",
)
_RIGHT_ROTATIONS = (
    "899bdff5778beec6",
    "9df7c89b77c76fdb",
    "97fb866ecd5edd75",
    "f58bee6e69c9c5f8",
    "85c9c5e68d65fdbb",
)


def ripemd160(data: bytes) -> bytes:
    """The 20-byte digest of data."""
    padded = data + b"\x80" + bytes(-(len(data) + 9) % 64) + (8 * len(data)).to_bytes(8, "little")
    state = _START
    for offset in range(0, len(padded), 64):
        block = padded[offset : offset + 64]
        words = tuple(int.from_bytes(block[i : i + 4], "little") for i in range(0, 64, 4))
        left = _line(state, words, _LEFT_WORDS, _LEFT_ROTATIONS, _LEFT_CONSTANTS, reverse=False)
        right = _line(state, words, _RIGHT_WORDS, _RIGHT_ROTATIONS, _RIGHT_CONSTANTS, reverse=True)
        h0, h1, h2, h3, h4 = state
        state = (
            (h1 + left[2] + right[3]) & _MASK,
            (h2 + left[3] + right[4]) & _MASK,
            (h3 + left[4] + right[0]) & _MASK,
            (h4 + left[0] + right[1]) & _MASK,
            (h0 + left[1] + right[2]) & _MASK,
        )
    return b"".join(word.to_bytes(4, "little") for word in state)


_State = tuple[int, int, int, int, int]


def _line(
    state: _State,
    words: tuple[int, ...],
    order: tuple[str, ...],
    rotations: tuple[str, ...],
    constants: tuple[int, ...],
    *,
    reverse: bool,
) -> _State:
    """Five rounds of one of the two parallel lines; the right one runs through the functions backwards."""
    a, b, c, d, e = state
    for round_, constant in enumerate(constants):
        function = 4 - round_ if reverse else round_
        for word, rotation in zip(order[round_], rotations[round_], strict=True):
            total = (a + _mix(function, b, c, d) + words[int(word, 16)] + constant) & _MASK
            a, b, c, d, e = e, (_rotate(total, int(rotation, 16)) + e) & _MASK, b, _rotate(c, 10), d
    return a, b, c, d, e


def _mix(function: int, x: int, y: int, z: int) -> int:
    if function == 0:
        return x ^ y ^ z
    if function == 1:
        return (x & y) | (~x & z & _MASK)
    if function == 2:
        return ((x | (~y & _MASK)) ^ z) & _MASK
    if function == 3:
        return (x & z) | (y & ~z & _MASK)
    return (x ^ (y | (~z & _MASK))) & _MASK


def _rotate(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & _MASK

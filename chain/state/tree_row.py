"""The tree's node rows: how an inner node is stored and hashed.

An inner node is one row: its key is its path in hexadecimal digits, its value
`children: u16 ‖ leaves: u16 ‖ hashes: 32 bytes a child ‖ (size: u16 ‖ key) a leaf`, where bit n of `children` is set if
there is a child at nibble n, and bit n of `leaves` if that child is a leaf. Children come in nibble order and all
integers are big endian.
"""

from __future__ import annotations

from hashlib import sha256

from chain.state.errors import StateError

MAX_KEY_SIZE = 65535  # bytes, what a row's size field holds
ARITY = 16
HASH_SIZE = 32  # bytes
LEAF_PREFIX = b"\x00"
INNER_PREFIX = b"\x01"
EMPTY_CHILD = bytes(HASH_SIZE)
HASHES_AT = 4
NO_CHILDREN = bytes(HASHES_AT)

_INNER_SIZE = len(INNER_PREFIX) + ARITY * HASH_SIZE


def hash_row(row: bytes) -> bytes:
    """The hash of an inner node."""
    hashes = row[HASHES_AT : HASHES_AT + HASH_SIZE * (row[0].bit_count() + row[1].bit_count())]
    return sha256((INNER_PREFIX + hashes).ljust(_INNER_SIZE, b"\x00")).digest()


def sized(key: bytes) -> bytes:
    """A leaf's key as it stands in a row; StateError if it's too long."""
    if len(key) > MAX_KEY_SIZE:
        raise StateError(f"a key has {len(key)} bytes, more than {MAX_KEY_SIZE}")
    return len(key).to_bytes(2, "big") + key


def leaf_key(row: bytes, at: int, leaves_before: int) -> bytes:
    """The key of the leaf that follows the leaves in the bit field leaves_before; the row's keys begin at `at`."""
    for _ in range(leaves_before.bit_count()):
        at += 2 + (row[at] << 8 | row[at + 1])
    return row[at + 2 : at + 2 + (row[at] << 8 | row[at + 1])]


def leaf_keys(row: bytes) -> list[bytes]:
    """The keys of a node's leaves in nibble order."""
    at = HASHES_AT + HASH_SIZE * (row[0].bit_count() + row[1].bit_count())
    keys = []
    while at < len(row):
        size = row[at] << 8 | row[at + 1]
        keys.append(row[at + 2 : at + 2 + size])
        at += 2 + size
    return keys

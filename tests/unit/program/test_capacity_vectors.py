"""What the capacity program computes, said a second time in plain Python: its test vectors hold for both."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).resolve().parents[3] / "programs" / "capacity" / "work" / "testdata" / "vectors.json"

MASK = (1 << 64) - 1
GOLDEN_RATIO = 0x9E3779B97F4A7C15
BLOCK_WORDS = 128
BLOCKS = 1024
PAGE_WORDS = 1024


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(VECTORS.read_text(encoding="ascii"))
    return loaded


def words_of(data: bytes, size: int = 8) -> list[int]:
    return [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]


def bytes_of(words: list[int], size: int = 8) -> bytes:
    return b"".join(word.to_bytes(size, "little") for word in words)


def fill(seed: bytes, index: int) -> list[int]:
    pad = [0] * (BLOCKS * BLOCK_WORDS)
    x = words_of(hashlib.sha512(b"capacity pad " + seed + index.to_bytes(8, "little")).digest())
    before = len(pad) - BLOCK_WORDS
    for _ in range(3):
        for own in range(0, len(pad), BLOCK_WORDS):
            other = x[0] % BLOCKS * BLOCK_WORDS
            for w in range(BLOCK_WORDS):
                product = (x[w % 8] ^ pad[before + w]) * (pad[other + w] ^ GOLDEN_RATIO)
                x[w % 8] = pad[own + w] = ((product ^ product >> 64) + pad[own + w]) & MASK
            x = x[1:] + x[:1]
            before = own
    return pad


def page_of(before: bytes, pads: int) -> tuple[int, int]:
    return int.from_bytes(before[:8], "little") * pads >> 64, before[8] % (BLOCKS * BLOCK_WORDS // PAGE_WORDS)


def segment(before: bytes, page: list[int], index: int, rounds: int) -> bytes:
    x = words_of(before) + page[:4]
    for _ in range(rounds):
        for i in range(8):
            product = x[i] * page[x[(i + 1) % 8] % PAGE_WORDS]
            x[i] = ((product ^ product >> 64) + page[x[i] >> 54]) & MASK
    return hashlib.sha256(before + index.to_bytes(8, "little") + bytes_of(x)).digest()


def gpu_leaf(seed: bytes, index: int, rounds: int) -> bytes:
    s = words_of(hashlib.sha256(b"capacity gpu " + seed).digest(), 4)
    s[0] ^= index & 0xFFFFFFFF
    s[1] ^= index >> 32
    for _ in range(rounds):
        for i in range(8):
            value = (s[i] * (s[(i + 1) % 8] | 1) + s[(i + 2) % 8]) & 0xFFFFFFFF
            s[i] = (value << 13 | value >> 19) & 0xFFFFFFFF
    return bytes_of(s, 4)


def draw(seed: bytes, vector: dict[str, Any]) -> tuple[list[int], list[int]]:
    roots = bytes.fromhex(vector["lane_root"]) + bytes.fromhex(vector["gpu_root"])
    state = hashlib.sha256(b"capacity draw " + seed + roots).digest()
    for _ in range(vector["hashes"]):
        state = hashlib.sha256(state).digest()

    def pick(tree: int, leaves: int) -> list[int]:
        drawn = set()
        for i in range(vector["checks"]):
            one = hashlib.sha256(state + bytes([tree]) + i.to_bytes(4, "little")).digest()
            drawn.add(int.from_bytes(one[:8], "little") * leaves >> 64)
        return sorted(drawn)

    return pick(0, vector["lane_leaves"]), pick(1, vector["gpu_leaves"])


def test_a_pad(vectors: dict[str, Any]) -> None:
    vector = vectors["pad"]

    pad = fill(bytes.fromhex(vectors["seed"]), vector["index"])

    assert (pad[0], pad[-1]) == (vector["first"], vector["last"])
    assert hashlib.sha256(bytes_of(pad)).hexdigest() == vector["sha256"]


def test_a_segment(vectors: dict[str, Any]) -> None:
    vector, seed = vectors["segment"], bytes.fromhex(vectors["seed"])

    before = hashlib.sha256(b"capacity lane " + seed + vector["lane"].to_bytes(8, "little")).digest()
    pad, page = page_of(before, vector["pads"])
    words = fill(seed, pad)[page * PAGE_WORDS : (page + 1) * PAGE_WORDS]

    assert (before.hex(), pad, page) == (vector["before"], vector["pad"], vector["page"])
    assert segment(before, words, vector["index"], vector["rounds"]).hex() == vector["after"]


def test_a_leaf_of_the_gpus(vectors: dict[str, Any]) -> None:
    vector = vectors["gpu_leaf"]

    assert gpu_leaf(bytes.fromhex(vectors["seed"]), vector["index"], vector["rounds"]).hex() == vector["leaf"]


def test_a_draw(vectors: dict[str, Any]) -> None:
    segments, selected = draw(bytes.fromhex(vectors["seed"]), vectors["draw"])

    assert (segments, selected) == (vectors["draw"]["segments"], vectors["draw"]["gpu_selected"])
    assert all(a < b for a, b in pairwise(segments))

#!/usr/bin/env python3
"""Make the public.json of every leaf, node and root over one chain, for any tree.

    python make_inputs.py --out inputs --steps 1000,500,2000   # three leaves, a random start
    python make_inputs.py --out inputs --steps 1000,500 --seed 7   # the same files every time

writes inputs/leaf-1, leaf-2, leaf-3, node-1-2 (over the first two leaves), node-1-3, node-2-3 and root.

Needs nothing but Python. It is also a second, independent statement of the chain: the Poseidon permutation of width 12
over the field of order 2^64 - 2^32 + 1 (https://eprint.iacr.org/2019/458): x^7, 4 full, 22 partial and 4 full rounds,
with plonky2's matrix, and its round constants made as plonky2 made them: the first 360 elements that ChaCha8 gives
when it is seeded with zero.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

FIELD = 2**64 - 2**32 + 1
ELEMENTS = 4
WIDTH = 12
HALF_FULL_ROUNDS = 4
PARTIAL_ROUNDS = 22
ROUNDS = 2 * HALF_FULL_ROUNDS + PARTIAL_ROUNDS
MATRIX_CIRCULANT = (17, 15, 41, 16, 2, 28, 13, 13, 39, 18, 34, 20)
MATRIX_FIRST_DIAGONAL = 8
LEAF_STEPS_MAX = 4096
LEAVES_MAX = 32

MASK32 = (1 << 32) - 1
MASK64 = (1 << 64) - 1

State = tuple[int, ...]


def seed_words(state: int) -> list[int]:
    """A ChaCha key of eight words from a small number, by PCG32: `seed_from_u64` of Rust's rand_core 0.6."""
    words = []
    for _ in range(8):
        state = (state * 6364136223846793005 + 11634580027462260723) & MASK64
        shifted = ((state >> 18) ^ state) >> 27 & MASK32
        turn = state >> 59
        words.append((shifted >> turn | shifted << (32 - turn)) & MASK32)
    return words


def chacha8_words(key: list[int]) -> Iterator[int]:
    """The words of ChaCha's key stream with eight rounds (RFC 8439 has twenty), 64-bit counter and nonce 0."""

    def quarter(block: list[int], a: int, b: int, c: int, d: int) -> None:
        for to, of, target, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            block[to] = (block[to] + block[of]) & MASK32
            mixed = block[target] ^ block[to]
            block[target] = (mixed << turn | mixed >> (32 - turn)) & MASK32

    counter = 0
    while True:
        start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *key, counter & MASK32, counter >> 32, 0, 0]
        block = list(start)
        for _ in range(4):
            for column in range(4):
                quarter(block, column, 4 + column, 8 + column, 12 + column)
            for column in range(4):
                quarter(block, column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
        yield from ((mixed + word) & MASK32 for mixed, word in zip(block, start, strict=True))
        counter += 1


def round_constants() -> list[int]:
    """360 elements, uniform by widening multiplication and rejection: `gen_range` of Rust's rand 0.8."""

    def elements() -> Iterator[int]:
        words = chacha8_words(seed_words(0))
        for low, high in zip(words, words, strict=False):
            product = (high << 32 | low) * FIELD
            if product & MASK64 < FIELD:
                yield product >> 64

    return list(islice(elements(), WIDTH * ROUNDS))


CONSTANTS = round_constants()


def permute(lanes: list[int]) -> list[int]:
    """The Poseidon permutation of twelve elements."""
    for index in range(ROUNDS):
        lanes = [lane + constant for lane, constant in zip(lanes, CONSTANTS[WIDTH * index :], strict=False)]
        full = not HALF_FULL_ROUNDS <= index < HALF_FULL_ROUNDS + PARTIAL_ROUNDS
        for lane in range(WIDTH if full else 1):
            lanes[lane] = pow(lanes[lane], 7, FIELD)
        twice = lanes + lanes
        mixed = [sum(map(int.__mul__, MATRIX_CIRCULANT, twice[row : row + WIDTH])) for row in range(WIDTH)]
        mixed[0] += MATRIX_FIRST_DIAGONAL * lanes[0]
        lanes = [lane % FIELD for lane in mixed]
    return lanes


def advance(state: State, steps: int) -> State:
    """The state `steps` steps later: each is the first four elements of the permutation of (state, 0, …, 0)."""
    for _ in range(steps):
        state = tuple(permute([*state, *[0] * (WIDTH - ELEMENTS)])[:ELEMENTS])
    return state


def encode(state: State) -> str:
    return "0x" + "".join(f"{element:016x}" for element in state)


def first_state(seed: str | None) -> State:
    """A state derived from `seed`, or a random one."""
    if seed is None:
        return tuple(secrets.randbelow(FIELD) for _ in range(ELEMENTS))
    digest = hashlib.sha512(f"aggregate input {seed}".encode()).digest()
    return tuple(int.from_bytes(digest[16 * i : 16 * i + 16], "big") % FIELD for i in range(ELEMENTS))


def make_inputs(directory: Path, chunks: list[int], seed: str | None) -> list[str]:
    """Write the statements over a chain of leaves with `chunks` steps each; the names of their folders."""
    states = [first_state(seed)]
    for steps in chunks:
        states.append(advance(states[-1], steps))
    spans = [(first, last) for first in range(len(chunks)) for last in range(first, len(chunks))]
    names = {
        f"leaf-{first + 1}" if first == last else f"node-{first + 1}-{last + 1}": (first, last) for first, last in spans
    }
    names["root"] = (0, len(chunks) - 1)
    for name, (first, last) in names.items():
        statement = {
            "stage": name.partition("-")[0],
            "start": encode(states[first]),
            "end": encode(states[last + 1]),
            "steps": sum(chunks[first : last + 1]),
        }
        folder = directory / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "public.json").write_text(json.dumps(statement, indent=2) + "\n", encoding="utf-8")
    return list(names)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the public.json of every leaf, node and root over one chain.")
    parser.add_argument("--out", type=Path, required=True, help="directory to write into, created if missing")
    parser.add_argument("--steps", default="1000,1000", help="steps of each leaf, by commas (default: 1000,1000)")
    parser.add_argument("--seed", help="derive the first state from this text instead of drawing it at random")
    arguments = parser.parse_args()
    words = arguments.steps.split(",")
    if not all(word.isascii() and word.isdigit() and 1 <= int(word) <= LEAF_STEPS_MAX for word in words):
        parser.error(f"--steps must be numbers from 1 to {LEAF_STEPS_MAX}, such as 1000,500, not {arguments.steps!r}")
    if len(words) > LEAVES_MAX:
        parser.error(f"--steps names {len(words)} leaves, and all nodes over more than {LEAVES_MAX} are too many")
    names = make_inputs(arguments.out, [int(word) for word in words], arguments.seed)
    print(f"wrote public.json into {len(names)} folders below {arguments.out}: {', '.join(names)}")


if __name__ == "__main__":
    main()

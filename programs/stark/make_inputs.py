#!/usr/bin/env python3
"""Make a public.json for this program: a state, a number of permutations, and the state that they lead to.

    python make_inputs.py --out inputs                               # a random start, 32 permutations
    python make_inputs.py --out inputs --permutations 100 --seed 7   # the same file every time

Needs nothing but Python. It is also a second, independent statement of what is proved: Keccak-f[1600] as FIPS 202 has
it, and states as 200 bytes in the order of FIPS 202, each lane of 64 bits little-endian.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
from pathlib import Path

LANES = 25
STATE_BYTES = 8 * LANES
MASK = (1 << 64) - 1
PERMUTATIONS_MAX = 43_690


def _round_constants() -> list[int]:
    constants = []
    register = 1
    for _ in range(24):
        constant = 0
        for power in range(7):
            constant |= (register & 1) << (2**power - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return constants


def _moves() -> list[tuple[int, int]]:
    """Steps rho and pi together: for each lane, from which other it comes and rotated by how much."""
    moves = [(0, 0)] * LANES
    x, y = 1, 0
    for step in range(24):
        source = x + 5 * y
        x, y = y, (2 * x + 3 * y) % 5
        moves[x + 5 * y] = (source, (step + 1) * (step + 2) // 2 % 64)
    return moves


ROUND_CONSTANTS = _round_constants()
MOVES = _moves()


def _rotate(lane: int, count: int) -> int:
    return ((lane << count) | (lane >> (64 - count))) & MASK


def keccak_f(state: bytes) -> bytes:
    """Keccak-f[1600] of a state of 200 bytes (FIPS 202, sections 3.1 to 3.3)."""
    lanes = [int.from_bytes(state[8 * i : 8 * i + 8], "little") for i in range(LANES)]
    for constant in ROUND_CONSTANTS:
        parity = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
        lanes = [lanes[i] ^ parity[(i - 1) % 5] ^ _rotate(parity[(i + 1) % 5], 1) for i in range(LANES)]
        lanes = [_rotate(lanes[source], count) for source, count in MOVES]
        lanes = [lanes[i] ^ (~lanes[i - i % 5 + (i + 1) % 5] & lanes[i - i % 5 + (i + 2) % 5]) for i in range(LANES)]
        lanes[0] ^= constant
    return b"".join(lane.to_bytes(8, "little") for lane in lanes)


def chain(start: bytes, permutations: int) -> bytes:
    """The state after so many permutations of `start`."""
    state = start
    for _ in range(permutations):
        state = keccak_f(state)
    return state


def statement(start: bytes, permutations: int) -> dict[str, object]:
    """The content of public.json that is true for `start`."""
    return {
        "start": "0x" + start.hex(),
        "permutations": permutations,
        "end": "0x" + chain(start, permutations).hex(),
    }


def make_inputs(directory: Path, permutations: int, seed: str | None) -> None:
    """Write public.json into `directory`; without a seed the start is random."""
    start = secrets.token_bytes(STATE_BYTES)
    if seed is not None:
        start = hashlib.shake_256(f"stark input {seed}".encode()).digest(STATE_BYTES)
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(statement(start, permutations), indent=2) + "\n"
    (directory / "public.json").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a public.json: a start, a number of permutations, the end.")
    parser.add_argument("--out", type=Path, required=True, help="directory to write into, created if missing")
    parser.add_argument("--permutations", type=int, default=32, help="length of the chain (default: 32)")
    parser.add_argument("--seed", help="derive the start from this text instead of drawing it at random")
    arguments = parser.parse_args()
    if not 1 <= arguments.permutations <= PERMUTATIONS_MAX:
        parser.error(f"--permutations must be from 1 to {PERMUTATIONS_MAX}, not {arguments.permutations}")
    make_inputs(arguments.out, arguments.permutations, arguments.seed)
    print(f"wrote {arguments.out / 'public.json'} ({arguments.permutations} permutations)")


if __name__ == "__main__":
    main()

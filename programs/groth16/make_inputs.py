#!/usr/bin/env python3
"""Make a matching public.json and witness.json for this program.

    python make_inputs.py --out inputs                    # a random secret
    python make_inputs.py --out inputs --rounds 50 --seed 7   # the same files every time

Needs nothing but Python. It is also a second, independent statement of what the
circuit computes: MiMC with exponent 5 and 110 rounds over BN254's scalar field,
round constants from iterated Keccak-256 of "seed", one-block Miyaguchi-Preneel.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
from pathlib import Path

FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617
MIMC_ROUNDS = 110
LANES = 25
MASK = (1 << 64) - 1


def keccak_permutation(lanes: list[int]) -> list[int]:
    """Keccak-f[1600] on 25 lanes of 64 bits, lane (x, y) at index x + 5 y (FIPS 202, section 3)."""

    def rotate(value: int, count: int) -> int:
        return ((value << count) | (value >> (64 - count))) & MASK

    register = 1
    for _ in range(24):
        parity = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
        lanes = [lanes[i] ^ parity[(i - 1) % 5] ^ rotate(parity[(i + 1) % 5], 1) for i in range(LANES)]

        moved = list(lanes)
        x, y = 1, 0
        for step in range(24):
            source = lanes[x + 5 * y]
            x, y = y, (2 * x + 3 * y) % 5
            moved[x + 5 * y] = rotate(source, (step + 1) * (step + 2) // 2 % 64)

        lanes = [
            moved[i] ^ (~moved[i - i % 5 + (i + 1) % 5] & moved[i - i % 5 + (i + 2) % 5] & MASK) for i in range(LANES)
        ]

        for power in range(7):
            if register & 1:
                lanes[0] ^= 1 << (2**power - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
    return lanes


def keccak256(message: bytes) -> bytes:
    """Keccak-256 with the original padding, which hashlib's SHA3-256 doesn't use. One block: up to 135 bytes."""
    rate = 136
    if len(message) >= rate:
        raise ValueError(f"keccak256 takes fewer than {rate} bytes here, not {len(message)}")
    block = bytearray(message.ljust(8 * LANES, b"\0"))
    block[len(message)] ^= 0x01
    block[rate - 1] ^= 0x80
    lanes = [int.from_bytes(block[8 * i : 8 * i + 8], "little") for i in range(LANES)]
    return b"".join(lane.to_bytes(8, "little") for lane in keccak_permutation(lanes)[:4])


def round_constants() -> list[int]:
    constants = []
    digest = keccak256(b"seed")
    for _ in range(MIMC_ROUNDS):
        digest = keccak256(digest)
        constants.append(int.from_bytes(digest, "big") % FIELD)
    return constants


def image_of(preimage: int, rounds: int) -> int:
    """The element at the end of a chain of `rounds` hashes."""
    constants = round_constants()
    state = preimage
    for _ in range(rounds):
        block = state
        for constant in constants:
            state = pow(state + constant, 5, FIELD)
        state = (state + block) % FIELD
    return state


def element(value: int) -> str:
    return f"0x{value:064x}"


def make_inputs(directory: Path, rounds: int, seed: str | None) -> None:
    """Write public.json and witness.json into `directory`; without a seed the secret is random."""
    if seed is None:
        preimage = secrets.randbelow(FIELD)
    else:
        preimage = int.from_bytes(hashlib.sha512(f"groth16 input {seed}".encode()).digest(), "big") % FIELD
    public = {"rounds": rounds, "image": element(image_of(preimage, rounds))}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "public.json").write_text(json.dumps(public, indent=2) + "\n", encoding="utf-8")
    (directory / "witness.json").write_text(
        json.dumps({"preimage": element(preimage)}, indent=2) + "\n", encoding="utf-8"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a matching public.json and witness.json.")
    parser.add_argument("--out", type=Path, required=True, help="directory to write into, created if missing")
    parser.add_argument("--rounds", type=int, default=50, help="rounds that the program was built for (default: 50)")
    parser.add_argument("--seed", help="derive the secret from this text instead of drawing it at random")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds must be at least 1, not {arguments.rounds}")
    make_inputs(arguments.out, arguments.rounds, arguments.seed)
    print(f"wrote {arguments.out / 'public.json'} and {arguments.out / 'witness.json'} ({arguments.rounds} rounds)")


if __name__ == "__main__":
    main()

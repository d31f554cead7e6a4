#!/usr/bin/env python3
"""Make a matching public.json and input.json for the circuit circuits/chain.circom.

    python make_inputs.py --out inputs             # a random secret
    python make_inputs.py --out inputs --seed 7    # the same files every time

Needs nothing but Python. It is also a second, independent statement of what the
circuit computes: five times MiMC with exponent 5 and 110 rounds over BN254's
scalar field in Miyaguchi-Preneel mode, keyed with a public salt; round constants
are zero, then SHA-256 of "proofmill circom mimc round 1" and so on, reduced.

    python make_inputs.py --constants > circuits/mimc_constants.circom
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
from pathlib import Path

FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617
MIMC_ROUNDS = 110
LENGTH = 5


def round_constants() -> list[int]:
    """The 110 constants of MiMC; the first is zero, as the first round has the key alone."""
    names = (f"proofmill circom mimc round {number}" for number in range(1, MIMC_ROUNDS))
    return [0, *(int.from_bytes(hashlib.sha256(name.encode()).digest(), "big") % FIELD for name in names)]


def encrypt(block: int, key: int) -> int:
    """MiMC-5/110, the key added in every round and at the end."""
    for constant in round_constants():
        block = pow(block + key + constant, 5, FIELD)
    return (block + key) % FIELD


def image_of(preimage: int, salt: int, length: int = LENGTH) -> int:
    """The element at the end of a chain of `length` hashes."""
    state = preimage
    for _ in range(length):
        state = (encrypt(state, salt) + state + salt) % FIELD
    return state


def inputs_for(seed: str | None, length: int = LENGTH) -> tuple[list[str], dict[str, str]]:
    """What public.json and input.json hold; without a seed for a random secret."""
    if seed is None:
        preimage, salt = secrets.randbelow(FIELD), secrets.randbelow(FIELD)
    else:
        preimage, salt = (
            int.from_bytes(hashlib.sha512(f"circom {name} {seed}".encode()).digest(), "big") % FIELD
            for name in ("preimage", "salt")
        )
    # circom's order: outputs first, then the public inputs.
    return [str(image_of(preimage, salt, length)), str(salt)], {"preimage": str(preimage), "salt": str(salt)}


def make_inputs(directory: Path, seed: str | None, length: int) -> None:
    """Write public.json and input.json into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in zip(("public.json", "input.json"), inputs_for(seed, length), strict=True):
        (directory / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def circom_constants() -> str:
    """circuits/mimc_constants.circom: the round constants as a circom function."""
    values = ",\n".join(f"        {constant}" for constant in round_constants())
    return (
        "pragma circom 2.1.0;\n\n// Written by `make_inputs.py --constants`, which says where they come from.\n"
        f"function mimc_constants() {{\n    return [\n{values}\n    ];\n}}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a matching public.json and input.json.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="directory to write into, created if missing")
    what.add_argument("--constants", action="store_true", help="print the circuit's round constants instead")
    parser.add_argument("--seed", help="derive secret and salt from this text instead of drawing them at random")
    parser.add_argument(
        "--length", type=int, default=LENGTH, help="of the chain, for a circuit of your own (default: 5)"
    )
    arguments = parser.parse_args()
    if arguments.constants:
        print(circom_constants(), end="")
        return
    make_inputs(arguments.out, arguments.seed, arguments.length)
    print(f"wrote {arguments.out / 'public.json'} and {arguments.out / 'input.json'}")


if __name__ == "__main__":
    main()

"""Lying daemons in the places of a network's honest provers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support.localnet import Localnet, eventually

ROOT = Path(__file__).resolve().parents[2]


def lie_from_now_on(network: Localnet, index: int, lie: str) -> subprocess.Popen[bytes]:
    """Put a daemon that lies in the place of an honest one, with its keys."""
    network.kill(f"prover{index}")
    log = network.layout.log(f"prover{index}").open("ab")
    with log:
        liar = subprocess.Popen(
            [sys.executable, "-m", "tests.support.lying_prover", network.layout.prover(index), lie],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    eventually(lambda: answers(network, index), f"the lying prover{index} answers")
    return liar


def answers(network: Localnet, index: int) -> bool:
    try:
        return bool(httpx.get(f"{network.plan.prover_url(index)}/health", timeout=5, trust_env=False).is_success)
    except httpx.HTTPError:
        return False

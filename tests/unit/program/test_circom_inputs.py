"""What the chain circuit computes is stated twice, in circom and in Python; here the parts that they share."""

from __future__ import annotations

import json
import re

from tests.support.circom import EXAMPLE, SOURCES, load_make_inputs

CIRCUITS = SOURCES / "circuits"


def test_the_circuits_constants_are_the_scripts() -> None:
    assert (CIRCUITS / "mimc_constants.circom").read_text(encoding="utf-8") == load_make_inputs().circom_constants()


def test_the_circuits_sizes_are_the_scripts() -> None:
    script = load_make_inputs()
    chain, mimc = ((CIRCUITS / name).read_text(encoding="utf-8") for name in ("chain.circom", "mimc.circom"))
    assert re.findall(r"Chain\((\d+)\)", chain) == [str(script.LENGTH)]
    assert re.findall(r"rounds = (\d+);", mimc) == [str(script.MIMC_ROUNDS)]
    assert len(set(script.round_constants())) == script.MIMC_ROUNDS


def test_the_example_is_what_the_script_makes_of_its_seed() -> None:
    files = [json.loads((EXAMPLE / name).read_text(encoding="utf-8")) for name in ("public.json", "input.json")]
    assert files == list(load_make_inputs().inputs_for("example"))

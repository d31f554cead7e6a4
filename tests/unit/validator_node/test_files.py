"""Settings, CometBFT's TOML, genesis files and process records: what a home is made of."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from proofmill.genesis.v1.genesis_pb2 import GenesisAccount

from chain.gas import BLOCK_MAX_GAS
from chain.genesis import parse_genesis
from chain.params import validate_params
from chain.transition import init_chain
from tests.support.network import ALICE, BOB
from validator_node.genesis_file import (
    GenesisError,
    NewNetwork,
    ValidatorIdentity,
    load_preset,
    make_genesis,
    preset_names,
)
from validator_node.processes import describe, read_record, write_record
from validator_node.settings import Settings, SettingsError, load_settings, split_address
from validator_node.toml_edit import TomlError, set_values

TOML = """\
# a comment
name = "old" # not at a section
[rpc]
laddr = "tcp://1"   # where
[p2p]
laddr = "tcp://2"
[[p2p.lists]]
laddr = "untouched"
[mempool]
size = 5
"""


def test_set_values_changes_what_is_named_and_nothing_else() -> None:
    text = set_values(TOML, {"name": 'n"ew', "p2p.laddr": "tcp://3", "mempool.size": 7})
    assert tomllib.loads(text) == {
        "name": 'n"ew',
        "rpc": {"laddr": "tcp://1"},
        "p2p": {"laddr": "tcp://3", "lists": [{"laddr": "untouched"}]},
        "mempool": {"size": 7},
    }
    assert "# a comment" in text


def test_set_values_names_a_key_that_is_not_there() -> None:
    with pytest.raises(TomlError, match=r"mempool\.sizes"):
        set_values(TOML, {"mempool.sizes": 1})


def test_settings_are_read_back_as_written(tmp_path: Path) -> None:
    file = tmp_path / "app.toml"
    settings = Settings(retain_blocks=7, log_format="console", grpc_address="", rest_address="0.0.0.0:1")
    file.write_text(settings.dump())
    assert load_settings(file) == settings
    file.write_text("")
    assert load_settings(file) == Settings()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("retain = 1", "isn't a setting"),
        ("retain_blocks = 0", "at least 1"),
        ("retain_blocks = true", "must be a int"),
        ('retain_blocks = "1"', "must be a int"),
        ("signature_cache = -1", "negative"),
        ('log_format = "xml"', "log_format"),
        ('log_level = "loud"', "log_level"),
        ('grpc_address = "9090"', "host:port"),
        ('rest_address = "host:99999"', "host:port"),
        ('metrics_address = "host:x"', "host:port"),
        ("= 1", "can't read"),
    ],
)
def test_a_bad_setting_is_named(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "app.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"app\.toml") as caught:
        load_settings(file)
    assert reason in str(caught.value)


def test_an_address_of_ipv6() -> None:
    assert split_address("[::1]:80") == ("[::1]", 80)


IDENTITY = ValidatorIdentity("v", bytes(20), {"type": "tendermint/PubKeyEd25519", "value": "AA=="}, BOB.address)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_makes_a_genesis_that_a_chain_starts_from(name: str) -> None:
    network = NewNetwork("c-1", ALICE.address, [IDENTITY], [GenesisAccount(address=ALICE.address, umill=5)])
    document = make_genesis(load_preset(name), network)
    assert document["chain_id"] == "c-1"
    assert document["consensus_params"]["block"]["max_gas"] == str(BLOCK_MAX_GAS)
    assert document["consensus_params"]["abci"]["vote_extensions_enable_height"] == "0"
    state = json.dumps(document["app_state"]).encode()
    genesis = parse_genesis(state)
    validate_params(genesis.params)
    assert genesis.validators[0].operator == BOB.address
    assert len(init_chain(state).app_hash) == 32


def test_making_a_genesis_leaves_the_preset_as_it_was() -> None:
    preset = load_preset("devnet")
    make_genesis(preset, NewNetwork("c-1", ALICE.address, [IDENTITY]))
    assert preset == load_preset("devnet")


def test_an_unknown_preset_and_an_unknown_parameter_are_named() -> None:
    with pytest.raises(GenesisError, match="devnet"):
        load_preset("../devnet")
    preset = load_preset("devnet")
    preset["params"]["speed"] = "1"
    with pytest.raises(GenesisError, match="speed"):
        make_genesis(preset, NewNetwork("c-1", ALICE.address, [IDENTITY]))


def test_a_record_knows_its_process_from_another_with_the_same_id(tmp_path: Path) -> None:
    file = tmp_path / "x.pid"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        write_record(file, process.pid)
        record = read_record(file)
        assert record is not None
        assert record.alive()
        imposter = json.loads(file.read_text()) | {"start_ticks": record.start_ticks - 1}
        file.write_text(json.dumps(imposter))
        other = read_record(file)
        assert other is not None
        assert not other.alive()
        other.stop(0.0)  # touches nothing
        assert record.alive()
        process.terminate()
        process.wait()
        assert not record.alive()
        assert record.wait_gone(0.0)


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        record = describe(process.pid)
        assert record is not None
        process.kill()
        assert record.wait_gone(30.0)  # though nobody has waited for it yet


def test_a_damaged_record_is_no_record(tmp_path: Path) -> None:
    file = tmp_path / "x.pid"
    assert read_record(file) is None
    for text in ("", "5", "{}", '{"pid": "x", "start_ticks": 1, "boot_id": ""}'):
        file.write_text(text)
        assert read_record(file) is None

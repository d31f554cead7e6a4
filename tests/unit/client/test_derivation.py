"""Keys from words, against the published vectors of BIP-32 and a known Cosmos account."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import bech32
import pytest
from hypothesis import given, settings, strategies as st

from chain.address import address_bytes_of
from client.errors import InvalidInput
from client.keys.derivation import (
    ExtendedKey,
    account_path,
    check_mnemonic,
    generate_mnemonic,
    key_from_mnemonic,
    parse_path,
)

ABANDON = "abandon " * 11 + "about"
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "bip32.json").read_text())["vectors"]
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def unpack_xprv(text: str) -> tuple[bytes, bytes]:
    """Secret and chain code of a serialised extended key."""
    number = 0
    for character in text:
        number = number * 58 + BASE58.index(character)
    data = number.to_bytes(82, "big")
    assert hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()[:4] == data[-4:]
    return data[46:78], data[13:45]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["path"])
def test_bip32_vectors(vector: dict[str, str]) -> None:
    node = ExtendedKey.master(bytes.fromhex(vector["seed"])).derive(vector["path"])
    assert (node.secret, node.chain_code) == unpack_xprv(vector["private"])


def test_the_first_account_is_the_one_that_cosmos_wallets_show() -> None:
    key = key_from_mnemonic(ABANDON)
    data = bech32.convertbits(address_bytes_of(key.pub_key), 8, 5)
    assert data is not None
    assert bech32.bech32_encode("cosmos", data) == "cosmos19rl4cm2hmr8afy4kldpxz3fka4jguq0auqdal4"


def test_index_path_and_password_choose_other_keys() -> None:
    first = key_from_mnemonic(ABANDON)
    assert key_from_mnemonic(ABANDON, path=account_path(0)).address == first.address
    others = [
        key_from_mnemonic(ABANDON, index=1),
        key_from_mnemonic(ABANDON, path="m/44h/118h/1h/0/0"),
        key_from_mnemonic(ABANDON, password="TREZOR"),
    ]
    assert len({first.address, *(key.address for key in others)}) == 4


@pytest.mark.parametrize("words", [12, 15, 18, 21, 24])
def test_generated_mnemonics_are_valid_and_differ(words: int) -> None:
    first, second = generate_mnemonic(words), generate_mnemonic(words)
    assert first != second
    assert len(first.split()) == words
    assert check_mnemonic(f"  {first.upper()}\n") == first


def test_a_mnemonic_of_another_length_cannot_be_made() -> None:
    with pytest.raises(InvalidInput, match="not 13"):
        generate_mnemonic(13)


@pytest.mark.parametrize(
    ("mnemonic", "message"),
    [
        ("", "not 0"),
        ("abandon about", "not 2"),
        ("abandon " * 11 + "abuot", "word 12 of the mnemonic is not in"),
        ("abandon " * 12, "checksum is wrong"),
    ],
)
def test_invalid_mnemonics_say_what_is_wrong_without_repeating_words(mnemonic: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        check_mnemonic(mnemonic)
    assert "abuot" not in str(caught.value)


@pytest.mark.parametrize("path", ["", "44'/118'", "m/", "m/x", "m/-1", "m//0", "m/0''", "m/12345678901"])
def test_invalid_paths(path: str) -> None:
    with pytest.raises(InvalidInput, match="is not a derivation path such as m/44'/118'/0'/0/0"):
        parse_path(path)


def test_an_index_beyond_31_bits_is_named() -> None:
    with pytest.raises(InvalidInput, match="2147483648"):
        parse_path("m/2147483648")


@pytest.mark.parametrize("size", [0, 15, 65])
def test_seeds_of_other_sizes(size: int) -> None:
    with pytest.raises(InvalidInput, match="16 to 64 bytes"):
        ExtendedKey.master(bytes(size))


@given(st.lists(st.tuples(st.integers(0, 2**31 - 1), st.booleans()), max_size=6))
@settings(max_examples=50)
def test_paths_are_read_back(steps: list[tuple[int, bool]]) -> None:
    path = "/".join(["m", *(f"{index}{chr(39) if hard else ''}" for index, hard in steps)])
    assert parse_path(path) == tuple(index + (2**31 if hard else 0) for index, hard in steps)

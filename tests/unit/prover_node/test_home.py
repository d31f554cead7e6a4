"""A prover's folder: its node key, and those before it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from client.errors import InvalidInput
from client.keys.files import write_key_file
from client.keys.private_key import PrivateKey
from prover_node.home import Home

FIRST = PrivateKey(b"\1" * 32)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    write_key_file(home.key, FIRST)
    return home


def test_a_rotated_key_is_kept_for_what_was_committed_to_with_it(home: Home) -> None:
    second = home.prepare_key()
    home.rotate_key()
    assert home.node_key().address == second.address
    third = home.prepare_key()
    home.rotate_key()
    os.utime(home.retired / FIRST.address, (1, 1))
    assert [key.address for key in home.retired_keys()] == [second.address, FIRST.address]
    assert home.node_key().secret == third.secret
    assert {stat.S_IMODE(path.stat().st_mode) for path in (home.key, *home.retired.iterdir())} == {0o600}
    assert not home.next_key.exists()


def test_a_rotation_that_was_cut_short_goes_on_with_the_same_key(home: Home) -> None:
    prepared = home.prepare_key()
    assert home.prepare_key().secret == prepared.secret
    # Killed when the old key was kept already.
    write_key_file(home.retired / FIRST.address, FIRST)
    home.rotate_key()
    assert home.node_key().secret == prepared.secret


def test_a_key_that_others_can_read_is_refused(home: Home) -> None:
    home.prepare_key()
    home.next_key.chmod(0o644)
    with pytest.raises(InvalidInput, match="can be read by others"):
        home.prepare_key()

"""Key files and the keystore: nothing is overwritten, readable by others, or opened by a wrong passphrase."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING

import pytest

from chain.signatures import SignatureCache
from client.errors import InvalidInput
from client.keys.encryption import decrypt, encrypt
from client.keys.files import read_key_file, read_secret, write_key_file, write_secret
from client.keys.keystore import KeyInfo, KeyStore
from client.keys.passphrase import ask_passphrase
from client.keys.private_key import PrivateKey

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = "correct horse"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def store(folder: Path) -> KeyStore:
    return KeyStore(folder / "keys", log_n=4)


def key(name: str = "alice") -> PrivateKey:
    return PrivateKey(hashlib.sha256(name.encode()).digest())


def never(_: KeyInfo) -> str:
    raise AssertionError("no passphrase is needed")


def test_signatures_are_valid_and_low_s() -> None:
    for index in range(16):
        signature = key().sign(index.to_bytes(1, "big"))
        assert SignatureCache().verify(key().pub_key, index.to_bytes(1, "big"), signature)
        assert int.from_bytes(signature[32:], "big") <= ORDER // 2


def test_generated_keys_differ_and_repr_hides_the_secret() -> None:
    one, other = PrivateKey.generate(), PrivateKey.generate()
    assert one.secret != other.secret
    assert one.secret.hex() not in repr(one)
    assert one.address in repr(one)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(32), bytes(33), ORDER.to_bytes(32, "big"), b"\xff" * 32])
def test_secrets_out_of_range(secret: bytes) -> None:
    with pytest.raises(InvalidInput, match="a private key"):
        PrivateKey(secret)


def test_key_files_are_private_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"
    write_key_file(path, key())
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert read_key_file(path).secret == key().secret
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_key_file(path, key())
    with pytest.raises(InvalidInput, match="exists already and is never overwritten"):
        write_key_file(path, key("bob"))
    assert read_key_file(path).secret == key().secret
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    write_key_file(path, key())
    path.chmod(mode)
    with pytest.raises(InvalidInput, match="chmod 600"):
        read_key_file(path)


@pytest.mark.parametrize("content", [b"", b"zz", b"ab" * 31, b"ab" * 33, b"\xff\xfe", b"0" * 64, b"x" * 5000])
def test_files_without_a_key(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    write_secret(path, content)
    with pytest.raises(InvalidInput, match=str(path)):
        read_key_file(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no file"):
        read_secret(tmp_path / "nothing")
    with pytest.raises(InvalidInput, match="can't be read: Is a directory"):
        read_secret(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="can't be made: File exists"):
        write_secret(tmp_path / "file" / "key", b"")


def test_encryption_is_bound_to_passphrase_and_address() -> None:
    box = encrypt(b"secret", PASSPHRASE, bound_to="mill1a", log_n=4)
    assert decrypt(box, PASSPHRASE, bound_to="mill1a") == b"secret"
    for passphrase, bound_to in ((PASSPHRASE + " ", "mill1a"), (PASSPHRASE, "mill1b")):
        with pytest.raises(InvalidInput, match="the passphrase is wrong, or the encrypted key was changed"):
            decrypt(box, passphrase, bound_to=bound_to)


def test_the_same_secret_is_never_encrypted_alike() -> None:
    boxes = [encrypt(b"secret", PASSPHRASE, bound_to="a", log_n=4) for _ in range(2)]
    for field in ("salt", "nonce", "ciphertext"):
        assert boxes[0][field] != boxes[1][field]


@pytest.mark.parametrize(
    "change",
    [{"log_n": 0}, {"log_n": 60}, {"log_n": "x"}, {"salt": "?"}, {"nonce": "AAAA"}, {"ciphertext": None}],
)
def test_damaged_boxes_are_refused(change: dict[str, object]) -> None:
    box = encrypt(b"secret", PASSPHRASE, bound_to="a", log_n=4)
    with pytest.raises(InvalidInput, match="damaged"):
        decrypt(box | change, PASSPHRASE, bound_to="a")


@pytest.mark.parametrize("passphrase", [PASSPHRASE, None])
def test_keys_are_kept_and_unlocked_by_name_and_address(tmp_path: Path, passphrase: str | None) -> None:
    keys = store(tmp_path)
    info = keys.add("alice", key(), passphrase)
    assert info == KeyInfo("alice", key().address, key().pub_key, passphrase is not None)
    ask = never if passphrase is None else (lambda _: PASSPHRASE)
    for name in ("alice", key().address):
        assert keys.find(name) == info
        assert keys.unlock(name, ask).secret == key().secret
    assert (tmp_path / "keys/alice.json").stat().st_mode & 0o777 == 0o600


def test_an_encrypted_file_does_not_hold_the_secret(tmp_path: Path) -> None:
    store(tmp_path).add("alice", key(), PASSPHRASE)
    assert key().secret.hex() not in (tmp_path / "keys/alice.json").read_text()


def test_wrong_passphrase(tmp_path: Path) -> None:
    keys = store(tmp_path)
    keys.add("alice", key(), PASSPHRASE)
    with pytest.raises(InvalidInput, match="the passphrase is wrong"):
        keys.unlock("alice", lambda _: "another one")


def test_short_passphrases_are_refused(tmp_path: Path) -> None:
    keys = store(tmp_path)
    with pytest.raises(InvalidInput, match="at least 8 characters"):
        keys.add("alice", key(), "1234567")
    assert keys.list() == ()


def test_neither_names_nor_keys_are_taken_twice(tmp_path: Path) -> None:
    keys = store(tmp_path)
    keys.add("alice", key(), None)
    with pytest.raises(InvalidInput, match="a key named 'alice' already"):
        keys.add("alice", key("bob"), None)
    with pytest.raises(InvalidInput, match="is here already, named 'alice'"):
        keys.add("bob", key(), None)


@pytest.mark.parametrize("name", ["", ".", "../alice", "a/b", "-a", "a" * 65, "ä", "a b"])
def test_names_that_could_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="can't name a key"):
        store(tmp_path).add(name, key(), None)


@pytest.mark.parametrize("name", ["mill1", "mill1abc", "MILL1xyz"])
def test_names_that_read_as_addresses(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="would be taken for an address"):
        store(tmp_path).add(name, key(), None)
    store(tmp_path).add("miller1", key(), None)


def test_unknown_keys_name_those_that_are_there(tmp_path: Path) -> None:
    keys = store(tmp_path)
    with pytest.raises(InvalidInput, match="none yet, make one with mill keys add"):
        keys.find("alice")
    keys.add("bob", key("bob"), None)
    with pytest.raises(InvalidInput, match=r"there is no key '\.\./bob' in .* \(keys: bob\)"):
        keys.find("../bob")


def test_delete(tmp_path: Path) -> None:
    keys = store(tmp_path)
    keys.add("alice", key(), None)
    assert keys.delete("alice").address == key().address
    assert keys.list() == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "newer version"),
        ({"key": "x"}, "not a key file"),
        ({"address": "mill1x"}, "damaged: it holds no address"),
        ({"address": key("bob").address}, "damaged: its secret belongs to"),
        ({"key": {"cipher": "rot13"}}, "doesn't know: 'rot13'"),
    ],
)
def test_changed_files_are_noticed(tmp_path: Path, change: dict[str, object], message: str) -> None:
    keys = store(tmp_path)
    keys.add("alice", key(), None)
    path = tmp_path / "keys/alice.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidInput, match=message):
        keys.unlock("alice", never)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_asked_and_a_new_passphrase_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter([PASSPHRASE, "a mistyped one", PASSPHRASE, PASSPHRASE])
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _: next(answers))
    assert ask_passphrase(None, "Passphrase for the new key", confirm=True) == PASSPHRASE
    assert next(answers, None) is None
    shown = capsys.readouterr()
    assert "do not match" in shown.err
    assert PASSPHRASE not in shown.out + shown.err


def test_files_that_are_not_json(tmp_path: Path) -> None:
    write_secret(tmp_path / "keys/alice.json", b"\xff")
    with pytest.raises(InvalidInput, match="not a key file, or it is damaged"):
        store(tmp_path).list()

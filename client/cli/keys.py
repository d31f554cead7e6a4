"""`mill keys`: all that needs no network."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from client.cli.options import Settings, home_options, passphrase_option
from client.cli.output import columns, emit, pairs
from client.errors import InvalidInput
from client.keys.derivation import account_path, generate_mnemonic, key_from_mnemonic
from client.keys.files import read_key_file, read_secret, write_key_file
from client.keys.keystore import KeyInfo, KeyStore
from client.keys.passphrase import ask_passphrase
from client.plain import Plain

_WORDS = click.option(
    "--words", type=click.Choice(["12", "15", "18", "21", "24"]), default="24", show_default=True, help="Its length."
)
_UNENCRYPTED = click.option(
    "--unencrypted", is_flag=True, help="Keep the key without a passphrase: for test networks only."
)


@click.group()
def keys() -> None:
    """Make, import and keep keys.

    Keys are files below HOME/keys, encrypted under a passphrase (scrypt, AES-256-GCM). Whoever has a key's
    mnemonic or exported file owns all that the key owns.
    """


@keys.command()
@click.argument("name")
@_WORDS
@_UNENCRYPTED
@passphrase_option
@home_options
def add(settings: Settings, name: str, words: str, unencrypted: bool, passphrase_file: Path | None) -> None:
    """Make a new key called NAME and show its mnemonic, once.

    \b
    Examples:
      mill keys add alice
      mill keys add test --unencrypted -o json
    """
    mnemonic = generate_mnemonic(int(words))
    passphrase = _new_passphrase(unencrypted, passphrase_file)
    info = KeyStore(settings.keys).add(name, key_from_mnemonic(mnemonic), passphrase)
    shown = f"{_table(info)}\n\nWrite these words down and keep them safe; they are the key:\n\n{mnemonic}"
    emit(settings.format, {**_plain(info), "mnemonic": mnemonic}, lambda: shown)


@keys.command("import")
@click.argument("name")
@click.option(
    "--file",
    "key_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A plain key file (mode 0600): 64 hexadecimal digits.",
)
@click.option(
    "--mnemonic-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file (mode 0600) with the mnemonic; without --file and this you are asked for the words.",
)
@click.option("--index", type=click.IntRange(0, 2**31 - 1), default=0, help="Which of the mnemonic's addresses.")
@click.option("--path", metavar="PATH", help=f"Another BIP-32 path than {account_path(0)}.")
@_UNENCRYPTED
@passphrase_option
@home_options
def import_(
    settings: Settings,
    name: str,
    key_file: Path | None,
    mnemonic_file: Path | None,
    index: int,
    path: str | None,
    unencrypted: bool,
    passphrase_file: Path | None,
) -> None:
    """Take up a key under NAME: from its mnemonic, or from a plain key file.

    \b
    Examples:
      mill keys import alice
      mill keys import alice --mnemonic-file words.txt --index 1
      mill keys import node --file ~/.mill/prover/key --unencrypted
    """
    if key_file is not None:
        if mnemonic_file is not None or index or path:
            raise click.UsageError("--file can't be combined with --mnemonic-file, --index or --path")
        key = read_key_file(key_file)
    else:
        if index and path:
            raise click.UsageError("--index and --path can't be combined")
        key = key_from_mnemonic(_mnemonic(mnemonic_file), index=index, path=path)
    info = KeyStore(settings.keys).add(name, key, _new_passphrase(unencrypted, passphrase_file))
    emit(settings.format, _plain(info), lambda: _table(info))


@keys.command("list")
@home_options
def list_(settings: Settings) -> None:
    """List the keys."""
    found = KeyStore(settings.keys).list()
    rows = [(info.name, info.address, "encrypted" if info.encrypted else "PLAIN") for info in found]
    emit(settings.format, [_plain(info) for info in found], lambda: columns(("name", "address", "kept"), rows))


@keys.command()
@click.argument("name")
@home_options
def show(settings: Settings, name: str) -> None:
    """Show the key NAME, which may be an address too."""
    info = KeyStore(settings.keys).find(name)
    emit(settings.format, _plain(info), lambda: _table(info))


@keys.command()
@click.argument("name")
@click.option(
    "--file", "key_file", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The new file."
)
@passphrase_option
@home_options
def export(settings: Settings, name: str, key_file: Path, passphrase_file: Path | None) -> None:
    """Write the key NAME, unprotected, to a new file of mode 0600, as daemons use it.

    \b
    Example:
      mill keys export node --file ~/.mill/prover/key
    """
    key = KeyStore(settings.keys).unlock(
        name, lambda info: ask_passphrase(passphrase_file, f"Passphrase of {info.name}")
    )
    write_key_file(key_file, key)
    emit(
        settings.format,
        {"address": key.address, "file": str(key_file)},
        lambda: f"{key.address} is in {key_file} now: anybody who can read that file owns the key",
    )


@keys.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Don't ask.")
@home_options
def delete(settings: Settings, name: str, yes: bool) -> None:
    """Delete the key NAME. Without its mnemonic or an export, what it owns is lost."""
    store = KeyStore(settings.keys)
    info = store.find(name)
    if not yes:
        if not sys.stdin.isatty():
            raise InvalidInput("there is no terminal to ask whether to delete the key: confirm with --yes")
        click.confirm(f"Delete {info.name} ({info.address}) for good?", abort=True, err=True)
    store.delete(info.name)
    emit(settings.format, _plain(info), lambda: f"{info.name} ({info.address}) is deleted")


@keys.command()
@_WORDS
@home_options
def mnemonic(settings: Settings, words: str) -> None:
    """Make a mnemonic and keep it nowhere."""
    text = generate_mnemonic(int(words))
    emit(settings.format, {"mnemonic": text}, lambda: text)


def _new_passphrase(unencrypted: bool, file: Path | None) -> str | None:
    return None if unencrypted else ask_passphrase(file, "Passphrase for the new key", confirm=True)


def _mnemonic(file: Path | None) -> str:
    if file is not None:
        try:
            return read_secret(file).decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidInput(f"the mnemonic file {file} is not UTF-8 text") from None
    if not sys.stdin.isatty():
        raise InvalidInput("there is no terminal to ask for the mnemonic: give --mnemonic-file or --file")
    words: str = click.prompt("Mnemonic", hide_input=True, err=True)
    return words


def _plain(info: KeyInfo) -> dict[str, Plain]:
    return {
        "name": info.name,
        "address": info.address,
        "pub_key": info.pub_key.hex(),
        "encrypted": info.encrypted,
    }


def _table(info: KeyInfo) -> str:
    kept = "encrypted" if info.encrypted else "PLAIN: anybody who can read the file owns it"
    return pairs((("name", info.name), ("address", info.address), ("public key", info.pub_key.hex()), ("kept", kept)))

"""Where a passphrase comes from: a file that only its owner can read, or the terminal. Never an argument."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from client.errors import InvalidInput
from client.keys.files import read_secret


def ask_passphrase(file: Path | None, prompt: str, *, confirm: bool = False) -> str:
    """The first line of ``file`` if there is one, else what the user types; ``confirm`` asks twice."""
    if file is not None:
        try:
            passphrase = read_secret(file).decode("utf-8").split("\n", 1)[0].rstrip("\r")
        except UnicodeDecodeError:
            raise InvalidInput(f"the passphrase file {file} is not UTF-8 text") from None
        if not passphrase:
            raise InvalidInput(f"the passphrase file {file} begins with an empty line")
        return passphrase
    if not sys.stdin.isatty():
        raise InvalidInput(
            "a passphrase is needed and there is no terminal to ask for it: give --passphrase-file or "
            "MILL_PASSPHRASE_FILE"
        )
    answer: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    return answer

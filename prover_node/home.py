"""A prover node's folder on disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from client.errors import ClientError, InvalidInput
from client.keys.files import read_key_file, write_key_file
from client.keys.private_key import PrivateKey
from prover_node.settings import CONFIG_NAME, Settings, dump_settings, load_settings

DEFAULT_HOME = Path("~/.mill/prover")


class HomeInUse(ClientError):
    """Another process works in this home."""


@dataclass(frozen=True)
class Home:
    """Paths below one folder. The node key and what is cached and journalled belong together: never share a home."""

    root: Path

    @property
    def config(self) -> Path:
        """Settings."""
        return self.root / CONFIG_NAME

    @property
    def key(self) -> Path:
        """The node's private key, mode 0600."""
        return self.root / "key"

    @property
    def next_key(self) -> Path:
        """A node key that is about to replace the present one."""
        return self.root / "key.next"

    @property
    def retired(self) -> Path:
        """Earlier node keys, by address: what was committed to with them opens with them alone."""
        return self.root / "retired-keys"

    @property
    def journal(self) -> Path:
        """Results not yet settled."""
        return self.root / "journal"

    @property
    def incidents(self) -> Path:
        """What went wrong lately, for people."""
        return self.root / "incidents"

    @property
    def experience(self) -> Path:
        """How long runs took."""
        return self.root / "experience"

    @property
    def earnings(self) -> Path:
        """What was earned by when."""
        return self.root / "earnings"

    @property
    def blobs(self) -> Path:
        """Content-addressed files."""
        return self.root / "store" / "blobs"

    @property
    def tasks(self) -> Path:
        """What is published about tasks."""
        return self.root / "store" / "tasks"

    @property
    def work(self) -> Path:
        """Working folders of jobs; emptied at every start."""
        return self.root / "work"

    @property
    def runner(self) -> Path:
        """The runner's own files, such as unpacked images."""
        return self.root / "runner"

    def create(self, settings: Settings, key: PrivateKey) -> None:
        """Make the folder; raises InvalidInput if there is a prover in it already."""
        if self.config.exists():
            raise InvalidInput(f"{self.config} exists already: choose another --home, or edit it")
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_key_file(self.key, key)
        try:
            self.config.write_text(dump_settings(settings))
        except OSError as error:
            raise InvalidInput(f"{self.config} can't be written: {error.strerror}") from error

    def settings(self) -> Settings:
        """Read the configuration."""
        return load_settings(self.config)

    def node_key(self) -> PrivateKey:
        """Read the key."""
        return read_key_file(self.key)

    def retired_keys(self) -> list[PrivateKey]:
        """Earlier keys, the last one first."""
        paths = sorted(self.retired.glob("mill1*"), key=lambda path: path.stat().st_mtime, reverse=True)
        return [read_key_file(path) for path in paths]

    def prepare_key(self) -> PrivateKey:
        """The key that is to be the next: the one of a rotation that was cut short, or else a new one."""
        if not self.next_key.exists():
            write_key_file(self.next_key, PrivateKey.generate())
        return read_key_file(self.next_key)

    def rotate_key(self) -> None:
        """Put the prepared key in the place of the present one, which is kept; may be called again after a crash."""
        old = self.node_key()
        kept = self.retired / old.address
        if not kept.exists():
            write_key_file(kept, old)
        # One step, so that there is a key at any moment.
        self.next_key.replace(self.key)

    def lock(self) -> IO[str]:
        """Claim the home for this process until the returned file is closed; HomeInUse if another has it."""
        file = (self.root / "lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            file.close()
            raise HomeInUse(f"{self.root} is in use by process {owner}: stop that prover first") from None
        # Only for people: a full disk must not keep the node from starting.
        with contextlib.suppress(OSError):
            file.truncate(0)
            os.write(file.fileno(), str(os.getpid()).encode())
        return file

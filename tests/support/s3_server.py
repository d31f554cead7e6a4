"""A real S3 server as a process on loopback, over a folder in which its objects are plain files."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

CHECKOUT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 30.0


class NoS3ServerError(Exception):
    """There is no server to start; the message says how to get one."""


@dataclass(frozen=True)
class S3Server:
    """Answers at ``url``; its bucket's objects lie in ``bucket``."""

    url: str
    bucket: Path
    key: str = field(default_factory=lambda: f"KEY{secrets.token_hex(8)}")
    secret: str = field(default_factory=lambda: secrets.token_hex(20))

    def options(self, **changed: str) -> str:
        """The TOML file that lets a prover write to it."""
        values = {"key": self.key, "secret": self.secret} | changed
        lines = [f'{name} = "{value}"' for name, value in values.items()]
        return "\n".join([*lines, "[client_kwargs]", f'endpoint_url = "{self.url}"', 'region_name = "us-east-1"', ""])


@contextmanager
def s3_server(folder: Path, bucket: str) -> Iterator[S3Server]:
    """A server with one bucket, its data below ``folder``; raises NoS3ServerError."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(CHECKOUT / ".tools" / "bin")])
    program = shutil.which("versitygw", path=path)
    if program is None:
        raise NoS3ServerError("versitygw isn't installed; `scripts/tools.py ensure s3` gets it")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    root = folder / "buckets"
    (root / bucket).mkdir(parents=True)
    server = S3Server(f"http://{address}", root / bucket)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            # Its metadata beside the files: not every file system has extended attributes.
            [program, "--port", address, "--quiet", "posix", "--sidecar", str(_made(folder / "meta")), str(root)],
            env=os.environ | {"ROOT_ACCESS_KEY": server.key, "ROOT_SECRET_KEY": server.secret},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(process, server.url, folder / "log")
        yield server
    finally:
        process.terminate()
        process.wait(START_LIMIT_S)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    with httpx.Client(trust_env=False) as http:
        while process.poll() is None and time.monotonic() < end:
            try:
                http.get(url)
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
    raise RuntimeError(f"the S3 server doesn't start: {log.read_text()[-2000:]}")

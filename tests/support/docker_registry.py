"""Docker's own registry as a process on loopback, and how an image archive gets into it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.registry import MANIFEST_TYPE, Pushed

CHECKOUT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 30.0


class NoRegistryError(Exception):
    """There is no registry to start; the message says how to get one."""


@dataclass(frozen=True)
class DockerRegistry:
    """A registry that answers plain HTTP at ``address`` (host:port)."""

    address: str

    def push(self, archive: Path, repository: str) -> Pushed:
        """Put the image of an OCI-layout archive in, unchanged."""
        with tarfile.open(archive) as layout, httpx.Client(base_url=f"http://{self.address}/v2/{repository}/") as http:
            index = json.loads(_read(layout, "index.json"))
            (descriptor,) = index["manifests"]
            raw = _blob(layout, descriptor)
            manifest = json.loads(raw)
            parts = {part["digest"]: _blob(layout, part) for part in (manifest["config"], *manifest["layers"])}
            for digest, data in parts.items():
                begun = http.post("blobs/uploads/").raise_for_status()
                upload = httpx.URL(begun.headers["Location"]).copy_add_param("digest", digest)
                http.put(upload, content=data).raise_for_status()
            headers = {"Content-Type": manifest.get("mediaType", MANIFEST_TYPE)}
            http.put(f"manifests/{descriptor['digest']}", content=raw, headers=headers).raise_for_status()
        size = len(raw) + sum(len(data) for data in parts.values())
        return Pushed(descriptor["digest"].removeprefix("sha256:"), size)


@contextmanager
def docker_registry(folder: Path) -> Iterator[DockerRegistry]:
    """A registry with its data below ``folder``; raises NoRegistryError."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(CHECKOUT / ".tools" / "bin")])
    program = shutil.which("docker-registry", path=path)
    if program is None:
        raise NoRegistryError("docker-registry isn't installed; `scripts/tools.py ensure registry` gets it")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = folder / "config.yml"
    settings = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
    }
    config.write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait(process, address, folder / "log")
        yield DockerRegistry(address)
    finally:
        process.terminate()
        process.wait(START_LIMIT_S)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < end:
        try:
            httpx.get(f"http://{address}/v2/").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the registry doesn't start: {log.read_text()[-2000:]}")


def _blob(layout: tarfile.TarFile, descriptor: dict[str, Any]) -> bytes:
    return _read(layout, f"blobs/{descriptor['digest'].replace(':', '/')}")


def _read(layout: tarfile.TarFile, name: str) -> bytes:
    file = layout.extractfile(name)
    assert file is not None
    return file.read()

"""The engine that the other tests rely on runs a `FROM scratch` image offline and enforces the limits it is given."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.images import Image

from tests.support.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024

PROGRAM = """
package main

import (
	"fmt"
	"os"
)

func main() {
	if os.Args[1] == "greet" {
		fmt.Println("hello")
		return
	}
	var kept [][]byte
	for {
		block := make([]byte, 1<<20)
		for i := range block {
			block[i] = 1
		}
		kept = append(kept, block)
		fmt.Fprint(os.Stderr, len(kept), " ")
	}
}
"""


def archive(files: dict[str, bytes], mode: int) -> bytes:
    """An uncompressed tar of `files`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def image_archive(binary: bytes) -> bytes:
    """A docker-archive with one layer that holds `binary` as /program."""
    layer = archive({"program": binary}, 0o755)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": ["/program"], "User": "65532:65532"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": None, "Layers": ["layer.tar"]}]
    files = {"config.json": config, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    return archive(files, 0o644)


@pytest.fixture(scope="module")
def client(docker_engine: Engine) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=docker_engine.url)
    yield client
    client.close()


@pytest.fixture(scope="module")
def image(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    sources = tmp_path_factory.mktemp("program")
    (sources / "main.go").write_text(PROGRAM)
    path = os.pathsep.join([os.environ["PATH"], str(ROOT / ".tools" / "bin")])
    go = shutil.which("go", path=path)
    if go is None:
        pytest.fail("there is no Go to build the test program with; `scripts/tools.py ensure go` gets one")
    subprocess.run(
        [go, "build", "-o", "program", "main.go"],
        cwd=sources,
        env={**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"},
        check=True,
    )
    image = client.images.load(image_archive((sources / "program").read_bytes()))[0]
    yield image
    client.images.remove(str(image.id), force=True)


def run(client: docker.DockerClient, image: Image, command: str) -> tuple[int, bool, bytes]:
    """Run to the end under small limits; give exit code, whether memory ran out, and stdout."""
    container = client.containers.create(
        str(image.id),
        [command],
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        mem_limit=32 * MIB,
        memswap_limit=32 * MIB,
        nano_cpus=500_000_000,
        pids_limit=32,
    )
    try:
        container.start()
        code = container.wait(timeout=60)["StatusCode"]
        container.reload()
        return code, container.attrs["State"]["OOMKilled"], container.logs(stdout=True, stderr=False)
    finally:
        container.remove(force=True)


def test_engine_runs_a_scratch_image(client: docker.DockerClient, image: Image) -> None:
    assert run(client, image, "greet") == (0, False, b"hello\n")


def test_engine_ends_a_container_that_outgrows_its_memory(client: docker.DockerClient, image: Image) -> None:
    assert run(client, image, "grow") == (137, True, b"")

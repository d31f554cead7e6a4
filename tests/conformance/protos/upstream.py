"""The wire contracts as their authors publish them, compiled from pinned Go modules; nothing of theirs is kept here."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from google.api import annotations_pb2  # noqa: F401  (registers google.api.http, so that descriptors decode with it)
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Module:
    """A Go module, its checksum as in go.sum, and where in it the .proto files' names start."""

    path: str
    version: str
    checksum: str
    proto_root: str = "."


COMETBFT = Module("github.com/cometbft/cometbft", "v0.40.0", "h1:0+zc7FlcnonFfMwzhyDCd5vK/fHZqz0RfRyTCxZsFPU=", "proto")
COSMOS_SDK = Module(
    "github.com/cosmos/cosmos-sdk", "v0.53.4", "h1:kPF6vY68+/xi1/VebSZGpoxQqA52qkhUzqkrgeBn3Mg=", "proto"
)
COSMOS_PROTO = Module(
    "github.com/cosmos/cosmos-proto", "v1.0.0-beta.5", "h1:eNcayDLpip+zVLRLYafhzLvQlSmyab+RC5W7ZfmxJLA=", "proto"
)
GOGOPROTO = Module("github.com/cosmos/gogoproto", "v1.7.0", "h1:79USr0oyXAbxg3rspGh/m4SWNyoz/GLaAh0QlCe2fro=")
ICS23 = Module("github.com/cosmos/ics23/go", "v0.11.0", "h1:jk5skjT0TqX5e5QJbEnwXIS2yI2vnmLOgpQPeM5RtnU=")

# CometBFT before the SDK, which carries its own copy of an older tendermint/.
PROTO_MODULES = (COMETBFT, COSMOS_SDK, COSMOS_PROTO, GOGOPROTO)


def find_go() -> str:
    """The machine's Go or the project's own."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(ROOT / ".tools" / "bin")])
    go = shutil.which("go", path=path)
    if go is None:
        raise FileNotFoundError("no Go found to fetch the upstream modules with: run `make setup`")
    return go


def fetch(modules: tuple[Module, ...], scratch: Path) -> dict[Module, Path]:
    """The modules' folders in Go's module cache, filled if need be. Raises ValueError at a wrong checksum."""
    done = subprocess.run(
        [find_go(), "mod", "download", "-json", *(f"{module.path}@{module.version}" for module in modules)],
        cwd=scratch,  # outside of any module
        env={**os.environ, "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OSError(f"go mod download failed: {done.stdout}{done.stderr}")
    decoder = json.JSONDecoder()
    folders, rest = {}, done.stdout.lstrip()
    by_path = {module.path: module for module in modules}
    while rest:
        entry, end = decoder.raw_decode(rest)
        module = by_path[entry["Path"]]
        if entry["Sum"] != module.checksum:
            raise ValueError(f"{module.path}@{module.version} has the checksum {entry['Sum']}, not {module.checksum}")
        folders[module] = Path(entry["Dir"])
        rest = rest[end:].lstrip()
    return folders


def compile_protos(roots: list[Path], names: list[str], scratch: Path) -> list[FileDescriptorProto]:
    """Descriptors of the named files (imports left out), which protoc looks for below the roots, first hit first."""
    target = scratch / "descriptors.binpb"
    well_known = Path(protoc.__file__).parent / "_proto"
    annotations = metadata.distribution("googleapis-common-protos").locate_file("")
    paths = [f"--proto_path={path}" for path in (*roots, well_known, annotations)]
    status = protoc.main(["protoc", *paths, f"--descriptor_set_out={target}", *names])
    if status:
        raise OSError(f"protoc refused the files below {', '.join(map(str, roots))} (exit {status})")
    return list(FileDescriptorSet.FromString(target.read_bytes()).file)


def embedded_descriptor(generated: Path) -> FileDescriptorProto:
    """The descriptor that gogoproto's generated Go code carries, gzipped: ics23's Go module has no .proto file."""
    source = generated.read_text()
    literal = re.search(r"var fileDescriptor_\w+ = \[\]byte\{(.*?)\n\}", source, re.DOTALL)
    if literal is None:
        raise ValueError(f"{generated} holds no file descriptor")
    packed = bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2})\b", literal[1]))
    return FileDescriptorProto.FromString(gzip.decompress(packed))


def upstream_files(scratch: Path, names: list[str]) -> list[FileDescriptorProto]:
    """What the pinned modules publish under our files' names, and ics23's one file."""
    folders = fetch((*PROTO_MODULES, ICS23), scratch)
    roots = [folders[module] / module.proto_root for module in PROTO_MODULES]
    published = [name for name in names if any((root / name).is_file() for root in roots)]
    return [
        *compile_protos(roots, published, scratch),
        embedded_descriptor(folders[ICS23] / "proofs.pb.go"),
    ]

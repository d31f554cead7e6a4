"""Generate the protobuf stubs (`*_pb2.py` and `*_pb2.pyi`) from proto/ into gen/.

`python scripts/protos.py` regenerates them in a checkout; the build hook in hatch_build.py calls `generate` for wheels
and editable installs. Nothing is done when neither the .proto files nor the compiler changed since the last run.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
from importlib import metadata
from pathlib import Path

STAMP = ".digest"


class ProtoError(Exception):
    """The compiler refused the .proto files; the message says which and why."""


def sources(proto_dir: Path) -> list[Path]:
    """All .proto files below `proto_dir`, sorted; empty when there are none yet."""
    return sorted(proto_dir.rglob("*.proto")) if proto_dir.is_dir() else []


def digest(proto_dir: Path, files: list[Path]) -> str:
    """Names and contents of the files, and the versions that decide what the compiler writes."""
    h = hashlib.sha256()
    for name in ("grpcio-tools", "googleapis-common-protos"):
        h.update(f"{name} {metadata.version(name)}\n".encode())
    for file in files:
        content = file.read_bytes()
        h.update(f"{file.relative_to(proto_dir)} {len(content)}\n".encode())
        h.update(content)
    return h.hexdigest()


def compile_into(target: Path, proto_dir: Path, files: list[Path]) -> None:
    """Run protoc, as bundled with grpcio-tools. Messages only: services are served from their descriptors."""
    from grpc_tools import protoc  # noqa: PLC0415  (a no-op run needs no compiler and stays fast)

    well_known = Path(protoc.__file__).parent / "_proto"
    annotations = metadata.distribution("googleapis-common-protos").locate_file("")
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={proto_dir}",
            f"--proto_path={well_known}",
            f"--proto_path={annotations}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            *map(str, files),
        ]
    )
    if status:
        raise ProtoError(f"protoc refused the files in {proto_dir} (exit {status}); its complaint is above")


def generate(root: Path) -> bool:
    """Bring root/gen up to date with root/proto and say whether anything had to be written.

    The new tree is written beside the old one and swapped in whole, so a failed run leaves the old stubs.
    """
    proto_dir, gen = root / "proto", root / "gen"
    gen.mkdir(exist_ok=True)
    with (root / ".protos.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        files = sources(proto_dir)
        wanted = digest(proto_dir, files)
        stamp = gen / STAMP
        if stamp.is_file() and stamp.read_text() == wanted:
            return False
        fresh, stale = root / "gen.new", root / "gen.old"
        for leftover in (fresh, stale):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh.mkdir()
        if files:
            compile_into(fresh, proto_dir, files)
        (fresh / STAMP).write_text(wanted)
        gen.rename(stale)
        fresh.rename(gen)
        shutil.rmtree(stale)
        return True


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    try:
        written = generate(root)
    except ProtoError as error:
        print(f"protos: {error}", file=sys.stderr)
        return 1
    print("protos: generated" if written else "protos: up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())

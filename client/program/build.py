"""From a program's folder to its two image archives and program.json, without a container engine."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from client.program.cache import cache_folder
from client.program.description import DESCRIPTION_FILE, BuiltAsset, BuiltImage, BuiltProgram, file_sha256, read_program
from client.program.errors import BuildError, ManifestError
from client.program.image import write_image
from client.program.layer import layer_entries, product_file
from client.program.manifest import Asset, ImageSpec, Manifest, load_manifest
from client.program.packages import Downloads
from client.program.recipe import BUILD_FOLDER, Step
from client.program.toolchains import environment_of

# Reaching the network is the machine's business; nothing else of the user's environment gets into a build.
_NETWORK_SETTINGS = (
    *("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy"),
    *("SSL_CERT_DIR", "SSL_CERT_FILE"),
)
_LOG_LINES_IN_ERROR = 20


@dataclass(frozen=True)
class BuildResult:
    """A finished build: `directory` holds program.json and the files that it names."""

    directory: Path
    program: BuiltProgram
    cached: bool


def build(
    place: Path,
    out_dir: Path,
    params: Mapping[str, str] | None = None,
    *,
    cache_dir: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> BuildResult:
    """Build the program at `place` into `out_dir`: prover.tar, verifier.tar, program.json, assets/….

    `place` is a folder with a program.yaml, or a manifest file. `params` overrides the manifest's parameters. The bytes
    depend on nothing but the manifest, the sources and the parameters; a build that was made before is copied from
    `cache_dir`. `progress` gets one line at a time (default: stderr). Raises ManifestError and BuildError.
    """
    report = progress or _report
    manifest = load_manifest(place, params)
    sources = _collect_sources(manifest)
    cache = cache_dir or cache_folder("programs")
    key = _cache_key(manifest, sources)
    try:
        entry = cache / key
        with _only_builder(entry, report):
            program = _cached(entry)
            cached = program is not None
            if program is None:
                program = _build_into_cache(manifest, sources, entry, report)
        _copy(entry, program, out_dir)
    except OSError as error:
        raise BuildError(f"the build of {manifest.name} can't use {error.filename}: {error.strerror}") from error
    settings = ", ".join(f"{name}={value}" for name, value in manifest.parameters.items())
    report(f"{manifest.name} {manifest.version} ({settings}): {'unchanged, from the cache' if cached else 'built'}")
    for image in (program.prover, program.verifier):
        report(f"  {image.file:12} {image.bytes / 1e6:6.1f} MB  sha256 {image.sha256}")
    return BuildResult(out_dir, program, cached)


@contextlib.contextmanager
def _only_builder(entry: Path, report: Callable[[str], None]) -> Iterator[None]:
    """While another process makes the same thing, wait for it: it may take minutes, and all cores."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    with entry.with_name(f"{entry.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another process builds the same; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _collect_sources(manifest: Manifest) -> dict[str, Path]:
    """The files that the manifest's patterns name: path in the build folder to path here."""
    files: dict[str, Path] = {}
    folder = manifest.file.parent
    for pattern in manifest.recipe.sources:
        found = sorted(path for path in folder.glob(pattern) if not path.is_dir())
        if not found:
            raise ManifestError(f"{manifest.file}: build.sources: no file matches {pattern}")
        for path in found:
            if path.resolve() != folder.resolve() / path.relative_to(folder):
                raise ManifestError(f"{path} is a symbolic link: a source must be a plain file")
            files[path.relative_to(folder).as_posix()] = path
    return files


def _cache_key(manifest: Manifest, sources: Mapping[str, Path]) -> str:
    builder = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(
        json.dumps(
            {
                "builder": [file_sha256(path) for path in builder],
                "manifest": file_sha256(manifest.file),
                "parameters": dict(manifest.parameters),
                "sources": {name: file_sha256(path) for name, path in sources.items()},
            },
            sort_keys=True,
        ).encode()
    ).hexdigest()


def _cached(entry: Path) -> BuiltProgram | None:
    """The build in `entry`; None if there is none or if it was damaged, which removes it."""
    if not entry.exists():
        return None
    try:
        return read_program(entry)
    except BuildError:
        shutil.rmtree(entry)
        return None


def _build_into_cache(
    manifest: Manifest, sources: Mapping[str, Path], entry: Path, report: Callable[[str], None]
) -> BuiltProgram:
    with (
        tempfile.TemporaryDirectory(prefix="proofmill-build-") as scratch,
        tempfile.TemporaryDirectory(dir=entry.parent, prefix="unfinished-") as unfinished,
    ):
        work, result = Path(scratch, "sources"), Path(unfinished, "result")
        work.mkdir()
        result.mkdir()
        for name, path in sources.items():
            target = work / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            target.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        _run_steps(manifest, work, Path(scratch), entry.parent / "downloads", report)
        program = _package(manifest, work, result)
        program.write(result)
        result.rename(entry)
    return program


def _run_steps(manifest: Manifest, work: Path, scratch: Path, downloads: Path, report: Callable[[str], None]) -> None:
    home, temporary = scratch / "home", scratch / "tmp"
    home.mkdir()
    temporary.mkdir()
    env = {name: os.environ[name] for name in _NETWORK_SETTINGS if name in os.environ}
    env |= {"HOME": str(home), "LC_ALL": "C", "PATH": "/usr/bin:/bin", "TMPDIR": str(temporary), "TZ": "UTC"}
    recipe = manifest.recipe
    packages = Downloads(downloads, temporary, os.environ)
    total = len(recipe.steps)
    if recipe.debian:
        with _announced(f"[0/{total}] Debian packages: {', '.join(one.name for one in recipe.debian)}", report):
            packages.debian(recipe.debian, work / "debian")
    if recipe.wheels:
        with _announced(f"[0/{total}] wheels: {', '.join(one.file.split('-')[0] for one in recipe.wheels)}", report):
            packages.wheels(recipe.wheels, work / "pypi")
    env |= environment_of(recipe.tools)
    for number, step in enumerate(recipe.steps, 1):
        with _announced(f"[{number}/{total}] {step.name}", report):
            _run_step(step, work, env)


@contextlib.contextmanager
def _announced(what: str, report: Callable[[str], None]) -> Iterator[None]:
    report(what)
    started = time.monotonic()
    yield
    report(f"{what}: {time.monotonic() - started:.1f} s")


def _run_step(step: Step, work: Path, env: Mapping[str, str]) -> None:
    argv = [_located(word, work) for word in step.argv]
    env = {**env, **{name: _located(value, work) for name, value in step.env.items()}}
    # A relative command is a product of an earlier step, found from the build folder.
    command = str(work / argv[0]) if "/" in argv[0] else shutil.which(argv[0], path=env["PATH"])
    if command is None:
        raise BuildError(f"build step {step.name!r} needs the command {argv[0]}, which isn't installed")
    try:
        done = subprocess.run(
            [command, *argv[1:]], cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
        )  # fmt: skip
    except OSError as error:
        raise BuildError(f"build step {step.name!r} can't start {argv[0]}: {error.strerror}") from error
    if done.returncode != 0:
        last = "\n".join(done.stdout.splitlines()[-_LOG_LINES_IN_ERROR:])
        raise BuildError(f"build step {step.name!r} failed with exit code {done.returncode}:\n{last}")


def _located(text: str, work: Path) -> str:
    return text.replace(f"${{{BUILD_FOLDER}}}", str(work))


def _package(manifest: Manifest, work: Path, result: Path) -> BuiltProgram:
    return BuiltProgram(
        name=manifest.name,
        version=manifest.version,
        description=manifest.description,
        architecture=manifest.architecture,
        parameters=dict(manifest.parameters),
        prover=_package_image(manifest, manifest.prover, "prover", work, result),
        verifier=_package_image(manifest, manifest.verifier, "verifier", work, result),
        default_resources=manifest.default_resources,
        max_resources=manifest.max_resources,
        verifier_resources=manifest.verifier_resources,
        verifier_time_limit_s=manifest.verifier_time_limit_s,
        assets=tuple(_package_asset(asset, work, result) for asset in manifest.assets),
    )


def _package_image(manifest: Manifest, spec: ImageSpec, role: str, work: Path, result: Path) -> BuiltImage:
    labels = {
        "org.opencontainers.image.title": f"{manifest.name} {role}",
        "org.opencontainers.image.version": manifest.version,
    } | dict(spec.labels)
    entries = layer_entries(spec.files, work)
    if spec.command[0] not in {entry.target for entry in entries}:
        raise BuildError(f"the {role}'s command {spec.command[0]} is not among the files of its image")
    name = f"{role}.tar"
    try:
        archive = write_image(result / name, entries, spec.command, labels, manifest.architecture)
    except ValueError as error:
        raise BuildError(f"the {role}'s image can't be written: {error}") from error
    return BuiltImage(name, archive.sha256, archive.size, archive.image_id, spec.command)


def _package_asset(asset: Asset, work: Path, result: Path) -> BuiltAsset:
    if asset.source is None:
        return BuiltAsset(asset.name, asset.audience, asset.sha256, asset.size, asset.urls, "")
    name = f"assets/{asset.name}"
    target = result / name
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(product_file(work, asset.source), target)
    size = target.stat().st_size
    if size == 0:
        raise BuildError(f"the asset {asset.name} is empty: a build step left {asset.source} without content")
    return BuiltAsset(asset.name, asset.audience, file_sha256(target), size, (), name)


def _copy(entry: Path, program: BuiltProgram, out_dir: Path) -> None:
    """Each file appears whole, program.json last, so that a reader never sees half a build."""
    for name in (*program.files(), DESCRIPTION_FILE):
        target = out_dir / name
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(entry / name, unfinished)
        unfinished.replace(target)

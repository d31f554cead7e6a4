"""`mill program`: from a folder of sources to a program on the chain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
from google.protobuf.message import Message
from proofmill.program.v1.state_pb2 import PROGRAM_STATUS_BLOCKED, PROGRAM_STATUS_DEPRECATED, Program, ProgramStatus
from proofmill.program.v1.tx_pb2 import MsgDeployProgramResponse
from proofmill.types.v1.types_pb2 import Resources

from client import messages
from client.cli.options import Sender, Settings, home_options, node_options, sender_options
from client.cli.output import columns, emit, pairs, time_label
from client.cli.session import Detail, asking, progress_line, resolve_address, send_transaction
from client.cli.stats_view import stats_table
from client.deploy import blob_urls, program_spec, upload_files, urls_below
from client.errors import InvalidInput
from client.plain import Plain, enum_label, to_plain
from client.program.build import build as build_program
from client.program.description import DESCRIPTION_FILE, BuiltProgram, read_program
from client.program.manifest import MANIFEST_FILE
from client.quantity import format_memory
from client.registry_image import registry_image
from client.sdk import MillClient

_STATUS_MEANS = {
    PROGRAM_STATUS_DEPRECATED: ": its deployer lets it take no new tasks",
    PROGRAM_STATUS_BLOCKED: ": too many tasks failed with their fallbacks, so it takes no more",
}


@click.group()
def program() -> None:
    """Build, deploy and list programs.

    A program is a pair of container images: a prover and a verifier.
    """


@program.command()
@click.argument("place", type=click.Path(exists=True, path_type=Path), metavar="FOLDER|MANIFEST")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the result goes.  [default: FOLDER/build, for MANIFEST other.yaml FOLDER/build-other]",
)
@click.option("--set", "settings_", multiple=True, metavar="NAME=VALUE", help="A parameter of the program.")
@home_options
def build(settings: Settings, place: Path, out: Path | None, settings_: tuple[str, ...]) -> None:
    """Build both images of a program, byte for byte reproducible, without a container engine.

    FOLDER has a program.yaml; a MANIFEST of another name in it is a variant of the program.

    \b
    Examples:
      mill program build programs/groth16 --set rounds=200 --out build
      mill program build programs/stark/cuda.yaml
    """
    result = build_program(place, out or _default_out(place), _parameters(settings_), progress=progress_line)
    built = result.program
    data: Plain = {
        "name": built.name,
        "version": built.version,
        "directory": str(result.directory),
        "prover": {"sha256": built.prover.sha256, "bytes": built.prover.bytes},
        "verifier": {"sha256": built.verifier.sha256, "bytes": built.verifier.bytes},
    }
    emit(settings.format, data, lambda: str(result.directory / DESCRIPTION_FILE))


@program.command()
@click.argument("built", type=click.Path(exists=True, path_type=Path), metavar="BUILD_DIR|program.json")
@click.option(
    "--image-url-base", metavar="URL", help="Where you publish the files of the build, under their own names."
)
@click.option(
    "--blob-server",
    envvar="MILL_BLOB_SERVER",
    metavar="URL",
    help="Blob server to upload the files to.  [env: MILL_BLOB_SERVER]",
)
@click.option("--prover-ref", metavar="oci://HOST/REPO", help="Registry to which you pushed the prover's image.")
@click.option("--verifier-ref", metavar="oci://HOST/REPO", help="Registry to which you pushed the verifier's image.")
@sender_options
def deploy(
    settings: Settings,
    sender: Sender,
    built: Path,
    image_url_base: str | None,
    blob_server: str | None,
    prover_ref: str | None,
    verifier_ref: str | None,
) -> None:
    """Put a built program on the chain, for ever unchanged, and print its id.

    \b
    Examples:
      mill program deploy build --image-url-base https://example.com/groth16
      mill program deploy build --blob-server http://127.0.0.1:8600
      mill program deploy build --prover-ref oci://ghcr.io/me/prover --verifier-ref oci://ghcr.io/me/verifier
    """
    folder = built if built.is_dir() else built.parent
    description, references = _in_registries(read_program(folder), folder, prover_ref, verifier_ref)
    files = {name: digest for name, digest in description.files().items() if name not in references}
    urls: dict[str, str] = {}
    if image_url_base is not None:
        urls = urls_below(description, image_url_base)
    elif blob_server is not None:
        urls = blob_urls(description, blob_server)
    elif files:
        raise click.UsageError(
            "provers fetch images by URL: give --image-url-base or --blob-server, or --prover-ref and --verifier-ref"
        )
    spec = program_spec(description, urls | references)

    async def make(client: MillClient) -> Message:
        message = messages.deploy_program(client.address, spec)
        if files and image_url_base is None and blob_server is not None and not sender.dry_run:
            # Nothing is uploaded that the chain wouldn't take.
            await client.plan(message)
            progress_line(f"uploading {len(files)} files to {blob_server}")
            await upload_files(client.http, blob_server, folder, files)
        return message

    def describe(response: MsgDeployProgramResponse) -> list[Detail]:
        return [_id_detail(response.program_id)]

    send_transaction(settings, sender, make, lambda outcome: describe(outcome.response(MsgDeployProgramResponse)))


@program.command("list")
@click.option("--deployer", metavar="NAME|ADDRESS", help="Only this deployer's.")
@click.option("--name", default="", help="Only those of this name.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many.")
@node_options
def list_(settings: Settings, deployer: str | None, name: str, limit: int) -> None:
    """List programs."""
    address = resolve_address(settings, deployer) if deployer else ""

    async def work(client: MillClient) -> None:
        found = [one async for one in client.programs(deployer=address, name=name, limit=limit)]
        rows = [(one.id.hex()[:16], one.spec.name, one.spec.version, _status(one), one.deployer) for one in found]
        header = ("id", "name", "version", "status", "deployer")
        emit(settings.format, [to_plain(one) for one in found], lambda: columns(header, rows))

    asking(settings, work)


@program.command()
@click.argument("program_", metavar="ID|NAME[@VERSION]")
@node_options
def show(settings: Settings, program_: str) -> None:
    """Show a program and how its runs went: by its id, 8 or more digits of it, or its name."""

    async def work(client: MillClient) -> None:
        found = await client.program(program_)
        stats = await client.program_stats(found.id.hex())
        data = {**to_plain(found), "stats": [to_plain(one) for one in stats]}
        emit(settings.format, data, lambda: "\n\n".join([_table(found), *([stats_table(stats)] if stats else [])]))

    asking(settings, work)


@program.command()
@click.argument("program_", metavar="ID|NAME[@VERSION]")
@sender_options
def deprecate(settings: Settings, sender: Sender, program_: str) -> None:
    """Let a program of yours take no new tasks."""
    found: list[bytes] = []

    async def make(client: MillClient) -> Message:
        found.append((await client.program(program_)).id)
        return messages.deprecate_program(client.address, found[0])

    send_transaction(settings, sender, make, lambda _: [_id_detail(found[0])])


def _in_registries(
    program: BuiltProgram, folder: Path, prover_ref: str | None, verifier_ref: str | None
) -> tuple[BuiltProgram, dict[str, str]]:
    """The program with the hashes that its images have in registries, and the URLs of those that are in one."""
    prover, verifier, urls = program.prover, program.verifier, {}
    if prover_ref is not None:
        urls[prover.file], prover = registry_image(prover, folder, prover_ref)
    if verifier_ref is not None:
        urls[verifier.file], verifier = registry_image(verifier, folder, verifier_ref)
    return replace(program, prover=prover, verifier=verifier), urls


def _default_out(place: Path) -> Path:
    if place.is_dir():
        return place / "build"
    return place.parent / ("build" if place.name == MANIFEST_FILE else f"build-{place.stem}")


def _parameters(settings: tuple[str, ...]) -> dict[str, str]:
    parameters = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise InvalidInput(f"--set {setting!r} must be NAME=VALUE")
        parameters[name] = value
    return parameters


def _id_detail(program_id: bytes) -> Detail:
    return Detail("program_id", program_id.hex(), "program", program_id.hex())


def _status(found: Program) -> str:
    return enum_label(ProgramStatus.DESCRIPTOR, found.status)


def _table(found: Program) -> str:
    spec = found.spec
    rows: list[tuple[str, object]] = [
        ("program", found.id.hex()),
        ("name", f"{spec.name}@{spec.version}"),
        ("status", _status(found) + _STATUS_MEANS.get(found.status, "")),
        ("deployer", f"{found.deployer}, at height {found.deployed_height}"),
    ]
    for role, image in (("prover", spec.prover), ("verifier", spec.verifier)):
        rows.append((role, f"sha256 {image.sha256.hex()}, {image.bytes:,} bytes"))
        rows += [("", url) for url in image.urls]
    rows += [
        ("resources", f"{_resources(spec.default_resources)}; at most {_resources(spec.max_resources)}"),
        ("verification", f"{_resources(spec.verifier_resources)}, {spec.verifier_time_limit_s} s"),
    ]
    rows += [("asset", f"{asset.name}, {asset.bytes:,} bytes, sha256 {asset.sha256.hex()}") for asset in spec.assets]
    rows += [
        ("strike", f"task {strike.task_id} at {time_label(strike.time_ms)} UTC, after {strike.prover} failed first")
        for strike in found.strikes
    ]
    return pairs(rows)


def _resources(resources: Resources) -> str:
    gpus = f", {resources.gpus} GPUs" if resources.gpus else ""
    return f"{resources.cpu_millis / 1000:g} CPUs, {format_memory(resources.memory_bytes)}{gpus}"

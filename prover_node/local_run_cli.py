"""`mill local-run`: a program under the container contract, without a chain."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from client.bundle import BundleError, BundleLimits, pack
from client.cli.options import CPU, DURATION, FORMATS, MEMORY
from client.cli.output import emit, pairs
from client.errors import InvalidInput
from client.inputs import InputSpec, parse_input
from client.plain import Plain
from client.program.description import DESCRIPTION_FILE, BuiltProgram, read_program
from client.proof_limits import PROOF_BYTES_MAX, PROOF_FILES_MAX
from client.proofs import check_target, unpack_proof
from client.quantity import format_memory
from prover_node.duties import Resources
from prover_node.local_run import LocalRun, Proved
from prover_node.runner.base import Outcome, Reason
from prover_node.start import open_runner

_NO_PROOF = 5
_LOG_LINES = 20
_VERDICTS = {0: "VALID", 1: "INVALID"}


@dataclass(frozen=True)
class _Request:
    directory: Path
    program: BuiltProgram
    inputs: tuple[InputSpec, ...]
    resources: Resources
    time_limit_s: int
    runner: str
    proof: Path | None
    output: Path | None


@dataclass(frozen=True)
class _Result:
    runner: str
    proved: Proved | None
    verified: Outcome | None

    @property
    def verdict(self) -> str | None:
        if self.verified is None:
            return None
        exited = self.verified.reason is Reason.EXITED and self.verified.exit_code is not None
        return _VERDICTS.get(self.verified.exit_code or 0, "INCONCLUSIVE") if exited else "INCONCLUSIVE"


@click.command()
@click.argument("program", type=click.Path(exists=True, path_type=Path), metavar="PROGRAM")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE[:prover|verifier|both]",
    help="A file below /mnt/input, and who gets it (default both). Can be given many times.",
)
@click.option("--cpu", "cpu_millis", type=CPU, metavar="CORES", help="The prover's cores.  [default: the program's]")
@click.option("--memory", "memory_bytes", type=MEMORY, help="The prover's memory.  [default: the program's]")
@click.option("--gpus", type=click.IntRange(0), help="The prover's GPUs.  [default: the program's]")
@click.option("--time-limit", "time_limit_s", type=DURATION, default="60s", show_default=True, help="For the prover.")
@click.option("--verify-only", is_flag=True, help="Only run the verifier, on the proof named with --proof.")
@click.option(
    "--proof",
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE|DIR",
    help="With --verify-only: a proof as a bundle, or unpacked in a folder.",
)
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Put the proof's files here.")
@click.option("--runner", type=click.Choice(("auto", "docker", "sandbox")), default="auto", show_default=True)
@click.option(
    "-o", "--format", "output_format", type=click.Choice(FORMATS), default="table", show_default=True,
    envvar="MILL_FORMAT", help="How to print the result.",
)  # fmt: skip
def command(
    program: Path,
    *,
    inputs: tuple[str, ...],
    cpu_millis: int | None,
    memory_bytes: int | None,
    gpus: int | None,
    time_limit_s: int,
    verify_only: bool,
    proof: Path | None,
    output: Path | None,
    runner: str,
    output_format: str,
) -> int:
    """Run a built program here, prover then verifier, as a prover node would; no chain is asked.

    PROGRAM is the folder (or program.json) that `mill program build` made. Exits with 5 when there is no valid proof.

    \b
    Examples:
      mill local-run build/groth16 --input public.json=p.json --input witness.json=w.json:prover --output proof
      mill local-run build/groth16 --input public.json=p.json --verify-only --proof proof
    """
    if verify_only != (proof is not None):
        raise click.UsageError("--verify-only and --proof go together")
    if verify_only and output is not None:
        raise click.UsageError("--output takes a proof that is made here, and --verify-only makes none")
    if output is not None:
        check_target(output)
    directory = program.parent if program.name == DESCRIPTION_FILE else program
    built = read_program(directory)
    defaults = built.default_resources
    resources = Resources(
        cpu_millis or defaults.cpu_millis,
        memory_bytes or defaults.memory_bytes,
        defaults.gpus if gpus is None else gpus,
    )
    specs = tuple(parse_input(text) for text in inputs)
    request = _Request(directory, built, specs, resources, time_limit_s, runner, proof, output)
    result = asyncio.run(_run(request))
    emit(output_format, _data(result), lambda: _table(result))
    return 0 if result.verdict == "VALID" else _NO_PROOF


async def _run(request: _Request) -> _Result:
    with tempfile.TemporaryDirectory(prefix="mill-local-run-") as name:
        folder = Path(name)
        runner, why = await open_runner(request.runner, f"local-{folder.name[-8:]}", folder / "runner")
        try:
            for sentence in filter(None, (why, *runner.unenforced())):
                click.echo(f"note: {sentence}", err=True)
            local = LocalRun(request.directory, request.program, request.inputs, runner, folder)
            if request.proof is not None:
                return _Result(runner.name, None, await local.verify(_bundle(request.proof, folder)))
            proved = await local.prove(request.resources, request.time_limit_s)
            if proved.bundle is None:
                return _Result(runner.name, proved, None)
            result = _Result(runner.name, proved, await local.verify(proved.bundle))
            if request.output is not None:
                unpack_proof(proved.bundle, request.output)
            return result
        finally:
            await runner.close()


def _bundle(proof: Path, folder: Path) -> Path:
    if not proof.is_dir():
        return proof
    bundle = folder / "given.tar"
    try:
        pack(proof, bundle, BundleLimits(PROOF_BYTES_MAX, PROOF_FILES_MAX))
    except BundleError as error:
        raise InvalidInput(f"the folder {proof} is no proof: {error}") from error
    return bundle


def _data(result: _Result) -> Plain:
    proved = result.proved
    proof: Plain = None
    if proved is not None and proved.info is not None:
        proof = {"sha256": proved.info.sha256, "size": proved.info.size}
    return {
        "runner": result.runner,
        "prover": _outcome_data(proved.outcome) if proved else None,
        "proof": proof,
        "problem": proved.problem if proved else "",
        "verifier": _outcome_data(result.verified) if result.verified else None,
        "verdict": result.verdict,
    }


def _outcome_data(outcome: Outcome) -> Plain:
    return {
        "reason": outcome.reason.value,
        "exit_code": outcome.exit_code,
        "wall_ms": outcome.wall_ms,
        "cpu_ms": outcome.cpu_ms,
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "gpu_ms": outcome.gpu_ms,
        "detail": outcome.detail,
        "stdout": outcome.stdout.decode(errors="replace"),
        "stderr": outcome.stderr.decode(errors="replace"),
    }


def _table(result: _Result) -> str:
    rows: list[tuple[str, object]] = [("runner", result.runner)]
    proved = result.proved
    if proved is not None:
        rows.append(("prover", _label(proved.outcome)))
        if proved.info is not None:
            rows.append(("proof", f"{proved.info.sha256}, {proved.info.size} bytes as a bundle"))
        else:
            rows.append(("no proof", proved.problem))
    if result.verified is not None:
        rows.append(("verifier", _label(result.verified)))
        rows.append(("verdict", result.verdict))
    text = pairs(rows)
    if result.verdict != "VALID":
        last = result.verified or (proved.outcome if proved else None)
        said = last.stderr.decode(errors="replace").strip().splitlines()[-_LOG_LINES:] if last else []
        text += "".join(f"\n  | {line}" for line in said)
    return text


def _label(outcome: Outcome) -> str:
    how = f"exit code {outcome.exit_code}" if outcome.exit_code is not None else outcome.reason.value
    used = f"{outcome.wall_ms} ms, {outcome.cpu_ms} ms of CPU, {format_memory(outcome.peak_memory_bytes)} at most"
    return f"{how}, {used}"

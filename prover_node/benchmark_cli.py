"""`mill prover benchmark`: a capacity test without a chain's consequences."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from proofmill.params.v1.state_pb2 import Params
from proofmill.types.v1 import types_pb2

from chain.amount import UMILL, format_amount
from chain.capacity.schedule import CHALLENGE_NAME, make_challenge
from chain.params import default_params
from client.cli.exit_codes import NO_PROOF
from client.cli.options import CPU, DURATION, MEMORY
from client.cli.output import columns, emit, pairs
from client.errors import InvalidInput, NodeUnreachable
from client.inputs import InputSpec
from client.plain import Plain
from client.program.description import BuiltProgram, read_program
from client.quantity import format_memory
from client.sdk import MillClient
from prover_node.benchmark import PATIENCE, Findings, Trial, fill_ms, find_claim
from prover_node.benchmark_program import fetch_program
from prover_node.cli_options import format_option, home_option, one_node_option, runner_option
from prover_node.detection import detected_resources
from prover_node.duties import Resources
from prover_node.expected_earnings import Expected, expected_hour
from prover_node.home import Home
from prover_node.local_run import LocalRun
from prover_node.runner.base import Reason, Runner, RunnerError
from prover_node.settings import FetchSettings, Settings
from prover_node.start import open_runner

# Whose test it is changes the work's content, not its amount.
_NOBODY = "mill1" + "q" * 39


@dataclass(frozen=True)
class _Program:
    """What is run, where its files are, and how long a test of it may take."""

    directory: Path
    built: BuiltProgram
    limit_s: int


@dataclass(frozen=True)
class _Request:
    """What the command was given, defaults filled in."""

    directory: Path | None
    limit_s: int | None
    url: str | None
    settings: Settings | None
    claim: Resources
    margin: int
    utilisation: int
    runner: str
    only_this: bool


@dataclass(frozen=True)
class _Prices:
    """What the chain pays by, or the protocol's defaults where none could be asked."""

    params: Params
    of_chain: bool


@dataclass
class _Bench:
    """Makes runs; the folder is theirs."""

    program: _Program
    runner: Runner
    folder: Path
    operator: str
    prices: _Prices
    verdict: str = "not run"
    count: int = 0

    async def attempt(self, claim: Resources) -> Trial:
        """One run of the prover, and of the verifier on what it made."""
        self.count += 1
        click.echo(f"trying {describe_claim(claim)}…", err=True)
        challenge = self.folder / f"{self.count}-{CHALLENGE_NAME}"
        wanted = types_pb2.Resources(cpu_millis=claim.cpu_millis, memory_bytes=claim.memory_bytes, gpus=claim.gpus)
        challenge.write_bytes(make_challenge(secrets.token_bytes(32), self.operator, wanted))
        inputs = [InputSpec(CHALLENGE_NAME, file=challenge)]
        run = LocalRun(self.program.directory, self.program.built, inputs, self.runner, self.folder)
        proved = await run.prove(claim, PATIENCE * self.program.limit_s)
        problem = proved.problem
        if proved.bundle is not None:
            verified = await run.verify(proved.bundle)
            valid = verified.reason is Reason.EXITED and verified.exit_code == 0
            self.verdict = "VALID" if valid else "not VALID"
            problem = "" if valid else f"the verifier doesn't accept the proof: {verified.detail}"
        stderr = proved.outcome.stderr.decode(errors="replace")
        return Trial(claim, proved.outcome.wall_ms, fill_ms(stderr), problem)


@click.command()
@home_option
@click.option(
    "--program",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="What `mill program build programs/capacity` made.  [default: the program that the chain tests with]",
)
@click.option("--cpu", "--cpus", "cpu_millis", type=CPU, help="Cores to claim.  [default: the configuration's]")
@click.option("--memory", "memory_bytes", type=MEMORY, help="Memory to claim.  [default: the configuration's]")
@click.option("--gpus", type=click.IntRange(0), help="GPUs to claim.  [default: the configuration's]")
@click.option(
    "--time-limit", "limit_s", type=DURATION, help="What a test may take.  [default: the chain's capacity_time_limit_s]"
)
@click.option(
    "--margin",
    type=click.IntRange(0, 90),
    default=20,
    show_default=True,
    metavar="PERCENT",
    help="Of the limit, kept for the test's messages and for a busier day.",
)
@click.option(
    "--utilisation",
    type=click.IntRange(0, 100),
    default=50,
    show_default=True,
    metavar="PERCENT",
    help="Of the time, in which tasks use all of the claim: for what it would earn.",
)
@runner_option
@one_node_option
@format_option
def benchmark(
    home: Path,
    *,
    directory: Path | None,
    cpu_millis: int | None,
    memory_bytes: int | None,
    gpus: int | None,
    limit_s: int | None,
    margin: int,
    utilisation: int,
    runner: str,
    node: str | None,
    output_format: str,
) -> int:
    """Find out what this machine may claim and what that earns, by running a capacity test here.

    Tries the claim of the configuration (without one, all that this machine seems to have), and less as long as that
    takes too long. Nothing else should run meanwhile, this prover's own daemon included. Exits with 5 if the claim
    that was asked about doesn't fit.

    \b
    Examples:
      mill prover benchmark
      mill prover benchmark --program build/capacity --cpu 8 --memory 32GiB
    """
    place = Home(home)
    settings = place.settings() if place.config.exists() else None
    base = _configured(settings) if settings else detected_resources()
    claim = Resources(
        base.cpu_millis if cpu_millis is None else cpu_millis,
        base.memory_bytes if memory_bytes is None else memory_bytes,
        base.gpus if gpus is None else gpus,
    )
    url = node or (settings.chain.nodes[0] if settings else None)
    asked = (cpu_millis, memory_bytes, gpus) != (None, None, None)
    request = _Request(directory, limit_s, url, settings, claim, margin, utilisation, runner, only_this=asked)
    findings, bench = asyncio.run(_run(request))
    expected = _expected(findings, bench, utilisation)
    emit(
        output_format,
        _data(findings, bench, margin, expected),
        lambda: _table(findings, bench, margin, expected),
    )
    return 0 if findings.fits(findings.trials[0]) else NO_PROOF


async def _run(request: _Request) -> tuple[Findings, _Bench]:
    with tempfile.TemporaryDirectory(prefix="mill-benchmark-") as name:
        folder, settings, claim = Path(name), request.settings, request.claim
        program = await _program(request, folder)
        runner, why = await open_runner(request.runner, f"bench-{folder.name[-8:]}", folder / "runner")
        try:
            for sentence in filter(None, (why, *runner.unenforced())):
                click.echo(f"note: {sentence}", err=True)
            if claim.gpus > runner.gpus:
                raise InvalidInput(f"the claim has {claim.gpus} GPUs, but the {runner.name} runner has {runner.gpus}")
            image = program.built.prover
            await runner.prepare(program.directory / image.file, image.sha256)
            operator = settings.chain.operator if settings else _NOBODY
            bench = _Bench(program, runner, folder, operator, await _prices(request.url))
            ceiling = claim if request.only_this else _larger(claim, detected_resources(), runner.gpus)
            limit_ms = 1000 * program.limit_s
            return await find_claim(claim, ceiling, limit_ms, request.margin, bench.attempt), bench
        except RunnerError as error:
            raise InvalidInput(f"the program can't be run here: {error}") from error
        finally:
            await runner.close()


def _larger(claim: Resources, found: Resources, gpus: int) -> Resources:
    """All that this machine has, and at least the claim."""
    return Resources(
        max(claim.cpu_millis, found.cpu_millis), max(claim.memory_bytes, found.memory_bytes), max(claim.gpus, gpus)
    )


async def _program(request: _Request, folder: Path) -> _Program:
    directory, limit_s, url = request.directory, request.limit_s, request.url
    if directory is not None and limit_s is not None:
        return _Program(directory, read_program(directory), limit_s)
    if directory is not None:
        params = (await _prices(url)).params
        return _Program(directory, read_program(directory), params.capacity_time_limit_s)
    if url is None:
        raise InvalidInput("name a --program, or a chain by --node or a prover's --home whose program is to be run")
    fetch = request.settings.fetch if request.settings else FetchSettings()
    async with MillClient(url) as client:
        params = await client.params()
        if not params.capacity_program:
            raise InvalidInput("this chain has no capacity program yet, so nobody is tested: name a --program")
        built = await fetch_program(client, params.capacity_program, folder / "blobs", fetch)
        return _Program(folder, built, limit_s or params.capacity_time_limit_s)


async def _prices(url: str | None) -> _Prices:
    """The chain's parameters, or the protocol's defaults where no chain answers."""
    if url is not None:
        try:
            async with MillClient(url) as client:
                return _Prices(await client.params(), of_chain=True)
        except NodeUnreachable:
            click.echo(f"note: no chain node answers at {url}, so the protocol's defaults count", err=True)
    return _Prices(default_params(), of_chain=False)


def describe_claim(claim: Resources) -> str:
    """For people."""
    return f"{claim.cpu_millis / 1000:g} cores, {format_memory(claim.memory_bytes)}, {claim.gpus} GPUs"


def _configured(settings: Settings) -> Resources:
    own = settings.resources
    return Resources(own.cpu_millis, own.memory_bytes, own.gpus)


def _expected(findings: Findings, bench: _Bench, utilisation: int) -> Expected | None:
    """Of the largest claim that fits; nothing is earned by a machine that may claim nothing."""
    if findings.largest is None:
        return None
    return expected_hour(bench.prices.params, findings.largest, utilisation)


def _data(findings: Findings, bench: _Bench, margin: int, expected: Expected | None) -> Plain:
    return {
        "runner": bench.runner.name,
        "limit_ms": findings.limit_ms,
        "margin_percent": margin,
        "trials": [
            {
                "claim": asdict(trial.claim),
                "wall_ms": trial.wall_ms,
                "fill_ms": trial.fill_ms,
                "problem": trial.problem,
                "fits": findings.fits(trial),
            }
            for trial in findings.trials
        ],
        "verdict": bench.verdict,
        "may_claim": asdict(findings.largest) if findings.largest else None,
        "advice": findings.advice,
        "an_hour": asdict(expected) if expected else None,
        "prices": "of the chain" if bench.prices.of_chain else "the protocol's defaults",
    }


def _table(findings: Findings, bench: _Bench, margin: int, expected: Expected | None) -> str:
    tried = columns(
        ("claim", "took", "of that filling memory", "result"),
        [
            (
                describe_claim(trial.claim),
                f"{trial.wall_ms / 1000:.1f} s",
                f"{trial.fill_ms / 1000:.1f} s",
                "fits" if findings.fits(trial) else trial.problem or "too slow",
            )
            for trial in findings.trials
        ],
    )
    limit = f"{findings.limit_ms / 1000:g} s, {findings.target_ms / 1000:g} s with a margin of {margin} %"
    rows: list[tuple[str, object]] = [
        ("runner", bench.runner.name),
        ("a test may take", limit),
        ("verifier", bench.verdict),
        ("may claim", describe_claim(findings.largest) if findings.largest else "nothing"),
        ("because", findings.advice),
        ("an hour earns", _earnings(expected, bench.prices)),
    ]
    return f"{tried}\n\n{pairs(rows)}"


def _earnings(expected: Expected | None, prices: _Prices) -> str:
    if expected is None:
        return "nothing"
    usd = expected.fees_ucredit / 1_000_000
    text = (
        f"{format_amount(expected.earned_umill, UMILL)} at {expected.utilisation_percent} % utilisation, "
        f"of fees worth ${usd:.4f}, and {format_amount(expected.subsidy_umill, UMILL)} while the network's pool lasts"
    )
    return text if prices.of_chain else f"{text}; by the protocol's default prices"

"""`mill run` and `mill estimate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from google.protobuf.message import Message
from proofmill.task.v1.query_pb2 import QueryEstimateResponse
from proofmill.types.v1.types_pb2 import Resources

from chain.amount import UCREDIT, format_amount
from client.cli.follow import finish_task
from client.cli.options import CPU, DURATION, MEMORY, Sender, Settings, amount_type, node_options, sender_options
from client.cli.output import emit, pairs
from client.cli.session import Detail, asking, print_outcome, progress_line, sending, show_plan
from client.cli.stats_view import memory_label, runs_label, times_label
from client.errors import InvalidInput
from client.inputs import InputSpec, parse_input, resolve_inputs
from client.messages import DEFAULT_QUEUE_TIMEOUT_S
from client.plain import to_plain
from client.proofs import check_target
from client.quantity import format_memory
from client.sdk import MillClient, RunningTask, started_task
from client.task_file import REDUNDANCY_MAX, TaskRequest, load_task_file

DEFAULT_TIME_LIMIT_S = 60
_Command = Callable[..., Any]


def _request_options(command: _Command) -> _Command:
    """What a run and its estimate are described by."""
    for option in (
        click.option(
            "--time-limit",
            type=DURATION,
            metavar="DURATION",
            help="How long the prover may take, charged in full.  [default: 60s]",
        ),
        click.option(
            "--redundancy",
            type=click.IntRange(1, REDUNDANCY_MAX),
            help="So many provers do it, each for the price.  [default: 1]",
        ),
        click.option("--gpus", type=click.IntRange(0, 1024), help="GPUs.  [default: the program's]"),
        click.option("--memory", type=MEMORY, metavar="SIZE", help="Memory, such as 512MiB.  [default: the program's]"),
        click.option("--cpu", type=CPU, metavar="CORES", help="Cores, such as 2 or 500m.  [default: the program's]"),
        click.option(
            "-f",
            "--file",
            "task_file",
            type=click.Path(path_type=Path),
            metavar="task.yaml",
            help="Description of the task (programs/README.md); options go before what it says.",
        ),
        click.option("--program", metavar="ID|NAME[@VERSION]", help="The program to run."),
    ):
        command = option(command)
    return command


@click.command()
@_request_options
@node_options
def estimate(settings: Settings, **request: Any) -> None:
    """Say what a run would cost now, to the unit, and how runs of this program went so far.

    \b
    Example:
      mill estimate --program groth16 --cpu 2 --memory 1GiB --time-limit 5m
    """
    wanted = _request(**request)

    async def work(client: MillClient) -> None:
        program = await client.program(_program(wanted))
        time_limit_s = wanted.time_limit_s or DEFAULT_TIME_LIMIT_S
        resources = _resources(wanted, program.spec.default_resources, request)
        redundancy = wanted.redundancy or 1
        answer = await client.estimate(
            program.id.hex(), time_limit_s=time_limit_s, resources=resources, redundancy=redundancy
        )
        rows = [
            ("program", f"{program.spec.name}@{program.spec.version} {program.id.hex()}"),
            ("resources", _resources_label(answer.resources)),
            ("time limit", f"{time_limit_s} s"),
            ("provers", str(redundancy)),
            ("price", f"{format_amount(answer.fee, UCREDIT)} ({answer.fee} ucredit)"),
            *_experience(answer, time_limit_s),
        ]
        data = {
            "program_id": program.id.hex(),
            "time_limit_s": time_limit_s,
            "redundancy": redundancy,
            **to_plain(answer),
        }
        emit(settings.format, data, lambda: pairs(rows))

    asking(settings, work)


@click.command()
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE|URL[:prover|verifier|both]",
    help="A file below /mnt/input, and who gets it (default both). Can be given many times.",
)
@_request_options
@click.option(
    "--queue-timeout", type=DURATION, metavar="DURATION", help="How long it may wait for a prover.  [default: 10m]"
)
@click.option(
    "--max-fee",
    type=amount_type(UCREDIT),
    metavar="AMOUNT",
    help="Fail rather than pay more.  [default: what it costs now]",
)
@click.option(
    "--blob-server",
    envvar="MILL_BLOB_SERVER",
    metavar="URL",
    help="Where input files above the inline limit are uploaded.  [env: MILL_BLOB_SERVER]",
)
@click.option("--wait", is_flag=True, help="Follow the task until it has ended.")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Wait, then unpack the proof into DIR.")
@sender_options
def run(
    settings: Settings,
    sender: Sender,
    inputs: tuple[str, ...],
    blob_server: str | None,
    wait: bool,
    output: Path | None,
    **request: Any,
) -> None:
    """Ask for a proof: lock the fee, have a prover drawn, and follow the task with --wait.

    Small input files go into the transaction, where everybody can read them; larger ones to a blob server.

    \b
    Examples:
      mill run --program groth16 --input public.json=p.json --input witness.json=w.json:prover --wait
      mill run -f task.yaml --output proof
      mill run -f task.yaml --max-fee 0.5credits --dry-run
      mill run -f task.yaml --redundancy 3 --wait
    """
    wanted = _request(**request)
    wanted = replace(wanted, inputs=_merged_inputs(wanted, inputs))
    if output is not None and not sender.dry_run:
        check_target(output)

    async def work(client: MillClient) -> None:
        message = await _message(client, wanted, request, blob_server, publish=not sender.dry_run)
        if sender.dry_run:
            await show_plan(settings, client, message)
            return
        started = started_task(await client.submit(message))
        if not (wait or output):
            print_outcome(settings, started.outcome, _details(started))
            return
        fee = format_amount(started.fee, UCREDIT)
        progress_line(f"task {started.task_id} is in block {started.outcome.height}, {fee} in escrow")
        await finish_task(settings, client, started.task_id, output)

    sending(settings, sender, work)


async def _message(
    client: MillClient, wanted: TaskRequest, request: dict[str, Any], blob_server: str | None, *, publish: bool
) -> Message:
    program = await client.program(_program(wanted))
    inline_max = (await client.params()).inline_max_bytes
    resolved = await resolve_inputs(
        wanted.inputs, http=client.http, inline_max=inline_max, blob_server=blob_server, publish=publish
    )
    return await client.run_message(
        program.id,
        resolved,
        resources=_resources(wanted, program.spec.default_resources, request),
        time_limit_s=wanted.time_limit_s or DEFAULT_TIME_LIMIT_S,
        redundancy=wanted.redundancy or 1,
        max_fee=wanted.max_fee,
        queue_timeout_s=wanted.queue_timeout_s or DEFAULT_QUEUE_TIMEOUT_S,
    )


def _request(
    *,
    program: str | None,
    task_file: Path | None,
    time_limit: int | None,
    redundancy: int | None,
    queue_timeout: int | None = None,
    max_fee: int | None = None,
    **_resource_options: object,
) -> TaskRequest:
    """The task file, with what the options say instead."""
    base = load_task_file(task_file) if task_file else TaskRequest()
    return replace(
        base,
        program=program or base.program,
        time_limit_s=time_limit or base.time_limit_s,
        redundancy=redundancy or base.redundancy,
        queue_timeout_s=queue_timeout or base.queue_timeout_s,
        max_fee=max_fee or base.max_fee,
    )


def _merged_inputs(wanted: TaskRequest, texts: tuple[str, ...]) -> tuple[InputSpec, ...]:
    """An input given as an option replaces the task file's of the same name."""
    given = {spec.name: spec for spec in map(parse_input, texts)}
    if len(given) != len(texts):
        raise InvalidInput("two inputs have the same name")
    return (*(spec for spec in wanted.inputs if spec.name not in given), *given.values())


def _experience(answer: QueryEstimateResponse, time_limit_s: int) -> list[tuple[str, str]]:
    """How such runs went so far, and what time limit that speaks for."""
    if not answer.HasField("stats"):
        return [("so far", "no run with such resources yet")]
    stats, advised = answer.stats, answer.advised_time_limit_s
    rows = [("so far", runs_label(stats))]
    if advised:
        late = " (yours is shorter)" if time_limit_s < advised else ""
        rows += [
            ("last times", f"median and slowest: {times_label(stats)}"),
            ("peak memory", memory_label(stats)),
            ("advised", f"a time limit of {advised} s{late}"),
        ]
    return rows


def _program(wanted: TaskRequest) -> str:
    if wanted.program is None:
        raise click.UsageError("say which program to run: give --program or -f task.yaml")
    return wanted.program


def _resources(wanted: TaskRequest, defaults: Resources, options: dict[str, Any]) -> Resources | None:
    """None unless something was asked for; what wasn't is the program's default."""
    given = {
        name: options[option]
        for option, name in (("cpu", "cpu_millis"), ("memory", "memory_bytes"), ("gpus", "gpus"))
        if options[option] is not None
    }
    if not given:
        return wanted.resources
    resources = Resources()
    resources.CopyFrom(wanted.resources or defaults)
    for name, value in given.items():
        setattr(resources, name, value)
    return resources


def _details(started: RunningTask) -> list[Detail]:
    return [
        Detail("task_id", started.task_id, "task", str(started.task_id)),
        Detail("escrow_ucredit", started.fee, "escrow", format_amount(started.fee, UCREDIT)),
    ]


def _resources_label(resources: Resources) -> str:
    return f"{resources.cpu_millis / 1000:g} CPUs, {format_memory(resources.memory_bytes)}, {resources.gpus} GPUs"

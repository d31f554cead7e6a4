"""A task's whole life, for people and for programs."""

from __future__ import annotations

from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import AssignmentStatus, Payout, PayoutKind
from proofmill.types.v1.types_pb2 import Audience, Resources
from proofmill.verification.v1.state_pb2 import RoundView

from chain.amount import UCREDIT, UMILL, format_amount
from client.cli.output import columns, iso_time, pairs, time_label
from client.life import Step, status_label, verdict_label
from client.plain import Plain, enum_label, to_plain
from client.quantity import format_memory
from client.sdk import MillClient


async def plain_task(client: MillClient, answer: QueryTaskResponse) -> dict[str, Plain]:
    """The chain's answer, and the life as a list of steps."""
    steps = await client.task_steps(answer)
    return {**to_plain(answer), "steps": [plain_step(step) for step in steps]}


def plain_step(step: Step) -> dict[str, Plain]:
    return {"name": step.name, "height": step.height or None, "time": iso_time(step.time_ms), "text": step.text}


async def task_table(client: MillClient, answer: QueryTaskResponse) -> str:
    steps = await client.task_steps(answer)
    rows = [(step.height or "-", time_label(step.time_ms), step.name, step.text) for step in steps]
    parts = [_summary(answer), columns(("height", "time (UTC)", "step", ""), rows)]
    parts += [_round_table(view) for view in answer.rounds]
    if answer.task.progress.payouts:
        parts.append(columns(("payout", "amount", "to"), [_payout(one) for one in answer.task.progress.payouts]))
    return "\n\n".join(parts)


def _summary(answer: QueryTaskResponse) -> str:
    task, progress = answer.task.task, answer.task.progress
    rows: list[tuple[str, object]] = [
        ("task", task.id),
        ("status", status_label(progress.status) + (f": {progress.reason}" if progress.reason else "")),
        ("user", task.user),
        ("program", task.program_id.hex()),
        ("resources", f"{resources_label(task.resources)}, {task.time_limit_s} s"),
        ("fee", format_amount(task.fee, UCREDIT)),
    ]
    for entry in task.inputs:
        where = entry.urls[0] if entry.urls else "inline"
        audience = enum_label(Audience.DESCRIPTOR, entry.audience).lower()
        rows.append(("input", f"{entry.name} for {audience}, {entry.size:,} bytes, {where}"))
    for assignment in answer.assignments:
        status = enum_label(AssignmentStatus.DESCRIPTOR, assignment.status).lower().replace("_", " ")
        rows.append(("prover", f"{assignment.prover}, {status}"))
    rows += [("endpoint", endpoint) for endpoint in answer.prover_endpoints]
    if progress.proof.sha256:
        rows.append(("proof", f"sha256 {progress.proof.sha256.hex()}, {progress.proof.size:,} bytes"))
        rows += [("", url) for url in progress.proof.urls]
    return pairs(rows)


def _round_table(view: RoundView) -> str:
    rows = [
        (vote.voter, vote.committed_height or "-", vote.revealed_height or "-", _verdict(vote.verdict))
        for vote in view.votes
    ]
    return columns((f"committee of round {view.round.round}", "commit", "reveal", "verdict"), rows)


def _verdict(verdict: int) -> str:
    return verdict_label(verdict) if verdict else "-"


def _payout(payout: Payout) -> tuple[str, str, str]:
    kind = enum_label(PayoutKind.DESCRIPTOR, payout.kind).lower().replace("_", " ")
    amounts = [format_amount(payout.ucredit, UCREDIT)] if payout.ucredit else []
    amounts += [format_amount(payout.umill, UMILL)] if payout.umill else []
    return kind, " = ".join(amounts) or "0", payout.recipient or "-"


def resources_label(resources: Resources) -> str:
    gpus = f", {resources.gpus} GPUs" if resources.gpus else ""
    return f"{resources.cpu_millis / 1000:g} CPUs, {format_memory(resources.memory_bytes)}{gpus}"

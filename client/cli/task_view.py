"""A task's whole life, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict

from proofmill.task.v1.query_pb2 import QueryTaskResponse
from proofmill.task.v1.state_pb2 import PAYOUT_KIND_BURN, Assignment, AssignmentStatus
from proofmill.types.v1.types_pb2 import Audience, Resources
from proofmill.verification.v1.state_pb2 import RoundView

from chain.amount import UCREDIT, UMILL, format_amount
from client.cli.output import columns, iso_time, pairs, time_label
from client.life import describe_test, status_label
from client.life_faults import FALLBACK
from client.life_money import Earning, earnings
from client.life_step import Step
from client.life_votes import verdict_label
from client.plain import Plain, enum_label, to_plain
from client.quantity import format_memory
from client.sdk import MillClient


async def plain_task(client: MillClient, answer: QueryTaskResponse) -> dict[str, Plain]:
    """The chain's answer, the life as a list of steps, and what the task changed for whom."""
    steps = await client.task_steps(answer)
    return {
        **to_plain(answer),
        "steps": [plain_step(step) for step in steps],
        "earnings": [asdict(one) for one in earnings(answer)],
    }


def plain_step(step: Step) -> dict[str, Plain]:
    return {"name": step.name, "height": step.height or None, "time": iso_time(step.time_ms), "text": step.text}


async def task_table(client: MillClient, answer: QueryTaskResponse) -> str:
    steps = await client.task_steps(answer)
    rows = [(step.height or "-", time_label(step.time_ms), step.name, step.text) for step in steps]
    parts = [_summary(answer), columns(("height", "time (UTC)", "step", ""), rows)]
    parts += [_round_table(view) for view in answer.rounds]
    if answer.task.progress.payouts or answer.task.progress.slashes:
        parts.append(_money_table(answer))
    return "\n\n".join(parts)


def _summary(answer: QueryTaskResponse) -> str:
    task, progress = answer.task.task, answer.task.progress
    rows: list[tuple[str, object]] = [
        ("task", task.id),
        ("status", status_label(progress.status) + (f": {progress.reason}" if progress.reason else "")),
        ("user", task.user or f"none: {describe_test(answer)}"),
        ("program", task.program_id.hex()),
        ("resources", f"{resources_label(task.resources)}, {task.time_limit_s} s"),
    ]
    if task.redundancy > 1:
        rows.append(("redundancy", f"{task.redundancy} provers"))
    if task.user:
        rows.append(("fee", format_amount(task.fee, UCREDIT)))
    for entry in task.inputs:
        where = entry.urls[0] if entry.urls else "inline"
        audience = enum_label(Audience.DESCRIPTOR, entry.audience).lower()
        rows.append(("input", f"{entry.name} for {audience}, {entry.size:,} bytes, {where}"))
    assignments = sorted(answer.assignments, key=lambda one: (one.attempt, one.offered_height))
    rows += [("prover" if one.attempt < FALLBACK else "fallback", _prover(one)) for one in assignments]
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


def _prover(one: Assignment) -> str:
    status = enum_label(AssignmentStatus.DESCRIPTOR, one.status).lower().replace("_", " ")
    return f"{one.prover}, {status}" + (f", {verdict_label(one.verdict).lower()}" if one.verdict else "")


def _money_table(answer: QueryTaskResponse) -> str:
    """What the task changed for whom; a row for what was destroyed, where there is any."""
    progress = answer.task.progress
    rows = [_earning(one) for one in earnings(answer)]
    fee = sum(payout.ucredit for payout in progress.payouts if payout.kind == PAYOUT_KIND_BURN)
    bonds = sum(slash.burned for slash in progress.slashes)
    if fee or bonds:
        rows.append(("burned", "", _amount(fee, UCREDIT), "", _amount(bonds, UMILL)))
    return columns(("account", "as", "credits", "earned", "bond"), rows)


def _earning(one: Earning) -> tuple[str, str, str, str, str]:
    bond = _amount(one.bond_umill, UMILL)
    return one.account, one.role, _amount(one.ucredit, UCREDIT), _amount(one.umill, UMILL), bond


def _amount(amount: int, denom: str) -> str:
    return format_amount(amount, denom) if amount else "-"


def resources_label(resources: Resources) -> str:
    gpus = f", {resources.gpus} GPUs" if resources.gpus else ""
    return f"{resources.cpu_millis / 1000:g} CPUs, {format_memory(resources.memory_bytes)}{gpus}"

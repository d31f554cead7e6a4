"""How a prover stands, for people: each refusal and miss with its reason, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proofmill.prover.v1.query_pb2 import QueryProverDutiesResponse, QueryProverStatusResponse
from proofmill.prover.v1.state_pb2 import Prover, ProverStatus, TestResult
from proofmill.task.v1.state_pb2 import ASSIGNMENT_STATUS_OFFERED, AssignmentStatus, TestKind
from proofmill.types.v1.types_pb2 import Resources
from proofmill.verification.v1.state_pb2 import ROUND_PHASE_COMMITTING, RoundPhase

from chain.amount import UMILL, format_amount
from client.cli.output import columns, time_label
from client.plain import enum_label
from client.quantity import format_memory
from prover_node.incidents import Incident

Row = tuple[str, object]


@dataclass(frozen=True)
class Phases:
    """How far the daemon is with each duty; empty while it doesn't answer."""

    assignments: dict[str, str]
    votes: dict[str, str]


def standing_rows(status: QueryProverStatusResponse, prover: Prover) -> list[Row]:
    """Everything that decides whether the prover may work."""
    rows: list[Row] = [
        ("status", enum_label(ProverStatus.DESCRIPTOR, status.status)),
        ("because", status.reason),
        ("claim", _resources(prover.resources)),
    ]
    if prover.HasField("claim"):
        rows.append(("asked for", f"{_resources(prover.claim)}, once a capacity test of it is passed"))
    rows += [
        ("free", _resources(status.free)),
        ("owes", f"{status.open_assignments} assignments, {status.open_votes} votes"),
        ("bond", _bond(status, prover)),
        ("misses", f"{status.misses}; {status.misses_to_jail} jail"),
        ("declines left", _declines(status)),
    ]
    if prover.jail_reason:
        rows.append(("jailed", prover.jail_reason))
    if status.held_faults:
        rows.append(
            ("held faults", f"{status.held_faults}: the bond can't leave until it is known whose faults they were")
        )
    rows += _test_rows(status)
    if status.exit_ms:
        rows.append(("bond returned", time_label(status.exit_ms)))
    return rows


def incident_table(incidents: Sequence[Incident], limit: int) -> str:
    """The last ``limit`` refusals, failures and misses, newest first; empty if there are none."""
    if not incidents:
        return ""
    rows = [
        (
            time_label(one.time_ms)[:19],
            one.kind,
            (f"{one.task_id}/{one.round}" if one.round else one.task_id) or "-",
            one.detail,
        )
        for one in reversed(incidents[-limit:])
    ]
    return "\n\nlast refusals, failures and misses:\n" + columns(("time", "what", "task", "why"), rows)


def duty_table(answer: QueryProverDutiesResponse, phases: Phases, incidents: Sequence[Incident]) -> str:
    """What is owed, until when, and how far this machine is with it."""
    refusals = {one.task_id: one.detail for one in incidents if one.kind == "declined"}
    rows: list[tuple[object, ...]] = []
    for duty in answer.assignments:
        assignment = duty.assignment
        offered = assignment.status == ASSIGNMENT_STATUS_OFFERED
        here = phases.assignments.get(str(duty.task.id), "-")
        notes = [
            f"capacity test ({enum_label(TestKind.DESCRIPTOR, duty.task.test)})" if duty.task.test else "",
            "fallback" if assignment.attempt > 1 else "",
            "commit before reveal" if assignment.commit_first else "",
            refusals.get(duty.task.id, "") if here == "declined" else "",
        ]
        rows.append(
            (
                "prove",
                duty.task.id,
                "-",
                enum_label(AssignmentStatus.DESCRIPTOR, assignment.status),
                f"height {assignment.accept_by_height}" if offered else time_label(assignment.deadline_ms),
                here,
                "; ".join(filter(None, notes)),
            )
        )
    for vote in answer.votes:
        round_ = vote.round
        committing = round_.phase == ROUND_PHASE_COMMITTING
        said = "revealed" if vote.vote.revealed_height else "committed" if vote.vote.commitment else "not voted yet"
        rows.append(
            (
                "vote",
                vote.task.id,
                round_.round,
                enum_label(RoundPhase.DESCRIPTOR, round_.phase),
                time_label(round_.commit_deadline_ms if committing else round_.reveal_deadline_ms),
                phases.votes.get(f"{vote.task.id}/{round_.round}", "-"),
                f"{said}; judges the proof of {round_.prover}",
            )
        )
    if not rows:
        return f"nothing is owed at height {answer.height}"
    return columns(("duty", "task", "round", "status", "until", "here", "note"), rows)


def work_table(daemon: Mapping[str, Any]) -> str:
    """What the daemon works on, with what its containers use; empty if that is nothing."""
    gpus = {one["number"]: one["utilisation"] for one in daemon["gpus"]}
    rows: list[tuple[object, ...]] = [
        (
            "prove",
            one["task_id"],
            one["phase"] if one["accepted"] else f"{one['phase']}, offered",
            f"{one['left_s']} s",
            *_use(one, gpus),
            one["program"][:12],
            _work_note(one),
        )
        for one in daemon["assignments"]
    ]
    rows += [
        (
            "vote",
            f"{one['task_id']}/{one['round']}",
            one["phase"],
            f"{one['left_s']} s",
            *_use(one, gpus),
            one["program"][:12],
            "committed" if one["committed"] else "",
        )
        for one in daemon["votes"]
    ]
    if not rows:
        return ""
    return "\n\n" + columns(("work", "task", "phase", "left", "cores", "memory", "GPUs", "program", "note"), rows)


def _use(one: Mapping[str, Any], gpus: Mapping[int, float]) -> tuple[str, str, str]:
    """Cores, memory and GPUs of a container that runs, and of how much."""
    needs, use = one["resources"], one["use"]
    if use is None:
        return "-", "-", "-"
    shares = (f"{number}: {gpus[number]:.0%}" if number in gpus else str(number) for number in use["gpus"])
    return (
        f"{use['cpu_millis'] / 1000:.2f} of {needs['cpu_millis'] / 1000:g}",
        f"{use['memory_bytes'] >> 20} of {needs['memory_bytes'] >> 20} MiB",
        ", ".join(shares) or "-",
    )


def _work_note(one: Mapping[str, Any]) -> str:
    notes = ["capacity test" if one["test"] else "", "by experience" if one["by_experience"] else ""]
    if one["running_s"] is not None:
        usually = f", usually {one['likely_ms'] / 1000:.0f} s" if one["likely_ms"] else ""
        notes.append(f"runs since {one['running_s']} s of {one['time_limit_s']} s{usually}")
    return "; ".join(filter(None, notes))


def earned_text(prover: Prover, daemon: Mapping[str, Any] | None, now_ms: int) -> str:
    """In all, and lately as far as the daemon has noted it down."""
    text = f"{format_amount(prover.earned_umill, UMILL)} in all"
    if daemon is None:
        return text
    gain = daemon["earned_last_day"]
    # Sums are noted down every few minutes.
    whole_day = now_ms - gain["since_ms"] >= 24 * 3_600_000
    since = "in the last 24 h" if whole_day else f"since {time_label(gain['since_ms'])[:19]}"
    return f"{text}, {format_amount(gain['umill'], UMILL)} {since}"


def daemon_rows(daemon: Mapping[str, Any]) -> list[Row]:
    """How the daemon is."""
    held, capacity = daemon["held"], daemon["capacity"]
    in_use = (
        f"{held['cpu_millis'] / 1000:g} of {capacity['cpu_millis'] / 1000:g} cores",
        f"{held['memory_bytes'] >> 20} of {capacity['memory_bytes'] >> 20} MiB",
        f"{held['gpus']} of {capacity['gpus']} GPUs",
    )
    rows: list[Row] = [
        ("daemon", daemon["status"]),
        ("runner", daemon["runner"]),
        ("height", f"{daemon['height']}, by {daemon['chain_node']}"),
        ("in use", ", ".join(in_use)),
    ]
    rows += [("not enforced", sentence) for sentence in daemon["unenforced"]]
    rows += [("warning", sentence) for sentence in daemon["warnings"]]
    return rows


def _resources(claim: Resources) -> str:
    return f"{claim.cpu_millis / 1000:g} cores, {format_memory(claim.memory_bytes)}, {claim.gpus} GPUs"


def _bond(status: QueryProverStatusResponse, prover: Prover) -> str:
    text = f"{format_amount(status.bond, UMILL)}, at least {format_amount(status.bond_min, UMILL)}"
    if status.bond < status.bond_min:
        text += ": top it up with mill prover top-up"
    if prover.slashed_umill:
        text += f"; {format_amount(prover.slashed_umill, UMILL)} slashed so far"
    return text


def _declines(status: QueryProverStatusResponse) -> str:
    if status.declines_left:
        return str(status.declines_left)
    return f"0: a further one counts as a miss; one more from {time_label(status.next_decline_ms)}"


def _test_rows(status: QueryProverStatusResponse) -> list[Row]:
    rows: list[Row] = []
    if status.test_task_id:
        rows.append(("capacity test", f"under way, task {status.test_task_id}"))
    elif status.test_due:
        rows.append(("capacity test", f"due ({enum_label(TestKind.DESCRIPTOR, status.test_due)})"))
    if status.test_ended_ms:
        result = enum_label(TestResult.DESCRIPTOR, status.test_result)
        rows.append(("last test", f"{result} at {time_label(status.test_ended_ms)}"))
    if status.next_idle_test_ms:
        rows.append(("next test", f"{time_label(status.next_idle_test_ms)} if it stays idle; at random before"))
    if status.may_request_test_ms:
        since = f"from {time_label(status.may_request_test_ms)} on" if status.may_request_test_ms > 1 else "now"
        rows.append(("may ask for a test", f"{since}: mill prover unjail"))
    return rows

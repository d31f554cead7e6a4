"""`mill` for the whole protocol: cancelling, redundancy, estimates and statistics, parameters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from proofmill.program.v1.state_pb2 import PROGRAM_STATUS_BLOCKED, Strike

from chain import schema
from tests.support.life import accept, deploy
from tests.support.mill_cli import network_at_work, one_sentence
from tests.support.network import ALICE, operator_key
from tests.support.small_life import step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.http_node import HttpNode
    from tests.support.mill_cli import Result

FROM = ("--from", "alice")
AUTHORITY = ("--from", "authority")


# Cancelling


def start_task(user: Callable[..., Result], server: HttpNode, *options: str) -> None:
    deploy(server.node.network)
    result = user("run", "--program", "groth16", *FROM, *options)
    assert result.code == 0, result


def test_cancelling_before_a_prover_began_is_free(user: Callable[..., Result], server: HttpNode) -> None:
    start_task(user, server)
    fee = user("task", "show", 1, "-o", "json").json()["task"]["task"]["fee"]
    plan = user("task", "cancel", 1, *FROM, "--dry-run", "-o", "json").json()
    assert plan["messages"] == [
        {"type": "/proofmill.task.v1.MsgCancelTask", "user": ALICE.address, "task_id": 1}
    ]  # fmt: skip
    cancelled = user("task", "cancel", 1, *FROM, "-o", "json").json()
    assert (cancelled["refund_ucredit"], cancelled["paid"]) == (fee, [])
    shown = user("task", "show", 1)
    assert "CANCELLED: the user cancelled it" in shown.out
    # A repeat is a success without effect.
    assert "nothing: no prover had begun" in user("task", "cancel", 1, *FROM).out


def test_cancelling_pays_the_prover_for_its_time(user: Callable[..., Result], server: HttpNode) -> None:
    start_task(user, server, "--cpu", "4")
    network = server.node.network
    network.next_block()
    prover = operator_key(accept(network, 1)).address
    network.next_block(after_ms=29_000)
    result = user("task", "cancel", 1, *FROM)
    assert f"to {prover} for its time" in result.out
    as_json = user("task", "cancel", 1, *FROM, "-o", "json").json()
    (paid,) = as_json["paid"]
    assert (paid["prover"], paid["ucredit"], paid["umill"]) == (prover, 212, 212)
    assert as_json["refund_ucredit"] == 424 - 212
    watched = user("task", "watch", 1)
    assert watched.code == 5
    assert "CANCELLED" in watched.err.splitlines()[-1]


def test_who_may_not_cancel_and_when(user: Callable[..., Result], server: HttpNode) -> None:
    start_task(user, server)
    one_sentence(user("task", "cancel", 1, "--from", "bob"), 4, f"only {ALICE.address} may cancel task 1")
    one_sentence(user("task", "cancel", 2, *FROM), 4, "there is no task 2")
    one_sentence(user("task", "cancel", 0, *FROM), 2, "Invalid value for 'ID'")
    one_sentence(user("task", "cancel", 1), 1, "choose one with --from")
    for _ in range(3):
        step(server.node, 1)
    one_sentence(user("task", "cancel", 1, *FROM), 4, "too late to cancel")


# Redundancy, estimates, statistics


def test_several_provers_cost_what_the_estimate_says(
    user: Callable[..., Result], server: HttpNode, tmp_path: Path
) -> None:
    program_id = deploy(server.node.network).hex()
    (tmp_path / "task.yaml").write_text(f"program: {program_id}\nredundancy: 2\ntime_limit: 7s\n")
    asked = ("-f", tmp_path / "task.yaml", "--cpu", "3.3")
    for given, redundancy in (((), 2), (("--redundancy", "3"), 3)):
        estimate = user("estimate", *asked, *given, "-o", "json").json()
        before = user("account", "alice", "-o", "json").json()["balances"]["ucredit"]
        run = user("run", *asked, *given, *FROM, "-o", "json").json()
        after = user("account", "alice", "-o", "json").json()["balances"]["ucredit"]
        assert estimate["redundancy"] == redundancy
        assert before - after == run["escrow_ucredit"] == estimate["fee"]
        task = user("task", "show", run["task_id"], "-o", "json").json()["task"]["task"]
        assert (task["redundancy"], task["max_fee"]) == (redundancy, estimate["fee"])
    assert "3 provers" in user("task", "show", 2).out


@pytest.mark.parametrize("redundancy", ["0", "6", "two"])
def test_redundancies_that_cannot_be(
    user: Callable[..., Result], server: HttpNode, tmp_path: Path, redundancy: str
) -> None:
    deploy(server.node.network)
    one_sentence(user("run", "--program", "groth16", "--redundancy", redundancy, *FROM), 2, "'--redundancy'")
    (tmp_path / "task.yaml").write_text(f"program: groth16\nredundancy: {redundancy}\n")
    one_sentence(user("run", "-f", tmp_path / "task.yaml", *FROM), 1, "task.yaml:2: redundancy: must be a whole number")


def test_estimates_and_programs_tell_how_runs_went(user: Callable[..., Result], server: HttpNode) -> None:
    deploy(server.node.network)
    assert "no run with such resources yet" in user("estimate", "--program", "groth16").out
    assert "peak memory" not in user("program", "show", "groth16").out
    with network_at_work(server, 1):
        assert user("run", "--program", "groth16", *FROM, "--wait").code == 0
    estimate = user("estimate", "--program", "groth16", "--time-limit", "60s").out
    for part in ("1 run with up to 1 CPU, 1 valid, 0 failed", "0.4 s, 0.4 s", "48 MiB", "a time limit of 1 s\n"):
        assert part in estimate
    as_json = user("estimate", "--program", "groth16", "-o", "json").json()
    assert (as_json["stats"]["succeeded"], as_json["stats"]["wall_ms"]) == (1, [400])
    assert as_json["advised_time_limit_s"] == 1
    table = user("program", "show", "groth16").out.splitlines()
    assert table[-2].split()[:2] == ["runs", "with"]
    assert table[-1].startswith("up to 1 CPU  1      0")
    shown = user("program", "show", "groth16", "-o", "json").json()
    assert [one["succeeded"] for one in shown["stats"]] == [1]


def test_a_blocked_program_says_why(user: Callable[..., Result], server: HttpNode) -> None:
    network = server.node.network
    program_id = deploy(network)
    program = schema.PROGRAMS.require(network.values, program_id)
    program.status = PROGRAM_STATUS_BLOCKED
    program.strikes.append(Strike(time_ms=network.time_ms, prover=operator_key(0).address, task_id=7))
    schema.PROGRAMS.set(network.values, program_id, program)
    shown = user("program", "show", program_id.hex()).out
    assert "BLOCKED: too many tasks failed with their fallbacks" in shown
    assert f"after {operator_key(0).address} failed first" in shown


# Parameters


def test_parameters_are_changed_by_name(user: Callable[..., Result]) -> None:
    args = ("params", "update", "--set", "committee_min=12", "--set", "cpu_node.ucredit_per_hour=700000")
    dry = user(*args, *AUTHORITY, "--dry-run")
    assert dry.out.startswith("Nothing was sent.")
    assert dry.err.splitlines() == ["committee_min: 10 → 12", "cpu_node.ucredit_per_hour: 610000 → 700000"]
    assert user("params", "-o", "json").json()["committee_min"] == 10
    done = user(*args, *AUTHORITY, "-o", "json").json()
    assert done["version"] == 2
    assert done["changes"] == [
        {"name": "committee_min", "old": 10, "new": 12},
        {"name": "cpu_node.ucredit_per_hour", "old": 610_000, "new": 700_000},
    ]
    now = user("params", "-o", "json").json()
    assert (now["committee_min"], now["cpu_node"]["ucredit_per_hour"], now["version"]) == (12, 700_000, 2)
    assert user("params", "--version", 1, "-o", "json").json()["committee_min"] == 10
    assert "committee_min 15" in user("params", "update", "--set", "committee_min=15", *AUTHORITY).out


def test_parameters_are_changed_from_a_file(user: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    data = yaml.safe_load(user("params", "-o", "yaml").out)
    data["reveal_window_ms"] = 9_000
    file.write_text(yaml.safe_dump(data))
    one_sentence(user("params", "update", "-f", file, "--set", "reveal_window_ms=5000", *AUTHORITY), 1, "nothing would")
    assert user("params", "update", "-f", file, *AUTHORITY, "-o", "json").json()["version"] == 2
    stale = user("params", "update", "-f", file, *AUTHORITY)
    one_sentence(stale, 1, "made from version 1 of the parameters, but version 2 is in force")
    file.write_text(json.dumps({"cpu_node": {"ucredit_per_hour": 1}, "capacity_program": ""}))
    assert user("params", "update", "-f", file, *AUTHORITY).err == "cpu_node.ucredit_per_hour: 610000 → 1\n"


@pytest.mark.parametrize(
    ("setting", "code", "message"),
    [
        ("committee_min", 1, "must be NAME=VALUE"),
        ("comittee_min=3", 1, "there is no parameter 'comittee_min': did you mean committee_min?"),
        ("frobnicate=3", 1, "there is no parameter 'frobnicate': see mill params"),
        ("cpu_node.cores=3", 1, "there is no parameter 'cpu_node.cores'"),
        ("committee_min.x=3", 1, "committee_min is one value"),
        ("cpu_node=3", 1, "has several values: set cpu_node.resources, cpu_node.ucredit_per_hour"),
        ("committee_min=many", 1, "must be a whole number from 0 to 4294967295, not 'many'"),
        ("committee_min=-1", 1, "must be a whole number"),
        ("committee_min=4294967296", 1, "must be a whole number"),
        ("committee_min=10", 1, "nothing would change"),
        ("committee_min=0", 1, "the parameter committee_min is 0 or missing; it must be 1 to 1000"),
        ("prover_share_bp=1000", 1, "sum to 2000 instead of 10000"),
        ("version=9", 1, "the chain sets it"),
        ("capacity_program=xyz", 1, "must be hexadecimal digits"),
        ("capacity_program=abcd", 1, "2 bytes instead of a program id's 32"),
        (f"capacity_program={'ab' * 32}", 4, "which isn't deployed: deploy it first"),
    ],
)
def test_parameters_that_cannot_be(user: Callable[..., Result], setting: str, code: int, message: str) -> None:
    result = user("params", "update", "--set", setting, *AUTHORITY)
    assert result.code == code
    assert message in result.err.splitlines()[-1]
    assert user("params", "-o", "json").json()["version"] == 1


def test_who_may_not_change_parameters_and_how_not_to_ask(user: Callable[..., Result], tmp_path: Path) -> None:
    change = ("--set", "committee_min=12")
    denied = user("params", "update", *change, *FROM)
    assert denied.code == 4
    assert "only the authority" in denied.err.splitlines()[-1]
    one_sentence(user("params", "update", *AUTHORITY), 2, "give --set NAME=VALUE or -f params.yaml")
    one_sentence(user("params", "update", "-f", tmp_path / "none", *AUTHORITY), 1, "there is no file")
    (tmp_path / "list").write_text("- 1\n")
    one_sentence(user("params", "update", "-f", tmp_path / "list", *AUTHORITY), 1, "must be a mapping")
    (tmp_path / "bad").write_text("committee_min: [1]\n")
    one_sentence(user("params", "update", "-f", tmp_path / "bad", *AUTHORITY), 1, "committee_min: must be text")
    one_sentence(user("params", "--version", 1, "update", *change, *AUTHORITY), 2, "give options after the command")
    one_sentence(user("params", "--version", 7), 1, "version 7")
    one_sentence(user("params", "--version", 0), 2, "'--version'")

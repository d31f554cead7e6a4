"""`mill localnet`: a whole network on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import click
import httpx
from proofmill.types.v1.types_pb2 import Resources

from client.cli.options import CPU, MEMORY
from client.cli.output import columns, emit
from client.rpc import DEFAULT_NODE
from validator_node.cli_options import format_option
from validator_node.localnet.capacity import capacity_id, capacity_spec
from validator_node.localnet.launch import (
    last_lines,
    require_free_ports,
    running_processes,
    start_all,
    stop_all,
    wait_for_any_end,
)
from validator_node.localnet.layout import DEFAULT_HOME, MAX_PROVERS, MAX_VALIDATORS, USERS, Layout, LocalnetError, Plan

_DEFAULTS: dict[str, Any] = {
    "chain_id": "mill-local",
    "validators": 4,
    "provers": 5,
    "port_offset": 0,
    "runner": "auto",
}
_FOLLOW_SECONDS = 0.2

home_option = click.option(
    "--home",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_HOME,
    show_default=True,
    help="Where the network keeps everything.",
)


@click.group(name="localnet")
def group() -> None:
    """Run a whole network on this machine: validators, provers and a blob server."""


@group.command()
@home_option
@click.option("--validators", type=click.IntRange(1, MAX_VALIDATORS), help="How many. Default: 4.")
@click.option("--provers", type=click.IntRange(0, MAX_PROVERS), help="How many. Default: 5.")
@click.option("--port-offset", type=click.IntRange(0, 30_000), help="Added to all ports. Default: 0.")
@click.option(
    "--runner",
    type=click.Choice(("auto", "docker", "sandbox")),
    help="What provers run containers with. Default: auto, Docker if it is reachable.",
)
@click.option(
    "--capacity",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Built program of the capacity tests (mill program build programs/capacity --out DIR). Default: no tests.",
)
@click.option("--foreground", is_flag=True, help="Stay until Ctrl-C or until a process ends, then stop everything.")
@format_option
def start(
    root: Path,
    validators: int | None,
    provers: int | None,
    port_offset: int | None,
    runner: str | None,
    capacity: Path | None,
    *,
    foreground: bool,
    output_format: str,
) -> None:
    """Start the network of --home and wait until it works.

    The network is made anew if there is none. Of one that runs in part, the processes that are down are started.

    \b
    Examples:
      mill localnet start
      mill localnet start --capacity build/capacity --provers 3
    """
    layout = _layout(root)
    asked = {
        "validators": validators,
        "provers": provers,
        "port_offset": port_offset,
        "runner": runner,
    }

    def say(text: str) -> None:
        click.echo(text, err=output_format != "table")

    with _terminate_like_ctrl_c():
        try:
            with _locked(layout):
                plan = _plan_of(layout, asked, capacity)
                start_all(layout, plan, say)
            emit(output_format, _addresses(layout, plan), lambda: describe(layout, plan))
            if foreground:
                _stay(layout, plan)
        except KeyboardInterrupt:
            if not foreground:
                raise
            stop_all(layout)
            say("Stopped.")


@group.command()
@home_option
@format_option
def stop(root: Path, output_format: str) -> None:
    """Stop all processes of the network; its state stays. Harmless if nothing runs."""
    layout = _layout(root)
    stopped: list[str] = []
    if layout.root.exists():
        with _locked(layout):
            stopped = stop_all(layout)
    said = f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running."
    emit(output_format, {"stopped": list(stopped)}, lambda: said)


@group.command("add-prover")
@home_option
@click.option("--cpu", "cpu_millis", type=CPU, metavar="CORES", default="2", show_default=True, help="Cores to claim.")
@click.option(
    "--memory", "memory_bytes", type=MEMORY, metavar="SIZE", default="4GiB", show_default=True, help="Memory to claim."
)
@format_option
def add_prover(root: Path, cpu_millis: int, memory_bytes: int, output_format: str) -> None:
    """Let one more prover join the running network: made, funded, started and registered.

    It is JOINING until it passes a capacity test, so the network needs a capacity program for it to get work.

    \b
    Example:
      mill localnet add-prover --cpu 1 --memory 1GiB
    """
    layout = _layout(root)
    with _terminate_like_ctrl_c(), _locked(layout):
        plan = _require_plan(layout)
        # It loads libraries that no other command needs.
        from validator_node.localnet.join import add_prover as join

        claim = Resources(cpu_millis=cpu_millis, memory_bytes=memory_bytes)
        joined = join(layout, plan, claim, lambda text: click.echo(text, err=True))
    home = layout.prover(plan.provers)
    tested = "and is tested now" if joined.tested else "and stays JOINING: there are no capacity tests here"
    said = [
        f"{joined.name} is registered, {tested}.",
        f"operator {joined.operator}, node {joined.node}",
        f"See what becomes of it with: mill prover status --home {home}",
    ]
    emit(output_format, {**asdict(joined), "home": str(home)}, lambda: "\n".join(said))


@group.command()
@home_option
@format_option
def status(root: Path, output_format: str) -> None:
    """Show processes, addresses and heights. Exits non-zero unless all processes run."""
    layout = _layout(root)
    plan = _require_plan(layout)
    report = _status(layout, plan)
    emit(output_format, report, lambda: _status_table(report))
    if not all(one["pid"] for one in report["processes"]):
        click.get_current_context().exit(1)


@group.command()
@home_option
@click.argument("names", nargs=-1)
@click.option("-n", "--lines", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Of each log's end.")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added, until Ctrl-C.")
def logs(root: Path, names: tuple[str, ...], lines: int, *, follow: bool) -> None:
    """Print the ends of logs: of all processes, or of those named (validator0, prover0, blobs, …)."""
    layout = _layout(root)
    known = _names(_require_plan(layout))
    for name in names:
        if name not in known:
            raise LocalnetError(f"there is no process {name!r}; these are: {', '.join(known)}")
    chosen = names or known
    for name in chosen:
        for line in last_lines(layout, name, lines):
            click.echo(f"{name:<12} {line}")
    if follow:
        _follow(layout, chosen)


def _layout(root: Path) -> Layout:
    return Layout(root.expanduser().absolute())


def _require_plan(layout: Layout) -> Plan:
    plan = layout.load_plan()
    if plan is None:
        raise LocalnetError(f"there is no localnet in {layout.root}; make one with `mill localnet start`")
    return plan


def _plan_of(layout: Layout, asked: dict[str, Any], capacity: Path | None) -> Plan:
    """The plan of the network in this home, which is made if there is none; `asked`: options, None where not given."""
    plan = layout.load_plan()
    given = {name: value for name, value in asked.items() if value is not None}
    if plan is None:
        plan = Plan(**(_DEFAULTS | given))
        if capacity is not None:
            plan = replace(plan, capacity_program=capacity_id(capacity_spec(capacity, plan)))
        # It loads libraries that no other command needs.
        from validator_node.comet import find_comet
        from validator_node.localnet.create import create, require_unused

        require_unused(layout)
        require_free_ports(plan)
        create(layout, plan, find_comet(), capacity)
        return plan
    if capacity is not None and capacity_id(capacity_spec(capacity, plan)) != plan.capacity_program:
        raise LocalnetError(
            f"this localnet was made with {_tests_label(plan)}, and a genesis doesn't change; "
            "name another --home, or stop it and delete its folder"
        )
    for name, value in given.items():
        has = asdict(plan)[name]
        if value != has:
            option = name.replace("_", "-")
            raise LocalnetError(
                f"this localnet was made with --{option} {has}, which can't become {value}; "
                "name another --home, or stop it and delete its folder"
            )
    if not running_processes(layout):
        require_free_ports(plan)
    return plan


def _tests_label(plan: Plan) -> str:
    return f"capacity tests by program {plan.capacity_program[:16]}" if plan.capacity_program else "no capacity tests"


def _names(plan: Plan) -> list[str]:
    return [
        "blobs",
        *(f"validator{index}" for index in range(plan.validators)),
        *(f"prover{index}" for index in range(plan.provers)),
    ]


@contextlib.contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    """Keep two commands from starting and stopping the same network at once."""
    layout.root.parent.mkdir(parents=True, exist_ok=True)
    with layout.root.with_name(f".{layout.root.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalnetError(f"another command is at work on {layout.root}; try again when it is done") from None
        yield


def describe(layout: Layout, plan: Plan) -> str:
    """Where everything is, and commands that work as they are printed."""
    lines = [f"The network {plan.chain_id} runs in {layout.root}.", ""]
    for index in range(plan.validators):
        ports = plan.validator_ports(index)
        lines.append(
            f"validator{index:<3} RPC http://127.0.0.1:{ports.rpc}  gRPC 127.0.0.1:{ports.grpc}  "
            f"REST http://127.0.0.1:{ports.rest}  metrics http://127.0.0.1:{ports.metrics}/metrics"
        )
    lines += [f"prover{index:<6} {plan.prover_url(index)}" for index in range(plan.provers)]
    lines += [f"{'blobs':<12} {plan.blob_url}", ""]
    node = "" if plan.rpc_url(0) == DEFAULT_NODE else f" --node {plan.rpc_url(0)}"
    lines.append(f"Funded keys: {', '.join(USERS)}. Use them with: mill --home {layout.user}{node} --from alice …")
    if plan.capacity_program:
        lines.append(f"Provers are tested for their capacity by program {plan.capacity_program[:16]}.")
    else:
        lines.append(
            "No capacity tests: whoever registers or is jailed now can't get in; for tests start with --capacity."
        )
    lines.append(f"Stop it with: mill localnet stop --home {layout.root}")
    return "\n".join(lines)


def _addresses(layout: Layout, plan: Plan) -> dict[str, Any]:
    """What :func:`describe` tells people, for programs."""
    validators = []
    for index in range(plan.validators):
        ports = plan.validator_ports(index)
        validators.append(
            {
                "name": f"validator{index}",
                "rpc": plan.rpc_url(index),
                "grpc": f"127.0.0.1:{ports.grpc}",
                "rest": f"http://127.0.0.1:{ports.rest}",
                "metrics": f"http://127.0.0.1:{ports.metrics}/metrics",
            }
        )
    return {
        "chain_id": plan.chain_id,
        "home": str(layout.root),
        "validators": validators,
        "provers": [{"name": f"prover{index}", "url": plan.prover_url(index)} for index in range(plan.provers)],
        "blobs": plan.blob_url,
        "capacity_program": plan.capacity_program or None,
        "user_home": str(layout.user),
        "funded_keys": list(USERS),
    }


def _status(layout: Layout, plan: Plan) -> dict[str, Any]:
    alive = running_processes(layout)
    urls = {"blobs": plan.blob_url}
    urls |= {f"validator{index}": plan.rpc_url(index) for index in range(plan.validators)}
    urls |= {f"prover{index}": plan.prover_url(index) for index in range(plan.provers)}
    processes: list[dict[str, Any]] = []
    with httpx.Client(timeout=2.0, trust_env=False) as http:
        for name in _names(plan):
            record = alive.get(name)
            one: dict[str, Any] = {"name": name, "pid": record.pid if record else None, "url": urls[name]}
            if name.startswith("validator") and record:
                one |= _chain_position(http, urls[name])
            processes.append(one)
    return {"chain_id": plan.chain_id, "home": str(layout.root), "processes": processes}


def _status_table(report: dict[str, Any]) -> str:
    rows = [
        (one["name"], one["pid"] or "down", one["url"], one.get("height") or "", (one.get("app_hash") or "")[:16])
        for one in report["processes"]
    ]
    return columns(("PROCESS", "PID", "URL", "HEIGHT", "APP HASH"), rows)


def _chain_position(http: httpx.Client, url: str) -> dict[str, Any]:
    try:
        sync = http.get(f"{url}/status").json()["result"]["sync_info"]
        return {"height": int(sync["latest_block_height"]), "app_hash": sync["latest_app_hash"].lower()}
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return {"height": None, "app_hash": None}


def _stay(layout: Layout, plan: Plan) -> NoReturn:
    """Until a process ends; then stop all and raise LocalnetError. A signal raises KeyboardInterrupt."""
    ended = wait_for_any_end(layout, _names(plan))
    stop_all(layout)
    shown = "\n".join(f"  {line}" for line in last_lines(layout, ended))
    raise LocalnetError(f"{ended} ended by itself, so everything was stopped. Its log ends with:\n{shown}")


@contextlib.contextmanager
def _terminate_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, so that what was started is stopped."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _follow(layout: Layout, names: list[str] | tuple[str, ...]) -> None:
    with contextlib.ExitStack() as stack:
        files = {}
        for name in names:
            layout.log(name).touch()
            file = stack.enter_context(layout.log(name).open(errors="replace"))
            file.seek(0, 2)
            files[name] = file
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                for name, file in files.items():
                    for line in file:
                        click.echo(f"{name:<12} {line.rstrip()}")
                time.sleep(_FOLLOW_SECONDS)

"""Starts a localnet's processes, waits until they work, and stops them; only ever touches those that it started."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import httpx

from validator_node.comet import stop_orphan
from validator_node.home import NodeHome
from validator_node.localnet.commands import Service, services
from validator_node.localnet.layout import LOOPBACK, Layout, LocalnetError, Plan
from validator_node.processes import ProcessRecord, read_record, write_record

START_SECONDS = 90.0
# A prover asked to stop tries to finish what it owes; asked twice it ends at once and remembers.
STOP_SECONDS = 8.0
_POLL_SECONDS = 0.1
_SHOWN_LINES = 15
_TAIL_BYTES = 64 << 10


@dataclass(frozen=True)
class _Running:
    service: Service
    process: subprocess.Popen[bytes]


def require_free_ports(plan: Plan, ports: Sequence[int] | None = None) -> None:
    """Raise LocalnetError, naming the port, if something listens where the localnet, or a part of it, would."""
    for port in plan.all_ports() if ports is None else ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as error:
                raise LocalnetError(
                    f"port {port} is taken ({error.strerror}): stop what uses it, or choose another --port-offset"
                ) from error


def start_all(layout: Layout, plan: Plan, report: Callable[[str], None]) -> None:
    """Start what isn't running and wait until blocks flow and all provers answer.

    Raises LocalnetError, with the reason and nothing that was started left running, if one process doesn't make it.
    """
    alive = running_processes(layout)
    missing = [service for service in services(layout, plan) if service.name not in alive]
    report(f"Starting {len(missing)} processes, logs in {layout.logs}.")
    start_services(layout, plan, missing)


def start_services(layout: Layout, plan: Plan, missing: Sequence[Service]) -> None:
    """Start these and wait until they answer and blocks flow; errors as of :func:`start_all`."""
    running: list[_Running] = []
    try:
        # Grows with each process, so that a failure finds those before it.
        running.extend(_spawn(layout, service) for service in missing)
        _wait_ready(layout, plan, running)
    except BaseException:
        stop_all(layout, [service.name for service in missing])
        raise


def stop_all(layout: Layout, names: Collection[str] | None = None) -> list[str]:
    """Stop what runs of this home, or of the names given, provers first; the names of what ran."""
    found = {name: one for name, one in running_processes(layout).items() if names is None or name in names}
    groups = [
        [name for name in found if name.startswith("prover")],
        [name for name in found if name.startswith("validator")],
        [name for name in found if not name.startswith(("prover", "validator"))],
    ]
    stopped = []
    for group in groups:
        for _ in range(2):
            for name in group:
                found[name].request_stop()
            deadline = time.monotonic() + STOP_SECONDS
            if all(found[name].wait_gone(max(0.0, deadline - time.monotonic())) for name in group):
                break
        for name in group:
            found[name].kill()
            layout.record(name).unlink(missing_ok=True)
            stopped.append(name)
    for home in sorted(layout.root.glob("validators/*")):
        if home.name not in found and (names is None or home.name in names):
            # A supervisor that was killed can't have stopped its CometBFT.
            stop_orphan(NodeHome(home))
    return stopped


def running_processes(layout: Layout) -> dict[str, ProcessRecord]:
    """The processes of this home that are alive, by name."""
    found = {}
    for file in sorted(layout.records.glob("*.pid")):
        record = read_record(file)
        if record is not None and record.alive():
            found[file.stem] = record
    return found


def wait_for_any_end(layout: Layout, names: Sequence[str]) -> str:
    """Wait until one of these processes ends, and name it."""
    while True:
        alive = running_processes(layout)
        for name in names:
            if name not in alive:
                return name
        time.sleep(_POLL_SECONDS)


def last_lines(layout: Layout, name: str, count: int = _SHOWN_LINES) -> list[str]:
    """The end of a process's log."""
    path = layout.log(name)
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return file.read().decode(errors="replace").splitlines()[-count:]


def _spawn(layout: Layout, service: Service) -> _Running:
    with layout.log(service.name).open("ab") as output:
        process = subprocess.Popen(
            service.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # It outlives this command, and a terminal's Ctrl-C isn't meant for it.
            start_new_session=True,
        )
    write_record(layout.record(service.name), process.pid)
    return _Running(service, process)


def _wait_ready(layout: Layout, plan: Plan, running: Sequence[_Running]) -> None:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(timeout=2.0, trust_env=False) as http:
        waiting = list(running)
        blocks = False
        while waiting or not blocks:
            for one in running:
                status = one.process.poll()
                if status is not None:
                    raise _failure(layout, one.service.name, f"ended with status {status}")
            waiting = [one for one in waiting if not _is_healthy(http, one.service.health)]
            blocks = blocks or all(_height(http, plan.rpc_url(index)) >= 1 for index in range(plan.validators))
            if time.monotonic() > deadline:
                late = waiting[0].service.name if waiting else "validator0"
                raise _failure(layout, late, f"isn't ready after {START_SECONDS:.0f} s")
            if waiting or not blocks:
                time.sleep(_POLL_SECONDS)


def _failure(layout: Layout, name: str, what: str) -> LocalnetError:
    shown = "\n".join(f"  {line}" for line in last_lines(layout, name)) or "  (its log is empty)"
    return LocalnetError(
        f"{name} {what}, so what was started is stopped again. Its log, {layout.log(name)}, ends with:\n{shown}"
    )


def _is_healthy(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(url).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _height(http: httpx.Client, rpc_url: str) -> int:
    try:
        return int(http.get(f"{rpc_url}/status").json()["result"]["sync_info"]["latest_block_height"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return 0

"""`make demo`: one real proof, end to end, on a network of 4 validators and 5 provers on this machine.

Everything goes through `mill`, as a user would type it. KEEP=1 leaves the network running. FAULTS=1 goes on with a
prover that is killed at work, and what the network does about it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import docker
import docker.errors

from client.sdk import MillClient

ROOT = Path(__file__).resolve().parent.parent
MILL = ROOT / ".venv" / "bin" / "mill"
HOME = ROOT / "tmp" / "demo"
PROGRAM = ROOT / "programs" / "groth16"
VALIDATORS, PROVERS = 4, 5
# The network's own ports are far less than this apart, so two offsets never collide.
OFFSETS = (0, 200, 400)
EXAMPLE = PROGRAM / "example"
INPUTS = (
    *("--input", f"public.json={EXAMPLE / 'public.json'}:both"),
    *("--input", f"witness.json={EXAMPLE / 'witness.json'}:prover"),
)
# A fifth of a core makes the proof slow enough for its prover to be killed; the fallback has no more of it.
FAULT_CPU = "200m"
FAULT_TIME_LIMIT_S = 12
FAULT_PARAMS = {"transfer_allowance_ms": 3_000, "cpu_node.ucredit_per_hour": 610_000_000}


class DemoError(Exception):
    """A step failed; the message says which and why."""


def main() -> int:
    started = time.monotonic()
    keep = os.environ.get("KEEP") == "1"
    network = Network()
    try:
        network.start()
        program = walk(network)
        if os.environ.get("FAULTS") == "1":
            show_a_fault(network, program)
    except DemoError as error:
        sys.stderr.write(f"\ndemo failed: {error}\n")
        network.stop()
        return 1
    except BaseException:
        network.stop()
        raise
    say(f"Done in {time.monotonic() - started:.0f} s.")
    if keep:
        network.print_what_next()
        return 0
    network.stop()
    return 0


class Network:
    """The localnet of the demo: started once, stopped whatever happens."""

    def __init__(self) -> None:
        self.localnet = HOME / "localnet"
        self.user = self.localnet / "user"
        self.ports: dict[str, str] = {}

    def start(self) -> None:
        step("Start a network of 4 validators and 5 provers")
        if self.localnet.exists():
            mill("localnet", "stop", "--home", str(self.localnet))
        shutil.rmtree(HOME, ignore_errors=True)
        HOME.mkdir(parents=True)
        for offset in OFFSETS:
            command = ["localnet", "start", "--home", str(self.localnet), "--port-offset", str(offset)]
            command += ["--validators", str(VALIDATORS), "--provers", str(PROVERS)]
            result = subprocess.run([MILL, *command], capture_output=True, text=True, check=False)
            if result.returncode == 0:
                break
            if "another --port-offset" not in result.stderr:
                raise DemoError(f"the network didn't start: {result.stderr.strip()}")
            say(f"The ports at offset {offset} are taken; trying the next ones.")
            shutil.rmtree(self.localnet, ignore_errors=True)
        else:
            raise DemoError(f"no free ports for the network: {result.stderr.strip()}")
        sys.stdout.write(result.stdout)
        status = self.status()
        urls = {str(one["name"]): str(one["url"]) for one in status["processes"]}
        self.ports = {"node": urls["validator0"], "blobs": urls["blobs"]}
        prover = mill_json("prover", "status", "--home", self.prover(0))
        say(f"Containers run in: {prover['daemon']['runner']}")

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = mill_json("localnet", "status", "--home", str(self.localnet))
        return answer

    def options(self, sender: str | None = None) -> list[str]:
        """`mill`'s options for this network, and for whoever signs."""
        options = ["--home", str(self.user), "--node", self.ports["node"]]
        return [*options, "--from", sender] if sender else options

    def stop(self) -> None:
        if self.localnet.exists():
            step("Stop everything that was started")
            mill("localnet", "stop", "--home", str(self.localnet), show=True)

    def prover(self, index: int) -> str:
        """The home of a prover."""
        return str(self.localnet / "provers" / f"prover{index}")

    def print_what_next(self) -> None:
        node = shlex.join(self.options())
        say("The network is still running. Try:")
        for line in (
            f"mill task list {node}",
            f"mill task show 1 {node}",
            f"mill program list {node}",
            f"mill prover status --home {self.prover(0)}",
            f"mill localnet status --home {self.localnet}",
            f"mill localnet logs prover0 --home {self.localnet}",
            f"mill localnet stop --home {self.localnet}",
        ):
            sys.stdout.write(f"  {MILL.relative_to(ROOT).parent}/{line}\n")


def walk(network: Network) -> str:
    """The main job: build, deploy, run, fetch, verify, compare balances. The program's id."""
    built, proof = HOME / "program", HOME / "proof"
    step("Build the reference program: a Groth16 prover and its verifier, as two container images")
    mill("program", "build", str(PROGRAM), "--out", str(built), show=True)

    step("Deploy it")
    deployed = mill_json(
        "program", "deploy", str(built), "--blob-server", network.ports["blobs"], *network.options("deployer")
    )
    program = str(deployed["program_id"])
    say(f"program {program}")

    before = balances(network)
    step("Ask for a proof, and watch it being made")
    task = mill_json(
        *("run", "--program", program, "--wait", "--output", str(proof)), *INPUTS, *network.options("alice")
    )
    mill("task", "show", str(task["task"]["task"]["id"]), *network.options(), show=True)

    step("Verify the fetched proof outside the network, with the program's own verifier")
    mill(
        *("local-run", str(built), "--verify-only", "--proof", str(proof)),
        *INPUTS[:2],
        show=True,
    )

    step("Balances before and after")
    print_balances(before, balances(network))
    return program


def show_a_fault(network: Network, program: str) -> None:
    """A prover dies at work: half of the fee comes back, a fallback proves, and the dead one pays for it."""
    step("Shorten the deadlines of new tasks, and multiply the price by 1,000, so that every share is to be seen")
    change = [word for name, value in FAULT_PARAMS.items() for word in ("--set", f"{name}={value}")]
    mill("params", "update", *change, *network.options("authority"), show=True)

    before, bonds = balances(network), {index: standing(network, index)["bond"] for index in range(PROVERS)}
    step("Ask for a proof that takes a while, and kill the prover that accepts it")
    limits = ("--cpu", FAULT_CPU, "--time-limit", f"{FAULT_TIME_LIMIT_S}s")
    started = mill_json("run", "--program", program, *limits, *INPUTS, *network.options("alice"))
    task_id, fee = int(started["task_id"]), int(started["escrow_ucredit"])
    say(f"task {task_id} waits for a prover, {fee} ucredit in escrow")
    victim = asyncio.run(wait_for_acceptance(network, task_id))
    kill_at_work(network, victim)
    say("Nobody tells the chain: it notices at the deadline.")
    mill("task", "watch", str(task_id), *network.options(), show=True)

    step("Start the killed prover again: it lost a part of its bond, and is jailed")
    mill("localnet", "start", "--home", str(network.localnet))
    mill("prover", "status", "--home", network.prover(victim), show=True)

    step("Balances and bonds before and after")
    print_balances(before, balances(network))
    for index, bond in bonds.items():
        now = standing(network, index)["bond"]
        lost = f"{(now - bond) / 1e6:+,.6f}" if now != bond else ""
        sys.stdout.write(f"  bond of prover{index:<4}{now / 1e6:>20,.6f}{lost:>20}\n")
    check_fault(network, task_id, fee, victim, bonds[victim])


async def wait_for_acceptance(network: Network, task_id: int) -> int:
    """The index of the prover that is at work on a task. Looks often: there is little time to kill it."""
    operators = {one["address"]: one["name"] for one in mill_json("keys", "list", "--home", str(network.user))}
    give_up = time.monotonic() + 60
    async with MillClient(network.ports["node"]) as client:
        while time.monotonic() < give_up:
            for one in (await client.task(task_id)).assignments:
                if one.accepted_height:
                    return int(operators[one.prover].removeprefix("prover"))
            await asyncio.sleep(0.05)
    raise DemoError("no prover accepted the task within a minute")


def kill_at_work(network: Network, index: int) -> None:
    """SIGKILL to a prover's daemon and to its containers, as if the machine had lost its power."""
    (daemon,) = (one["pid"] for one in network.status()["processes"] if one["name"] == f"prover{index}")
    victims = [daemon, *descendants(daemon)]
    say(f"$ kill -9 {daemon}    # prover{index}, and {len(victims) - 1} processes of its container")
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    node = mill_json("prover", "status", "--home", network.prover(index))["prover"]["node"]
    kill_engine_containers(node)


def descendants(pid: int) -> list[int]:
    """All processes below one: in a sandbox, those of its container."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in brackets, may hold anything; the parent is the second word after it.
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(entry.parent.name))
    found = list(parents.get(pid, []))
    for one in found:
        found += parents.get(one, [])
    return found


def kill_engine_containers(node: str) -> None:
    """Containers of a prover's that run in an engine instead: they don't end with its daemon."""
    try:
        engine = docker.from_env()
        for container in engine.containers.list(filters={"label": f"proofmill.node={node}"}):
            container.kill()
    except docker.errors.DockerException:
        return  # no engine, so no containers in one


def standing(network: Network, index: int) -> dict[str, Any]:
    """The chain's record of a prover."""
    found: dict[str, Any] = mill_json("prover", "status", "--home", network.prover(index))["prover"]
    return found


def check_fault(network: Network, task_id: int, fee: int, victim: int, bond: int) -> None:
    """That everything happened which this was to show."""
    answer = mill_json("task", "show", str(task_id), *network.options())
    progress, prover = answer["task"]["progress"], standing(network, victim)
    names = [one["name"] for one in answer["steps"]]
    slashes = [one for one in progress["slashes"] if one["kind"] == "FAULT"]
    facts = {
        "the first prover missed its deadline": "timed out" in names,
        "half of the fee came back at once": [
            (one["kind"], one["ucredit"]) for one in progress["payouts"] if one["height"] == progress["fallback_height"]
        ]
        == [("REFUND", fee // 2)],
        "a fallback was drawn, committed to its proof and revealed it": {"fallback", "proof committed", "proved"}
        <= set(names),
        "its proof was found valid and paid": progress["status"] == "DONE"
        and any(one["kind"] == "PROVER_REWARD" for one in progress["payouts"]),
        "the first was slashed": [one["prover"] for one in slashes] == [prover["operator"]]
        and prover["bond"] == bond - sum(one["umill"] for one in slashes) < bond,
        "the first is jailed": prover["status"] == "JAILED",
    }
    step("What happened")
    for fact, happened in facts.items():
        say(f"{'yes' if happened else 'NO '}  {fact}")
    if not all(facts.values()):
        raise DemoError("not everything happened that a fault is followed by")


def balances(network: Network) -> dict[str, dict[str, int]]:
    """umill and ucredit by who it is: the user, the deployer and all provers' operators."""
    names = ["alice", "deployer", *(f"prover{index}" for index in range(PROVERS))]
    found = {}
    for name in names:
        account = mill_json("account", name, *network.options())
        found[name] = account["balances"]
    return found


def print_balances(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]) -> None:
    sys.stdout.write(f"  {'':<12}{'credits':>12}{'':>4}{'change':>12}{'MILL':>18}{'change':>14}\n")
    for name, held in before.items():
        row = []
        for denom in ("ucredit", "umill"):
            old, new = held.get(denom, 0), after[name].get(denom, 0)
            row += [f"{new / 1e6:,.6f}", f"{(new - old) / 1e6:+,.6f}" if new != old else ""]
        sys.stdout.write(f"  {name:<12}{row[0]:>14}{row[1]:>14}{row[2]:>20}{row[3]:>14}\n")


def step(text: str) -> None:
    sys.stdout.write(f"\n── {text}\n")
    sys.stdout.flush()


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def mill(*arguments: str, show: bool = False) -> str:
    """Run `mill`; its standard output, also printed if `show`. Its progress goes to the terminal as it happens."""
    if show:
        say(f"$ mill {shlex.join(shorten(argument) for argument in arguments)}")
    result = subprocess.run([MILL, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if show:
        sys.stdout.write(result.stdout)
        sys.stdout.flush()
    if result.returncode != 0:
        raise DemoError(f"`mill {' '.join(arguments[:2])}` exited with {result.returncode}")
    return result.stdout


def mill_json(*arguments: str) -> Any:
    """Run `mill … -o json`; what it printed, decoded."""
    return json.loads(mill(*arguments, "-o", "json"))


def shorten(argument: str) -> str:
    return argument.replace(f"{ROOT}/", "")


if __name__ == "__main__":
    sys.exit(main())

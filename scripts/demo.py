"""`make demo`: one real proof, end to end, on a network of 4 validators and 5 provers on this machine.

Everything goes through `mill`, as a user would type it. KEEP=1 leaves the network running.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MILL = ROOT / ".venv" / "bin" / "mill"
HOME = ROOT / "tmp" / "demo"
PROGRAM = ROOT / "programs" / "groth16"
VALIDATORS, PROVERS = 4, 5
# The network's own ports are far less than this apart, so two offsets never collide.
OFFSETS = (0, 200, 400)


class DemoError(Exception):
    """A step failed; the message says which and why."""


def main() -> int:
    started = time.monotonic()
    keep = os.environ.get("KEEP") == "1"
    network = Network()
    try:
        network.start()
        walk(network)
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
        prover = mill_json("prover", "status", "--home", str(self.localnet / "provers" / "prover0"))
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

    def print_what_next(self) -> None:
        node = shlex.join(self.options())
        say("The network is still running. Try:")
        for line in (
            f"mill task list {node}",
            f"mill task show 1 {node}",
            f"mill program list {node}",
            f"mill prover status --home {self.localnet / 'provers' / 'prover0'}",
            f"mill localnet status --home {self.localnet}",
            f"mill localnet logs prover0 --home {self.localnet}",
            f"mill localnet stop --home {self.localnet}",
        ):
            sys.stdout.write(f"  {MILL.relative_to(ROOT).parent}/{line}\n")


def walk(network: Network) -> None:
    """The main job: build, deploy, run, fetch, verify, compare balances."""
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
    example = PROGRAM / "example"
    task = mill_json(
        *("run", "--program", program, "--wait", "--output", str(proof)),
        *("--input", f"public.json={example / 'public.json'}:both"),
        *("--input", f"witness.json={example / 'witness.json'}:prover"),
        *network.options("alice"),
    )
    mill("task", "show", str(task["task"]["task"]["id"]), *network.options(), show=True)

    step("Verify the fetched proof outside the network, with the program's own verifier")
    mill(
        *("local-run", str(built), "--verify-only", "--proof", str(proof)),
        *("--input", f"public.json={example / 'public.json'}:both"),
        show=True,
    )

    step("Balances before and after")
    print_balances(before, balances(network))


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

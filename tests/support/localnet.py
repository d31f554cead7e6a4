"""Real networks for tests: started with `mill localnet start` in a folder of their own, stopped whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from client.keys.keystore import KeyStore
from client.keys.private_key import PrivateKey
from client.program.build import build
from client.program.description import BuiltProgram
from client.sdk import MillClient
from validator_node.comet import CometError, find_comet
from validator_node.localnet.launch import last_lines, require_free_ports, running_processes, stop_all
from validator_node.localnet.layout import Layout, LocalnetError, Plan
from validator_node.processes import ProcessRecord, read_record

MILL: Final = Path(sys.executable).with_name("mill")
GROTH16: Final = Path(__file__).resolve().parents[2] / "programs" / "groth16"
# Longer than anything on a network takes on a busy machine: a bound on a hang, not an expectation.
PATIENCE_S: Final = 180.0
_STARTS = 5
# Keeps the highest port, an RPC's, below those that the kernel hands out to clients.
_OFFSETS = range(100, 5_800, 10)


@dataclass(frozen=True)
class Localnet:
    """A running network, and what a user of it types."""

    layout: Layout
    plan: Plan

    @property
    def node(self) -> str:
        """RPC URL of the first validator."""
        return self.plan.rpc_url(0)

    def mill(self, *arguments: str | Path, sender: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run `mill` as a user of this network and wait for it, whatever it exits with."""
        options = ["--home", str(self.layout.user), "--node", self.node]
        options += ["--from", sender] if sender else []
        return run_mill(*options, *arguments)

    def ask(self, *arguments: str | Path, sender: str | None = None) -> Any:
        """What `mill … -o json` printed; fails the test if it doesn't exit with 0."""
        done = self.mill(*arguments, "-o", "json", sender=sender)
        if done.returncode:
            pytest.fail(f"mill {' '.join(map(str, arguments[:2]))} exited with {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def ask_prover(self, index: int, command: str) -> Any:
        """What `mill prover COMMAND -o json` printed for the index-th prover."""
        done = run_mill("prover", command, "--home", self.layout.prover(index), "-o", "json")
        if done.returncode:
            pytest.fail(f"mill prover {command} exited with {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def key(self, name: str) -> PrivateKey:
        """A key of this network's users; none of them is encrypted."""

        def no_passphrase(_: object) -> str:
            raise AssertionError(f"the key {name} is encrypted")

        return KeyStore(self.layout.user / "keys").unlock(name, no_passphrase)

    def balances(self, account: str) -> dict[str, int]:
        """umill and ucredit of a key or address, zeros too."""
        address = account if account.startswith("mill1") else self.key(account).address

        async def ask() -> dict[str, int]:
            async with MillClient(self.node) as client:
                return await client.balances(address)

        return asyncio.run(ask())

    def deploy(self, built: Path, *, blob_server: str | None = None) -> str:
        """Deploy what lies in a build folder; the program's id."""
        server = blob_server or self.plan.blob_url
        answer = self.ask("program", "deploy", built, "--blob-server", server, sender="deployer")
        return str(answer["program_id"])

    def publish(self, content: bytes) -> str:
        """Put a file on the network's blob server; its URL."""
        url = f"{self.plan.blob_url}/blobs/{sha256(content).hexdigest()}"
        httpx.put(url, content=content, timeout=30, trust_env=False).raise_for_status()
        return url

    def processes(self) -> dict[str, ProcessRecord]:
        """What runs, by name: blobs, validator0, …, prover0, …"""
        return running_processes(self.layout)

    def kill(self, name: str) -> None:
        """SIGKILL to a process; to a validator's CometBFT as well, in the same moment, as a power cut would."""
        victims = [self.processes()[name]]
        if name.startswith("validator"):
            comet = read_record(self.layout.validator(int(name.removeprefix("validator"))).comet_record)
            assert comet is not None, f"{name} has no CometBFT"
            victims.append(comet)
        for victim in victims:
            victim.signal(signal.SIGKILL)
        for victim in victims:
            assert victim.wait_gone(10), f"{name} survives SIGKILL"

    def revive(self) -> None:
        """Start whatever is down, as a user would."""
        done = run_mill("localnet", "start", "--home", str(self.layout.root))
        if done.returncode:
            pytest.fail(f"the network doesn't come back: {done.stderr}")

    def rpc(self, validator: int, method: str, **parameters: str) -> dict[str, Any]:
        """Ask a validator's CometBFT."""
        url = f"{self.plan.rpc_url(validator)}/{method}"
        answer = httpx.get(url, params=parameters, timeout=10, trust_env=False).json()
        result: dict[str, Any] = answer["result"]
        return result

    def height(self, validator: int = 0) -> int:
        """The last block of a validator."""
        return int(self.rpc(validator, "status")["sync_info"]["latest_block_height"])

    def app_hash(self, validator: int, height: int) -> str:
        """The application hash in a block's header: the state after the block before."""
        return str(self.rpc(validator, "block", height=str(height))["block"]["header"]["app_hash"])

    def reach(self, height: int, validators: range | None = None) -> None:
        """Wait until validators (by default all) have a block of this height."""
        for index in validators or range(self.plan.validators):
            eventually(functools.partial(self._is_at, index, height), f"validator{index} at height {height}")

    def _is_at(self, validator: int, height: int) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return self.height(validator) >= height
        return False

    def tails(self, lines: int = 15) -> str:
        """The ends of all logs, for the report of a failure."""
        names = ["blobs", *(f"validator{i}" for i in range(self.plan.validators))]
        names += [f"prover{i}" for i in range(self.plan.provers)]
        return "\n".join(f"--- {name}\n" + "\n".join(last_lines(self.layout, name, lines)) for name in names)

    def stop(self) -> None:
        """End every process that was started, by its recorded id."""
        stop_all(self.layout)
        for index in range(self.plan.validators):
            orphan = read_record(self.layout.validator(index).comet_record)
            if orphan is not None:
                orphan.kill()


def run_mill(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the installed `mill` without a terminal and without the settings of whoever runs the tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MILL_")}
    return subprocess.run(
        [MILL, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=PATIENCE_S,
    )


def eventually(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for something that must come about; fail the test if it doesn't."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"after {patience_s:.0f} s still not: {what}")
        time.sleep(0.2)


@contextlib.contextmanager
def running_localnet(home: Path, *, validators: int, provers: int, capacity: Path | None = None) -> Iterator[Localnet]:
    """A network below `home`, at ports that nobody uses; all its processes are gone afterwards.

    `capacity`: the build folder of the program that tests provers; without one nobody is tested.
    """
    layout = Layout(home)
    failure = ""
    for offset in random.sample(_OFFSETS, _STARTS):
        plan = Plan("mill-local", validators, provers, offset, "auto")
        try:
            require_free_ports(plan)
        except LocalnetError:
            continue
        numbers = ("--validators", str(validators), "--provers", str(provers), "--port-offset", str(offset))
        tested = ("--capacity", capacity) if capacity else ()
        done = run_mill("localnet", "start", "--home", home, *numbers, *tested)
        if done.returncode == 0:
            break
        failure = done.stderr
        shutil.rmtree(home, ignore_errors=True)
        if "port" not in failure:  # somebody else may have taken one in between
            break
    else:
        failure = failure or "no free ports"
    loaded = layout.load_plan()
    if loaded is None:
        pytest.fail(f"the network doesn't start: {failure}")
    network = Localnet(layout, loaded)
    try:
        yield network
    finally:
        network.stop()


def require_comet() -> None:
    """Skip the test, saying why, where there is no CometBFT."""
    try:
        find_comet()
    except CometError as error:
        pytest.skip(f"CometBFT: {error}")


@pytest.fixture(scope="session")
def localnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Localnet]:
    """Four validators and five provers for all tests that leave them running."""
    require_comet()
    with running_localnet(tmp_path_factory.mktemp("net") / "localnet", validators=4, provers=5) as network:
        yield network


@pytest.fixture(scope="session")
def small_localnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Localnet]:
    """One validator and three provers: for tests of what a task comes to, not of consensus."""
    require_comet()
    with running_localnet(tmp_path_factory.mktemp("net") / "small", validators=1, provers=3) as network:
        yield network


@dataclass(frozen=True)
class Deployed:
    """The reference program: built, and on a network's chain."""

    folder: Path
    program: BuiltProgram
    program_id: str

    def inputs(self) -> list[str]:
        """`mill run`'s options for the inputs that the program is shipped with."""
        example = GROTH16 / "example"
        return [
            *("--input", f"public.json={example / 'public.json'}:both"),
            *("--input", f"witness.json={example / 'witness.json'}:prover"),
        ]


def deploy_groth16(network: Localnet, folder: Path) -> Deployed:
    """Build the reference program into `folder` and deploy it."""
    program = build(GROTH16, folder).program
    return Deployed(folder, program, network.deploy(folder))


@pytest.fixture(scope="session")
def groth16_deployed(localnet: Localnet, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """The reference program on the shared network."""
    return deploy_groth16(localnet, tmp_path_factory.mktemp("groth16") / "built")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files that share a network last, so that it doesn't take time from all others."""
    places: dict[Path, int] = {}
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        place = 2 if "localnet" in fixtures else 1 if "small_localnet" in fixtures else 0
        places[item.path] = max(place, places.get(item.path, 0))
    items.sort(key=lambda item: places[item.path])

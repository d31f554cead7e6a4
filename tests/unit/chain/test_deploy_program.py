"""proofmill.program.v1.MsgDeployProgram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from proofmill.program.v1.state_pb2 import PROGRAM_STATUS_ACTIVE, Asset, ProgramSpec
from proofmill.program.v1.tx_pb2 import MsgDeployProgram
from proofmill.types.v1.types_pb2 import AUDIENCE_BOTH, AUDIENCE_PROVER, Resources

from chain import schema
from chain.errors import INSUFFICIENT_FUNDS, INVALID_ADDRESS, PROGRAM_EXISTS, PROGRAM_INVALID
from chain.params import GIB
from chain.program.ids import program_id
from tests.support.envelope import account_of
from tests.support.life import deploy, make_spec
from tests.support.network import ALICE, DEPLOYER, MILL, RICH, Key, Network, make_tx
from tests.support.refusals import refuse, refuse_raw
from tests.support.sends import make_send

if TYPE_CHECKING:
    from collections.abc import Callable


def make_asset(name: str = "proving.key", size: int = 5) -> Asset:
    return Asset(name=name, urls=["https://host/key"], sha256=bytes(32), bytes=size, audience=AUDIENCE_PROVER)


def test_basic(network: Network) -> None:
    spec = make_spec()
    spec.assets.append(make_asset())
    spec.prover.command.extend(["/bin/prove", "--fast"])
    result = network.deliver(DEPLOYER, MsgDeployProgram(deployer=DEPLOYER.address, spec=spec))
    assert result.code == 0
    program = schema.PROGRAMS.require(network.values, program_id(spec))
    assert program.id == program_id(spec)
    assert program.spec == spec
    assert program.deployer == DEPLOYER.address
    assert program.status == PROGRAM_STATUS_ACTIVE
    assert program.deployed_height == network.height
    (event,) = result.events
    assert event.type == "proofmill.program.v1.EventProgramDeployed"
    assert dict(event.attributes)["program_id"] == program.id.hex()


def test_basic_costs_a_fee_for_each_started_kibibyte(network: Network) -> None:
    paid = []
    for name in ("small", "large"):
        spec = make_spec(name)
        if name == "large":
            spec.prover.command.extend(["x" * 1_000] * 3)
        before = account_of(network, DEPLOYER).umill
        message = MsgDeployProgram(deployer=DEPLOYER.address, spec=spec)
        network.execute(DEPLOYER, message)
        paid.append((before - account_of(network, DEPLOYER).umill) // MILL)
        assert paid[-1] == -(-message.ByteSize() // 1_024)
    assert paid[1] > paid[0]


def test_basic_another_version_is_another_program(network: Network) -> None:
    spec = make_spec()
    deploy(network, spec)
    spec.version = "1.0.1"
    deploy(network, spec)
    assert len(list(schema.PROGRAMS.keys(network.values))) == 2


def test_basic_everything_at_its_limit(network: Network) -> None:
    params = schema.PARAMS.require(network.values)
    spec = make_spec("x" * 128)
    spec.prover.bytes = spec.verifier.bytes = params.blob_max_bytes
    spec.prover.command.extend(["é" * 2_048] + ["x"] * 63)
    del spec.prover.urls[:]
    spec.prover.urls.extend(["https://host/" + "x" * (2_048 - 13)] + ["s3://bucket/x"] * 7)
    spec.max_resources.CopyFrom(Resources(cpu_millis=10**9, memory_bytes=2**50, gpus=1_024))
    spec.default_resources.CopyFrom(spec.max_resources)
    spec.verifier_resources.CopyFrom(Resources(cpu_millis=1, memory_bytes=1))
    spec.verifier_time_limit_s = params.verifier_time_limit_max_s
    spec.assets.extend(make_asset(f"a{number}", params.blob_max_bytes) for number in range(64))
    deploy(network, spec)


def test_invalid_exists(network: Network) -> None:
    identifier = deploy(network)
    result = refuse(network, PROGRAM_EXISTS, ALICE, MsgDeployProgram(deployer=ALICE.address, spec=make_spec()))
    assert identifier.hex() in result.log


def test_invalid_under_funded(network: Network) -> None:
    poor = Key("poor")
    network.execute(ALICE, make_send(ALICE, poor.address, MILL))
    refuse(network, INSUFFICIENT_FUNDS, poor, MsgDeployProgram(deployer=poor.address, spec=make_spec()))
    network.execute(ALICE, make_send(ALICE, poor.address, RICH // 2))
    network.execute(poor, MsgDeployProgram(deployer=poor.address, spec=make_spec()))


def test_invalid_deployer(network: Network) -> None:
    message = MsgDeployProgram(deployer="mill1nobody", spec=make_spec())
    refuse_raw(network, INVALID_ADDRESS, make_tx(DEPLOYER, [message], account_number=3, sequence=0))


def test_invalid_without_spec(network: Network) -> None:
    message = MsgDeployProgram(deployer=DEPLOYER.address)
    refuse_raw(network, PROGRAM_INVALID, make_tx(DEPLOYER, [message], account_number=3, sequence=0))


def test_invalid_beyond_the_parameters(network: Network) -> None:
    params = schema.PARAMS.require(network.values)
    spec = make_spec()
    spec.verifier_time_limit_s = params.verifier_time_limit_max_s + 1
    refuse(network, PROGRAM_INVALID, DEPLOYER, MsgDeployProgram(deployer=DEPLOYER.address, spec=spec))
    for change in (
        lambda spec: setattr(spec.prover, "bytes", params.blob_max_bytes + 1),
        lambda spec: setattr(spec.verifier, "bytes", 2**64 - 1),
        lambda spec: spec.assets.append(make_asset(size=params.blob_max_bytes + 1)),
    ):
        spec = make_spec()
        change(spec)
        refuse(network, PROGRAM_INVALID, DEPLOYER, MsgDeployProgram(deployer=DEPLOYER.address, spec=spec))


def replace(part: str, field: str, value: object) -> Callable[[ProgramSpec], None]:
    def change(spec: ProgramSpec) -> None:
        target = getattr(spec, part) if part else spec
        if isinstance(value, list):
            del getattr(target, field)[:]
            getattr(target, field).extend(value)
        elif isinstance(value, Resources):
            getattr(target, field).CopyFrom(value)
        else:
            setattr(target, field, value)

    return change


BAD_SPECS: dict[str, Callable[[ProgramSpec], None]] = {
    "name empty": replace("", "name", ""),
    "name with a slash": replace("", "name", "a/b"),
    "name that is a dot": replace("", "name", ".."),
    "name too long": replace("", "name", "x" * 129),
    "name with a line break": replace("", "name", "x\n"),
    "version empty": replace("", "version", ""),
    "prover without URL": replace("prover", "urls", []),
    "prover with many URLs": replace("prover", "urls", ["https://host/x"] * 9),
    "prover with a file URL": replace("prover", "urls", ["file:///etc/passwd"]),
    "prover with a relative URL": replace("prover", "urls", ["prover.tar"]),
    "prover with a space in the URL": replace("prover", "urls", ["https://host/a b"]),
    "prover with an endless URL": replace("prover", "urls", ["https://" + "x" * 2_048]),
    "prover without hash": replace("prover", "sha256", b""),
    "prover with a short hash": replace("prover", "sha256", bytes(31)),
    "prover without size": replace("prover", "bytes", 0),
    "prover with many words": replace("prover", "command", ["x"] * 65),
    "prover with a long word": replace("prover", "command", ["x" * 4_097]),
    "prover with a NUL": replace("prover", "command", ["a\0b"]),
    "verifier without URL": replace("verifier", "urls", []),
    "verifier with a long hash": replace("verifier", "sha256", bytes(33)),
    "no CPU": replace("default_resources", "cpu_millis", 0),
    "no memory": replace("default_resources", "memory_bytes", 0),
    "too many GPUs": replace("max_resources", "gpus", 1_025),
    "too many CPUs": replace("max_resources", "cpu_millis", 1_000_000_001),
    "too much memory": replace("max_resources", "memory_bytes", 2**50 + 1),
    "verifier without CPU": replace("verifier_resources", "cpu_millis", 0),
    "default above maximum": replace("", "default_resources", Resources(cpu_millis=4_001, memory_bytes=GIB)),
    "verifier without time": replace("", "verifier_time_limit_s", 0),
    "too many assets": replace("", "assets", [make_asset(f"a{number}") for number in range(65)]),
    "assets of one name": replace("", "assets", [make_asset(), make_asset()]),
    "asset that escapes": replace("", "assets", [make_asset("../key")]),
    "asset without URL": lambda spec: spec.assets.append(
        Asset(name="a", sha256=bytes(32), bytes=1, audience=AUDIENCE_BOTH)
    ),
    "asset without hash": lambda spec: spec.assets.append(
        Asset(name="a", urls=["https://h/"], bytes=1, audience=AUDIENCE_BOTH)
    ),
    "asset without size": lambda spec: spec.assets.append(
        Asset(name="a", urls=["https://h/"], sha256=bytes(32), audience=AUDIENCE_BOTH)
    ),
    "asset for nobody": lambda spec: spec.assets.append(
        Asset(name="a", urls=["https://h/"], sha256=bytes(32), bytes=1)
    ),
    "asset for who knows": lambda spec: spec.assets.append(
        Asset(name="a", urls=["https://h/"], sha256=bytes(32), bytes=1, audience=9)  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize("name", BAD_SPECS)
def test_invalid_spec(network: Network, name: str) -> None:
    spec = make_spec()
    BAD_SPECS[name](spec)
    message = MsgDeployProgram(deployer=DEPLOYER.address, spec=spec)
    refuse_raw(network, PROGRAM_INVALID, make_tx(DEPLOYER, [message], account_number=3, sequence=0))

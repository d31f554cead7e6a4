"""What an operator installs: it names what exists, and leaves the daemon the time that it may take to stop."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from client.cli.main import cli
from prover_node.settings import Settings
from tests.support.imports import ROOT

DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "systemd" / "proofmill-prover.service"
DEFAULT_DRAIN_S = Settings.drain_s


def unit(path: Path) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, delimiters=("=",), interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read_string(path.read_text())
    return parsed


def test_the_unit_waits_for_what_the_daemon_owes() -> None:
    service = unit(UNIT)["Service"]
    assert service["Type"] == "notify"
    assert service["KillSignal"] == "SIGTERM"
    # Else the containers would be told to stop too.
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 2 * DEFAULT_DRAIN_S


def test_the_unit_s_command_exists() -> None:
    program, *words = unit(UNIT)["Service"]["ExecStart"].split()
    assert program.endswith("/.venv/bin/mill")
    command: click.Command | None = cli
    for word in words[:2]:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None
    assert words[2:] == ["--home", "/var/lib/proofmill/prover"]


def test_the_drop_in_takes_back_what_makes_mounts_private() -> None:
    """Each of these gives the service a mount namespace of its own: systemd.exec(5)."""
    private = {"ProtectSystem", "ProtectHome", "PrivateTmp", "ProtectKernelModules", "ProtectKernelLogs"}
    private |= {"ProtectHostname"}
    service, drop_in = unit(UNIT)["Service"], unit(DEPLOY / "systemd" / "docker.conf")["Service"]
    assert private == {name for name in drop_in if drop_in[name] == "no"}
    assert private <= set(service)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text().replace("/opt/proofmill/.venv/bin/mill", "/bin/true")
    (tmp_path / UNIT.name).write_text(text)
    drop_in = tmp_path / f"{UNIT.name}.d"
    drop_in.mkdir()
    (drop_in / "docker.conf").write_text((DEPLOY / "systemd" / "docker.conf").read_text())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / UNIT.name], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "proofmill" in line]
    assert (done.returncode, said) == (0, [])


def test_compose_names_files_that_are_there_and_ports_that_are_served() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith("./") else source in compose["volumes"], volume
    build = services["prover"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    assert int(services["prover"]["stop_grace_period"].removesuffix("s")) > 2 * DEFAULT_DRAIN_S
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"][0]
    (target,) = scraped["static_configs"][0]["targets"]
    served = re.search(r"--metrics-listen \S+:(\d+)", (DEPLOY / "compose.yaml").read_text())
    assert served is not None
    assert target == f"prover:{served[1]}"
    source = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"


def test_the_image_s_build_gets_what_a_wheel_is_built_from() -> None:
    """`docker build` reads DOCKERFILE.dockerignore."""
    ignored = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert all((ROOT / name).exists() for name in kept)
    assert kept >= {"chain", "client", "genesis", "prover_node", "validator_node", "proto", "scripts", "hatch_build.py"}

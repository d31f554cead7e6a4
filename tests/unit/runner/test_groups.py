"""Control groups: what is read from them, and that a machine without a user's systemd is told apart."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from prover_node.runner import cgroup
from prover_node.runner.base import Limits
from prover_node.runner.cgroup import Usage
from prover_node.runner.scope import ScopedJob, UserScopes

LIMITS = Limits(
    cpu_millis=1500, memory_bytes=1 << 20, gpus=0, time_limit_s=1, output_bytes=1, output_inodes=1, tmp_bytes=1, pids=7
)


def test_a_scope_has_the_limits_and_a_name_of_its_own() -> None:
    scopes = UserScopes(frozenset({"memory"}), ("systemd-run", "--user"))
    jobs = [scopes.job("node", "job", LIMITS, extra_pids=2) for _ in range(2)]
    first, second = (job.launcher() for job in jobs)
    assert {"MemoryMax=1048576", "CPUQuota=150%", "TasksMax=10"} <= set(first)
    units = [argument for argument in first + second if argument.startswith("--unit=proofmill-node-job-")]
    assert len(set(units)) == 2
    for job in jobs:
        job.close()


def test_a_fraction_of_a_core_is_a_fraction_of_a_percent_or_more() -> None:
    scopes = UserScopes(frozenset(), ("systemd-run",))
    job = scopes.job("node", "job", replace(LIMITS, cpu_millis=1), extra_pids=0)
    assert "CPUQuota=0.1%" in job.launcher()
    job.close()


def test_what_the_shell_noted_down() -> None:
    job = ScopedJob([])
    assert job.usage() == Usage(0, 0, out_of_memory=False)
    Path(f"/proc/self/fd/{job.fd}").write_text("low 0\noom 1\noom_kill 1\nusage_usec 5999\nuser_usec 1\npeak 77\n")
    assert job.usage() == Usage(5, 77, out_of_memory=True)
    job.close()


async def test_no_systemd_means_no_scopes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await UserScopes.detect() is None
    fake = tmp_path / "systemd-run"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    assert await UserScopes.detect() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes control groups")
async def test_groups_come_and_go() -> None:
    hierarchy = cgroup.detect()
    if hierarchy is None:
        pytest.skip("this process can't make control groups")
    group = hierarchy.create("test-groups", "job")
    group.limit(LIMITS, extra_pids=2)
    assert cgroup.jobs(hierarchy, "test-groups") == {"job"}
    assert group.usage().out_of_memory is False
    group.release_cpu()
    files = [directory / name for directory in group.directories for name in ("cpu.cfs_quota_us", "cpu.max")]
    assert {file.read_text().split()[0] for file in files if file.exists()} <= {"-1", "max"}
    # As a container engine would.
    (group.directories[0] / "below").mkdir()
    await cgroup.destroy(hierarchy, "test-groups", "job")
    assert cgroup.jobs(hierarchy, "test-groups") == set()
    cgroup.forget(hierarchy, "test-groups")
    assert not any(root.exists() for root in hierarchy.roots("test-groups"))

"""Control groups: both versions on a folder that stands in for theirs, the real ones in tests/vm."""

from __future__ import annotations

import math
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyper.system import cgroup
from hyper.system.cgroup import GroupLimits, Groups, Hierarchy

LIMITS = GroupLimits(cpus=0.5, memory_bytes=1 << 20, pids=10)


def test_files_of_both_versions() -> None:
    assert LIMITS.files(1) == {
        "cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"},
        "memory": {"memory.limit_in_bytes": "1048576"},
        "pids": {"pids.max": "10"},
    }
    assert LIMITS.files(2) == {
        "cpu": {"cpu.max": "50000 100000"},
        "memory": {"memory.max": "1048576"},
        "pids": {"pids.max": "10"},
    }
    assert GroupLimits().files(1) == GroupLimits().files(2) == {}


def test_a_limit_can_be_taken_away_and_shares_given() -> None:
    """Infinite CPUs write the kernel's word for no quota; shares become weights in version 2 as runc has it."""
    assert GroupLimits(cpus=math.inf, cpu_shares=1024).files(1)["cpu"] == {
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "-1",
        "cpu.shares": "1024",
    }
    two = GroupLimits(cpus=math.inf, cpu_shares=1024).files(2)["cpu"]
    assert two == {"cpu.max": "max 100000", "cpu.weight": "39"}
    for shares, weight in ((2, "1"), (262144, "10000")):
        assert GroupLimits(cpu_shares=shares).files(2)["cpu"] == {"cpu.weight": weight}


def test_a_tiny_share_is_not_refused() -> None:
    assert GroupLimits(cpus=0.0001).files(2) == {"cpu": {"cpu.max": "1000 100000"}}


def mountinfo(*mounts: tuple[str, Path, str]) -> str:
    return "".join(
        f"30 29 0:1 / {folder} rw - {kind} cgroup {options}\n" for kind, folder, options in mounts
    )


def test_version_1(tmp_path: Path) -> None:
    for name in ("cpu", "pids", "devices"):
        (tmp_path / name).mkdir()
    text = mountinfo(
        ("cgroup", tmp_path / "cpu", "rw,cpu"),
        ("cgroup", tmp_path / "pids", "rw,pids"),
        ("cgroup", tmp_path / "devices", "rw,devices"),
        ("tmpfs", tmp_path, "rw"),
    )
    groups = cgroup.discover(mountinfo=text)
    assert groups.controllers == {"cpu", "pids"}
    assert groups.reasons == ("no cgroup controller: memory",)
    groups.create("m", LIMITS).add(42)
    assert (tmp_path / "cpu/hyper/m/cpu.cfs_quota_us").read_text() == "50000"
    assert (tmp_path / "pids/hyper/m/pids.max").read_text() == "10"
    assert (tmp_path / "cpu/hyper/m/cgroup.procs").read_text() == "42"
    assert not (tmp_path / "devices/hyper").exists()


def test_version_2_switches_controllers_on(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu io memory pids")
    (tmp_path / "cgroup.subtree_control").write_text("memory")
    (tmp_path / "hyper").mkdir()
    (tmp_path / "hyper/cgroup.subtree_control").write_text("")
    groups = cgroup.discover(mountinfo=mountinfo(("cgroup2", tmp_path, "rw")))
    assert groups.controllers == {"cpu", "memory", "pids"}
    assert groups.reasons == ()
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +pids"
    assert (tmp_path / "hyper/cgroup.subtree_control").read_text() == "+cpu +memory +pids"


@pytest.fixture
def version_2(tmp_path: Path) -> Iterator[Hierarchy]:
    """A real one, with a controller that nobody else has use for."""
    folder = tmp_path / "cgroup2"
    folder.mkdir()
    subprocess.run(["mount", "-t", "cgroup2", "none", folder], check=True)
    control = folder / "cgroup.subtree_control"
    spare = set((folder / "cgroup.controllers").read_text().split()) & {"hugetlb", "misc", "rdma"}
    on = set(control.read_text().split())
    try:
        if not spare:
            pytest.skip("no controller of version 2 is free")
        control.write_text(" ".join(f"+{name}" for name in spare))
        own = folder / f"test-{os.getpid()}"
        own.mkdir()
        (own / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in spare))
        yield Hierarchy(2, own, frozenset(spare))
        own.rmdir()
        for name in spare - on:
            control.write_text(f"-{name}")
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_parent_that_another_daemon_took_along(version_2: Hierarchy) -> None:
    """It is made again with its controllers: the limits of the next group have their files."""
    ours, theirs = Groups([version_2]), Groups([version_2])
    ours.create("ours", GroupLimits()).remove()
    theirs.create("theirs", GroupLimits()).remove()
    assert list(version_2.folder.glob("hyper")) == []
    group = ours.create("ours", GroupLimits())
    [(_, folder)] = group.places
    found = (folder / "cgroup.controllers").read_text().split()
    group.remove()
    assert set(found) == version_2.controllers


async def test_without_controllers_there_are_reasons(tmp_path: Path) -> None:
    groups = cgroup.discover(mountinfo=mountinfo(("cgroup2", tmp_path / "gone", "rw")))
    assert groups.controllers == frozenset()
    assert groups.reasons[0] == f"no groups in {tmp_path}/gone: No such file or directory"
    group = groups.create("m", LIMITS)
    group.add(1)
    await group.end()
    group.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes groups here")
async def test_who_is_in_it_is_ended_before_it_is_removed() -> None:
    """As after a daemon that was killed between letting one in and keeping a record of it."""
    group = cgroup.discover().create(f"test-{os.getpid()}", GroupLimits())
    with subprocess.Popen(["sleep", "1000"]) as child:
        group.add(child.pid)
        await group.end()
        group.remove()
    assert child.returncode == -signal.SIGKILL
    assert [folder for _, folder in group.places if folder.exists()] == []


def test_a_refused_value_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path, files: dict[str, str]) -> None:
        raise OSError("refused")

    monkeypatch.setattr(cgroup, "_write_all", refuse)
    groups = Groups([Hierarchy(1, tmp_path, frozenset({"cpu"}))])
    with pytest.raises(OSError, match="refused"):
        groups.create("m", LIMITS)
    assert list(tmp_path.iterdir()) == []


def test_remove_of_nothing(tmp_path: Path) -> None:
    Groups([Hierarchy(1, tmp_path, frozenset({"cpu"}))]).find("m").remove()

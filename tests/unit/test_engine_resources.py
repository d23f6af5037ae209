"""Limits: what they become for machine, guest and disk, what they are refused or warned for, and how they change."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hyper.engine.record.sandbox import Placement
from hyper.engine.spec import modes, resources
from hyper.errors import HyperError, InvalidRequest
from hyper.machine.spec import Limits
from hyper.proto.message import UNLIMITED, ContainerUpdate
from hyper.types.container import HostConfig, RestartPolicy
from hyper.units import GIB, MIB

FOUR = frozenset(range(4))
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"cpuset_cpus": "x"}, "Invalid value x for cpuset cpus"),
    ({"cpuset_cpus": "2-1"}, "Invalid value 2-1 for cpuset cpus"),
    ({"cpuset_cpus": "0,99999"}, "Invalid value"),
    ({"cpuset_cpus": "7"}, "Requested CPUs are not available - requested 7, available: 0,1,2,3"),
    ({"cpu_shares": 1}, "invalid CPU shares 1"),
    ({"memory_swap": 64 * MIB}, "always set the Memory limit when using Memoryswap"),
    ({"memory": 64 * MIB, "memory_swap": 1}, "should be larger than memory limit"),
    ({"memory": 64 * MIB, "memory_reservation": 65 * MIB}, "memory reservation limit"),
    ({"memory_swappiness": 101}, "valid memory swappiness range is 0-100"),
    ({"oom_score_adj": 1001}, "range for oom score adj is"),
    ({"storage_opt": {"dm": "1"}}, "unknown storage option 'dm'"),
    ({"storage_opt": {"size": "big"}}, "invalid size: 'big'"),
    ({"storage_opt": {"size": "2000g"}}, "32M to 1024G are possible"),
    ({"storage_opt": {"size": "31m"}}, "32M to 1024G are possible"),
    ({"storage_opt": {"size": "0"}}, "32M to 1024G are possible"),
    ({"memory": 2**70}, "out of range"),
    ({"security_opt": ["nonsense"]}, 'invalid --security-opt 2: "nonsense"'),
]


@pytest.mark.parametrize(("members", "words"), REFUSED)
def test_refused(members: dict[str, Any], words: str) -> None:
    """As the client's mistake, in Docker's words where it has some."""
    with pytest.raises(InvalidRequest, match=re.escape(words)):
        resources.check(HostConfig(**members), available=FOUR)


@pytest.mark.parametrize(
    "members",
    [
        {"memory_swappiness": 10},
        {"memory": 64 * MIB, "memory_swap": 128 * MIB},
        {"oom_kill_disable": True},
        {"oom_score_adj": -500},
        {"security_opt": ["apparmor=x"]},
        {"security_opt": ["label:disable"]},
    ],
)
def test_warned(members: dict[str, Any]) -> None:
    """Accepted, with one sentence about it."""
    assert len(resources.check(HostConfig(**members), available=FOUR)) == 1


def test_what_limits_become() -> None:
    """Pinning, shares and time on the host; memory and pids in the guest; whole MiB of disk."""
    host = HostConfig(cpuset_cpus="0-1,3", cpu_shares=512, nano_cpus=1_500_000_000)
    limits = resources.machine_limits(host, available=FOUR)
    assert limits == Limits(cpus=1.5, cpu_shares=512, cpu_set=frozenset({0, 1, 3}))
    assert resources.vcpus(host, available=FOUR) == 2
    assert resources.vcpus(HostConfig(cpuset_cpus="0-2"), available=FOUR) == 3
    assert resources.machine_limits(HostConfig(), available=FOUR) == Limits()
    assert resources.guest_limits(Placement(), HostConfig(pids_limit=7)) == (
        ContainerUpdate(1, pids=7),
    )
    shared = resources.guest_limits(Placement("x", 3), HostConfig(memory=MIB))
    assert shared == (ContainerUpdate(3, memory=MIB),)
    own = resources.guest_limits(Placement(), HostConfig(memory=MIB, nano_cpus=10**9))
    assert own == (ContainerUpdate(1, memory=MIB),)
    for none in (None, 0, -1):
        assert resources.guest_limits(Placement(), HostConfig(pids_limit=none)) == ()
    assert resources.scratch_size(HostConfig()) == 10 * GIB
    assert resources.scratch_size(HostConfig(storage_opt={"size": "1025m"})) == 1025 * MIB


def test_an_update_changes_what_it_names() -> None:
    """0, "" and absence leave a member alone; the number of processes is unlimited by 0 or -1."""
    old = HostConfig(memory=64 * MIB, pids_limit=5, cpu_shares=100, nano_cpus=10**9)
    asked = {"Memory": 96 * MIB, "PidsLimit": -1, "RestartPolicy": {"Name": "always"}}
    new = HostConfig(memory=96 * MIB, pids_limit=-1, restart_policy=RestartPolicy("always"))
    changed = resources.updated(old, asked, new)
    assert (changed.memory, changed.cpu_shares, changed.nano_cpus) == (96 * MIB, 100, 10**9)
    assert changed.restart_policy.name == "always"
    assert old.restart_policy.name == "no"
    assert resources.guest_change(Placement(), old, changed) == ContainerUpdate(
        1, memory=96 * MIB, pids=UNLIMITED
    )
    assert (
        resources.guest_change(Placement(), old, resources.updated(old, {}, HostConfig())) is None
    )
    with pytest.raises(InvalidRequest, match="CPU Quota cannot be updated as NanoCPUs"):
        resources.updated(old, {}, HostConfig(cpu_quota=1000))
    swap = HostConfig(memory=64 * MIB, memory_swap=64 * MIB)
    with pytest.raises(InvalidRequest, match="already set memoryswap limit"):
        resources.updated(swap, {}, HostConfig(memory=65 * MIB))
    with pytest.raises(InvalidRequest, match="AutoRemove is enabled"):
        resources.updated(HostConfig(auto_remove=True), asked, new)


@pytest.mark.parametrize(
    "members",
    [
        {"ipc_mode": "host"},
        {"ipc_mode": "container:x"},
        {"ipc_mode": "x"},
        {"pid_mode": "host"},
        {"uts_mode": "x"},
        {"userns_mode": "x"},
        {"cgroupns_mode": "x"},
        {"isolation": "hyperv"},
        {"runtime": "x"},
    ],
)
def test_modes_refused(members: dict[str, Any]) -> None:
    """What is the host's or another container's cannot be had."""
    with pytest.raises(HyperError):
        modes.check(HostConfig(**members))


def test_modes_accepted() -> None:
    """What amounts to a machine of one's own; a warning where that is not what was said."""
    assert modes.check(HostConfig(ipc_mode="shareable", userns_mode="host", runtime="hyper")) == []
    host = HostConfig(cgroupns_mode="host", runtime="runc")
    assert len(modes.check(host)) == 2
    assert (host.cgroupns_mode, host.runtime) == ("private", "runc")

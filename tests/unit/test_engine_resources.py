"""Limits: what they become for machine, guest and disk, what they are refused or warned for, and how they change."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from hyper.engine.record.container_spec import MachineSize
from hyper.engine.record.sandbox import Placement
from hyper.engine.spec import modes, resources
from hyper.engine.spec.resources import limits
from hyper.errors import HyperError, InvalidRequest
from hyper.machine.spec import Limits
from hyper.proto.message import UNLIMITED, ContainerUpdate
from hyper.types.container import HostConfig, RestartPolicy
from hyper.units import GIB, MIB
from tests.support.records import spec_of

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
        resources.checked(HostConfig(**members), available=FOUR)


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
    assert len(resources.checked(HostConfig(**members), available=FOUR)[1]) == 1


def test_what_limits_become() -> None:
    """Pinning, shares and time on the host; memory and pids in the guest; whole MiB of disk."""
    host = HostConfig(cpuset_cpus="0-1,3", cpu_shares=512, nano_cpus=1_500_000_000)
    made = limits(host)
    expected = Limits(cpus=1.5, cpu_shares=512, cpu_set=frozenset({0, 1, 3}))
    assert resources.machine_limits(made, available=FOUR) == expected
    assert resources.vcpus(made, available=4) == 2
    assert resources.vcpus(limits(HostConfig(cpuset_cpus="0-2")), available=4) == 3
    assert resources.machine_limits(limits(HostConfig()), available=FOUR) == Limits()
    assert resources.guest_limits(Placement(), limits(HostConfig(pids_limit=7))) == (
        ContainerUpdate(1, pids=7),
    )
    shared = resources.guest_limits(Placement(3), limits(HostConfig(memory=MIB)))
    assert shared == (ContainerUpdate(3, memory=MIB),)
    own = resources.guest_limits(Placement(), limits(HostConfig(memory=MIB, nano_cpus=10**9)))
    assert own == (ContainerUpdate(1, memory=MIB),)
    for none in (None, 0, -1):
        assert resources.guest_limits(Placement(), limits(HostConfig(pids_limit=none))) == ()
    assert resources.scratch_size(HostConfig()) == 10 * GIB
    assert resources.scratch_size(HostConfig(storage_opt={"size": "1025m"})) == 1025 * MIB


def test_an_update_changes_what_it_names() -> None:
    """0, "" and absence leave a member alone; the number of processes is unlimited by 0 or -1."""
    old = HostConfig(memory=64 * MIB, pids_limit=5, cpu_shares=100, nano_cpus=10**9)
    new = HostConfig(memory=96 * MIB, pids_limit=-1, restart_policy=RestartPolicy("always"))
    changed = resources.updated(old, new)
    assert (changed.memory, changed.cpu_shares, changed.nano_cpus) == (96 * MIB, 100, 10**9)
    assert changed.restart_policy.name == "always"
    assert old.restart_policy.name == ""
    told = resources.guest_change(Placement(), limits(old), limits(changed))
    assert told == ContainerUpdate(1, memory=96 * MIB, pids=UNLIMITED)
    same = resources.updated(old, HostConfig())
    assert resources.guest_change(Placement(), limits(old), limits(same)) is None
    with pytest.raises(InvalidRequest, match="CPU Quota cannot be updated as NanoCPUs"):
        resources.updated(old, HostConfig(cpu_quota=1000))
    swap = HostConfig(memory=64 * MIB, memory_swap=64 * MIB)
    with pytest.raises(InvalidRequest, match="already set memoryswap limit"):
        resources.updated(swap, HostConfig(memory=65 * MIB))
    with pytest.raises(InvalidRequest, match="AutoRemove is enabled"):
        resources.updated(HostConfig(auto_remove=True), new)


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
    ],
)
def test_modes_refused(members: dict[str, Any]) -> None:
    """What is the host's or another container's cannot be had."""
    with pytest.raises(HyperError):
        modes.checked(HostConfig(**members))


def test_modes_accepted() -> None:
    """What amounts to a machine of one's own; a warning where that is not what was said."""
    host = HostConfig(ipc_mode="shareable", userns_mode="host", runtime="hyper")
    assert modes.checked(host) == (host, [])
    host, warnings = modes.checked(HostConfig(cgroupns_mode="host", runtime="runc"))
    assert len(warnings) == 2
    assert (host.cgroupns_mode, host.runtime) == ("private", "runc")


@pytest.mark.parametrize(
    ("host", "vcpus", "memory"),
    [
        (HostConfig(), 1, 100),
        (HostConfig(nano_cpus=2_500_000_000), 3, 100),
        (HostConfig(nano_cpus=9_000_000_000), 4, 100),
        (HostConfig(nano_cpus=9_000_000_000, cpuset_cpus="0-1,9"), 2, 100),
        (HostConfig(cpuset_cpus="9"), 1, 100),
        (HostConfig(memory=64 * MIB), 1, 64 + 32 + 1),
    ],
)
def test_next_machine_is_as_large_as_the_limits_say(
    host: HostConfig, vcpus: int, memory: int
) -> None:
    """CPUs that have gone since are left out; memory that was never limited stays."""
    spec = replace(spec_of(host=host), size=MachineSize(7, 100))
    assert resources.next_size(spec, available=FOUR) == MachineSize(vcpus, memory)


def test_limit_within_a_joined_machine_is_no_size() -> None:
    """The machine is another's; less than a program can live with is refused all the same."""
    facts: dict[str, Any] = {"cpus": 4, "available_mib": 1000}
    small = limits(HostConfig(memory=2000 * MIB))
    assert resources.size(small, 128, joins=True, **facts) == MachineSize(1, 128)
    with pytest.raises(InvalidRequest, match="Maximum memory limit allowed is 1000MB"):
        resources.size(small, 128, joins=False, **facts)
    for joins in (True, False):
        with pytest.raises(InvalidRequest, match="Minimum memory limit allowed is 6MB"):
            resources.size(limits(HostConfig(memory=MIB)), 128, joins=joins, **facts)


def test_runtime_is_a_hypervisor_by_name() -> None:
    """Docker's own runtimes and ours are the default one; any other name has to be one of a hypervisor here."""
    for name in ("", "hyper", "runc", "io.containerd.runc.v2"):
        assert modes.hypervisor(HostConfig(runtime=name)) == ""
        modes.check_runtime(HostConfig(runtime=name), ["qemu"])
    assert modes.hypervisor(HostConfig(runtime="qemu")) == "qemu"
    modes.check_runtime(HostConfig(runtime="qemu"), ["qemu"])
    with pytest.raises(InvalidRequest, match="unknown or invalid runtime name: x") as caught:
        modes.check_runtime(HostConfig(runtime="x"), ["qemu", "remote"])
    assert caught.value.hint == "hypervisors here: qemu, remote"

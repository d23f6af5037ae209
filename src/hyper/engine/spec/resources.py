"""Memory and CPUs: the limits of a container, on the host and in the guest, and the size of its machine. Pure.

Here, too, is how large its scratch disk may be.

Source of the rules: moby, daemon/daemon_unix.go verifyPlatformContainerResources; errors and warnings in its words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from hyper.config import MINIMUM_MEMORY_MIB
from hyper.engine.record.container_spec import ContainerSpec, MachineSize, ResourceLimits
from hyper.engine.record.sandbox import Placement
from hyper.errors import InvalidRequest
from hyper.machine.spec import Limits
from hyper.proto.message import UNLIMITED, ContainerUpdate
from hyper.sandbox.scratch import DEFAULT_SIZE
from hyper.types.container import HostConfig
from hyper.units import GIB, MIB, parse_size

#: Of CPUs in HostConfig.NanoCpus.
NANO = 1_000_000_000
#: Docker's.
MINIMUM_LIMIT_MIB = 6
#: What a machine has beside its container's limit: kernel and agent take some 24 MiB, a kernel's notes of its pages
#: 1/57 of the memory, and some has to be free (docs/decisions/0024-memory-defaults.md).
_KERNEL_MIB = 32
_SHARE = 40
#: The kernel bounds no group to less.
MINIMUM_CPUS = 0.01
_MAX_NUMBER: Final = 2**63 - 1
_SHARES: Final = range(2, 262145)
_SWAPPINESS: Final = range(101)
_OOM_SCORES: Final = range(-1000, 1001)
_MAX_CPU: Final = 8191
#: Of the guest's limit of CPU time, in µs.
_PERIOD_US: Final = 100_000
#: Below this the journal would take most of a scratch disk; more than the other is surely a mistake.
_MIN_SCRATCH: Final = 32 * MIB
_MAX_SCRATCH: Final = 1024 * GIB
_NO_SWAP: Final = (
    "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
    "Memory limited without swap."
)
_NO_SWAPPINESS: Final = (
    "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. "
    "Memory swappiness discarded."
)
_NO_OOM_KILL_DISABLE: Final = (
    "Your kernel does not support OomKillDisable. OomKillDisable discarded."
)
_NO_OOM_SCORE: Final = "HostConfig.OomScoreAdj has no effect: the machine has no neighbours whose memory it could take."


def checked(host: HostConfig, *, available: Collection[int]) -> tuple[HostConfig, list[str]]:
    """The host configuration ``host`` without limits that have no effect, and warnings about those.

    ``available``: the host's CPUs.

    Raises:
        InvalidRequest: a value is out of range, or two do not go together.
    """
    _check_numbers(host)
    cpu_set(host, available=available)
    scratch_size(host)
    host, warnings = _checked_memory(host)
    if host.cpu_shares and host.cpu_shares not in _SHARES:
        raise InvalidRequest(
            f"invalid CPU shares {host.cpu_shares}: they range from {_SHARES[0]} to {_SHARES[-1]}"
        )
    if host.oom_kill_disable:
        warnings.append(_NO_OOM_KILL_DISABLE)
        host = replace(host, oom_kill_disable=False)
    if host.oom_score_adj not in _OOM_SCORES:
        raise InvalidRequest(
            f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    if host.oom_score_adj:
        warnings.append(_NO_OOM_SCORE)
    return host, [*warnings, *_check_security(host.security_opt or [])]


def _check_numbers(host: HostConfig) -> None:
    for name in host.__struct_fields__:
        value = getattr(host, name)
        if isinstance(value, int) and not -_MAX_NUMBER <= value <= _MAX_NUMBER:
            raise InvalidRequest(f"invalid JSON: number {value} of {name} is out of range")


def _checked_memory(host: HostConfig) -> tuple[HostConfig, list[str]]:
    warnings = []
    swappiness = host.memory_swappiness
    if host.memory_swap > 0 and not host.memory:
        raise InvalidRequest(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if 0 < host.memory_swap < host.memory:
        raise InvalidRequest(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if 0 < host.memory < host.memory_reservation:
        raise InvalidRequest(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )
    if swappiness == -1:  # what the docker client says for nothing
        host = replace(host, memory_swappiness=UNSET)
    elif swappiness is not UNSET:
        if swappiness not in _SWAPPINESS:
            raise InvalidRequest(
                f"Invalid value: {swappiness}, valid memory swappiness range is 0-100"
            )
        warnings.append(_NO_SWAPPINESS)
    if host.memory_swap > 0 and host.memory_swap != host.memory:
        warnings.append(_NO_SWAP)
        host = replace(host, memory_swap=-1)
    return host, warnings


def _check_security(options: list[str]) -> list[str]:
    warnings = []
    for option in options:
        name, separator, value = option.partition("=")
        if not separator:
            name, separator, value = option.partition(":")
        if name == "no-new-privileges" and value in ("", "true", "false"):
            continue
        if name == "systempaths" and value == "unconfined":
            continue
        if name in ("apparmor", "label") and separator:
            warnings.append(f"security option {name} has no effect and was ignored.")
        elif name != "seccomp":  # its value: engine/spec/seccomp.py
            raise InvalidRequest(f'invalid --security-opt 2: "{option[:100]}"')
    return warnings


def cpu_set(host: HostConfig, *, available: Collection[int]) -> frozenset[int]:
    """CPUs of the host that ``CpusetCpus`` ("0-2,4") names; empty: all.

    Raises:
        InvalidRequest: the text is not of that form, or a CPU is not ``available``.
    """
    text = host.cpuset_cpus
    if not text:
        return frozenset()
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last > _MAX_CPU:
            raise InvalidRequest(
                f"Invalid value {text[:100]} for cpuset cpus: invalid format: {text[:100]}"
            )
        found |= set(range(first, last + 1))
    if not found <= set(available):
        there = ",".join(map(str, sorted(available)))
        raise InvalidRequest(
            f"Requested CPUs are not available - requested {text[:100]}, available: {there}"
        )
    return frozenset(found)


def limits(host: HostConfig) -> ResourceLimits:
    """The limits that ``host`` asks for.

    Raises:
        InvalidRequest: they make no sense.
    """
    return ResourceLimits(
        memory_bytes=host.memory,
        cpus=_cpus(host),
        cpu_shares=host.cpu_shares,
        cpu_set=tuple(sorted(cpu_set(host, available=range(_MAX_CPU + 1)))),
        pids=max(host.pids_limit or 0, 0),
    )


def _cpus(host: HostConfig) -> float | None:
    """CPU time that may be used, in CPUs; None: no limit asked for.

    Raises:
        InvalidRequest: negative, or both ways of saying it were used.
    """
    for value, what in ((host.cpu_period, "Period"), (host.cpu_quota, "Quota")):
        if host.nano_cpus and value:
            raise InvalidRequest(
                f"Conflicting options: Nano CPUs and CPU {what} cannot both be set"
            )
    if host.nano_cpus < 0 or host.cpu_quota < -1:
        raise InvalidRequest("invalid CPU limit: it must not be negative")
    if host.cpu_period and not 1000 <= host.cpu_period <= 1_000_000:
        raise InvalidRequest(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < host.cpu_quota < 1000:
        raise InvalidRequest("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if host.nano_cpus:
        return max(host.nano_cpus / NANO, MINIMUM_CPUS)
    if host.cpu_quota > 0:
        return host.cpu_quota / (host.cpu_period or 100_000)
    return None


# Machines


def memory_mib(limit_bytes: int, default: int, *, available_mib: float = math.inf) -> int:
    """The machine's size in MiB: the limit is the container's, and its kernel has some beside.

    Raises:
        InvalidRequest: less than Docker's minimum, or more than the host has.
    """
    if not limit_bytes:
        return default
    if limit_bytes < MINIMUM_LIMIT_MIB * MIB:
        raise InvalidRequest(f"Minimum memory limit allowed is {MINIMUM_LIMIT_MIB}MB")
    limit = math.ceil(limit_bytes / MIB)
    if limit > available_mib:
        raise InvalidRequest(
            f"Maximum memory limit allowed is {available_mib:.0f}MB: the host has no more"
        )
    return max(MINIMUM_MEMORY_MIB, limit + _KERNEL_MIB + limit // _SHARE)


def size(
    limits: ResourceLimits, default_mib: int, *, joins: bool, cpus: int, available_mib: float
) -> MachineSize:
    """The size of the machine of a container with ``limits`` on a host with ``cpus`` and ``available_mib`` of memory.

    ``joins``: the container runs in another's machine, whose size is what counts, and its limits hold within that.

    Raises:
        InvalidRequest: the limits are more than the host has, or less than a program can live with.
    """
    count = vcpus(limits, available=cpus)
    if not joins:
        return MachineSize(
            count, memory_mib(limits.memory_bytes, default_mib, available_mib=available_mib)
        )
    if 0 < limits.memory_bytes < MINIMUM_LIMIT_MIB * MIB:
        raise InvalidRequest(f"Minimum memory limit allowed is {MINIMUM_LIMIT_MIB}MB")
    return MachineSize(count, default_mib)


def vcpus(limits: ResourceLimits, *, available: int) -> int:
    """The number of a machine's virtual CPUs: enough for its limit, else as many as it may run on, else one.

    Raises:
        InvalidRequest: more than the host has, which are ``available``.
    """
    if limits.cpus is None:
        return len(limits.cpu_set) or 1
    if limits.cpus > available:
        raise InvalidRequest(
            f"Range of CPUs is from {MINIMUM_CPUS} to {available:.2f}, as there are only {available} CPUs available"
        )
    return max(1, math.ceil(limits.cpus))


def next_size(spec: ContainerSpec, *, available: Collection[int]) -> MachineSize:
    """The size of the next machine that is made of ``spec``: what its limits say, on a host with ``available`` CPUs.

    Memory that was never limited is as the spec has it.
    """
    limits = spec.limits
    usable = set(limits.cpu_set) & set(available) or available
    return MachineSize(
        vcpus=min(vcpus(limits, available=_MAX_CPU), len(usable)),
        memory_mib=memory_mib(limits.memory_bytes, spec.size.memory_mib),
    )


def machine_limits(limits: ResourceLimits, *, available: Collection[int]) -> Limits:
    """Limits that the host holds the machine to. A CPU that has gone since is left out."""
    return Limits(
        cpus=limits.cpus,
        cpu_shares=limits.cpu_shares or None,
        cpu_set=frozenset(limits.cpu_set) & frozenset(available),
    )


def guest_limits(placement: Placement, limits: ResourceLimits) -> tuple[ContainerUpdate, ...]:
    """Limits that the guest holds the container to from its start. A machine of its own has the CPUs its limits say."""
    pids, memory = limits.pids, limits.memory_bytes
    cpu_us = _cpu_us(limits) if placement.joined else 0
    if not (pids or memory or cpu_us):
        return ()
    return (ContainerUpdate(placement.container, memory=memory, pids=pids, cpu_us=cpu_us),)


def _cpu_us(limits: ResourceLimits) -> int:
    """CPU time in µs of each 100 ms; 0: no limit."""
    return round((limits.cpus or 0) * _PERIOD_US)


def guest_change(
    placement: Placement, old: ResourceLimits, new: ResourceLimits
) -> ContainerUpdate | None:
    """The change of limits that a running guest has to be told; None: nothing."""
    memory = new.memory_bytes if new.memory_bytes != old.memory_bytes else 0
    pids = (new.pids or UNLIMITED) if new.pids != old.pids else 0
    cpu_us = 0
    if placement.joined and _cpu_us(new) != _cpu_us(old):
        cpu_us = _cpu_us(new) or UNLIMITED
    if not (memory or pids or cpu_us):
        return None
    return ContainerUpdate(placement.container, memory=memory, pids=pids, cpu_us=cpu_us)


def scratch_size(host: HostConfig) -> int:
    """Bytes of the scratch disk: ``--storage-opt size=20G``, rounded up to whole MiB.

    Raises:
        InvalidRequest: another option, no size, too little for a file system, or more than a TiB.
    """
    size = DEFAULT_SIZE
    for key, value in (host.storage_opt or {}).items():
        if key.lower() != "size":
            raise InvalidRequest(f"unknown storage option {key[:100]!r}: there is size")
        try:
            size = -(-parse_size(value) // MIB) * MIB
        except (ValueError, OverflowError):
            raise InvalidRequest(f"invalid size: {value[:100]!r}") from None
        if not _MIN_SCRATCH <= size <= _MAX_SCRATCH:
            raise InvalidRequest(f"invalid storage size {value[:100]!r}: 32M to 1024G are possible")
    return size


# Update


def updated(host: HostConfig, new: HostConfig) -> HostConfig:
    """The host configuration ``host`` after an update by ``new``. 0, "" and null change nothing.

    Raises:
        InvalidRequest: members that do not go together (Docker's words).
    """
    if new.nano_cpus and host.cpu_quota > 0 and not new.cpu_quota:
        raise InvalidRequest(
            "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set"
        )
    if new.cpu_quota and host.nano_cpus and not new.nano_cpus:
        raise InvalidRequest(
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"
        )
    changes = {name: value for name in _UPDATABLE if (value := getattr(new, name))}
    if new.memory and not new.memory_swap and 0 < host.memory_swap < new.memory:
        raise InvalidRequest(
            "Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time"
        )
    if new.pids_limit is not None:
        changes["pids_limit"] = new.pids_limit
    if new.restart_policy.name:
        if host.auto_remove and new.restart_policy.name != "no":
            raise InvalidRequest(
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
            )
        changes["restart_policy"] = new.restart_policy
    return replace(host, **changes)


_UPDATABLE: Final = (
    *("memory", "memory_swap", "memory_reservation"),
    *("nano_cpus", "cpu_period", "cpu_quota", "cpu_shares", "cpuset_cpus"),
)

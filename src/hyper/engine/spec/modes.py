"""Modes of HostConfig: the name spaces of a container, which are always its machine's. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from hyper.errors import InvalidRequest, NotImplementedYet
from hyper.types.container import HostConfig

_OWN = {
    "IpcMode": frozenset({"", "private", "shareable"}),
    "PidMode": frozenset({"", "private"}),
    "UTSMode": frozenset({"", "host"}),
}
#: Docker's word for what runs a container is a runtime: here a hypervisor by its name, or the daemon's default one.
RUNTIME: Final = "hyper"
#: Runtimes of Docker's that files in circulation name; what they would do is done anyway.
_REPLACED = frozenset({"runc", "io.containerd.runc.v2"})


def checked(host: HostConfig) -> tuple[HostConfig, list[str]]:
    """The host configuration ``host`` without modes that have no effect, and warnings about those.

    Raises:
        InvalidRequest: a name space of the host's is asked for, which a container in a machine cannot have.
        NotImplementedYet: another container's name space is asked for.
    """
    asked = {"IpcMode": host.ipc_mode, "PidMode": host.pid_mode, "UTSMode": host.uts_mode}
    for member, value in asked.items():
        if value.startswith("container:"):
            raise NotImplementedYet(f"HostConfig.{member} {value[:100]} is not supported yet")
        if value == "host" and value not in _OWN[member]:
            raise InvalidRequest(
                f"HostConfig.{member} host is impossible: a virtual machine has a kernel of its own"
            )
        if value not in _OWN[member]:
            kind = member.removesuffix("Mode").upper()
            raise InvalidRequest(f"invalid {kind} mode: {value[:100]}")
    if host.userns_mode not in ("", "host"):
        raise InvalidRequest(f"invalid userns mode: {host.userns_mode[:100]}")
    if host.cgroupns_mode not in ("", "private", "host"):
        raise InvalidRequest(f"invalid cgroup namespace mode: {host.cgroupns_mode[:100]}")
    if host.isolation not in ("", "default"):
        raise InvalidRequest(f"invalid isolation ({host.isolation[:100]}) on linux")
    warnings = []
    if host.cgroupns_mode == "host":
        warnings.append("HostConfig.CgroupnsMode host has no effect: the container sees its own.")
        host = replace(host, cgroupns_mode="private")
    if host.runtime in _REPLACED:
        warnings.append(f"HostConfig.Runtime {host.runtime} has no effect: hyper runs it.")
    return host, warnings


def hypervisor(host: HostConfig) -> str:
    """The name of the hypervisor that is asked for; "": the daemon's default one."""
    return "" if host.runtime in _REPLACED | {RUNTIME} else host.runtime


def check_runtime(host: HostConfig, hypervisors: Collection[str]) -> None:
    """A check that the hypervisor that is asked for is one of ``hypervisors``.

    Raises:
        InvalidRequest: it is none of them (Docker's words).
    """
    if (asked := hypervisor(host)) and asked not in hypervisors:
        raise InvalidRequest(
            f"unknown or invalid runtime name: {asked[:100]}",
            hint=f"hypervisors here: {', '.join(hypervisors)}",
        )

"""Containers that run in another's machine (``--network container:X``): one kernel, one network, each its own files.

The machine is X's: its size is X's, and it ends with X. Source of the rules: moby, runconfig/hostconfig_unix.go
validateNetMode, daemon/container_operations_unix.go; errors in its words. Pure.
"""

from __future__ import annotations

from typing import Final

from hyper.errors import InvalidRequest
from hyper.types.container import CreateBody, HostConfig

_PREFIX: Final = "container:"
_NO_CPU_CHOICE: Final = (
    "CPU shares and sets have no effect: the CPUs are those of the machine that is shared."
)


def owner_named(host: HostConfig) -> str:
    """The name of the container whose machine is asked for, as the client said it; "": none."""
    mode = host.network_mode
    return mode.removeprefix(_PREFIX) if mode.startswith(_PREFIX) else ""


def mode_of(container_id: str) -> str:
    """The network mode that asks for the machine of a container."""
    return _PREFIX + container_id


def check(config: CreateBody, host: HostConfig) -> list[str]:
    """The request goes together with a network that is another's. Returns warnings about what has no effect then.

    Raises:
        InvalidRequest: it does not.
    """
    if not host.network_mode.startswith(_PREFIX):
        return []
    if not owner_named(host):
        raise InvalidRequest("Invalid network mode: invalid container format container:<name|id>")
    conflicts = (
        (config.hostname, "hostname and the network mode"),
        (
            host.links,
            "container type network can't be used with links. This would result in undefined behavior",
        ),
        (host.dns, "dns and the network mode"),
        (host.extra_hosts, "custom host-to-IP mapping and the network mode"),
        (config.mac_address, "mac-address and the network mode"),
        (
            host.port_bindings or host.publish_all_ports,
            "port publishing and the container type network mode",
        ),
        (config.exposed_ports, "port exposing and the container type network mode"),
        (host.sysctls, "sysctls and the container type network mode: they are the machine's"),
    )
    for asked, what in conflicts:
        if asked:
            raise InvalidRequest(f"conflicting options: {what}")
    return [_NO_CPU_CHOICE] if host.cpu_shares or host.cpuset_cpus else []

"""Containers that run in another's machine (``--network container:X``): one kernel, one network, each its own files.

The machine is X's: its size is X's, and it ends with X. Source of the rules: moby, runconfig/hostconfig_unix.go
validateNetMode, daemon/container_operations_unix.go; errors in its words. Pure.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.lead import Lead
from hyper.engine.record.mount import BIND
from hyper.engine.spec import agent_requests
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


def check_mounts(record: ContainerRecord, joined: Lead | None) -> None:
    """The mounts of ``record`` can be brought into a machine that runs, or are there with ``joined``.

    ``joined``: the container whose machine ``record`` asks for; None: there is no such one, which the start will say.

    Raises:
        InvalidRequest: other paths of the host than the joined container's: a machine gets its share when it is made.
    """
    mounts = [] if joined is None else joined.mounts
    there = {point.source for point in mounts if point.kind == BIND}
    for point in record.mounts:
        if point.kind == BIND and point.source not in there:
            raise InvalidRequest(
                f"conflicting options: bind mount {point.source} and the container type network mode: "
                "paths of the host cannot be brought into a machine that runs",
                hint="use a volume, or mount the path in the container that is joined",
            )


def take_from(record: ContainerRecord, joined: Lead) -> None:
    """The record has the host name and domain name of the machine of ``joined``."""
    hostname, domainname = agent_requests.hostname(joined), joined.spec.domainname
    record.spec = structs.replace(record.spec, hostname=hostname, domainname=domainname)

"""Defaults of an App Container Image for its containers, where the client says nothing. Pure.

Its limits are upper bounds and a machine's size here: one that this host does not have is brought down to what it has,
with a warning, and one below what a machine needs is brought up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from hyper.engine.record.mount import VOLUME, MountPoint
from hyper.engine.spec.capabilities import CAPABILITIES
from hyper.engine.spec.mounts import clean
from hyper.engine.spec.resources import MINIMUM_LIMIT_MIB
from hyper.errors import InvalidRequest
from hyper.types.aci import Aci
from hyper.types.container import ContainerConfig, HostConfig, PortBinding
from hyper.units import MIB

_NANO: Final = 1_000_000_000
#: An AC Name that is no number.
_NAMED: Final = re.compile(r"(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The largest machine that this host can have."""

    memory_mib: int
    cpus: int


def filled(host: HostConfig, aci: Aci | None, bounds: Bounds) -> tuple[HostConfig, list[str]]:
    """The host configuration ``host`` with the image's defaults where it says nothing, and warnings.

    Ports that it publishes by their names in the image are numbers afterwards.

    Raises:
        InvalidRequest: the image has no port of such a name.
    """
    host = _with_numbered_ports(host, aci)
    if aci is None:
        return host, []
    host, warnings = _limited(host, aci, bounds)
    host, more = _with_capabilities(host, aci)
    warnings += more
    groups, options = host.group_add or [], host.security_opt or []
    if aci.groups:
        groups = [*groups, *(str(group) for group in aci.groups if str(group) not in groups)]
        host = replace(host, group_add=groups)
    if aci.no_new_privileges and not any("no-new-priv" in item for item in options):
        host = replace(host, security_opt=[*options, "no-new-privileges"])
    if aci.ignored:
        warnings.append(f"Isolators of the image without effect: {', '.join(aci.ignored)[:500]}.")
    return host, warnings


def _limited(host: HostConfig, aci: Aci, bounds: Bounds) -> tuple[HostConfig, list[str]]:
    warnings = []
    said = host.nano_cpus or host.cpu_quota or host.cpu_period or host.cpuset_cpus
    if aci.memory and not host.memory:
        wanted = -(-aci.memory // MIB)
        mib = max(MINIMUM_LIMIT_MIB, min(wanted, bounds.memory_mib))
        host = replace(host, memory=mib * MIB)
        if mib != wanted:
            warnings.append(f"The image's memory limit of {wanted} MiB became {mib} MiB here.")
    if aci.nano_cpus and not said:
        given = max(_NANO // 100, min(aci.nano_cpus, bounds.cpus * _NANO))
        host = replace(host, nano_cpus=given)
        if given != aci.nano_cpus:
            limit = aci.nano_cpus / _NANO
            warnings.append(f"The image's limit of {limit:g} CPUs became {given / _NANO:g} here.")
    return host, warnings


def _with_capabilities(host: HostConfig, aci: Aci) -> tuple[HostConfig, list[str]]:
    """The client's capabilities come on top of the image's, and count where both name the same one."""
    if host.privileged or (aci.retain is None and aci.remove is None):
        return host, []
    add, drop = _plain(host.cap_add), _plain(host.cap_drop)
    if "ALL" in add | drop:
        return host, []
    unknown = [
        name for name in (*(aci.retain or ()), *(aci.remove or ())) if name not in CAPABILITIES
    ]
    if aci.retain is not None:
        kept = [name for name in aci.retain if name in CAPABILITIES and name not in drop]
        host = replace(
            host,
            cap_add=[*(host.cap_add or []), *(name for name in kept if name not in add)],
            cap_drop=["ALL", *(host.cap_drop or [])],
        )
    else:
        gone = [name for name in aci.remove or () if name in CAPABILITIES and name not in add]
        dropped = [*(host.cap_drop or []), *(name for name in gone if name not in drop)]
        host = replace(host, cap_drop=dropped)
    if not unknown:
        return host, []
    names = ", ".join(unknown)[:200]
    return host, [f"Capabilities of the image that Hyper does not know: {names}."]


def _plain(names: list[str] | None) -> set[str]:
    return {name.upper().removeprefix("CAP_") for name in names or ()}


def _with_numbered_ports(host: HostConfig, aci: Aci | None) -> HostConfig:
    bindings = host.port_bindings or {}
    if not any(_NAMED.fullmatch(spec.partition("/")[0]) for spec in bindings):
        return host
    numbered: dict[str, list[PortBinding] | None] = {}
    for spec, places in bindings.items():
        name = spec.partition("/")[0]
        if not _NAMED.fullmatch(name):
            numbered[spec] = [*(numbered.get(spec) or []), *(places or [])]
            continue
        for number, key in enumerate(_named(name, aci)):
            shifted = [_shifted(place, number) for place in places or [PortBinding()]]
            numbered[key] = [*(numbered.get(key) or []), *shifted]
    return replace(host, port_bindings=numbered)


def _named(name: str, aci: Aci | None) -> list[str]:
    for port in aci.ports if aci is not None else ():
        if port.name == name:
            return [f"{port.port + number}/{port.protocol}" for number in range(port.count)]
    known = ", ".join(port.name for port in (aci.ports if aci is not None else ()))
    raise InvalidRequest(
        f"invalid port specification: the image has no port called {name[:50]!r}",
        hint=f"it has {known}" if known else "it has no ports with names",
    )


def _shifted(place: PortBinding, number: int) -> PortBinding:
    """The place of the ``number``-th port of a range whose first is published at ``place``."""
    if not number or not place.host_port.isdecimal() or place.host_port == "0":
        return place
    return replace(place, host_port=str(int(place.host_port) + number))


def protect(
    points: Iterable[MountPoint], asked: ContainerConfig, aci: Aci | None
) -> list[MountPoint]:
    """The mount points ``points``: read-only if the image wants so and the client did not ask for them itself."""
    own = {clean(target) for target in asked.volumes or {}}
    guarded = {
        clean(point.path)
        for point in (aci.mount_points if aci is not None else ())
        if point.read_only
    } - own
    return [
        replace(point, read_only=True)
        if point.kind == VOLUME and point.anonymous and point.target in guarded
        else point
        for point in points
    ]

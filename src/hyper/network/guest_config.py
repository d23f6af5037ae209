"""The guest configuration of a machine: what it and its programs are told about the networks they are on."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Interface

from hyper.proto.message import Interface, Ip, Route
from hyper.system.resolv_conf import NO_LOOKUP, Lookup


@dataclass(frozen=True, slots=True)
class GuestConfig:
    """The guest configuration: ``interfaces`` for the agent, the rest for the files of its containers."""

    interfaces: tuple[Interface, ...]
    #: The container's own.
    addresses: tuple[str, ...]
    #: The address of the host; "": none.
    gateway: str
    nameservers: tuple[str, ...]
    #: Lines of /etc/hosts: an address and its names.
    known: tuple[tuple[str, str], ...] = ()
    #: The host's.
    lookup: Lookup = NO_LOOKUP
    #: The name servers know names of containers.
    embedded: bool = False


def interface(
    mac: str,
    address: IPv4Address,
    prefix: int,
    *,
    gateway: IPv4Address | None,
    mtu: int,
    also: IPv6Interface | None = None,
    gateway6: IPv6Address | None = None,
) -> Interface:
    """An interface with an address, and ``also`` one of IPv6; ``gateway``, ``gateway6`` are the default routes'."""
    return Interface(
        mac=bytes.fromhex(mac.replace(":", "")),
        mtu=mtu,
        addresses=(
            ip(address, prefix),
            *([ip(also.ip, also.network.prefixlen)] if also is not None else []),
        ),
        routes=(
            *([Route(ip(IPv4Address(0), 0), ip(gateway, 0))] if gateway is not None else []),
            *([Route(ip(IPv6Address(0), 0), ip(gateway6, 0))] if gateway6 is not None else []),
        ),
    )


def ip(address: IPv4Address | IPv6Address, prefix: int) -> Ip:
    """The address as the agent is told it."""
    return Ip(address.version, prefix, address.packed)

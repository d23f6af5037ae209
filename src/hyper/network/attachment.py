"""What a sandbox's programs are told about the networks they are on."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from hyper.proto.message import Interface, Ip, Route


@dataclass(frozen=True, slots=True)
class Attachment:
    """``interfaces`` for the agent, the rest for the container's files.

    ``addresses`` are the container's own, ``gateway`` is where the host is ("": nowhere), ``known`` are lines of
    /etc/hosts: an address and its names.
    """

    interfaces: tuple[Interface, ...]
    addresses: tuple[str, ...]
    gateway: str
    nameservers: tuple[str, ...]
    known: tuple[tuple[str, str], ...] = ()


def interface(
    mac: str, address: IPv4Address, prefix: int, *, gateway: IPv4Address | None, mtu: int
) -> Interface:
    """An interface with one address; ``gateway`` is the default route's."""
    return Interface(
        mac=bytes.fromhex(mac.replace(":", "")),
        mtu=mtu,
        addresses=(ip(address, prefix),),
        routes=() if gateway is None else (Route(ip(IPv4Address(0), 0), ip(gateway, 0)),),
    )


def ip(address: IPv4Address, prefix: int) -> Ip:
    """``address`` as the agent is told it."""
    return Ip(4, prefix, address.packed)

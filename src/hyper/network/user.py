"""Networking without privilege: the hypervisor's own user-mode stack, host ports forwarded by it.

Every sandbox sees the same small network of its own; nothing of it exists on the host. Constants are those of libslirp,
shifted to a network that is unlikely to be one the guest wants to reach.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass

from hyper.proto.message import Interface, Ip, Route

NETWORK = ipaddress.IPv4Network("10.0.2.0/24")
GATEWAY = NETWORK[2]
DNS = NETWORK[3]
GUEST = NETWORK[15]
MTU = 1500


@dataclass(frozen=True, slots=True)
class Attachment:
    """How one sandbox is connected: the card's address, the set-up for the agent, what to tell users."""

    mac: str
    network: str
    interface: Interface
    address: str
    prefix: int
    gateway: str
    nameservers: tuple[str, ...]


def attach(sandbox: str) -> Attachment:
    """The connection of ``sandbox``; the same id always gets the same hardware address."""
    mac = mac_address(sandbox)
    interface = Interface(
        mac=bytes.fromhex(mac.replace(":", "")),
        mtu=MTU,
        addresses=(_ip(GUEST, NETWORK.prefixlen),),
        routes=(Route(_ip(ipaddress.IPv4Address(0), 0), _ip(GATEWAY, 0)),),
    )
    return Attachment(
        mac=mac,
        network=str(NETWORK),
        interface=interface,
        address=str(GUEST),
        prefix=NETWORK.prefixlen,
        gateway=str(GATEWAY),
        nameservers=(str(DNS),),
    )


def mac_address(sandbox: str) -> str:
    """A locally administered unicast address derived from the sandbox's id."""
    digest = hashlib.sha256(sandbox.encode()).digest()
    return "02:" + ":".join(f"{octet:02x}" for octet in digest[:5])


def _ip(address: ipaddress.IPv4Address, prefix: int) -> Ip:
    return Ip(4, prefix, address.packed)

"""User-mode networks, without privilege: the hypervisor's own stack, which forwards ports of the host.

Every sandbox sees the same small network of its own; nothing of it exists on the host. Constants are those of libslirp,
shifted to a network that is unlikely to be one the guest wants to reach.
"""

from __future__ import annotations

import hashlib
import ipaddress

from hyper.network.guest_config import GuestConfig, interface

NETWORK = ipaddress.IPv4Network("10.0.2.0/24")
GATEWAY = NETWORK[2]
DNS = NETWORK[3]
GUEST = NETWORK[15]
MTU = 1500


def attach(sandbox: str) -> GuestConfig:
    """The guest configuration of ``sandbox``; the same id always gets the same hardware address."""
    mac = mac_address(sandbox)
    return GuestConfig(
        interfaces=(interface(mac, GUEST, NETWORK.prefixlen, gateway=GATEWAY, mtu=MTU),),
        addresses=(str(GUEST),),
        gateway=str(GATEWAY),
        nameservers=(str(DNS),),
    )


def mac_address(sandbox: str) -> str:
    """A locally administered unicast address derived from the sandbox's id."""
    digest = hashlib.sha256(sandbox.encode()).digest()
    return "02:" + ":".join(f"{octet:02x}" for octet in digest[:5])

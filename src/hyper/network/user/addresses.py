"""User-mode networks, without privilege: the hypervisor's own stack, which forwards ports of the host.

Every sandbox sees the same small network of its own; nothing of it exists on the host. Constants are those of libslirp,
shifted to a network that is unlikely to be one the guest wants to reach.
"""

from __future__ import annotations

import ipaddress

from hyper.network.card import mac_of_id
from hyper.network.guest_config import GuestConfig, interface

NETWORK = ipaddress.IPv4Network("10.0.2.0/24")
GATEWAY = NETWORK[2]
DNS = NETWORK[3]
GUEST = NETWORK[15]
MTU = 1500


def attach(sandbox: str) -> GuestConfig:
    """The guest configuration of ``sandbox``; the same id always gets the same hardware address."""
    mac = mac_of_id(sandbox)
    return GuestConfig(
        interfaces=(interface(mac, GUEST, NETWORK.prefixlen, gateway=GATEWAY, mtu=MTU),),
        addresses=(str(GUEST),),
        gateway=str(GATEWAY),
        nameservers=(str(DNS),),
    )

"""Bridges and pairs of cards on the host: made and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from ipaddress import IPv4Interface, IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from hyper.network import ipam
from hyper.network.bridge import host_routes
from hyper.network.bridge.rules import Segment
from hyper.system import link, lock

#: Held while a subnet is chosen and its bridge made: every Hyper daemon of the host looks at the same routes.
LOCK: Final = Path("/run/hyper-networks.lock")


def ensure(
    segment: Segment, taken: Collection[IPv4Network], taken6: Collection[IPv6Network]
) -> None:
    """The segment's bridge exists. ``taken``: networks that the host routes elsewhere, in whose way no new one is made.

    Raises:
        Conflict: its subnet is used for something else on this host.
        HyperError: it cannot be made; then there is none.
    """
    with lock.exclusively(LOCK):
        if not link.exists(segment.bridge):
            host_routes.refuse_taken(segment, taken, taken6)
            _make(segment)
        if segment.gateway6 is not None:
            link.give_address6(segment.bridge, segment.gateway6)


def _make(segment: Segment) -> None:
    address = IPv4Interface((segment.gateway, segment.subnet.prefixlen))
    mac = ipam.mac_of(segment.gateway)
    link.make_bridge(segment.bridge, address, mtu=segment.mtu, mac=mac)
    try:
        # For published ports on the loopback: its packets leave with the gateway's address. What comes in with
        # such an address is dropped before routing (rules.py, "early").
        link.set_sysctl(f"net/ipv4/conf/{segment.bridge}/route_localnet", 1)
        link.set_sysctl("net/ipv4/ip_forward", 1)
    except BaseException:
        link.end_bridge(segment.bridge)
        raise


async def end(name: str) -> None:
    """The bridge, or pair of cards, is gone. Repeatable."""
    if name.startswith("hv"):
        await link.end_pair(name)
    else:
        await asyncio.to_thread(link.end_bridge, name)  # waits for other CPUs to let go

"""IP networks as people write them."""

from __future__ import annotations

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_network(text: str) -> Network:
    """The network meant by ``10.0.0.0/8`` or ``fd00::/8``; an address alone is a network of one.

    What it prints as is digits, dots, colons and a slash: never a zone (``%eth0``), which could be any text.

    Raises:
        ValueError: it is none, or has bits of a host.
    """
    shown = text[:60]
    if "%" in text:
        raise ValueError(f"{shown!r} is no network: an address with a zone is one host's own")
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{shown!r} is no network in CIDR notation") from None
    if ipaddress.ip_address(text.partition("/")[0]) != found.network_address:
        raise ValueError(f"{shown!r} has bits of a host: the network is {found}")
    return found

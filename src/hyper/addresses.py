"""IP networks and addresses as users write them."""

from __future__ import annotations

import ipaddress
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Source: RFC 1122, 3.2.1.3.
_THIS_NETWORK: Final = ipaddress.IPv4Network("0.0.0.0/8")


def parse_network(text: str) -> Network:
    """The network meant by ``10.0.0.0/8`` or ``fd00::/8``; an address alone is a network of one.

    Its text has digits, dots, colons and a slash: never a zone (``%eth0``), which could be any text.

    Raises:
        ValueError: the text is no network, or has bits of a host.
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


def parse_host(text: str) -> ipaddress.IPv4Address:
    """The IPv4 address ``text`` of one host, which packets can be led to from another.

    Raises:
        ValueError: the text is no address, or one of no host, of every host itself, or of a link.
    """
    shown = text[:60]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise ValueError(f"{shown!r} is no IP address") from None
    if not isinstance(found, ipaddress.IPv4Address):
        raise ValueError(f"{shown!r} is not possible: IPv4 only")
    if str(found) != text:
        raise ValueError(f"{shown!r} is no IP address")
    for what in ("loopback", "multicast", "link_local", "reserved", "unspecified"):
        if getattr(found, f"is_{what}"):
            raise ValueError(f"{text} is not possible: it is {what.replace('_', '-')}")
    if found in _THIS_NETWORK:
        raise ValueError(f"{text} is not possible: it is no host's")
    return found

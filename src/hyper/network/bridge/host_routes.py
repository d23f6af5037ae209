"""Routes of the host that a network must not get in the way of, and what gets in the way of networks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from hyper.errors import Conflict, HyperError
from hyper.network.bridge.rules import Segment
from hyper.system import nftables, process

_TIMEOUT_S: Final = 20.0


async def taken() -> list[IPv4Network]:
    """The networks that the host already routes somewhere.

    Raises:
        ProcessFailed: ip is missing.
    """
    argv = ["ip", "-j", "-4", "route", "show", "table", "all"]
    listing = await process.run(argv, timeout_s=_TIMEOUT_S)
    return [*_destinations(json.loads(listing.stdout or b"[]")), *_main_routes()]


def _destinations(routes: Sequence[dict[str, object]]) -> Iterator[IPv4Network]:
    for route in routes:
        text = str(route.get("dst", "default"))
        if text == "default" or route.get("type") in ("broadcast", "multicast"):
            continue
        with contextlib.suppress(ValueError):
            network = IPv4Network(text, strict=False)
            if not network.is_loopback:
                yield network


def _main_routes() -> Iterator[IPv4Network]:
    """The networks in the main table, read while the lock is held. Numbers are hexadecimal, in host byte order."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        words = line.split()
        destination, mask = (int(words[n], 16).to_bytes(4, "little") for n in (1, 7))
        if any(mask):
            prefix = int.from_bytes(mask, "big").bit_count()
            yield IPv4Network((destination, prefix), strict=False)


def taken6() -> list[IPv6Network]:
    """The networks that the host already routes by IPv6, its own addresses included, without those that all cards have.

    Source: linux/net/ipv6/route.c, rt6_seq_show: destination and length of its prefix first, in hexadecimal.
    """
    try:
        lines = Path("/proc/net/ipv6_route").read_text().splitlines()
    except FileNotFoundError:  # a host without IPv6
        return []
    found = [IPv6Network((bytes.fromhex(line[:32]), int(line[33:35], 16))) for line in lines]
    return [it for it in found if it.prefixlen and not (it.is_link_local or it.is_multicast)]


def refuse_taken(
    segment: Segment, taken: Collection[IPv4Network], taken6: Collection[IPv6Network]
) -> None:
    """The network's addresses have no other use on the host.

    Raises:
        Conflict: they have.
    """
    others = [other for other in (*taken, *_main_routes()) if other.overlaps(segment.subnet)]
    if others:
        raise Conflict(
            f"cannot set up a network on {segment.subnet}: the host already has a route to {others[0]}"
        )
    subnet6 = None if segment.gateway6 is None else segment.gateway6.network
    others6 = [other for other in taken6 if subnet6 is not None and other.overlaps(subnet6)]
    if others6:
        raise Conflict(
            f"cannot set up a network on {subnet6}: the host already has a route to {others6[0]}"
        )


async def foreign_obstacle() -> bool:
    """Whether a dockerd on this host drops what it did not forward itself: an accept of ours does not prevail."""
    try:
        listing = await nftables.listing("list chain ip filter FORWARD")
        items = json.loads(listing)["nftables"]
    except (HyperError, ValueError, KeyError):
        return False
    policies = [item["chain"].get("policy") for item in items if "chain" in item]
    return "drop" in policies and "DOCKER-USER" in listing

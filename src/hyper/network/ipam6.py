"""IPv6 addresses of networks and their endpoints: always the client's own subnet. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from itertools import islice
from typing import Final

from hyper.errors import Conflict, InvalidRequest

#: A subnet's prefix: neither half of the Internet nor too small for two neighbours and a gateway.
MIN_PREFIX: Final = 16
MAX_PREFIX: Final = 126


@dataclass(frozen=True, slots=True)
class Space6:
    """The IPv6 addresses of one network. ``pool`` is where unasked addresses come from."""

    subnet: IPv6Network
    gateway: IPv6Address
    pool: IPv6Network

    def pick(
        self, taken: Collection[IPv6Address], *, wish: IPv6Address | None, last: IPv6Address | None
    ) -> IPv6Address:
        """A free address: ``wish`` if there is one, else ``last`` if that is still free, else the lowest.

        Raises:
            Conflict: the wish is taken (Docker's words), or nothing is free.
            InvalidRequest: the wish is no address of an endpoint of this network.
        """
        used = {*taken, self.gateway, self.subnet.network_address}
        if wish is not None:
            self.check(wish)
            if wish in taken:
                raise Conflict("Address already in use")
            return wish
        if last is not None and last not in used and last in self.pool:
            return last
        for address in islice(self._candidates(), len(used) + 1):
            if address not in used:
                return address
        raise Conflict("no available IPv6 addresses on this network's address pools")

    def _candidates(self) -> Iterator[IPv6Address]:
        yield from self.pool

    def check(self, wish: IPv6Address) -> None:
        """The address ``wish`` can be an endpoint's.

        Raises:
            InvalidRequest: it cannot.
        """
        if wish not in self.subnet:
            raise InvalidRequest(f"no configured subnet or ip-range contain the IP address {wish}")
        if wish in (self.gateway, self.subnet.network_address):
            raise InvalidRequest(f"the address {wish} of {self.subnet} is not an endpoint's")


def space6(*, subnet: str, gateway: str = "", ip_range: str = "") -> Space6:
    """The addresses as a client says them; without a gateway it is the first of the subnet.

    Raises:
        InvalidRequest: one of them is none, or they do not fit together.
    """
    network = _network(subnet, "subnet")
    if not MIN_PREFIX <= network.prefixlen <= MAX_PREFIX:
        raise InvalidRequest(
            f"invalid subnet {network}: its prefix must be from {MIN_PREFIX} to {MAX_PREFIX}"
        )
    if network.is_multicast or network.is_link_local or network.is_loopback:
        raise InvalidRequest(f"invalid subnet {network}: containers cannot have such addresses")
    pool = _network(ip_range, "ip-range") if ip_range else network
    if not pool.subnet_of(network):
        raise InvalidRequest(f"invalid ip-range {pool}: no matching subnet for range {pool}")
    router = address6(gateway, "gateway") if gateway else network[1]
    if router not in network or router == network.network_address:
        raise InvalidRequest(f"no matching subnet for gateway {router}")
    return Space6(network, router, pool)


def choose6(seed: str, taken: Collection[IPv6Network]) -> IPv6Network:
    """The first free /64 of the unique local addresses that ``seed`` is given. Source: RFC 4193, 3.2.

    Raises:
        Conflict: all are taken.
    """
    number = hashlib.sha256(seed.encode()).digest()[:5]
    own = IPv6Network((bytes([0xFD]) + number + bytes(10), 48))
    for candidate in islice(own.subnets(new_prefix=64), len(taken) + 1):
        if not any(candidate.overlaps(other) for other in taken):
            return candidate
    raise Conflict(f"all networks of {own} are taken", hint="say --subnet with an IPv6 network")


def address6(text: str, what: str) -> IPv6Address:
    """The IPv6 address ``text``. Raises: InvalidRequest: it is none, or one with a zone."""
    try:
        made = IPv6Address(text)
    except ValueError:
        raise InvalidRequest(f"invalid {what} {text[:100]!r}: no IPv6 address") from None
    if made.scope_id is not None:
        raise InvalidRequest(f"invalid {what} {text[:100]!r}: an address with a zone")
    return made


def _network(text: str, what: str) -> IPv6Network:
    try:
        made = IPv6Network(text, strict=False)
    except ValueError:
        raise InvalidRequest(f"invalid {what} {text[:100]!r}: no network in CIDR form") from None
    if "/" not in text:
        raise InvalidRequest(f"invalid {what} {text[:100]!r}: no network in CIDR form")
    return made


def link_local_of(mac: str) -> IPv6Address:
    """The address that Linux gives a card of this MAC by itself. Source: RFC 4291, appendix A."""
    octets = bytes.fromhex(mac.replace(":", ""))
    tail = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return IPv6Address(bytes.fromhex("fe80000000000000") + tail)

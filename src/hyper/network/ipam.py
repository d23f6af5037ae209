"""Address management (IPAM): the addresses networks and endpoints have. Pure: the caller tells which are taken."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from hyper.errors import Conflict, Forbidden, InvalidRequest

#: No smaller: network, broadcast, gateway and one endpoint.
MAX_PREFIX: Final = 30
#: No larger: nothing of ours takes a /8 by mistake.
MIN_PREFIX: Final = 8


@dataclass(frozen=True, slots=True)
class Pool:
    """The addresses of which networks of prefix length ``size`` are cut."""

    base: IPv4Network
    size: int


#: Beside Docker's own first choices (172.17 to 172.23), and small enough for 192 networks.
DEFAULT_POOLS: Final = (
    Pool(IPv4Network("172.24.0.0/13"), 20),
    Pool(IPv4Network("172.20.0.0/14"), 20),
)


def pool(text: str) -> Pool:
    """The pool that dockerd's option names: ``base=10.10.0.0/16,size=24``.

    Raises:
        InvalidRequest: the option is not of that form.
    """
    parts = dict(part.partition("=")[::2] for part in text.split(","))
    try:
        base, size = IPv4Network(parts.pop("base")), int(parts.pop("size"))
    except (KeyError, ValueError):
        raise InvalidRequest(f"invalid address pool {text!r}: base=NETWORK,size=BITS") from None
    if parts or not base.prefixlen <= size <= MAX_PREFIX:
        raise InvalidRequest(f"invalid address pool {text!r}: size from /{base.prefixlen} to /30")
    return Pool(base, size)


def choose(pools: Sequence[Pool], taken: Collection[IPv4Network]) -> IPv4Network:
    """The first network of ``pools`` that overlaps nothing in ``taken``.

    Raises:
        Forbidden: there is none (Docker's words).
    """
    for pool in pools:
        for candidate in pool.base.subnets(new_prefix=pool.size):
            if not any(candidate.overlaps(other) for other in taken):
                return candidate
    raise Forbidden(
        "all predefined address pools have been fully subnetted",
        hint="remove networks, say --subnet, or give hyperd more with --default-address-pool",
    )


@dataclass(frozen=True, slots=True)
class Space:
    """The addresses of one network. ``pool`` is where unasked addresses come from."""

    subnet: IPv4Network
    gateway: IPv4Address
    pool: IPv4Network
    reserved: frozenset[IPv4Address] = frozenset()

    def pick(
        self, taken: Collection[IPv4Address], *, wish: IPv4Address | None, last: IPv4Address | None
    ) -> IPv4Address:
        """A free address: ``wish`` if there is one, else ``last`` if that is still free, else the lowest.

        Raises:
            Conflict: the wish is taken (Docker's words), or nothing is free.
            InvalidRequest: the wish is no address of an endpoint of this network.
        """
        if wish is not None:
            self.check(wish)
            if wish in taken:
                raise Conflict("Address already in use")
            return wish
        if last is not None and self._is_free(last, taken) and last in self.pool:
            return last
        for address in self._candidates():
            if self._is_free(address, taken):
                return address
        raise Conflict("no available IPv4 addresses on this network's address pools")

    def check(self, wish: IPv4Address) -> None:
        """The address ``wish`` can be an endpoint's.

        Raises:
            InvalidRequest: it cannot.
        """
        ends = (self.subnet.network_address, self.subnet.broadcast_address)
        if wish not in self.subnet:
            raise InvalidRequest(
                f"no configured subnet or ip-range contain the IP address {wish}",
            )
        if wish in ends or wish == self.gateway:
            raise InvalidRequest(f"the address {wish} of {self.subnet} is not an endpoint's")

    def _is_free(self, address: IPv4Address, taken: Collection[IPv4Address]) -> bool:
        return (
            address in self.subnet
            and address not in taken
            and address not in self.reserved
            and address
            not in (self.gateway, self.subnet.network_address, self.subnet.broadcast_address)
        )

    def _candidates(self) -> Iterator[IPv4Address]:
        yield from self.pool


def space(
    *, subnet: str, gateway: str = "", ip_range: str = "", auxiliary: Collection[str] = ()
) -> Space:
    """The addresses as a client says them; without a gateway it is the first of the subnet.

    Raises:
        InvalidRequest: one of them is none, or they do not fit together.
    """
    network = _network(subnet, "subnet")
    if not MIN_PREFIX <= network.prefixlen <= MAX_PREFIX:
        raise InvalidRequest(
            f"invalid subnet {network}: its prefix must be from {MIN_PREFIX} to {MAX_PREFIX}"
        )
    if network.is_loopback or network.is_multicast or network.is_link_local:
        raise InvalidRequest(f"invalid subnet {network}: containers cannot have such addresses")
    pool = _network(ip_range, "ip-range") if ip_range else network
    if not pool.subnet_of(network):
        raise InvalidRequest(
            f"invalid ip-range {pool}: parent subnet is a smaller network than the child range"
            if pool.supernet_of(network)
            else f"invalid ip-range {pool}: no matching subnet for range {pool}"
        )
    reserved = frozenset(_address(text, "auxiliary address") for text in auxiliary)
    router = _address(gateway, "gateway") if gateway else _first(pool, network, reserved)
    for address in (router, *reserved):
        if address not in network:
            raise InvalidRequest(f"no matching subnet for gateway {address}")
    if router in (network.network_address, network.broadcast_address):
        raise InvalidRequest(f"invalid gateway {router}: it is no host's address in {network}")
    return Space(network, router, pool, reserved)


def _first(
    pool: IPv4Network, network: IPv4Network, reserved: Collection[IPv4Address]
) -> IPv4Address:
    for address in pool:
        if address != network.network_address and address not in reserved:
            return address
    raise InvalidRequest(f"no address is left for the gateway of {network}")


def _network(text: str, what: str) -> IPv4Network:
    if ":" in text:
        raise InvalidRequest(f"invalid {what} {text[:100]!r}: IPv6 networks are not supported")
    try:
        made = IPv4Network(text, strict=False)
    except ValueError:
        raise InvalidRequest(f"invalid {what} {text[:100]!r}: no network in CIDR form") from None
    if "/" not in text:
        raise InvalidRequest(f"invalid {what} {text[:100]!r}: no network in CIDR form")
    return made


def _address(text: str, what: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        raise InvalidRequest(f"invalid {what} {text[:100]!r}: no IPv4 address") from None


def mac_of(address: IPv4Address) -> str:
    """The hardware address an endpoint has unless asked otherwise: its own as long as its IP address is."""
    return "02:42:" + ":".join(f"{octet:02x}" for octet in address.packed)

"""Reach: how near servers may lead this daemon. A redirect must not make it ask a neighbour, or itself.

A user names a registry or a URL, and that is asked wherever it is. What it names in its turn (redirects, token
servers, places of uploads, templates of discovery) is asked only where it is itself, or further out: a public server
leads to public addresses, a private one also to private ones, one on this host anywhere. Link-local addresses, where
clouds keep their metadata, only what is there itself may name. The address decides, when the connection is made: a name
that resolves differently the second time changes nothing. docs/daemon.md says so to users.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from hyper.image.proxy import address_of

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_ANY_PORT: Final = 9


class Place(Enum):
    """The place of an address, as seen from this host."""

    PUBLIC = auto()
    #: RFC 1918, unique local, shared (RFC 6598), and whatever else is not routed on the internet.
    PRIVATE = auto()
    #: Loopback, and every address of an interface of this host.
    HOST = auto()
    LINK_LOCAL = auto()
    #: Multicast and broadcast: no server is there.
    NOWHERE = auto()


_LEADS_TO: Final = {
    Place.PUBLIC: frozenset({Place.PUBLIC}),
    Place.PRIVATE: frozenset({Place.PUBLIC, Place.PRIVATE}),
    Place.HOST: frozenset({Place.PUBLIC, Place.PRIVATE, Place.HOST}),
    Place.LINK_LOCAL: frozenset({Place.PUBLIC, Place.LINK_LOCAL}),
    Place.NOWHERE: frozenset({Place.PUBLIC}),
}
_WORDS: Final = {
    Place.PUBLIC: "a public address",
    Place.PRIVATE: "a private address",
    Place.HOST: "an address of this host",
    Place.LINK_LOCAL: "a link-local address",
    Place.NOWHERE: "no address of a server",
}


class Refused(PermissionError):
    """A connection that a `Reach` forbids: the message says to which address, and what it is."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The reach of connections: the places that they may lead to."""

    places: frozenset[Place] = frozenset(Place)

    def __and__(self, other: Reach) -> Reach:
        """The places that are in both."""
        return Reach(self.places & other.places)

    def check(self, address: str) -> None:
        """The address is within reach.

        Raises:
            Refused: it is not.
        """
        if self == ANYWHERE:
            return
        place = place_of(address)
        if place not in self.places:
            raise Refused(errno.EPERM, f"{address} is {_WORDS[place]}")

    def socket(self, info: tuple[Any, ...]) -> socket.socket:
        """The socket for a connection to the address of ``info``, an entry as of ``getaddrinfo``.

        Raises:
            Refused: the address is out of reach.
        """
        family, kind, protocol, _, address = info
        self.check(str(address[0]))
        return socket.socket(family, kind, protocol)


ANYWHERE: Final = Reach()


def reach_of(leaders: Collection[Place]) -> Reach:
    """The reach of servers at these places together: no nearer than each of them could lead."""
    reach = frozenset(Place)
    for place in leaders:
        reach &= _LEADS_TO[place]
    return Reach(reach)


def place_of(address: str) -> Place:
    """The place of ``address`` (no name)."""
    found = address_of(address)
    assert found is not None, address
    if isinstance(found, ipaddress.IPv6Address) and found in _NAT64:
        return place_of(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
    if found.is_loopback or found.is_unspecified:
        return Place.HOST
    if found.is_link_local:
        return Place.LINK_LOCAL
    if found.is_multicast or str(found) == "255.255.255.255":
        return Place.NOWHERE
    if _is_own(str(found)):
        return Place.HOST
    return Place.PUBLIC if found.is_global else Place.PRIVATE


def _is_own(address: str) -> bool:
    """Whether an interface of this host has the address: then the kernel speaks to it from it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect((address, _ANY_PORT))
        except OSError:
            return False  # no way there: nor will a connection find one
        return bool(probe.getsockname()[0] == address)

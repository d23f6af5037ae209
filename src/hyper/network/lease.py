"""Leases: what a holder asks of networks, and what it has of them while its machine runs. Frozen data.

A holder is whatever a machine's networks are for: a container today, a sandbox, or a member of one with an address of
its own. It is known by an id that no other holder of the daemon has; nothing here knows what it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from hyper.addresses import Network
from hyper.network.card import Card
from hyper.network.port import PortRequest, PublishedPort


@dataclass(frozen=True, slots=True)
class Service:
    """A service: what is sent by ``protocol`` (tcp, udp) to ``address``, ``port`` is led to ``hosts`` by turns."""

    protocol: str
    address: IPv4Address
    port: int
    hosts: tuple[tuple[IPv4Address, int], ...]


@dataclass(frozen=True, slots=True)
class WhiteLists:
    """White lists: the callers that may reach a machine. Those of ``internal`` reach each port, those of ``external``
    the published ones, all others none."""

    internal: tuple[Network, ...]
    external: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """A request for a place on one network."""

    network_id: str
    network: str
    #: Names on that network beside the holder's own.
    aliases: tuple[str, ...] = ()
    #: Names that the holder alone has for others there: ``name:alias``.
    links: tuple[str, ...] = ()
    #: Addresses that are asked for; "": any.
    address: str = ""
    address6: str = ""
    mac: str = ""
    #: Addresses that the holder had last: it gets them again if they are free.
    last_address: str = ""
    last_address6: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint: a holder's place on one network, as it is. No two endpoints ever have one ``id``."""

    asked: EndpointRequest
    id: str
    address: str
    prefix: int
    mac: str
    #: Where the network leads to others; "": nowhere.
    gateway: str = ""
    address6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    #: Frames of this endpoint go through the machine's card as they are; others are told apart by their MAC.
    direct: bool = False


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """A request for a lease: who asks, how it is called, where it wants to be, and who may reach it."""

    holder: str
    name: str
    hostname: str = ""
    #: The first is the one that the machine's card is on.
    endpoints: tuple[EndpointRequest, ...] = ()
    ports: tuple[PortRequest, ...] = ()
    #: Resolvers to be asked in place of the host's.
    dns: tuple[str, ...] = ()
    #: Other holders by the names that this one has for them on the default network.
    links: Mapping[str, str] = field(default_factory=dict)
    #: None: whoever can may reach it.
    white_lists: WhiteLists | None = None
    services: tuple[Service, ...] = ()
    #: The holder asks to reach services of the host.
    asks_for_host: bool = False


@dataclass(frozen=True, slots=True)
class NetworkLease:
    """A lease: endpoints and ports of the host that nobody else has until it is released."""

    request: LeaseRequest
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    #: The cards that the machine is to be launched with; () once it runs.
    cards: tuple[Card, ...] = ()
    #: Done when the host's side is: before that nothing is to be run that counts on its network. None: it is done.
    connected: asyncio.Future[None] | None = None

    @property
    def holder(self) -> str:
        """The id of the lease's holder."""
        return self.request.holder

    def on(self, network_id: str) -> Endpoint | None:
        """The lease's endpoint on a network; None: it has none there."""
        found = (item for item in self.endpoints if item.asked.network_id == network_id)
        return next(found, None)


def primary(endpoints: Iterable[Endpoint]) -> Endpoint | None:
    """The endpoint that the default route leads through, and published ports lead to: as libnetwork chooses."""
    candidates = [item for item in endpoints if item.gateway]
    return min(candidates, key=lambda item: item.asked.network, default=None)


def primary6(endpoints: Iterable[Endpoint]) -> Endpoint | None:
    """The endpoint that the default route of IPv6 leads through."""
    candidates = [item for item in endpoints if item.gateway6]
    return min(candidates, key=lambda item: item.asked.network, default=None)

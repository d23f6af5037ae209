"""Names of holders of leases, as those on the same networks may resolve them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from hyper.engine.network.lease_table import LeaseTable
from hyper.engine.spec import endpoints
from hyper.network.lease import Endpoint, NetworkLease, primary
from hyper.network.names import Address, View
from hyper.network.spec import BRIDGE
from hyper.system import nft


class FindHolder(Protocol):
    """A way from what a client may say of a holder to its id."""

    def __call__(self, name: str) -> str | None:
        """The id of the holder that a client means with ``name``, which may have no lease; None: there is none."""
        ...


class Names:
    """The names on all networks, by the leases of ``table``. On the default network nobody has a name, as in Docker."""

    def __init__(self, table: LeaseTable, find: FindHolder) -> None:
        self._table = table
        self._find = find

    def view(self, network_id: str, client: IPv4Address) -> View | None:
        """The view of the holder that has the address ``client`` on a network; None: nobody has it.

        A holder that is on internal networks alone gets no answers from outside.
        """
        asking = self._table.at(network_id, str(client))
        if asking is None:
            return None
        closed = primary(asking.endpoints) is None
        resolvers = asking.request.dns or [str(item) for item in nft.resolvers()]
        return View(
            addresses=lambda name: self._addresses(asking, name),
            name=lambda address: self._name(asking, address),
            resolvers=() if closed else resolvers,
        )

    def _addresses(self, asking: NetworkLease, name: str) -> list[Address] | None:
        found: list[Address] = []
        for own in asking.endpoints:
            if own.asked.network == BRIDGE:
                continue
            bare = name.removesuffix(f".{own.asked.network.lower()}")
            linked = self._linked(own, bare)
            for lease, endpoint in self._table.on(own.asked.network_id):
                if lease.holder == linked or bare in _names(lease, endpoint):
                    found += _addresses_of(endpoint)
        return found or None

    def _linked(self, own: Endpoint, alias: str) -> str | None:
        for link in own.asked.links:
            name, known_as = endpoints.split_link(link)
            if known_as.lower() == alias:
                return self._find(name)
        return None

    def _name(self, asking: NetworkLease, address: IPv4Address) -> str | None:
        for own in asking.endpoints:
            if own.asked.network != BRIDGE:
                lease = self._table.at(own.asked.network_id, str(address))
                if lease is not None:
                    return f"{lease.request.name}.{own.asked.network}"
        return None


def _names(lease: NetworkLease, endpoint: Endpoint) -> set[str]:
    request, aliases = lease.request, endpoint.asked.aliases
    found = endpoints.own_names(request.holder, request.name, request.hostname, aliases)
    return {name.lower() for name in found}


def _addresses_of(endpoint: Endpoint) -> Iterator[Address]:
    yield IPv4Address(endpoint.address)
    if endpoint.address6:
        yield IPv6Address(endpoint.address6)

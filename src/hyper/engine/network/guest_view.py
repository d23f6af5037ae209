"""Guest configurations, made from leases as these are now."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Interface

from hyper.engine.network.lease_table import LeaseTable
from hyper.ids import short_id
from hyper.network.driver import GuestLink, NetworkDriver
from hyper.network.guest_config import GuestConfig, interface
from hyper.network.lease import Endpoint, NetworkLease, primary, primary6
from hyper.network.spec import BRIDGE
from hyper.proto.message import Interface
from hyper.system import resolv_conf


class GuestView:
    """The guests' view of networks: interfaces, routes, name servers, and lines of /etc/hosts."""

    def __init__(self, table: LeaseTable, driver: NetworkDriver) -> None:
        self._table = table
        self._driver = driver

    def config(self, lease: NetworkLease) -> GuestConfig:
        """The guest configuration for a lease."""
        main = primary(lease.endpoints)
        links = [self._link(endpoint) for endpoint in lease.endpoints]
        return GuestConfig(
            interfaces=tuple(self.interface(lease, item) for item in lease.endpoints),
            addresses=tuple(_addresses(lease)),
            gateway=main.gateway if main else "",
            nameservers=self._nameservers(lease),
            known=tuple(self._known(lease)),
            lookup=resolv_conf.lookup(),
            embedded=any(link.names for link in links),
        )

    def interface(self, lease: NetworkLease, endpoint: Endpoint) -> Interface:
        """The interface for an endpoint of the lease, as the agent sets it."""
        routed = endpoint == primary(lease.endpoints)
        routed6 = endpoint == primary6(lease.endpoints)
        also = IPv6Interface((endpoint.address6, endpoint.prefix6)) if endpoint.address6 else None
        return interface(
            endpoint.mac,
            IPv4Address(endpoint.address),
            endpoint.prefix,
            gateway=IPv4Address(endpoint.gateway) if routed else None,
            mtu=self._link(endpoint).mtu,
            also=also,
            gateway6=IPv6Address(endpoint.gateway6) if routed6 else None,
        )

    def default_routes(self, lease: NetworkLease) -> list[Interface]:
        """The interfaces whose default routes count now: one, or another one for IPv6."""
        mains = (primary(lease.endpoints), primary6(lease.endpoints))
        return [self.interface(lease, item) for item in lease.endpoints if item in mains]

    def address_of(self, lease: NetworkLease, other: str) -> str:
        """The address at which the lease's holder reaches ``other`` on the default network; "": it does not."""
        own, theirs = self._on_default(lease), self._table.get(other)
        if own is None or theirs is None:
            return ""
        there = theirs.on(own.asked.network_id)
        return "" if there is None else there.address

    def has_neighbours(self, lease: NetworkLease) -> bool:
        """Whether the lease's holder is on the default network and reaches others there."""
        return self._on_default(lease) is not None

    def _on_default(self, lease: NetworkLease) -> Endpoint | None:
        on = (item for item in lease.endpoints if item.asked.network == BRIDGE)
        return next((item for item in on if self._link(item).neighbours), None)

    def _link(self, endpoint: Endpoint) -> GuestLink:
        return self._driver.link(endpoint.asked.network_id)

    def _nameservers(self, lease: NetworkLease) -> tuple[str, ...]:
        """The name servers of the network that leads out, else of the first; those asked for where it has no names."""
        first = primary(lease.endpoints) or next(iter(lease.endpoints), None)
        if lease.request.dns and not any(self._link(it).names for it in lease.endpoints):
            return lease.request.dns
        return () if first is None else (self._link(first).nameserver,)

    def _known(self, lease: NetworkLease) -> Iterator[tuple[str, str]]:
        """The links of the default network, which are lines of /etc/hosts: (address, names)."""
        for alias, other in lease.request.links.items():
            address, theirs = self.address_of(lease, other), self._table.get(other)
            if address and theirs is not None:
                hostname = theirs.request.hostname or short_id(other)
                yield address, " ".join(dict.fromkeys([alias, hostname, theirs.request.name]))


def _addresses(lease: NetworkLease) -> Iterator[str]:
    for endpoint in lease.endpoints:
        yield endpoint.address
        if endpoint.address6:
            yield endpoint.address6

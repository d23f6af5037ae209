"""The table of leases that are held or being acquired: whose addresses and names they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hyper.network.lease import Endpoint, LeaseRequest, NetworkLease


class LeaseTable:
    """The leases by holder, and their endpoints by network."""

    def __init__(self) -> None:
        self._leases: dict[str, NetworkLease] = {}
        self._on: dict[str, dict[str, Endpoint]] = {}
        #: Who is to be on a network, or is: while its lease is being acquired, too.
        self._wanted: dict[str, dict[str, LeaseRequest]] = {}

    def begin(self, request: LeaseRequest) -> None:
        """The lease that ``request`` asks for is being acquired: its networks are in use from now on."""
        for asked in request.endpoints:
            self._wanted.setdefault(asked.network_id, {})[request.holder] = request

    def put(self, lease: NetworkLease) -> None:
        """The lease is held, in place of one that its holder had."""
        self.drop(lease.holder)
        self.begin(lease.request)
        self._leases[lease.holder] = replace(lease, cards=(), connected=None)
        for endpoint in lease.endpoints:
            network_id = endpoint.asked.network_id
            self._on.setdefault(network_id, {})[lease.holder] = endpoint
            self._wanted.setdefault(network_id, {})[lease.holder] = lease.request

    def drop(self, holder: str) -> NetworkLease | None:
        """The holder has no lease and wants none. Returned: the lease that it had."""
        for table in (self._on, self._wanted):
            for network_id in [key for key, on in table.items() if on.pop(holder, None) and not on]:
                del table[network_id]
        return self._leases.pop(holder, None)

    def get(self, holder: str) -> NetworkLease | None:
        """The lease of a holder; None: it has none."""
        return self._leases.get(holder)

    def on(self, network_id: str) -> Iterator[tuple[NetworkLease, Endpoint]]:
        """The leases that are on a network, each with its endpoint there."""
        for holder, endpoint in self._on.get(network_id, {}).items():
            yield self._leases[holder], endpoint

    def at(self, network_id: str, address: str) -> NetworkLease | None:
        """The lease that has an address on a network; None: nobody has it."""
        for lease, endpoint in self.on(network_id):
            if endpoint.address == address:
                return lease
        return None

    def names_on(self, network_id: str) -> list[str]:
        """The names of holders that are on a network, or about to be."""
        return [request.name for request in self._wanted.get(network_id, {}).values()]

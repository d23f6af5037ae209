"""The table of leases that are held or being acquired: whose addresses and names they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hyper.network.lease import Endpoint, LeaseRequest, NetworkLease


class LeaseTable:
    """The leases by holder, and holders by network."""

    def __init__(self) -> None:
        self._leases: dict[str, NetworkLease] = {}
        #: What is asked for, by holder: from before the lease is had until it is released.
        self._requests: dict[str, LeaseRequest] = {}
        #: Holders that are on a network, or about to be, in the order in which they came.
        self._on: dict[str, dict[str, None]] = {}

    def begin(self, request: LeaseRequest) -> None:
        """The lease that ``request`` asks for is being acquired: its networks are in use from now on."""
        self._requests[request.holder] = request
        for asked in request.endpoints:
            self._on.setdefault(asked.network_id, {})[request.holder] = None

    def put(self, lease: NetworkLease) -> None:
        """The lease is held, in place of one that its holder had."""
        self.drop(lease.holder)
        self.begin(lease.request)
        self._leases[lease.holder] = replace(lease, cards=(), connected=None)

    def drop(self, holder: str) -> NetworkLease | None:
        """The holder has no lease and wants none. Returned: the lease that it had."""
        request = self._requests.pop(holder, None)
        for asked in () if request is None else request.endpoints:
            on = self._on.get(asked.network_id, {})
            on.pop(holder, None)
            if not on:
                self._on.pop(asked.network_id, None)
        return self._leases.pop(holder, None)

    def get(self, holder: str) -> NetworkLease | None:
        """The lease of a holder; None: it has none."""
        return self._leases.get(holder)

    def on(self, network_id: str) -> Iterator[tuple[NetworkLease, Endpoint]]:
        """The leases that are on a network, each with its endpoint there."""
        for holder in self._on.get(network_id, ()):
            lease = self._leases.get(holder)
            endpoint = None if lease is None else lease.on(network_id)
            if lease is not None and endpoint is not None:
                yield lease, endpoint

    def at(self, network_id: str, address: str) -> NetworkLease | None:
        """The lease that has an address on a network; None: nobody has it."""
        for lease, endpoint in self.on(network_id):
            if endpoint.address == address:
                return lease
        return None

    def names_on(self, network_id: str) -> list[str]:
        """The names of holders that are on a network, or about to be."""
        return [self._requests[holder].name for holder in self._on.get(network_id, ())]

"""Leases of holders on this daemon's networks: acquired at a start, changed while a machine runs, released at its end.

What a holder is does not matter here: see network/lease.py. Containers come by container_networks.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace

from hyper.engine.network.lease_table import LeaseTable
from hyper.engine.network.networks import Networks
from hyper.engine.record.network import NetworkRecord
from hyper.network.driver import NetworkDriver
from hyper.network.lease import Endpoint, EndpointRequest, LeaseRequest, NetworkLease


class Leases:
    """The leases of this daemon, by its network driver. ``open`` before use, ``close`` at the end.

    The driver says what a lease is; here it gets its networks, its entry in ``table``, and its events.
    """

    def __init__(self, networks: Networks, driver: NetworkDriver, table: LeaseTable) -> None:
        self._networks = networks
        self._driver = driver
        self._table = table

    async def open(self, leases: Collection[NetworkLease]) -> None:
        """The leases of an earlier daemon, whose machines may run, are held; the host has nothing of others'.

        Raises:
            HyperError: the host refuses; then it has nothing that this call made.
        """
        for lease in leases:
            self._table.put(lease)
        await self._driver.open(self._networks.specs(), leases)

    async def close(self) -> None:
        """The host has nothing of these networks any more, unless machines go on."""
        await self._driver.close()

    async def settled(self) -> None:
        """All leases that holders have released are gone from the host, too."""
        await self._driver.settled()

    def get(self, holder: str) -> NetworkLease | None:
        """The lease of a holder; None: it has none."""
        return self._table.get(holder)

    def users(self, network_id: str) -> list[tuple[LeaseRequest, Endpoint]]:
        """The holders on a network, each with its endpoint there."""
        return [(lease.request, endpoint) for lease, endpoint in self._table.on(network_id)]

    async def remove_network(self, network: NetworkRecord) -> None:
        """The network is gone, its name server too.

        Raises:
            Forbidden: the network is in use, or one that every daemon has.
        """
        await self._networks.remove(network, users=self._table.names_on(network.id))

    @asynccontextmanager
    async def acquire(
        self, request: LeaseRequest, *, spare: str | None = None
    ) -> AsyncIterator[NetworkLease]:
        """The lease that ``request`` asks for; the body launches the machine. See ``NetworkDriver.acquire``.

        Its networks come up first. After the body events tell of it. Fails, is cancelled, also in the body: released.

        Raises:
            NotFound: a network is gone.
            As the driver's.
        """
        self._table.begin(request)
        try:
            for endpoint in request.endpoints:
                await self._networks.ensure(endpoint.network_id)
            async with self._driver.acquire(request, spare=spare) as lease:
                self._table.put(lease)
                yield lease
        except BaseException:
            self._table.drop(request.holder)
            raise
        for made in lease.endpoints:
            self._publish("connect", request.holder, made)

    def release(self, holder: str) -> None:
        """The holder's lease is released: its machine is gone. Repeatable. See ``NetworkDriver.release``."""
        lease = self._table.drop(holder)
        self._driver.release(holder)
        for endpoint in () if lease is None else lease.endpoints:
            self._publish("disconnect", holder, endpoint)

    def unpublish(self, holder: str) -> None:
        """The holder's ports of the host are free: its program has ended. See ``NetworkDriver.unpublish``."""
        self._driver.unpublish(holder)

    def rename(self, request: LeaseRequest) -> None:
        """The holder's lease, if it has one, goes by the names and links that ``request`` has now."""
        lease = self._table.get(request.holder)
        if lease is not None:
            self._table.put(replace(lease, request=request))

    async def connect(self, holder: str, request: EndpointRequest) -> Endpoint:
        """The holder, whose machine runs, is on one more network, and an event tells of it.

        The guest knows nothing of it yet. See ``NetworkDriver.connect``.

        Raises:
            NotFound: the network is gone.
            As the driver's.
        """
        await self._networks.ensure(request.network_id)
        made = await self._driver.connect(holder, request)
        lease = self._table.get(holder)
        if lease is not None:
            self._table.put(_with_endpoints(lease, (*lease.endpoints, made)))
        self._publish("connect", holder, made)
        return made

    async def disconnect(self, holder: str, network_id: str) -> None:
        """The holder's machine does not reach the network any more, and an event tells of it.

        See ``NetworkDriver.disconnect``.

        Raises:
            As the driver's.
        """
        lease = self._table.get(holder)
        gone = None if lease is None else lease.on(network_id)
        if lease is not None and gone is not None:
            left = tuple(item for item in lease.endpoints if item is not gone)
            self._table.put(_with_endpoints(lease, left))
        await self._driver.disconnect(holder, network_id)
        if gone is not None:
            self._publish("disconnect", holder, gone)

    def _publish(self, action: str, holder: str, endpoint: Endpoint) -> None:
        network = self._networks.find(endpoint.asked.network_id)
        if network is not None:
            self._networks.publish(action, network, container=holder)


def _with_endpoints(lease: NetworkLease, endpoints: tuple[Endpoint, ...]) -> NetworkLease:
    asked = tuple(item.asked for item in endpoints)
    return replace(lease, endpoints=endpoints, request=replace(lease.request, endpoints=asked))

"""Networks of containers: leases asked for by their records, and kept in them.

The one place that knows both: what is asked for and held (network/lease.py) has no word of containers'.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hyper.engine.network.guest_view import GuestView
from hyper.engine.network.leases import Leases
from hyper.engine.network.networks import Networks
from hyper.engine.network.nics import nic_of
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.network import EndpointRecord
from hyper.engine.record.state import LIVE
from hyper.engine.spec import endpoints, links, pod_network
from hyper.engine.spec.links import Find
from hyper.machine.spec import Nic
from hyper.network.guest_config import GuestConfig
from hyper.network.lease import Endpoint, EndpointRequest, LeaseRequest, NetworkLease
from hyper.proto.message import Interface


@dataclass(frozen=True, slots=True)
class MachineNetwork:
    """The network of a machine that is being launched: its cards, and what the guest is told; by default none."""

    nics: tuple[Nic, ...] = ()
    guest: GuestConfig | None = None
    #: Done when the host's side is: before that nothing is to be run that counts on its network.
    connected: asyncio.Future[None] | None = None


def request_of(record: ContainerRecord) -> LeaseRequest:
    """The lease that a container asks for, whose networks are known."""
    wish = record.spec.network
    return LeaseRequest(
        holder=record.id,
        name=record.name,
        hostname=record.spec.hostname,
        endpoints=tuple(map(_asked, record.endpoints)),
        ports=wish.ports,
        dns=wish.dns,
        links=dict(record.links),
        white_lists=pod_network.white_lists(record.pod),
        services=pod_network.services(record.pod),
        asks_for_host=wish.asks_for_host,
    )


class ContainerNetworks:
    """The leases of containers. ``find``: the record of a container of this daemon by its name or id."""

    def __init__(self, networks: Networks, leases: Leases, view: GuestView, *, find: Find) -> None:
        self._networks = networks
        self._leases = leases
        self._view = view
        self._find = find

    async def open(self, records: Iterable[ContainerRecord]) -> None:
        """The leases of ``records``, whose machines may run, are as they were; the host has nothing of others'.

        Raises:
            HyperError: the host refuses.
        """
        await self._leases.open([_kept(record) for record in records if _holds(record)])

    @asynccontextmanager
    async def acquire(
        self, record: ContainerRecord, *, spare: str | None = None
    ) -> AsyncIterator[MachineNetwork]:
        """The network that ``record`` asks for; the body launches its machine. The record has its lease's addresses.

        ``spare``: the id of the card that the machine has already. Fails, is cancelled, also in the body: released.

        Raises:
            NotFound: a network is gone.
            Conflict: an address or a port is in use, services cannot be had there, or a linked container does not run.
            Forbidden: the container asks for what takes bridged networks.
            HyperError: the host refuses.
        """
        if not record.spec.network.own:
            yield MachineNetwork()
            return
        for endpoint in record.endpoints:
            endpoints.settle(endpoint, self._networks.get)
        try:
            async with self._leases.acquire(request_of(record), spare=spare) as lease:
                _keep(record, lease)
                record.link_variables = self._link_variables(record, lease)
                guest = self._view.config(lease)
                yield MachineNetwork(tuple(map(nic_of, lease.cards)), guest, lease.connected)
        except BaseException:
            _forget(record)
            raise

    def release(self, record: ContainerRecord) -> None:
        """The container's lease is released: its machine is gone. Repeatable."""
        self._leases.release(record.id)
        _forget(record)

    def unpublish(self, record: ContainerRecord) -> None:
        """The container's ports of the host are free: its program has ended."""
        self._leases.unpublish(record.id)

    def rename(self, record: ContainerRecord) -> None:
        """The container's lease, if it has one, goes by the record's name and links."""
        self._leases.rename(request_of(record))

    # A container that runs

    async def connect(self, record: ContainerRecord, endpoint: EndpointRecord) -> None:
        """A running container's machine is on one more network, its record too; the guest knows nothing of it yet.

        Raises:
            Conflict: the address is in use, or in the way of the pod's services.
            HyperError: the host refuses; then nothing has changed.
        """
        _fill_in(endpoint, await self._leases.connect(record.id, _asked(endpoint)))
        record.endpoints.append(endpoint)

    async def disconnect(self, record: ContainerRecord, endpoint: EndpointRecord) -> None:
        """A running container's machine does not reach the network any more; its record says so.

        Raises:
            HyperError: the host refuses; rules may be left.
        """
        if endpoint in record.endpoints:
            record.endpoints.remove(endpoint)
        await self._leases.disconnect(record.id, endpoint.network_id)

    # What the guest is told

    def guest_config(self, record: ContainerRecord) -> GuestConfig | None:
        """The guest configuration of a running container; None: it is on no network."""
        lease = self._leases.get(record.id)
        return None if lease is None else self._view.config(lease)

    def interfaces_on(self, record: ContainerRecord, network_id: str) -> list[Interface]:
        """The interfaces of a running container on a network, as the agent sets them: one, or none."""
        lease = self._leases.get(record.id)
        endpoint = None if lease is None else lease.on(network_id)
        if lease is None or endpoint is None:
            return []
        return [self._view.interface(lease, endpoint)]

    def default_routes(self, record: ContainerRecord) -> list[Interface]:
        """The interfaces of a running container whose default routes count now."""
        lease = self._leases.get(record.id)
        return [] if lease is None else self._view.default_routes(lease)

    def shown_links(self, record: ContainerRecord) -> list[str] | None:
        """The container's links of the default network as inspect says them."""
        return links.shown(record, self._find)

    def _link_variables(self, record: ContainerRecord, lease: NetworkLease) -> list[str]:
        if not self._view.has_neighbours(lease):
            return []
        return links.variables(
            record, self._find, lambda other: self._view.address_of(lease, other.id)
        )


def endpoint_on(record: ContainerRecord, network_id: str) -> EndpointRecord | None:
    """The container's endpoint on a network; None: it has none there."""
    return next((item for item in record.endpoints if item.network_id == network_id), None)


def _asked(endpoint: EndpointRecord) -> EndpointRequest:
    return EndpointRequest(
        network_id=endpoint.network_id,
        network=endpoint.network,
        aliases=tuple(endpoint.aliases),
        links=tuple(endpoint.links),
        address=endpoint.wanted_address,
        address6=endpoint.wanted_address6,
        mac=endpoint.wanted_mac,
        last_address=endpoint.address,
        last_address6=endpoint.address6,
    )


def _holds(record: ContainerRecord) -> bool:
    """Whether the container may have a lease. A machine booted for a look at files is on no network."""
    if not record.spec.network.own:
        return False
    return record.status in LIVE or any(endpoint.id for endpoint in record.endpoints)


def _kept(record: ContainerRecord) -> NetworkLease:
    """The lease that the record was kept with."""
    request = request_of(record)
    made = (
        _endpoint(endpoint, asked)
        for endpoint, asked in zip(record.endpoints, request.endpoints, strict=True)
        if endpoint.id
    )
    return NetworkLease(request, tuple(made), tuple(record.ports))


def _endpoint(endpoint: EndpointRecord, asked: EndpointRequest) -> Endpoint:
    return Endpoint(
        asked=asked,
        id=endpoint.id,
        address=endpoint.address,
        prefix=endpoint.prefix,
        mac=endpoint.mac,
        gateway=endpoint.gateway,
        address6=endpoint.address6,
        prefix6=endpoint.prefix6,
        gateway6=endpoint.gateway6,
        direct=endpoint.direct,
    )


def _keep(record: ContainerRecord, lease: NetworkLease) -> None:
    """The record has the addresses and ports of its lease."""
    record.ports = list(lease.ports)
    for endpoint in record.endpoints:
        made = lease.on(endpoint.network_id)
        if made is not None:
            _fill_in(endpoint, made)


def _fill_in(endpoint: EndpointRecord, made: Endpoint) -> None:
    endpoint.id, endpoint.network, endpoint.direct = made.id, made.asked.network, made.direct
    endpoint.address, endpoint.prefix, endpoint.mac = made.address, made.prefix, made.mac
    endpoint.address6, endpoint.prefix6 = made.address6, made.prefix6
    endpoint.gateway, endpoint.gateway6 = made.gateway, made.gateway6


def _forget(record: ContainerRecord) -> None:
    """The record has no lease. It keeps its addresses, which the next lease has if they are free then."""
    for endpoint in record.endpoints:
        endpoint.id = ""

"""Leases that are kept in records, so that a later daemon finds them again, and what machines are told of them.

A record is of whatever holds a lease: a container; later a sandbox, or a member of one. Its request is made elsewhere
(container_networks.py), since only there is known where in the record stands what is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from hyper.engine.network.guest_view import GuestView
from hyper.engine.network.leases import Leases
from hyper.engine.network.networks import Networks
from hyper.engine.network.nics import nic_of
from hyper.engine.record.network import EndpointRecord
from hyper.engine.spec import endpoints
from hyper.machine.spec import Nic
from hyper.network.guest_config import GuestConfig
from hyper.network.lease import Endpoint, EndpointRequest, LeaseRequest, NetworkLease
from hyper.network.port import PublishedPort
from hyper.proto.message import Interface


class LeaseRecord(Protocol):
    """A record that keeps a lease: what its holder asks of networks, and what it has, or had last."""

    id: str
    endpoints: list[EndpointRecord]
    ports: list[PublishedPort]


@dataclass(frozen=True, slots=True)
class MachineNetwork:
    """The network of a machine that is being launched: its cards, and what the guest is told; by default none."""

    nics: tuple[Nic, ...] = ()
    guest: GuestConfig | None = None
    #: Done when the host's side is: before that nothing is to be run that counts on its network.
    connected: asyncio.Future[None] | None = None


class RecordedLeases:
    """The leases of this daemon's holders, each in its record."""

    def __init__(self, networks: Networks, leases: Leases, view: GuestView) -> None:
        self._networks = networks
        self._leases = leases
        self._view = view

    async def open_kept(self, kept: Iterable[tuple[LeaseRecord, LeaseRequest]]) -> None:
        """The leases kept in these records, whose machines may run, are held; the host has nothing of others'.

        Raises:
            HyperError: the host refuses.
        """
        await self._leases.open([_kept(record, request) for record, request in kept])

    def settle(self, record: LeaseRecord) -> None:
        """The networks that the record asks for are known, those that were not there when they were asked for too.

        Raises:
            NotFound: one is not there (Docker's words).
            InvalidRequest: what is asked makes no sense there.
        """
        for endpoint in record.endpoints:
            endpoints.settle(endpoint, self._networks.get)

    @asynccontextmanager
    async def acquire_for(
        self, record: LeaseRecord, request: LeaseRequest, *, spare: str | None = None
    ) -> AsyncIterator[tuple[MachineNetwork, NetworkLease]]:
        """The lease that ``request`` asks for, which the record has; the body launches its machine.

        ``spare``: the id of the card that the machine has already. Fails, is cancelled, also in the body: released.

        Raises:
            As ``Leases.acquire``.
        """
        try:
            async with self._leases.acquire(request, spare=spare) as lease:
                _keep(record, lease)
                guest = self._view.config(lease)
                nics = tuple(map(nic_of, lease.cards))
                yield MachineNetwork(nics, guest, lease.connected), lease
        except BaseException:
            _forget(record)
            raise

    def release(self, record: LeaseRecord) -> None:
        """The record's lease is released: the machine is gone. Repeatable."""
        self._leases.release(record.id)
        _forget(record)

    def unpublish(self, record: LeaseRecord) -> None:
        """The record's ports of the host are free: the program that they led to has ended."""
        self._leases.unpublish(record.id)

    # While the machine runs

    async def connect(self, record: LeaseRecord, endpoint: EndpointRecord) -> None:
        """The machine is on one more network, the record too; the guest knows nothing of it yet.

        Raises:
            Conflict: the address is in use, or in the way of services.
            HyperError: the host refuses; then nothing has changed.
        """
        _fill_in(endpoint, await self._leases.connect(record.id, asked(endpoint)))
        record.endpoints.append(endpoint)

    async def disconnect(self, record: LeaseRecord, endpoint: EndpointRecord) -> None:
        """The machine does not reach the network any more; the record says so.

        Raises:
            HyperError: the host refuses; rules may be left.
        """
        if endpoint in record.endpoints:
            record.endpoints.remove(endpoint)
        await self._leases.disconnect(record.id, endpoint.network_id)

    def guest_config(self, record: LeaseRecord) -> GuestConfig | None:
        """The guest configuration of a machine that runs; None: it is on no network."""
        lease = self._leases.get(record.id)
        return None if lease is None else self._view.config(lease)

    def interfaces_on(self, record: LeaseRecord, network_id: str) -> list[Interface]:
        """The interfaces of a machine that runs on a network, as the agent sets them: one, or none."""
        lease = self._leases.get(record.id)
        endpoint = None if lease is None else lease.on(network_id)
        if lease is None or endpoint is None:
            return []
        return [self._view.interface(lease, endpoint)]

    def default_routes(self, record: LeaseRecord) -> list[Interface]:
        """The interfaces of a machine that runs whose default routes count now."""
        lease = self._leases.get(record.id)
        return [] if lease is None else self._view.default_routes(lease)


def asked(endpoint: EndpointRecord) -> EndpointRequest:
    """The request that an endpoint's record is of."""
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


def endpoint_on(record: LeaseRecord, network_id: str) -> EndpointRecord | None:
    """The record's endpoint on a network; None: it has none there."""
    return next((item for item in record.endpoints if item.network_id == network_id), None)


def _kept(record: LeaseRecord, request: LeaseRequest) -> NetworkLease:
    """The lease that the record was kept with."""
    made = (
        _endpoint(endpoint, of)
        for endpoint, of in zip(record.endpoints, request.endpoints, strict=True)
        if endpoint.id
    )
    return NetworkLease(request, tuple(made), tuple(record.ports))


def _endpoint(endpoint: EndpointRecord, of: EndpointRequest) -> Endpoint:
    return Endpoint(
        asked=of,
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


def _keep(record: LeaseRecord, lease: NetworkLease) -> None:
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


def _forget(record: LeaseRecord) -> None:
    """The record has no lease. It keeps its addresses, which the next lease has if they are free then."""
    for endpoint in record.endpoints:
        endpoint.id = ""

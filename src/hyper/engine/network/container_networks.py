"""Networks of containers and pods: the leases that their records ask for. The one place that knows both.

What is asked for and held (network/lease.py) has no word of containers'; a lease in a record: recorded_leases.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from hyper.engine.network.guest_view import GuestView
from hyper.engine.network.leases import Leases
from hyper.engine.network.networks import Networks
from hyper.engine.network.recorded_leases import MachineNetwork, RecordedLeases, asked
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.lead import Lead
from hyper.engine.record.pod import PodRecord
from hyper.engine.record.state import LIVE
from hyper.engine.spec import links, pod_network
from hyper.engine.spec.links import Find
from hyper.network.lease import LeaseRequest, NetworkLease


def request_of(record: Lead) -> LeaseRequest:
    """The lease that a container or pod asks for, whose networks are known."""
    wish = record.spec.network
    pod = record if isinstance(record, PodRecord) else None
    return LeaseRequest(
        holder=record.id,
        name=record.name,
        hostname=record.spec.hostname,
        endpoints=tuple(map(asked, record.endpoints)),
        ports=wish.ports,
        dns=wish.dns,
        links=dict(record.links),
        white_lists=pod_network.white_lists(None if pod is None else pod.white_lists),
        services=pod_network.services(() if pod is None else pod.services),
        asks_for_host=wish.asks_for_host,
    )


class ContainerNetworks(RecordedLeases):
    """The leases of containers and pods. ``find``: the record of a container of this daemon by its name or id."""

    def __init__(self, networks: Networks, leases: Leases, view: GuestView, *, find: Find) -> None:
        super().__init__(networks, leases, view)
        self._find = find

    async def open(self, records: Iterable[Lead]) -> None:
        """The leases of ``records``, whose machines may run, are as they were; the host has nothing of others'.

        Raises:
            HyperError: the host refuses.
        """
        await self.open_kept((record, request_of(record)) for record in records if _holds(record))

    @asynccontextmanager
    async def acquire(
        self, record: Lead, *, spare: str | None = None
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
        self.settle(record)
        async with self.acquire_for(record, request_of(record), spare=spare) as (network, lease):
            if isinstance(record, ContainerRecord):
                record.link_variables = self._link_variables(record, lease)
            yield network

    def rename(self, record: ContainerRecord) -> None:
        """The container's lease, if it has one, goes by the record's name and links."""
        self._leases.rename(request_of(record))

    def shown_links(self, record: ContainerRecord) -> list[str] | None:
        """The container's links of the default network as inspect says them."""
        return links.shown(record, self._find)

    def _link_variables(self, record: ContainerRecord, lease: NetworkLease) -> list[str]:
        if not self._view.has_neighbours(lease):
            return []
        return links.variables(
            record, self._find, lambda other: self._view.address_of(lease, other.id)
        )


def _holds(record: Lead) -> bool:
    """Whether the container or pod, which has a sandbox of its own, has a lease."""
    if not record.spec.network.own:
        return False
    return record.status in LIVE or any(endpoint.id for endpoint in record.endpoints)

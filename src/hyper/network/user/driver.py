"""The network driver of user-mode networks: each machine is on one of its own, which its hypervisor makes.

It needs no privilege. Machines reach whatever their host reaches and are reached by published ports alone; not each
other, nor are there names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Final, NoReturn

from hyper.addresses import parse_network
from hyper.errors import Forbidden
from hyper.ids import new_id
from hyper.network import host_ports
from hyper.network.card import USER, Card, Forward, UserCard, mac_of_id
from hyper.network.driver import GuestLink
from hyper.network.lease import (
    Endpoint,
    EndpointRequest,
    LeaseRequest,
    NetworkLease,
    Service,
    WhiteLists,
)
from hyper.network.port import PublishedPort
from hyper.network.spec import NetworkSpec
from hyper.network.user.addresses import DNS, GATEWAY, GUEST, MTU, NETWORK
from hyper.system import nft

_HINT: Final = "bridged networks need a hyperd that runs as root, and /dev/net/tun"
_POLICY_HINT: Final = "it takes a hyperd that runs as root, and /dev/net/tun"
_EVERYWHERE: Final = parse_network("0.0.0.0/0")
_LINK: Final = GuestLink(MTU, str(DNS), names=False, neighbours=False)


class UserDriver:
    """The network driver of user-mode networks. ``why``: why there are no others.

    ``uids``: the users that machines run as, when the daemon is root. Hypervisors send from the host's own network
    then, so a wall (``table``) stands between these users and services on the host's loopback, as long as they run.
    """

    card = USER

    def __init__(self, why: str, *, uids: range | None = None, table: str = nft.TABLE) -> None:
        self.why = why
        self._uids = uids
        self._table = table
        self._networks: dict[str, NetworkSpec] = {}
        self._holders: set[str] = set()
        self._open = False

    async def open(
        self, networks: Collection[NetworkSpec], leases: Collection[NetworkLease]
    ) -> None:
        """The wall stands. See ``NetworkDriver.open``."""
        self._networks = {spec.id: spec for spec in networks}
        self._holders = {lease.holder for lease in leases}
        self._open = True
        if self._uids is not None:
            first, count = self._uids.start, len(self._uids)
            await nft.ensure_loopback_wall(first_uid=first, count=count, table=self._table)

    async def close(self) -> None:
        """The wall is gone, unless leases are held. See ``NetworkDriver.close``."""
        if self._open and self._uids is not None and not self._holders:
            await nft.remove_loopback_wall(table=self._table)
        self._open = False

    async def settled(self) -> None:
        """Nothing has to be waited for: see ``NetworkDriver.settled``."""

    async def shortcomings(self) -> list[str]:
        """The lack of networks, with its reason, and of a wall. See ``NetworkDriver.shortcomings``."""
        loopback = f"containers reach what listens on this host's loopback, at {GATEWAY}"
        open_ = [] if self._uids is not None else [f"hyperd is not root: {loopback}"]
        lack = "containers reach each other neither by name nor by address"
        return [*open_, f"{self.why}: no networks but user networking: {lack}"]

    # Networks

    def require_networks(self, what: str) -> NoReturn:
        """A refusal of what takes networks. See ``NetworkDriver.require_networks``."""
        raise Forbidden(f"{what}: {self.why}", hint=_HINT)

    async def create(self, spec: NetworkSpec) -> tuple[NetworkSpec, str]:
        """A refusal. See ``NetworkDriver.create``."""
        self.require_networks("cannot create a network")

    async def ensure(self, network_id: str) -> NetworkSpec:
        """The network as it is: there is nothing to make. See ``NetworkDriver.ensure``."""
        return self._networks[network_id]

    async def remove(self, network_id: str) -> None:
        """The network, which was made when there were bridges, is forgotten. See ``NetworkDriver.remove``."""
        self._networks.pop(network_id, None)

    def link(self, network_id: str) -> GuestLink:
        """The hypervisor's network, whichever was asked for. See ``NetworkDriver.link``."""
        return _LINK

    # Leases

    def check_policy(self, white_lists: WhiteLists | None, services: Sequence[Service]) -> None:
        """A refusal of white lists that keep callers out, and of services. See ``NetworkDriver.check_policy``.

        No white list tells callers apart here, and no service leads connections elsewhere. A list of everywhere lets
        whoever comes to published ports in: there is no other way in.
        """
        if services:
            raise Forbidden(f"services cannot be had: {self.why}", hint=_POLICY_HINT)
        if white_lists is None or _EVERYWHERE in (*white_lists.internal, *white_lists.external):
            return
        hint = f"{_POLICY_HINT}; or publish on an address, HostIp"
        raise Forbidden(f"white lists cannot be had: {self.why}", hint=hint)

    @asynccontextmanager
    async def acquire(
        self, request: LeaseRequest, *, spare: str | None = None
    ) -> AsyncIterator[NetworkLease]:
        """The lease: the hypervisor's network, and ports that its machine takes. See ``NetworkDriver.acquire``.

        Ports are free when the lease is made; the machine takes them when it starts. There is one network, so the
        lease has an endpoint for the first that is asked for, and none for others.
        """
        self.check_policy(request.white_lists, request.services)
        ports = tuple(host_ports.allocate(request.ports))
        mac = mac_of_id(request.holder)
        card = UserCard(mac, str(NETWORK), tuple(map(_forward, ports)))
        endpoints = tuple(_endpoint(asked, mac) for asked in request.endpoints[:1])
        self._holders.add(request.holder)
        try:
            yield NetworkLease(request, endpoints, ports, (card,))
        except BaseException:
            self.release(request.holder)
            raise

    def release(self, holder: str) -> None:
        """The lease is forgotten: its ports went with its machine. See ``NetworkDriver.release``."""
        self._holders.discard(holder)

    def unpublish(self, holder: str) -> None:
        """Ports are the hypervisor's until it ends. See ``NetworkDriver.unpublish``."""

    async def connect(self, holder: str, request: EndpointRequest) -> Endpoint:
        """A refusal. See ``NetworkDriver.connect``."""
        self.require_networks(f"cannot connect to network {request.network}")

    async def disconnect(self, holder: str, network_id: str) -> None:
        """A refusal. See ``NetworkDriver.disconnect``."""
        network = self._networks.get(network_id)
        name = network_id if network is None else network.name
        self.require_networks(f"cannot leave network {name}")

    # Cards before their holder is known

    def spare_kind(self, request: LeaseRequest) -> str | None:
        """A card without forwards, which are made with the machine. See ``NetworkDriver.spare_kind``."""
        return None if request.ports else USER

    @asynccontextmanager
    async def spare(self, id: str) -> AsyncIterator[Card]:
        """A card with a hardware address that the guest changes. See ``NetworkDriver.spare``."""
        yield UserCard(mac_of_id(id), str(NETWORK))


def _forward(port: PublishedPort) -> Forward:
    return Forward(port.protocol, port.host_address, port.host_port, port.container_port)


def _endpoint(asked: EndpointRequest, mac: str) -> Endpoint:
    return Endpoint(
        asked=asked,
        id=new_id(),
        address=str(GUEST),
        prefix=NETWORK.prefixlen,
        mac=mac,
        gateway=str(GATEWAY),
        direct=True,
    )

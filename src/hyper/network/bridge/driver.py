"""The network driver of bridges: networks are Linux bridges, and each machine has a TAP on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from hyper.errors import Conflict
from hyper.network.bridge import host_routes
from hyper.network.bridge.address_book import AddressBook, check_services
from hyper.network.bridge.fabric import Fabric
from hyper.network.bridge.machine_ports import machine_ports
from hyper.network.bridge.machine_rules import MachinePorts
from hyper.network.bridge.name_servers import NameServers
from hyper.network.bridge.networks import INSIDE6, BridgedNetworks
from hyper.network.bridge.port_holds import PortHolds
from hyper.network.bridge.relay import Target
from hyper.network.bridge.rules import Port
from hyper.network.bridge.segments import HOST_BINDING
from hyper.network.card import TAP, Card, TapCard, mac_of_id
from hyper.network.driver import GuestLink, Spawn
from hyper.network.host_ports import ANYWHERE
from hyper.network.lease import (
    Endpoint,
    EndpointRequest,
    LeaseRequest,
    NetworkLease,
    Service,
    WhiteLists,
    primary,
)
from hyper.network.names import Views
from hyper.network.port import PublishedPort
from hyper.network.spec import BRIDGE, NetworkSpec

_DOCKERD: Final = (
    "a dockerd on this host drops forwarded packets: containers reach nothing but the host. To let them: "
    "iptables -I DOCKER-USER -i {0} -j ACCEPT; iptables -I DOCKER-USER -o {0} -j ACCEPT"
)


class BridgeDriver:
    """The network driver of bridges. ``views`` answers for its name servers; ``spawn`` is for work after a release.

    It decides (addresses, ports, who may reach whom); the fabric does it on the host.
    """

    why = ""
    card = TAP

    def __init__(
        self, fabric: Fabric, networks: BridgedNetworks, *, views: Views, spawn: Spawn
    ) -> None:
        self._fabric = fabric
        self._networks = networks
        self._names = NameServers(views)
        self._spawn = spawn
        self._book = AddressBook()
        self._holds = PortHolds()
        self._leases: dict[str, NetworkLease] = {}
        self._spares: dict[str, TapCard] = {}
        #: The last of the work in the background for each holder.
        self._clearing: dict[str, asyncio.Task[None]] = {}
        self._open = False

    # The daemon's start and end

    async def open(
        self, networks: Collection[NetworkSpec], leases: Collection[NetworkLease]
    ) -> None:
        """Bridges and rules are there that ``leases`` need, and no others. See ``NetworkDriver.open``."""
        self._open = True
        self._networks.open(networks)
        for lease in leases:
            self._leases[lease.holder] = lease
            for endpoint in lease.endpoints:
                self._book.enter(lease.holder, endpoint)
        try:
            await self._open_host()
        except BaseException:
            await self._leave_alone()
            raise

    async def _open_host(self) -> None:
        leases = list(self._leases.values())
        for lease in leases:
            await self._holds.hold_again(lease, self._target_of(lease.holder))
        used = [self._networks.get(it) for it in self._book.networks() if self._networks.knows(it)]
        segments = {spec.id: self._networks.segment(spec) for spec in used}
        await self._fabric.open(list(segments.values()), [self._machine(it) for it in leases])
        for spec in used:
            await self._names.serve(spec, segments[spec.id].bridge)

    async def _leave_alone(self) -> None:
        """This process has no sockets of networks any more; what machines need of the host stays."""
        await self._names.close()
        self._holds.free_all()

    async def close(self) -> None:
        """Bridges and rules are gone if no lease is held. See ``NetworkDriver.close``."""
        await self._leave_alone()
        if self._open and not self._leases:
            await self._fabric.close()
        self._open = False

    async def settled(self) -> None:
        """The host has nothing of released leases. See ``NetworkDriver.settled``."""
        if self._clearing:
            await asyncio.wait(list(self._clearing.values()))

    async def shortcomings(self) -> list[str]:
        """The reasons why packets or names do not reach machines. See ``NetworkDriver.shortcomings``."""
        found = []
        if await host_routes.foreign_obstacle():
            found.append(_DOCKERD.format(self._fabric.pattern))
        if self._fabric.obstacle6:
            found.append(f"{INSIDE6}: {self._fabric.obstacle6}")
        return [*found, *self._names.warnings()]

    # Networks

    def require_networks(self, what: str) -> None:
        """Nothing is refused. See ``NetworkDriver.require_networks``."""

    async def create(self, spec: NetworkSpec) -> tuple[NetworkSpec, str]:
        """The new network has a bridge. See ``NetworkDriver.create``."""
        return await self._networks.create(spec)

    async def ensure(self, network_id: str) -> NetworkSpec:
        """The network has a bridge and a name server. See ``NetworkDriver.ensure``."""
        spec = await self._networks.ensure(network_id)
        if not self._names.serves(network_id):
            await self._names.serve(spec, self._networks.segment(spec).bridge)
        return spec

    async def remove(self, network_id: str) -> None:
        """The network's bridge and name server are gone. See ``NetworkDriver.remove``."""
        await self._names.end(network_id)
        await self._networks.remove(network_id)

    def link(self, network_id: str) -> GuestLink:
        """The bridge as guests see it. See ``NetworkDriver.link``."""
        spec = self._networks.get(network_id)
        mtu = self._networks.segment(spec).mtu
        return GuestLink(mtu, spec.gateway, names=spec.name != BRIDGE, neighbours=True)

    # Leases

    def check_policy(self, white_lists: WhiteLists | None, services: Sequence[Service]) -> None:
        """Nothing is refused. See ``NetworkDriver.check_policy``."""

    @asynccontextmanager
    async def acquire(
        self, request: LeaseRequest, *, spare: str | None = None
    ) -> AsyncIterator[NetworkLease]:
        """The lease: addresses, held ports, and a TAP on bridges. See ``NetworkDriver.acquire``."""
        holder = request.holder
        if holder in self._leases:
            self.release(holder)
        await self._cleared_of(holder)
        self._leases[holder] = NetworkLease(request)
        try:
            for number, asked in enumerate(request.endpoints):
                self._take(holder, asked, direct=number == 0)
            lease = await self._publish(holder)
            card = self._card_of(lease, spare)
            async with _begun(self._fabric.settle(self._machine(lease))) as connected:
                yield replace(lease, cards=(card,), connected=connected)
        except BaseException:
            self.release(holder)
            raise

    def _take(self, holder: str, asked: EndpointRequest, *, direct: bool) -> Endpoint:
        """One more endpoint of the holder's lease, which its services can be had with."""
        spec = self._networks.get(asked.network_id)
        segment = self._networks.segment(spec)
        lease = self._leases[holder]
        made = self._book.take(holder, spec, segment, asked, direct=direct)
        lease = self._leases[holder] = replace(lease, endpoints=(*lease.endpoints, made))
        return made

    def _check_services(self, lease: NetworkLease) -> None:
        if lease.request.services:
            used = [self._networks.get(item.asked.network_id) for item in lease.endpoints]
            check_services(lease.request.services, map(self._networks.segment, used))

    async def _publish(self, holder: str) -> NetworkLease:
        """The holder's lease with the ports that it asked for, which are held."""
        lease = self._leases[holder]
        self._check_services(lease)
        binding = self._binding(lease)
        ports = self._holds.hold(holder, lease.request.ports, default=binding)
        lease = self._leases[holder] = replace(lease, ports=ports)
        await self._holds.lead(holder, ports, self._target_of(holder))
        return lease

    def _binding(self, lease: NetworkLease) -> str:
        """The host's address that ports are published on which ask for none."""
        main = primary(lease.endpoints)
        if main is None:
            return ANYWHERE
        return self._networks.get(main.asked.network_id).options.get(HOST_BINDING) or ANYWHERE

    def _card_of(self, lease: NetworkLease, spare: str | None) -> TapCard:
        """A new TAP, or the spare one under the name of its holder."""
        device = self._fabric.name("ht", lease.holder)
        mac = lease.endpoints[0].mac if lease.endpoints else mac_of_id(lease.holder)
        if spare is None:
            return TapCard(mac, device, self._fabric.taps.make(device))
        made = self._spares.pop(spare)
        self._fabric.taps.rename(made.device, device)
        return TapCard(mac, device, made.fd)

    def release(self, holder: str) -> None:
        """The lease is released; TAP and rules go in the background. See ``NetworkDriver.release``."""
        self._holds.free(holder)
        lease = self._leases.pop(holder, None)
        if lease is None:
            return
        for endpoint in lease.endpoints:
            self._book.give_back(holder, endpoint.asked.network_id)
        self._later(holder, self._fabric.leave(self._fabric.name("ht", holder)))

    def unpublish(self, holder: str) -> None:
        """The ports are free; their rules go in the background. See ``NetworkDriver.unpublish``."""
        self._holds.free(holder)
        lease = self._leases.get(holder)
        if lease is not None and lease.ports:
            self._leases[holder] = replace(lease, ports=())
            self._later(holder, self._fabric.unpublish(self._fabric.name("ht", holder)))

    def _later(self, holder: str, work: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = self._spawn(work, name=f"network of {holder[:12]}")
        # One at a time, in order: when the last is done all are.
        self._clearing[holder] = task
        task.add_done_callback(lambda _: self._cleared(holder, task))

    def _cleared(self, holder: str, task: asyncio.Task[None]) -> None:
        if self._clearing.get(holder) is task:
            del self._clearing[holder]

    async def _cleared_of(self, holder: str) -> None:
        """The lease that the holder has released is gone from the host, too."""
        task = self._clearing.get(holder)
        if task is not None:
            await asyncio.wait([task])

    async def connect(self, holder: str, request: EndpointRequest) -> Endpoint:
        """One more network reaches the machine by its TAP. See ``NetworkDriver.connect``."""
        if holder not in self._leases:
            raise Conflict(f"{holder[:12]} is on no network: its machine does not run")
        if self._leases[holder].on(request.network_id) is not None:
            raise Conflict(f"{holder[:12]} is on network {request.network} already")
        try:
            made = self._take(holder, request, direct=False)
            lease = self._leases[holder]
            self._check_services(lease)
            await self._fabric.settle(self._machine(lease))
        except BaseException:
            await self.disconnect(holder, request.network_id)
            raise
        return made

    async def disconnect(self, holder: str, network_id: str) -> None:
        """The network reaches the machine's TAP no more. See ``NetworkDriver.disconnect``."""
        lease = self._leases.get(holder)
        if lease is None:
            return
        self._book.give_back(holder, network_id)
        left = tuple(item for item in lease.endpoints if item.asked.network_id != network_id)
        lease = self._leases[holder] = replace(lease, endpoints=left)
        await self._fabric.settle(self._machine(lease))

    # What the fabric is told

    def _target_of(self, holder: str) -> Callable[[PublishedPort], Target]:
        """Where what comes to a port of the holder's is led: to wherever its lease is when a client comes."""

        def of_port(port: PublishedPort) -> Target:
            def target() -> tuple[str, int] | None:
                lease = self._leases.get(holder)
                main = None if lease is None else primary(lease.endpoints)
                return None if main is None else (main.address, port.container_port)

            return target

        return of_port

    def _machine(self, lease: NetworkLease) -> MachinePorts:
        """The ports of a lease's machine on bridges, and who may reach it."""
        known = [it for it in lease.endpoints if self._networks.knows(it.asked.network_id)]
        return machine_ports(
            lease,
            self._fabric.name("ht", lease.holder),
            tuple(map(self._port, known)),
            host_services=self._networks.may_host(asked=lease.request.asks_for_host),
        )

    def _port(self, endpoint: Endpoint) -> Port:
        segment = self._networks.segment(self._networks.get(endpoint.asked.network_id))
        device = "" if endpoint.direct else self._fabric.name("hv", endpoint.id)
        address6 = IPv6Address(endpoint.address6) if endpoint.address6 else None
        return Port(segment, endpoint.mac, IPv4Address(endpoint.address), device, address6)

    # Cards before their holder is known

    def spare_kind(self, request: LeaseRequest) -> str | None:
        """A TAP, which can be given any name. See ``NetworkDriver.spare_kind``."""
        return TAP

    @asynccontextmanager
    async def spare(self, id: str) -> AsyncIterator[Card]:
        """A TAP that is on no bridge, and down. See ``NetworkDriver.spare``."""
        device = self._fabric.name("ht", id)
        try:
            card = self._spares[id] = TapCard(mac_of_id(id), device, self._fabric.taps.make(device))
            yield card
        finally:
            self._spares.pop(id, None)
            await self._fabric.taps.let_go(device)


@asynccontextmanager
async def _begun(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Future[None]]:
    """The coroutine ``work`` runs beside the body, and is done after it even if that failed. Raises what it raised."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        yield task
    finally:
        await asyncio.wait([task])
        failure = task.exception()
    if failure is not None:
        raise failure

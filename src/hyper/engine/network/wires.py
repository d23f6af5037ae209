"""Leases of containers on their networks: acquired at the start, changed while it runs, released at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, IPv6Interface
from typing import Any, Final

from hyper.engine.network.networks import HOST_BINDING, Networks
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.network import BRIDGE, EndpointRecord, NetworkRecord, space6_of, space_of
from hyper.engine.spec import endpoints, links, pod_network
from hyper.engine.tasks import Tasks
from hyper.errors import HyperError
from hyper.ids import new_id
from hyper.machine.spec import Forward, Nic, TapNic, UserNic
from hyper.network import host_ports, ipam
from hyper.network.bridge.dns import Address, NameServer, Relay, View
from hyper.network.bridge.fabric import Fabric, MachinePorts
from hyper.network.bridge.relay import Relay6
from hyper.network.bridge.rules import Port, Publication, Segment
from hyper.network.bridge.rules6 import Relayed
from hyper.network.guest_config import GuestConfig, interface
from hyper.network.port import PublishedPort
from hyper.network.user import addresses as user
from hyper.proto.message import Interface
from hyper.sandbox.pool import Warm
from hyper.system import nft, resolv_conf

logger = logging.getLogger(__name__)

_ANYWHERE: Final = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class Wiring:
    """A lease while its machine is being launched: cards, and what the guest is told of its networks."""

    nics: tuple[Nic, ...]
    attachment: GuestConfig | None
    #: Done when the host's side is: before that nothing is to be run that counts on its network.
    connected: asyncio.Future[None] | None = None


class Wires:
    """The leases of containers on networks. ``open`` before use, ``close`` releases name servers and reserved ports.

    ``find``: the record of a container of this daemon by its name or id, if there is one.
    """

    def __init__(
        self, networks: Networks, tasks: Tasks, *, find: Callable[[str], ContainerRecord | None]
    ) -> None:
        self.networks = networks
        self.find = find
        self._tasks = tasks
        self._relay = Relay()
        self._servers: dict[str, NameServer] = {}
        #: Containers that hold addresses, by network and by id.
        self._on: dict[str, dict[str, ContainerRecord]] = {}
        self._reserved: dict[str, list[socket.socket]] = {}
        self._relays: dict[str, list[Relay6]] = {}
        self._clearing: dict[str, asyncio.Task[None]] = {}
        self.warnings: dict[str, str] = {}

    @property
    def bridged(self) -> bool:
        """Whether machines are on bridges, by TAPs; else each is on a network of the hypervisor's own."""
        return self._fabric is not None

    @property
    def _fabric(self) -> Fabric | None:
        return self.networks.fabric

    # The daemon's start and end

    async def open(self, records: Iterable[ContainerRecord]) -> None:
        """The leases of ``records``, whose machines may run, are as they were; the host has nothing of others'."""
        # A machine that was only booted for a look at the files is on no network.
        kept = [
            record
            for record in records
            if record.machine is not None and any(endpoint.id for endpoint in record.endpoints)
        ]
        for record in kept:
            self._enter(record)
        fabric = self._fabric
        if fabric is None:
            return
        for record in kept:
            await self._reserve_again(record)
        used = [self.networks.get(network_id) for network_id in self._on if self._knows(network_id)]
        segments = [self.networks.segment(network) for network in used]
        await fabric.open(segments, [self._place(record) for record in kept])
        for network in used:
            await self._serve_names(network)

    def _knows(self, network_id: str) -> bool:
        return any(network.id == network_id for network in self.networks.all())

    async def _reserve_again(self, record: ContainerRecord) -> None:
        """The ports are reserved again, those of IPv6 relayed again; the packet filter led IPv4 all the time."""
        held = self._reserved.setdefault(record.id, [])
        for port in record.ports:
            try:
                held.append(host_ports.reserve(port.protocol, port.host_address, port.host_port))
                await self._lead(record, port, held[-1])
            except OSError as error:
                where = f"{port.host_address}:{port.host_port}/{port.protocol}"
                logger.warning("container %s: port %s: %s", record.id[:12], where, error.strerror)

    async def close(self) -> None:
        """The host has nothing of these networks any more, unless machines go on."""
        for server in self._servers.values():
            await server.close()
        self._servers.clear()
        for container_id in list(self._reserved):
            self._unreserve(container_id)
        if self._fabric is not None and not any(self._on.values()):
            await self._fabric.close()

    # Networks

    def users(self, network_id: str) -> list[tuple[ContainerRecord, EndpointRecord]]:
        """The running containers on a network."""
        found = []
        for record in self._on.get(network_id, {}).values():
            endpoint = endpoint_on(record, network_id)
            if endpoint is not None and endpoint.id:
                found.append((record, endpoint))
        return found

    async def remove_network(self, network: NetworkRecord) -> None:
        """The network is gone, its name server too.

        Raises:
            Forbidden: the network is in use, or one that every daemon has.
        """
        names = [record.name for record in self._on.get(network.id, {}).values()]
        await self.networks.remove(network, users=names)
        self._on.pop(network.id, None)
        self.warnings.pop(network.id, None)
        server = self._servers.pop(network.id, None)
        if server is not None:
            await server.close()

    async def _ensure(self, network: NetworkRecord) -> Segment:
        segment = await self.networks.ensure(network)
        await self._serve_names(network)
        return segment

    async def _serve_names(self, network: NetworkRecord) -> None:
        if network.id in self._servers:
            return
        server = NameServer(lambda client: self._view(network, client), self._relay)
        self._servers[network.id] = server
        try:
            bridge = self.networks.segment(network).bridge
            await server.open(IPv4Address(network.gateway), device=bridge)
        except HyperError as error:
            del self._servers[network.id]
            self.warnings[network.id] = f"network {network.name}: {error.message}"
            logger.warning("network %s: %s", network.name, error.message)
        else:
            self.warnings.pop(network.id, None)

    # Start and end of a container

    @contextlib.asynccontextmanager
    async def taken(
        self, record: ContainerRecord, warm: Warm | None = None
    ) -> AsyncIterator[Wiring]:
        """The lease of ``record``: its endpoints and ports are its own; released again when the body fails.

        ``warm``: a machine that exists already, whose card is to be used.

        Raises:
            NotFound: a network is gone.
            Conflict: an address or a port is in use, or services cannot be had there.
            Forbidden: the container asks for what takes bridged networks.
            HyperError: the host refuses.
        """
        wishes = record.spec.network.ports
        if not record.spec.network.own:
            yield Wiring((), None)
            return
        for endpoint in record.endpoints:
            endpoints.settle(endpoint, self.networks.get)
        fabric = self._fabric
        if fabric is None:
            if record.pod is not None:  # made when there were bridges
                pod_network.check_here(record.pod, self.networks.why)
            record.ports = host_ports.allocate(wishes)
            with self._given_up_on_failure(record):
                yield self._user(record)
            return
        tap = fabric.name("ht", record.id)
        await self._cleared_of(record.id)
        with self._given_up_on_failure(record):
            for index, endpoint in enumerate(record.endpoints):
                await self._take(record, endpoint, direct=index == 0)
            self._check_ways(record)
            self._enter(record)
            record.link_variables = self._link_variables(record)
            binding = self._binding(record)
            record.ports, held = host_ports.hold(wishes, default=binding)
            self._reserved[record.id] = held
            for port, sock in zip(record.ports, held, strict=True):
                await self._lead(record, port, sock)
            fd = _tap(fabric, tap, warm)
            mac = record.endpoints[0].mac if record.endpoints else user.mac_address(record.id)
            async with _begun(fabric.settle(self._place(record))) as connected:
                yield Wiring((TapNic(mac, fd),), self.attachment(record), connected)

    @contextlib.contextmanager
    def _given_up_on_failure(self, record: ContainerRecord) -> Iterator[None]:
        """The lease that ``record`` acquires in the body is its own, and events say so; released if the body fails."""
        try:
            yield
        except BaseException:
            self.give_up(record)
            raise
        for endpoint in record.endpoints:
            self._tell("connect", record, endpoint)

    def _user(self, record: ContainerRecord) -> Wiring:
        forwards = tuple(
            Forward(port.protocol, port.host_address, port.host_port, port.container_port)
            for port in record.ports
        )
        nic = UserNic(user.mac_address(record.id), str(user.NETWORK), forwards)
        for endpoint in record.endpoints:
            endpoint.id = new_id()
            endpoint.address, endpoint.prefix = str(user.GUEST), user.NETWORK.prefixlen
            endpoint.gateway, endpoint.mac = str(user.GATEWAY), nic.mac
        self._enter(record)
        return Wiring((nic,), _user_attachment(record))

    def _binding(self, record: ContainerRecord) -> str:
        main = self._primary(record)
        if main is None:
            return _ANYWHERE
        return self.networks.get(main.network_id).options.get(HOST_BINDING) or _ANYWHERE

    async def _take(
        self, record: ContainerRecord, endpoint: EndpointRecord, *, direct: bool
    ) -> None:
        network = self.networks.get(endpoint.network_id)
        segment = await self._ensure(network)
        space = space_of(network)
        on = self._on.setdefault(network.id, {})
        others = [endpoint_on(other, network.id) for other in on.values() if other is not record]
        taken = {IPv4Address(other.address) for other in others if other and other.address}
        address = space.pick(
            taken,
            wish=IPv4Address(endpoint.wanted_address) if endpoint.wanted_address else None,
            last=IPv4Address(endpoint.address) if endpoint.address else None,
        )
        address6 = _pick6(network, endpoint, others)
        on[record.id] = record
        endpoint.address6 = str(address6.ip) if address6 else ""
        endpoint.prefix6 = address6.network.prefixlen if address6 else 0
        endpoint.id, endpoint.network, endpoint.direct = new_id(), network.name, direct
        endpoint.address, endpoint.prefix = str(address), space.subnet.prefixlen
        endpoint.gateway = "" if network.internal else str(space.gateway)
        endpoint.gateway6 = "" if segment.gateway6 is None else str(segment.gateway6.ip)
        endpoint.mac = endpoint.wanted_mac or ipam.mac_of(address)

    def _enter(self, record: ContainerRecord) -> None:
        for endpoint in record.endpoints:
            self._on.setdefault(endpoint.network_id, {})[record.id] = record

    def stop_publishing(self, record: ContainerRecord) -> None:
        """The container's ports of the host are free: its program has ended."""
        self._unreserve(record.id)
        if self._fabric is not None and record.endpoints:
            self._later(self._fabric.unpublish(self._fabric.name("ht", record.id)), record)

    def give_up(self, record: ContainerRecord) -> None:
        """The container's lease is released: its machine is gone. Repeatable."""
        self._unreserve(record.id)
        fabric = self._fabric
        was_on = [
            endpoint
            for endpoint in record.endpoints
            if self._on.get(endpoint.network_id, {}).pop(record.id, None) is not None
        ]
        for endpoint in was_on:
            endpoint.id = ""
            self._tell("disconnect", record, endpoint)
        if fabric is not None and record.spec.network.own:
            self._later(fabric.leave(fabric.name("ht", record.id)), record)

    def _later(self, work: Coroutine[Any, Any, None], record: ContainerRecord) -> None:
        task = self._tasks.spawn(work, name=f"network of container {record.id[:12]}")
        # One at a time, in order: when the last is done all are.
        self._clearing[record.id] = task
        task.add_done_callback(lambda _: self._cleared(record.id, task))

    def _cleared(self, container_id: str, task: asyncio.Task[None]) -> None:
        if self._clearing.get(container_id) is task:
            del self._clearing[container_id]

    async def _cleared_of(self, container_id: str) -> None:
        """The lease that a container has released is gone from the host, too."""
        task = self._clearing.get(container_id)
        if task is not None:
            await asyncio.wait([task])

    async def cleared(self) -> None:
        """All leases that containers have released are gone from the host, too."""
        if self._clearing:
            await asyncio.wait(list(self._clearing.values()))

    async def _lead(
        self, record: ContainerRecord, port: PublishedPort, sock: socket.socket
    ) -> None:
        """Packets of IPv6 that come to ``sock`` are relayed; the packet filter leads those of IPv4 without it."""
        if not _is_ipv6(port):
            return

        def target() -> tuple[str, int] | None:
            main = self._primary(record)
            return (main.address, port.container_port) if main is not None and main.id else None

        relay = Relay6(sock, target)
        self._relays.setdefault(record.id, []).append(relay)
        await relay.open()

    def _unreserve(self, container_id: str) -> None:
        for relay in self._relays.pop(container_id, []):
            relay.close()
        for held in self._reserved.pop(container_id, []):
            held.close()

    # A container that runs

    async def connect(self, record: ContainerRecord, endpoint: EndpointRecord) -> None:
        """A running container's machine reaches one more network; the guest knows nothing of it yet.

        Raises:
            Conflict: the address is in use, or in the way of the pod's services.
            HyperError: the host refuses; then nothing has changed.
        """
        assert self._fabric is not None
        try:
            await self._take(record, endpoint, direct=False)
            record.endpoints.append(endpoint)
            self._check_ways(record)
            await self._fabric.settle(self._place(record))
        except BaseException:
            await self.disconnect(record, endpoint)
            raise
        self._tell("connect", record, endpoint)

    async def disconnect(self, record: ContainerRecord, endpoint: EndpointRecord) -> None:
        """A running container's machine does not reach the network any more."""
        assert self._fabric is not None
        if endpoint in record.endpoints:
            record.endpoints.remove(endpoint)
        self._on.get(endpoint.network_id, {}).pop(record.id, None)
        await self._fabric.settle(self._place(record))

    def tell_disconnected(self, record: ContainerRecord, endpoint: EndpointRecord) -> None:
        """An event says that the container is not on the endpoint's network any more."""
        self._tell("disconnect", record, endpoint)

    def _tell(self, action: str, record: ContainerRecord, endpoint: EndpointRecord) -> None:
        if self._knows(endpoint.network_id):
            network = self.networks.get(endpoint.network_id)
            self.networks.publish(action, network, container=record.id)

    def _primary(self, record: ContainerRecord) -> EndpointRecord | None:
        return endpoints.primary(record.endpoints, self._is_internal)

    def _is_internal(self, network_id: str) -> bool:
        return self._knows(network_id) and self.networks.get(network_id).internal

    def _place(self, record: ContainerRecord) -> MachinePorts:
        """The place of ``record``'s machine on the host's networks."""
        fabric = self._fabric
        assert fabric is not None
        places = []
        for endpoint in record.endpoints:
            if endpoint.id and self._knows(endpoint.network_id):
                segment = self.networks.segment(self.networks.get(endpoint.network_id))
                device = "" if endpoint.direct else fabric.name("hv", endpoint.id)
                also = IPv6Address(endpoint.address6) if endpoint.address6 else None
                address = IPv4Address(endpoint.address)
                places.append(Port(segment, endpoint.mac, address, device, also))
        main = self._primary(record)
        published = tuple(
            _publication(port, main)
            for port in record.ports
            if main is not None and not _is_ipv6(port)
        )
        return MachinePorts(
            fabric.name("ht", record.id),
            tuple(places),
            published,
            pod_network.wall(record),
            pod_network.services(record),
            self.networks.may_host(asked=record.spec.network.asks_for_host),
            tuple(_relayed(port) for port in record.ports if _is_ipv6(port)),
        )

    def _check_ways(self, record: ContainerRecord) -> None:
        """The machine's services can be had on its networks, whose subnets are known. Raises: Conflict: they cannot."""
        if services := pod_network.services(record):
            used = [self.networks.get(endpoint.network_id) for endpoint in record.endpoints]
            pod_network.check_ways(services, [self.networks.segment(network) for network in used])

    # What the guest is told

    def attachment(self, record: ContainerRecord) -> GuestConfig:
        """Interfaces and names as ``record``'s endpoints are now."""
        main = self._primary(record)
        first = main or (record.endpoints[0] if record.endpoints else None)
        return GuestConfig(
            interfaces=tuple(self.interface(record, endpoint) for endpoint in record.endpoints),
            addresses=tuple(
                address
                for endpoint in record.endpoints
                for address in (endpoint.address, endpoint.address6)
                if address
            ),
            gateway=main.gateway if main else "",
            nameservers=self._nameservers(record, first),
            known=tuple(self._legacy_links(record)),
            lookup=resolv_conf.lookup(),
            embedded=_has_names(record),
        )

    def told(self, record: ContainerRecord) -> GuestConfig | None:
        """Interfaces and names that a running container was told; None: that it is on no network."""
        if not record.spec.network.own:
            return None
        return _user_attachment(record) if self._fabric is None else self.attachment(record)

    def interface(self, record: ContainerRecord, endpoint: EndpointRecord) -> Interface:
        """The interface for ``endpoint``, as the agent sets it."""
        network = self.networks.get(endpoint.network_id)
        routed = endpoint is self._primary(record)
        return interface(
            endpoint.mac,
            IPv4Address(endpoint.address),
            endpoint.prefix,
            gateway=IPv4Address(endpoint.gateway) if routed else None,
            mtu=self.networks.segment(network).mtu,
            also=IPv6Interface((endpoint.address6, endpoint.prefix6))
            if endpoint.address6
            else None,
            gateway6=IPv6Address(endpoint.gateway6) if endpoint is _primary6(record) else None,
        )

    def default_routes(self, record: ContainerRecord) -> list[Interface]:
        """The interfaces whose default routes count now: one, or another one for IPv6."""
        mains = (self._primary(record), _primary6(record))
        return [
            self.interface(record, endpoint) for endpoint in record.endpoints if endpoint in mains
        ]

    def _nameservers(
        self, record: ContainerRecord, first: EndpointRecord | None
    ) -> tuple[str, ...]:
        if record.spec.network.dns and not _has_names(record):
            return record.spec.network.dns
        if first is None:
            return ()
        return (self.networks.get(first.network_id).gateway,)

    # Names

    def _view(self, network: NetworkRecord, client: IPv4Address) -> View | None:
        asking = self._at(network.id, client)
        if asking is None:
            return None
        closed = self._primary(asking) is None
        resolvers = asking.spec.network.dns or [str(item) for item in nft.resolvers()]
        return View(
            addresses=lambda name: self._addresses(asking, name),
            name=lambda address: self._name(asking, address),
            resolvers=() if closed else resolvers,
        )

    def _at(self, network_id: str, address: IPv4Address) -> ContainerRecord | None:
        text = str(address)
        for record, endpoint in self.users(network_id):
            if endpoint.address == text:
                return record
        return None

    def _addresses(self, asking: ContainerRecord, name: str) -> list[Address] | None:
        found: list[Address] = []
        for own in asking.endpoints:
            if own.network == BRIDGE:
                continue
            bare = name.removesuffix(f".{own.network.lower()}")
            linked = self._linked(own, bare)
            for record, endpoint in self.users(own.network_id):
                names = {item.lower() for item in endpoints.dns_names(record, endpoint)}
                if bare in names or record.name == linked:
                    found.append(IPv4Address(endpoint.address))
                    if endpoint.address6:
                        found.append(IPv6Address(endpoint.address6))
        return found or None

    def _linked(self, own: EndpointRecord, alias: str) -> str | None:
        for link in own.links:
            name, known_as = endpoints.split_link(link)
            if known_as.lower() == alias:
                record = self.find(name)
                return None if record is None else record.name
        return None

    def _name(self, asking: ContainerRecord, address: IPv4Address) -> str | None:
        for own in asking.endpoints:
            record = self._at(own.network_id, address) if own.network != BRIDGE else None
            if record is not None:
                return f"{record.name}.{own.network}"
        return None

    def _legacy_links(self, record: ContainerRecord) -> Iterable[tuple[str, str]]:
        """The links of the default network, which are lines of /etc/hosts: (address, names)."""
        for alias, container_id in record.links.items():
            other = self.find(container_id)
            address = "" if other is None else self._linkable(record, other)
            if other is not None and address:
                hostname = other.config.hostname or other.id[:12]
                names = dict.fromkeys([alias, hostname, other.name])
                yield address, " ".join(names)

    def _link_variables(self, record: ContainerRecord) -> list[str]:
        if not any(endpoint.network == BRIDGE for endpoint in record.endpoints):
            return []
        return links.variables(record, self.find, lambda other: self._linkable(record, other))

    def _linkable(self, record: ContainerRecord, other: ContainerRecord) -> str:
        """The address at which ``record`` reaches ``other`` on the default network; "": none."""
        own = next((item for item in record.endpoints if item.network == BRIDGE), None)
        there = None if own is None else endpoint_on(other, own.network_id)
        return there.address if there is not None and there.id else ""


def _user_attachment(record: ContainerRecord) -> GuestConfig:
    made = replace(user.attach(record.id), lookup=resolv_conf.lookup())
    if record.spec.network.dns:
        made = replace(made, nameservers=record.spec.network.dns)
    return made


def _tap(fabric: Fabric, name: str, warm: Warm | None) -> int:
    """A new TAP, or the one that the waiting machine has."""
    if warm is None:
        return fabric.tap(name)
    (nic,) = warm.nics
    assert isinstance(nic, TapNic)
    fabric.adopt(name, warm.card)
    return nic.fd


@contextlib.asynccontextmanager
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


def endpoint_on(record: ContainerRecord, network_id: str) -> EndpointRecord | None:
    """The container's endpoint on a network; None: it has none there."""
    return next((item for item in record.endpoints if item.network_id == network_id), None)


def _has_names(record: ContainerRecord) -> bool:
    """Whether the container is on a network whose containers know each other by name."""
    return any(endpoint.network != BRIDGE for endpoint in record.endpoints)


def _pick6(
    network: NetworkRecord, endpoint: EndpointRecord, others: Iterable[EndpointRecord | None]
) -> IPv6Interface | None:
    space = space6_of(network)
    if space is None:
        return None
    address = space.pick(
        {IPv6Address(other.address6) for other in others if other and other.address6},
        wish=IPv6Address(endpoint.wanted_address6) if endpoint.wanted_address6 else None,
        last=IPv6Address(endpoint.address6) if endpoint.address6 else None,
    )
    return IPv6Interface((address, space.subnet.prefixlen))


def _is_ipv6(port: PublishedPort) -> bool:
    return ":" in port.host_address


def _primary6(record: ContainerRecord) -> EndpointRecord | None:
    """The endpoint that the default route of IPv6 leads through."""
    candidates = [endpoint for endpoint in record.endpoints if endpoint.gateway6]
    return endpoints.primary(candidates, lambda _: False)


def _relayed(port: PublishedPort) -> Relayed:
    host = IPv6Address(port.host_address)
    return Relayed(port.protocol, None if host.is_unspecified else host, port.host_port)


def _publication(port: PublishedPort, main: EndpointRecord) -> Publication:
    anywhere = port.host_address == _ANYWHERE
    return Publication(
        port.protocol,
        None if anywhere else IPv4Address(port.host_address),
        port.host_port,
        IPv4Address(main.address),
        port.container_port,
    )

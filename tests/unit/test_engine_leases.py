"""Leases of holders: their events, the names that others resolve, what guests are told. Nothing is on the host.

A holder is an id here and nothing else: two of them may as well be members of one sandbox.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import structs

from hyper.engine.events import EngineEvent, EventBus
from hyper.engine.network.container_networks import ContainerNetworks
from hyper.engine.network.guest_view import GuestView
from hyper.engine.network.lease_table import LeaseTable
from hyper.engine.network.leases import Leases
from hyper.engine.network.names import Names
from hyper.engine.network.networks import Networks
from hyper.engine.network.nics import check_taken
from hyper.engine.network.recorded_leases import asked
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.network import EndpointRecord, NetworkRecord
from hyper.engine.store import Store
from hyper.errors import Conflict, Forbidden, NotFound
from hyper.machine.abilities import UserNetworking
from hyper.machine.driver import Driver
from hyper.machine.spec import UserNic
from hyper.network.driver import GuestLink
from hyper.network.lease import Endpoint, EndpointRequest, LeaseRequest, NetworkLease
from hyper.network.names import View
from hyper.network.port import PublishedPort
from hyper.network.spec import BRIDGE
from hyper.network.user.driver import UserDriver
from hyper.types.container import HostConfig, PortBinding
from tests.support.records import plain_record


class Neighbours(UserDriver):
    """A driver whose networks are nowhere, on which holders have addresses in the order in which they come."""

    why = ""

    def __init__(self) -> None:
        super().__init__("")
        self._last = 1

    def require_networks(self, what: str) -> None:  # type: ignore[override]
        """Nothing is refused."""

    def link(self, network_id: str) -> GuestLink:
        return GuestLink(
            1400, "10.5.0.1", names=self._networks[network_id].name != BRIDGE, neighbours=True
        )

    @asynccontextmanager
    async def acquire(
        self, request: LeaseRequest, *, spare: str | None = None
    ) -> AsyncIterator[NetworkLease]:
        yield NetworkLease(request, tuple(map(self._endpoint, request.endpoints)))

    async def connect(self, holder: str, request: EndpointRequest) -> Endpoint:
        return self._endpoint(request)

    async def disconnect(self, holder: str, network_id: str) -> None:
        """Nothing is on the host."""

    def _endpoint(self, asked: EndpointRequest) -> Endpoint:
        self._last += 1
        gateway = "" if asked.network == "inner" else "10.5.0.1"
        address, mac = f"10.5.0.{self._last}", f"02:00:00:00:00:{self._last:02x}"
        return Endpoint(asked, f"e{self._last}", address, 24, mac, gateway, direct=True)


class World:
    """The rooms of engine.network around a driver, with the networks mine and inner beside those of each daemon."""

    def __init__(self, store: Store, driver: UserDriver) -> None:
        for name in ("mine", "inner"):
            store.save_network(
                name, NetworkRecord(id=name, name=name, driver="bridge", created_ns=1)
            )
        self.events: list[tuple[str, str, str]] = []
        bus = EventBus()
        bus.listen(self._heard)
        #: Containers by what clients may call them.
        self.records: dict[str, ContainerRecord] = {}
        self.ids: dict[str, str] = {}
        table = LeaseTable()
        self.names = Names(table, self.ids.get)
        self.networks = Networks(store, bus, driver)
        self.leases = Leases(self.networks, driver, table)
        self.view = GuestView(table, driver)
        self.containers = ContainerNetworks(
            self.networks, self.leases, self.view, find=self.records.get
        )

    def _heard(self, event: EngineEvent) -> None:
        about = event.attributes
        self.events.append((event.action, about["name"], about.get("container", "")))

    def on(self, network: str, **more: Any) -> EndpointRequest:
        """A request for a place on a network."""
        return EndpointRequest(self.networks.get(network).id, network, **more)

    async def hold(self, name: str, *endpoints: EndpointRequest, **more: Any) -> NetworkLease:
        """The lease of a holder, as after a launch."""
        request = LeaseRequest(name[0] * 64, name, endpoints=endpoints, **more)
        async with self.leases.acquire(request) as lease:
            pass
        return lease

    def resolved(self, asking: NetworkLease, name: str) -> list[str] | None:
        """The addresses that a name has for a holder."""
        found = self.seen(asking).addresses(name)
        return None if found is None else [str(address) for address in found]

    def seen(self, asking: NetworkLease) -> View:
        """The view of names that a holder has on its first network."""
        own = asking.endpoints[0]
        view = self.names.view(own.asked.network_id, IPv4Address(own.address))
        assert view is not None
        return view


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "hyper.db")
    yield made
    made.close()


@pytest.fixture
async def world(store: Store) -> World:
    """A world whose networks have neighbours."""
    made = World(store, Neighbours())
    await made.leases.open([])
    return made


# Events


async def test_events_of_a_lease_come_in_pairs(world: World) -> None:
    """One at its begin and one at its end, none where the launch failed; a second release says nothing."""
    wanted = LeaseRequest("w" * 64, "web", endpoints=(world.on(BRIDGE),))
    with pytest.raises(Conflict):
        async with world.leases.acquire(wanted):
            raise Conflict("the machine did not start")
    assert (world.events, world.leases.get(wanted.holder)) == ([], None)
    await world.hold("web", world.on(BRIDGE))
    assert world.events == [("connect", BRIDGE, wanted.holder)]
    for _ in range(2):
        world.leases.release(wanted.holder)
    assert world.events[1:] == [("disconnect", BRIDGE, wanted.holder)]


async def test_events_tell_of_networks_joined_and_left(world: World) -> None:
    """Leaving one that the holder is not on says nothing."""
    lease = await world.hold("web", world.on(BRIDGE))
    await world.leases.connect(lease.holder, world.on("mine"))
    for _ in range(2):
        await world.leases.disconnect(lease.holder, "mine")
    assert world.events[1:] == [("connect", "mine", lease.holder), ("disconnect", "mine", lease.holder)]  # fmt: skip


async def test_network_in_use_is_not_removed(world: World) -> None:
    """Also while a lease on it is being acquired; the name of who is on it is told. Then nobody can be on it."""
    network = world.networks.get("mine")
    wanted = LeaseRequest("w" * 64, "web", endpoints=(world.on("mine"),))
    async with world.leases.acquire(wanted):
        with pytest.raises(Forbidden, match=r"active endpoints \(name:web\)"):
            await world.leases.remove_network(network)
    world.leases.release(wanted.holder)
    await world.leases.remove_network(network)
    with pytest.raises(NotFound):
        async with world.leases.acquire(wanted):
            raise AssertionError("there is no such network")


# Names


async def test_names_are_those_of_holders_on_the_same_network(world: World) -> None:
    """Name, short id, host name and aliases, in any case, with the network's name behind; nobody on the default one."""
    web = await world.hold("web", world.on("mine", aliases=("www",)), hostname="Box")
    asking = await world.hold("asks", world.on("mine"))
    address = web.endpoints[0].address
    for name in ("web", "web.mine", "w" * 12, "box", "www", "www.mine"):
        assert world.resolved(asking, name) == [address]
    assert world.resolved(asking, "nobody") is None
    assert world.seen(asking).name(IPv4Address(address)) == "web.mine"
    elsewhere = await world.hold("else", world.on(BRIDGE))
    assert world.resolved(elsewhere, "web") is None
    world.leases.release(web.holder)
    assert world.resolved(asking, "web") is None


async def test_holders_of_one_name_are_all_found(world: World) -> None:
    """As members of one sandbox may have an alias in common: each has a lease, and an address of its own."""
    members = [await world.hold(name, world.on("mine", aliases=("app",))) for name in ("a1", "b2")]
    asking = await world.hold("client", world.on("mine"))
    found = world.resolved(asking, "app")
    assert found == [lease.endpoints[0].address for lease in members]
    assert len(set(found)) == 2


async def test_name_of_a_holder_when_renamed_is_the_new_one(world: World) -> None:
    """At once, with the same lease."""
    web = await world.hold("web", world.on("mine"))
    asking = await world.hold("asks", world.on("mine"))
    world.leases.rename(replace(web.request, name="shop"))
    assert world.resolved(asking, "web") is None
    assert world.resolved(asking, "shop") == [web.endpoints[0].address]
    world.leases.rename(LeaseRequest("z" * 64, "nobody"))
    assert world.leases.get("z" * 64) is None


async def test_links_of_an_endpoint_are_names_for_its_holder_alone(world: World) -> None:
    """By whatever a client may call the other."""
    web = await world.hold("web", world.on("mine"))
    world.ids["web-as-clients-say"] = web.holder
    asking = await world.hold("asks", world.on("mine", links=("web-as-clients-say:DB",)))
    other = await world.hold("other", world.on("mine"))
    assert world.resolved(asking, "db") == [web.endpoints[0].address]
    assert world.resolved(other, "db") is None


async def test_resolvers_are_those_asked_for_and_none_on_internal_networks(world: World) -> None:
    """A holder that reaches nothing outside is told nothing of it."""
    plain = await world.hold("plain", world.on("mine"), dns=("192.0.2.53",))
    closed = await world.hold("closed", world.on("inner"), dns=("192.0.2.53",))
    assert world.seen(plain).resolvers == ("192.0.2.53",)
    assert world.seen(closed).resolvers == ()
    assert world.names.view("mine", IPv4Address("10.5.0.250")) is None


# What guests are told


async def test_guest_configuration_follows_the_lease(world: World) -> None:
    """One default route, by the network that comes first by name; the network's name server where it knows names."""
    lease = await world.hold("web", world.on("mine"), dns=("192.0.2.53",))
    await world.leases.connect(lease.holder, world.on("inner"))
    held = world.leases.get(lease.holder)
    assert held is not None
    told = world.view.config(held)
    assert [len(item.routes) for item in told.interfaces] == [1, 0]
    assert {item.mtu for item in told.interfaces} == {1400}
    assert told.addresses == ("10.5.0.2", "10.5.0.3")
    assert (told.gateway, told.nameservers, told.embedded) == ("10.5.0.1", ("10.5.0.1",), True)
    assert world.view.default_routes(held) == [told.interfaces[0]]


async def test_links_of_the_default_network_are_lines_of_hosts(world: World) -> None:
    """While the other runs; on networks without neighbours there are none."""
    web = await world.hold("web", world.on(BRIDGE), hostname="box")
    asking = await world.hold("asks", world.on(BRIDGE), links={"db": web.holder, "x": "gone"})
    told = world.view.config(asking).known
    assert told == ((web.endpoints[0].address, "db box web"),)
    world.leases.release(web.holder)
    assert world.view.config(asking).known == ()


# Containers


def container(world: World, *networks: str, host: HostConfig | None = None) -> ContainerRecord:
    """The record of a container on networks."""
    made = plain_record(host=host)
    made.endpoints = [EndpointRecord(world.networks.get(name).id, name) for name in networks]
    return made


async def test_record_of_a_container_has_its_lease_while_it_is_held(store: Store) -> None:
    """Without bridges, too: an endpoint's id from the launch to the release, its address for the next time; ports."""
    world = World(store, UserDriver("hyperd is not root"))
    bindings = {"80/tcp": [PortBinding(host_ip="127.0.0.1")]}
    record = container(world, BRIDGE, host=HostConfig(port_bindings=bindings))
    await world.containers.open([record])
    async with world.containers.acquire(record) as network:
        (nic,) = network.nics
        assert isinstance(nic, UserNic)
        assert network.guest is not None and network.connected is None
        assert [(item.guest_port, item.host_port) for item in nic.forwards] == [
            (80, record.ports[0].host_port)
        ]
    (endpoint,) = record.endpoints
    assert endpoint.id and endpoint.address in network.guest.addresses
    assert world.events == [("connect", BRIDGE, record.id)]
    world.containers.release(record)
    assert (endpoint.id, bool(endpoint.address)) == ("", True)
    assert world.events[1:] == [("disconnect", BRIDGE, record.id)]


async def test_record_of_a_container_when_its_launch_fails_has_no_lease(store: Store) -> None:
    """No event tells of one."""
    world = World(store, UserDriver("hyperd is not root"))
    record = container(world, BRIDGE)
    await world.containers.open([])
    with pytest.raises(Conflict):
        async with world.containers.acquire(record):
            raise Conflict("no")
    assert (record.endpoints[0].id, world.events) == ("", [])


async def test_lease_of_a_container_when_a_later_daemon_opens_is_held(store: Store) -> None:
    """By its record alone; one that does not run has none."""
    world = World(store, Neighbours())
    running, stopped = container(world, "mine"), container(world, "mine")
    stopped = structs.replace(stopped, id="s" * 64, name="stopped")
    running.endpoints[0].id, running.endpoints[0].address = "e1", "10.5.0.9"
    await world.containers.open([running, stopped])
    (user,) = world.leases.users("mine")
    assert (user[0].name, user[1].address) == (running.name, "10.5.0.9")
    assert world.containers.guest_config(stopped) is None


async def test_container_without_networks_of_its_own_asks_for_nothing(world: World) -> None:
    """On none, or on another's."""
    for mode in ("none", "container:other"):
        record = container(world, host=HostConfig(network_mode=mode))
        async with world.containers.acquire(record) as network:
            assert (network.nics, network.guest, network.connected) == ((), None, None)
        world.containers.release(record)
    assert world.events == []


def test_hypervisor_that_takes_no_such_cards_is_refused() -> None:
    """With a way out; one that takes them is not."""
    nics = [UserNic("02:00:00:00:00:01", "10.0.2.0/24")]

    class Bare:
        name = "bare"

    class Able(Bare, UserNetworking):
        pass

    check_taken(cast(Driver, Able()), nics)
    check_taken(cast(Driver, Bare()), [])
    with pytest.raises(Forbidden, match="hypervisor bare does not take"):
        check_taken(cast(Driver, Bare()), nics)


@dataclass
class PlainRecord:
    """A record of something that is no container: a sandbox, or a member of one."""

    id: str
    endpoints: list[EndpointRecord]
    ports: list[PublishedPort] = field(default_factory=list)


async def test_records_of_two_members_have_leases_of_their_own(world: World) -> None:
    """Nothing of a lease asks what its record is of: each has an address, a card and names, until it is released."""
    members = [PlainRecord(letter * 64, [EndpointRecord("mine", "mine")]) for letter in "ab"]
    for member in members:
        request = LeaseRequest(
            member.id, f"app-{member.id[0]}", endpoints=tuple(map(asked, member.endpoints))
        )
        async with world.containers.acquire_for(member, request):
            pass
    first, second = (member.endpoints[0] for member in members)
    assert first.id and second.id and first.address != second.address
    lease = world.leases.get(members[0].id)
    assert lease is not None
    assert world.resolved(lease, "app-b") == [second.address]
    assert world.containers.guest_config(members[1]) is not None
    world.containers.release(members[1])
    assert (second.id, world.resolved(lease, "app-b")) == ("", None)

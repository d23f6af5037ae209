"""What every network driver owes, whatever it makes: subclass NetworkDriverContract with a ``maker`` of your own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

import pytest

from hyper.errors import Conflict, Forbidden
from hyper.network.driver import NetworkDriver
from hyper.network.lease import EndpointRequest, LeaseRequest, NetworkLease, primary
from hyper.network.port import PortRequest
from hyper.network.spec import BRIDGE, NetworkSpec

LOOPBACK = "127.0.0.1"
DEFAULT = NetworkSpec("d" * 64, BRIDGE)
#: Nothing that the first driver has made may be on the host after a test.
HostState = Callable[[], Awaitable[list[str]]]


@dataclass(frozen=True)
class Maker:
    """How a test gets drivers: each call of ``make`` is a daemon of the same data that starts, one at a time."""

    make: Callable[[], NetworkDriver]
    host: HostState
    #: A machine that holds the lease's cards while the body runs.
    machine: Callable[[NetworkLease], AbstractContextManager[None]] = field(
        default=lambda _: nullcontext()
    )
    #: What the end of a process takes with it beside what ``close`` does.
    end: Callable[[NetworkDriver], Awaitable[None]] | None = None


def request(holder: str, *endpoints: EndpointRequest, ports: tuple[PortRequest, ...] = ()) -> LeaseRequest:  # fmt: skip
    """A request on the default network, unless endpoints are given."""
    return LeaseRequest(
        holder * 32,
        holder,
        endpoints=endpoints or (EndpointRequest(DEFAULT.id, BRIDGE),),
        ports=ports,
    )


def on_loopback(port: int = 0, protocol: str = "tcp") -> PortRequest:
    """A request that a port of the loopback lead to port 80."""
    return PortRequest(protocol, 80, LOOPBACK, port, port)


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server((LOOPBACK, 0)) as server:
        return int(server.getsockname()[1])


class Broken(Exception):
    """A failure of a body."""


class NetworkDriverContract:
    """The suite. A subclass has a fixture ``maker``."""

    @pytest.fixture
    async def driver(self, maker: Maker) -> AsyncIterator[NetworkDriver]:
        """A driver that is open, with the default network up; the host has nothing of it after the test."""
        before = await maker.host()
        made = maker.make()
        await made.open([DEFAULT], [])
        await made.ensure(DEFAULT.id)
        yield made
        await made.settled()
        await made.close()
        assert await maker.host() == before

    async def held(self, driver: NetworkDriver, asked: LeaseRequest) -> NetworkLease:
        """The lease for ``asked``, as after a launch."""
        async with driver.acquire(asked) as lease:
            pass
        return lease

    # A lease

    async def test_lease_when_acquired_has_a_card_and_an_endpoint(
        self, driver: NetworkDriver
    ) -> None:
        """One card; an id, an address and a gateway for the network; the host's side is done after the body."""
        async with driver.acquire(request("a")) as lease:
            assert len(lease.cards) == 1
            assert lease.holder == "a" * 32
        assert lease.connected is None or lease.connected.done()
        (endpoint,) = lease.endpoints
        assert lease.on(DEFAULT.id) is endpoint and primary(lease.endpoints) is endpoint
        assert endpoint.id and endpoint.direct
        assert ip_address(endpoint.address) != ip_address(endpoint.gateway)
        assert lease.cards[0].mac == endpoint.mac
        driver.release(lease.holder)

    async def test_endpoints_when_leases_follow_have_new_ids(self, driver: NetworkDriver) -> None:
        """Also those of one holder."""
        first = await self.held(driver, request("a"))
        second = await self.held(driver, request("b"))
        driver.release("a" * 32)
        third = await self.held(driver, request("a"))
        assert len({lease.endpoints[0].id for lease in (first, second, third)}) == 3
        for holder in ("a", "b"):
            driver.release(holder * 32)

    async def test_address_when_free_is_the_last_one_again(self, driver: NetworkDriver) -> None:
        """A holder that asks for what it had last."""
        last = (await self.held(driver, request("a"))).endpoints[0]
        driver.release("a" * 32)
        asked = replace(last.asked, last_address=last.address)
        again = (await self.held(driver, request("a", asked))).endpoints[0]
        assert (again.address, again.mac) == (last.address, last.mac)
        driver.release("a" * 32)

    async def test_link_says_what_guests_need(self, driver: NetworkDriver) -> None:
        """An MTU and the address of a name server."""
        link = driver.link(DEFAULT.id)
        assert link.mtu >= 1280
        assert ip_address(link.nameserver)

    # Failure, cancellation, twice

    async def test_lease_when_the_body_fails_is_released(self, driver: NetworkDriver) -> None:
        """The port is free, and the holder can have another lease at once."""
        asked = request("a", ports=(on_loopback(free_port()),))
        with pytest.raises(Broken):
            async with driver.acquire(asked):
                raise Broken
        lease = await self.held(driver, asked)
        assert [port.host_port for port in lease.ports] == [asked.ports[0].host_first]
        driver.release(lease.holder)

    async def test_lease_when_cancelled_is_released(self, driver: NetworkDriver) -> None:
        """In the body, where a machine is being launched."""
        asked, inside = request("a", ports=(on_loopback(free_port()),)), asyncio.Event()

        async def launch() -> None:
            async with driver.acquire(asked):
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(launch())
        await inside.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        await self.held(driver, asked)
        driver.release("a" * 32)

    async def test_lease_when_a_port_is_in_use_leaves_nothing(self, driver: NetworkDriver) -> None:
        """Docker's words; ports that were free stay so."""
        free = free_port()
        with socket.create_server((LOOPBACK, 0)) as server:
            taken = int(server.getsockname()[1])
            with pytest.raises(Conflict, match="port is already allocated"):
                await self.held(driver, request("a", ports=(on_loopback(free), on_loopback(taken))))
        await self.held(driver, request("b", ports=(on_loopback(free), on_loopback(taken))))
        driver.release("b" * 32)

    async def test_lease_when_acquired_twice_is_the_later_one(self, driver: NetworkDriver) -> None:
        """The earlier one is released first: its ports are free for the later."""
        asked = request("a", ports=(on_loopback(free_port()),))
        first = await self.held(driver, asked)
        second = await self.held(driver, asked)
        assert second.ports == first.ports
        driver.release("a" * 32)

    async def test_release_is_repeatable(self, driver: NetworkDriver) -> None:
        """Also for a holder that never had a lease, and one whose ports were unpublished before, twice."""
        await self.held(driver, request("a", ports=(on_loopback(),)))
        for _ in range(2):
            driver.unpublish("a" * 32)
        for _ in range(2):
            driver.release("a" * 32)
            driver.release("z" * 32)
            driver.unpublish("a" * 32)
        await driver.settled()

    async def test_ports_when_the_kernel_chooses_differ(self, driver: NetworkDriver) -> None:
        """Of both protocols."""
        asked = (on_loopback(), on_loopback(), on_loopback(protocol="udp"))
        lease = await self.held(driver, request("a", ports=asked))
        assert [(port.protocol, port.container_port) for port in lease.ports] == [
            ("tcp", 80),
            ("tcp", 80),
            ("udp", 80),
        ]
        assert lease.ports[0].host_port != lease.ports[1].host_port
        driver.release(lease.holder)

    # Networks

    async def test_ensure_and_remove_are_repeatable(self, driver: NetworkDriver) -> None:
        """A network that is up stays as it is; one that is gone can be removed."""
        before = await driver.ensure(DEFAULT.id)
        assert await driver.ensure(DEFAULT.id) == before
        for _ in range(2):
            await driver.remove(DEFAULT.id)

    async def test_networks_are_had_or_refused_with_the_reason(self, driver: NetworkDriver) -> None:
        """``why`` is the reason, in each refusal; without it all of that works."""
        lease = await self.held(driver, request("a"))
        spec = NetworkSpec("e" * 64, "extra")
        asked = EndpointRequest(spec.id, spec.name)
        if driver.why:
            for refused in (
                driver.create(spec),
                driver.connect(lease.holder, asked),
                driver.disconnect(lease.holder, DEFAULT.id),
            ):
                with pytest.raises(Forbidden, match=driver.why):
                    await refused
            with pytest.raises(Forbidden, match=f"cannot do it: {driver.why}"):
                driver.require_networks("cannot do it")
            assert any(driver.why in text for text in await driver.shortcomings())
        else:
            driver.require_networks("cannot do it")
            made, _ = await driver.create(spec)
            assert made.subnet and made.chosen
            joined = await driver.connect(lease.holder, asked)
            assert not joined.direct and joined.id != lease.endpoints[0].id
            for _ in range(2):
                await driver.disconnect(lease.holder, spec.id)
            await driver.remove(spec.id)
        driver.release(lease.holder)

    async def test_policy_that_asks_for_nothing_is_had(self, driver: NetworkDriver) -> None:
        """No white lists, no services."""
        driver.check_policy(None, ())

    # Spare cards

    async def test_spare_card_when_taken_over_is_the_leases(self, driver: NetworkDriver) -> None:
        """Of the driver's kind; after the lease nothing is left of it."""
        assert driver.spare_kind(request("a")) == driver.card
        async with (
            driver.spare("5" * 32) as card,
            driver.acquire(request("a"), spare="5" * 32) as lease,
        ):
            assert type(lease.cards[0]) is type(card)
        driver.release("a" * 32)

    async def test_spare_card_when_nobody_takes_it_is_gone(self, driver: NetworkDriver) -> None:
        """What is on the host is compared after each test."""
        async with driver.spare("5" * 32):
            pass

    # Daemons

    async def test_lease_when_a_later_daemon_opens_is_held(self, maker: Maker) -> None:
        """It is no other's, and closing leaves what its machine needs; after its release all is gone."""
        before = await maker.host()
        first = maker.make()
        await first.open([DEFAULT], [])
        spec = await first.ensure(DEFAULT.id)
        lease = await self.held(first, request("a", ports=(on_loopback(free_port()),)))
        with_lease = await maker.host()
        with maker.machine(lease):
            await first.close()
            if maker.end is not None:
                await maker.end(first)
            assert await maker.host() == with_lease
            later = maker.make()
            await later.open([spec], [replace(lease, cards=(), connected=None)])
            other = await self.held(later, request("b"))
            assert driver_sees_two(later, lease, other)
        for holder in ("a", "b"):
            later.release(holder * 32)
        await later.settled()
        for _ in range(2):
            await later.close()
        assert await maker.host() == before

    async def test_close_without_open_touches_nothing(self, maker: Maker) -> None:
        """A daemon that did not get so far: machines of an earlier one may run."""
        before = await maker.host()
        await maker.make().close()
        assert await maker.host() == before


def driver_sees_two(driver: NetworkDriver, one: NetworkLease, other: NetworkLease) -> bool:
    """Whether two holders differ: by address where machines have neighbours, by hardware address in any case."""
    first, second = one.endpoints[0], other.endpoints[0]
    if driver.link(DEFAULT.id).neighbours and first.address == second.address:
        return False
    return first.mac != second.mac and first.id != second.id

"""The network drivers of root's daemons, held to the contract with a host of their own, and what only bridges do.

Run in a network namespace of its own, as tests/vm/test_network_drivers.py does it.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

import pytest

from hyper.engine.tasks import Tasks
from hyper.errors import Conflict, HyperError
from hyper.network import ipam
from hyper.network.bridge.driver import BridgeDriver
from hyper.network.bridge.fabric import Fabric
from hyper.network.bridge.networks import BridgedNetworks
from hyper.network.card import TapCard
from hyper.network.driver import NetworkDriver
from hyper.network.lease import EndpointRequest, LeaseRequest, NetworkLease, Service
from hyper.network.names import View
from hyper.network.spec import NetworkSpec
from hyper.network.user.driver import UserDriver
from hyper.system import link, nftables
from tests.contract.network import (
    LOOPBACK,
    Maker,
    NetworkDriverContract,
    free_port,
    on_loopback,
    request,
)

DAEMON = "feedfeedfeedfeed"
FIRST = NetworkSpec("1" * 64, "first", subnet="10.66.1.0/24", gateway="10.66.1.1")
SECOND = NetworkSpec("2" * 64, "second", subnet="10.66.2.0/24", gateway="10.66.2.1")


def nobody(network_id: str, client: IPv4Address) -> View | None:
    """No guest asks for names here."""
    return None


FABRICS: dict[int, Fabric] = {}


def bridge_driver() -> BridgeDriver:
    """The driver of one daemon."""
    fabric = Fabric(DAEMON, 0xFEE)
    networks = BridgedNetworks(fabric, seed=DAEMON, pools=ipam.DEFAULT_POOLS, host_services="asked")
    made = BridgeDriver(fabric, networks, views=nobody, spawn=Tasks().spawn)
    FABRICS[id(made)] = fabric
    return made


async def end(driver: NetworkDriver) -> None:
    """The daemon's process is gone, and its descriptors with it."""
    await FABRICS[id(driver)].taps.let_go_of_all()


@contextmanager
def machine(lease: NetworkLease) -> Iterator[None]:
    """A stand-in for a hypervisor, which holds the TAP of the lease."""
    (card,) = lease.cards
    assert isinstance(card, TapCard)
    fd = os.dup(card.fd)
    try:
        yield
    finally:
        os.close(fd)


async def on_the_host() -> list[str]:
    """The links and tables of this namespace that daemons have made."""
    listing = json.loads(await nftables.listing("list tables"))["nftables"]
    tables = [f"{it['table']['family']} {it['table']['name']}" for it in listing if "table" in it]
    return sorted([*link.names("h"), *tables])


def on(spec: NetworkSpec, *, address: str = "") -> EndpointRequest:
    return EndpointRequest(spec.id, spec.name, address=address)


class TestUserDriverOfRoot(NetworkDriverContract):
    """The suite, and the wall between machines' users and services on the host's loopback."""

    @pytest.fixture
    def maker(self) -> Maker:
        users = range(70000, 70016)
        return Maker(lambda: UserDriver("no TAPs", uids=users, table="hyper_feed"), on_the_host)

    async def test_wall_stands_while_the_daemon_runs(self, driver: UserDriver) -> None:
        """Whether a machine does or not."""
        assert await on_the_host() == ["inet hyper_feed"]


class TestBridgeDriver(NetworkDriverContract):
    """The suite, and addresses, ports and bridges of networks."""

    @pytest.fixture
    def maker(self) -> Maker:
        return Maker(bridge_driver, on_the_host, machine, end)

    async def test_card_is_a_tap_that_is_gone_with_its_lease(self, driver: BridgeDriver) -> None:
        """Held by this process meanwhile, too."""
        async with driver.acquire(request("a")) as lease:
            (card,) = lease.cards
            assert isinstance(card, TapCard)
            assert link.exists(card.device)
        driver.release(lease.holder)
        await driver.settled()
        assert not link.exists(card.device)

    async def test_address_asked_for_when_taken_is_refused(self, driver: BridgeDriver) -> None:
        """On another network, too, whose lease is as before then; a lease that was to have it has nothing."""
        for spec in (FIRST, SECOND):
            await driver.create(spec)
        fixed = on(FIRST, address="10.66.1.9")
        await self.held(driver, request("a", fixed))
        with pytest.raises(Conflict, match="Address already in use"):
            await self.held(driver, request("b", on(SECOND), fixed))
        lease = await self.held(driver, request("b", on(SECOND)))
        with pytest.raises(Conflict, match="Address already in use"):
            await driver.connect(lease.holder, fixed)
        driver.release("a" * 32)
        joined = await driver.connect(lease.holder, fixed)
        assert joined.address == "10.66.1.9"
        with pytest.raises(Conflict, match="already"):
            await driver.connect(lease.holder, fixed)
        driver.release(lease.holder)
        await driver.settled()
        for spec in (FIRST, SECOND):
            await driver.remove(spec.id)

    async def test_services_in_the_way_are_refused(self, driver: BridgeDriver) -> None:
        """When a lease is acquired, and when a network is joined."""
        for spec in (FIRST, SECOND):
            await driver.create(spec)
        service = Service("tcp", IPv4Address("10.66.2.200"), 80, ((IPv4Address("10.66.1.9"), 80),))
        fine = LeaseRequest("a" * 32, "a", endpoints=(on(FIRST),), services=(service,))
        lease = await self.held(driver, fine)
        with pytest.raises(Conflict, match=r"one of 10\.66\.2\.0/24, which the pod is on"):
            await driver.connect(lease.holder, on(SECOND))
        driver.release(lease.holder)
        bad = LeaseRequest("b" * 32, "b", endpoints=(on(SECOND),), services=(service,))
        with pytest.raises(Conflict, match=r"one of 10\.66\.2\.0/24"):
            await self.held(driver, bad)
        await driver.settled()
        for spec in (FIRST, SECOND):
            await driver.remove(spec.id)

    async def test_ports_are_kept_from_others_until_unpublished(self, driver: BridgeDriver) -> None:
        """By a socket of this process."""
        port = free_port()
        lease = await self.held(driver, request("a", ports=(on_loopback(port),)))
        with pytest.raises(OSError, match="in use"):
            socket.create_server((LOOPBACK, port))
        driver.unpublish(lease.holder)
        socket.create_server((LOOPBACK, port)).close()
        driver.release(lease.holder)

    async def test_network_when_it_overlaps_is_not_made(self, driver: BridgeDriver) -> None:
        """Nothing of it is on the host, and it is not known."""
        await driver.create(FIRST)
        before = await on_the_host()
        with pytest.raises(HyperError, match="Pool overlaps"):
            await driver.create(NetworkSpec("3" * 64, "x", subnet="10.66.1.128/25"))
        assert await on_the_host() == before
        await driver.remove(FIRST.id)

    async def test_open_when_it_fails_leaves_no_bridge_that_it_made(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second bridge cannot be made, or the rules are refused: the first one, which was not there, is gone.

        A bridge that an earlier daemon left stays: machines are on it.
        """
        before = await on_the_host()
        first = bridge_driver()
        await first.open([FIRST, SECOND], [])
        for spec in (FIRST, SECOND):
            await first.ensure(spec.id)
        leases = [await self.held(first, request("a", on(FIRST), on(SECOND)))]
        await first.close()
        await end(first)
        left = await on_the_host()
        kept, lost = (name for name in left if name.startswith("hb-"))
        link.end_bridge(lost)

        async def refuse(commands: str) -> None:
            raise nftables.NftFailed("nftables refused: no")

        with monkeypatch.context() as patched:
            patched.setattr(nftables, "apply", refuse)
            later = bridge_driver()
            with pytest.raises(HyperError, match="nftables refused"):
                await later.open([FIRST, SECOND], leases)
            await later.close()
        assert link.names("hb-") == [kept]
        last = bridge_driver()
        await last.open([FIRST, SECOND], leases)
        assert sorted(link.names("hb-")) == sorted([kept, lost])
        last.release("a" * 32)
        await last.settled()
        await last.close()
        assert await on_the_host() == before

    async def test_open_when_a_pair_is_missing_makes_it_again(self) -> None:
        """A daemon was killed as it disconnected a machine: it had ended the pair, and kept nothing of that yet."""
        before = await on_the_host()
        first = bridge_driver()
        await first.open([FIRST, SECOND], [])
        for spec in (FIRST, SECOND):
            await first.ensure(spec.id)
        lease = await self.held(first, request("a", on(FIRST), on(SECOND)))
        with machine(lease):
            [pair] = [name for name in link.names("hv-") if name.endswith("a")]
            await first.close()
            await end(first)
            await link.end_pair(pair)
            later = bridge_driver()
            await later.open([FIRST, SECOND], [lease])
            assert pair in link.names("hv-")
            await later.disconnect(lease.holder, SECOND.id)
            assert link.names("hv-") == []
        later.release(lease.holder)
        await later.settled()
        for spec in (FIRST, SECOND):
            await later.remove(spec.id)
        await later.close()
        assert await on_the_host() == before

    async def test_bridge_when_it_cannot_lead_is_gone(
        self, driver: BridgeDriver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A host whose settings cannot be changed has no half a network."""

        set_sysctl = link.set_sysctl

        def refuse(name: str, value: int) -> None:
            if name.endswith("route_localnet"):
                raise HyperError(f"cannot set {name}")
            set_sysctl(name, value)

        before = await on_the_host()
        with monkeypatch.context() as patched:
            patched.setattr(link, "set_sysctl", refuse)
            with pytest.raises(HyperError, match="cannot set net/ipv4"):
                await driver.create(FIRST)
        assert await on_the_host() == before
        await driver.create(FIRST)
        await driver.remove(FIRST.id)

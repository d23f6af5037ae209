"""The network driver of user-mode networks, held to the contract; it needs no privilege and makes nothing."""

from __future__ import annotations

import socket

import pytest

from hyper.errors import NotImplementedYet
from hyper.network.card import Forward, UserCard
from hyper.network.lease import EndpointRequest
from hyper.network.port import PortRequest
from hyper.network.user.driver import UserDriver
from tests.contract.network import (
    LOOPBACK,
    Maker,
    NetworkDriverContract,
    free_port,
    on_loopback,
    request,
)


async def nothing() -> list[str]:
    return []


class TestUserDriver(NetworkDriverContract):
    """The suite, and what only this driver does."""

    @pytest.fixture
    def maker(self) -> Maker:
        return Maker(lambda: UserDriver("hyperd is not root"), nothing)

    async def test_ports_are_the_hypervisors_to_open(self, maker: Maker) -> None:
        """They are forwards of the card, free when the machine starts; none is a spare card's."""
        driver = maker.make()
        asked = request("a", ports=(on_loopback(free_port()),))
        assert driver.spare_kind(asked) is None
        async with driver.acquire(asked) as lease:
            (port,), (card,) = lease.ports, lease.cards
            assert isinstance(card, UserCard)
            assert card.forwards == (Forward("tcp", LOOPBACK, port.host_port, 80),)
            socket.create_server((LOOPBACK, port.host_port)).close()

    async def test_machine_is_on_the_first_network_alone(self, maker: Maker) -> None:
        """A container that was made when there were bridges may ask for more."""
        driver = maker.make()
        asked = [EndpointRequest(letter * 64, letter) for letter in "xy"]
        async with driver.acquire(request("a", *asked)) as lease:
            assert [endpoint.asked.network for endpoint in lease.endpoints] == ["x"]

    async def test_ports_of_ipv6_are_refused(self, maker: Maker) -> None:
        """Before anything is taken."""
        port = PortRequest("tcp", 80, "::1")
        with pytest.raises(NotImplementedYet, match="IPv4 only"):
            await self.held(maker.make(), request("a", ports=(on_loopback(), port)))

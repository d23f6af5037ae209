"""Ports of the host that leases hold: sockets that keep other programs from them, and relays of those of IPv6."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable

from hyper.network import host_ports
from hyper.network.bridge.relay import Relay6, Target
from hyper.network.lease import NetworkLease
from hyper.network.port import PortRequest, PublishedPort

logger = logging.getLogger(__name__)

#: Where what comes to a port is to be led.
TargetOf = Callable[[PublishedPort], Target]


class PortHolds:
    """The held ports by the ids of their holders. The packet filter leads packets of IPv4 on before they get here."""

    def __init__(self) -> None:
        self._held: dict[str, list[socket.socket]] = {}
        self._relays: dict[str, list[Relay6]] = {}

    def hold(
        self, holder: str, requests: Iterable[PortRequest], *, default: str
    ) -> tuple[PublishedPort, ...]:
        """The ports that ``holder`` has from now on. ``default``: the host's address where a request has none.

        Raises:
            As ``host_ports.hold``; then it has none.
        """
        made, held = host_ports.hold(requests, default=default)
        self._held[holder] = held
        return tuple(made)

    async def lead(self, holder: str, ports: Iterable[PublishedPort], target: TargetOf) -> None:
        """Held ports of IPv6 are relayed to where ``target`` says, asked for each client."""
        for port, sock in zip(ports, self._held.get(holder, []), strict=True):
            await self._lead(holder, port, sock, target)

    async def _lead(
        self, holder: str, port: PublishedPort, sock: socket.socket, target: TargetOf
    ) -> None:
        if not is_ipv6(port):
            return
        relay = Relay6(sock, target(port))
        self._relays.setdefault(holder, []).append(relay)
        await relay.open()

    async def hold_again(self, lease: NetworkLease, target: TargetOf) -> None:
        """The ports that a lease had with an earlier daemon are held and led again; one that is taken is lost."""
        held = self._held.setdefault(lease.holder, [])
        for port in lease.ports:
            try:
                held.append(host_ports.reserve(port.protocol, port.host_address, port.host_port))
                await self._lead(lease.holder, port, held[-1], target)
            except OSError as error:
                where = f"{port.host_address}:{port.host_port}/{port.protocol}"
                logger.warning(
                    "container %s: port %s: %s", lease.holder[:12], where, error.strerror
                )

    def free(self, holder: str) -> None:
        """The holder's ports are free, and nothing is relayed to it. Repeatable."""
        for relay in self._relays.pop(holder, []):
            relay.close()
        for sock in self._held.pop(holder, []):
            sock.close()

    def free_all(self) -> None:
        """All ports are free."""
        for holder in {*self._held, *self._relays}:
            self.free(holder)


def is_ipv6(port: PublishedPort) -> bool:
    """Whether the port is on an IPv6 address of the host, or on all of them."""
    return ":" in port.host_address

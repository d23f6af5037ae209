"""The name servers of this daemon's networks: one on each gateway."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from ipaddress import IPv4Address

from hyper.errors import HyperError
from hyper.network.bridge.dns import NameServer, Relay
from hyper.network.names import Views
from hyper.network.spec import NetworkSpec

logger = logging.getLogger(__name__)


class NameServers:
    """The name servers by network. A network without its server is a network all the same: that is a warning."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._relay = Relay()
        self._servers: dict[str, NameServer] = {}
        self._warnings: dict[str, str] = {}

    def serves(self, network_id: str) -> bool:
        """Whether the network has its name server."""
        return network_id in self._servers

    async def serve(self, network: NetworkSpec, bridge: str) -> None:
        """The network, whose bridge is up, has its name server, or a warning says why not. Repeatable."""
        if network.id in self._servers:
            return
        server = NameServer(lambda client: self._views(network.id, client), self._relay)
        self._servers[network.id] = server
        try:
            await server.open(IPv4Address(network.gateway), device=bridge)
        except HyperError as error:
            del self._servers[network.id]
            self._warnings[network.id] = f"network {network.name}: {error.message}"
            logger.warning("network %s: %s", network.name, error.message)
        else:
            self._warnings.pop(network.id, None)

    async def end(self, network_id: str) -> None:
        """The network has no name server. Repeatable."""
        self._warnings.pop(network_id, None)
        server = self._servers.pop(network_id, None)
        if server is not None:
            await server.close()

    async def close(self) -> None:
        """No network has a name server."""
        for network_id in list(self._servers):
            await self.end(network_id)

    def warnings(self) -> Sequence[str]:
        """The networks without a name server, and why."""
        return list(self._warnings.values())

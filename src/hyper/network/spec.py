"""The spec of a network, which is all a network driver is told of one: frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hyper.network import ipam
from hyper.network.ipam6 import Space6, space6

#: The default network, which every daemon has. Those that are on it have no names for each other there.
BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """The spec of a network. ``subnet`` is "" until one is chosen, ``chosen``: by a driver; ``subnet6`` "": no IPv6."""

    id: str
    name: str
    #: Nothing of it leads to other networks.
    internal: bool = False
    #: Words of the driver's own.
    options: Mapping[str, str] = field(default_factory=dict)
    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    #: Addresses that no endpoint gets.
    auxiliary: tuple[str, ...] = ()
    chosen: bool = False
    #: IPv6 is wanted, with a subnet of the driver's choice if there is none.
    ipv6: bool = False
    subnet6: str = ""
    gateway6: str = ""
    ip_range6: str = ""

    def space(self) -> ipam.Space:
        """The network's IPv4 addresses. Raises: InvalidRequest: they make no sense."""
        return ipam.space(
            subnet=self.subnet,
            gateway=self.gateway,
            ip_range=self.ip_range,
            auxiliary=self.auxiliary,
        )

    def space6(self) -> Space6 | None:
        """The network's IPv6 addresses, if it has some. Raises: InvalidRequest: they make no sense."""
        if not self.subnet6:
            return None
        return space6(subnet=self.subnet6, gateway=self.gateway6, ip_range=self.ip_range6)

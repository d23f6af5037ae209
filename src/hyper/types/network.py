"""Networks and endpoints as the Engine API says them.

Source: engine-api v1.47, definitions Network, NetworkCreateRequest, IPAM, IPAMConfig,
NetworkContainer.
"""

from __future__ import annotations

from typing import Any

from msgspec import field

from hyper.types.container import EndpointAsked
from hyper.types.wire import Wire


class IpamConfig(Wire, omit_defaults=True):
    """One subnet of a network."""

    subnet: str = ""
    ip_range: str = field(name="IPRange", default="")
    gateway: str = ""
    auxiliary_addresses: dict[str, str] | None = None


class Ipam(Wire):
    """The management of a network's addresses: a driver and subnets."""

    driver: str = "default"
    options: dict[str, str] | None = None
    config: list[IpamConfig] | None = None


class NetworkCreateBody(Wire):
    """The body of POST /networks/create."""

    name: str = ""
    driver: str = ""
    scope: str = ""
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: dict[str, Any] | None = None
    ipam: Ipam | None = field(name="IPAM", default=None)
    enable_ipv4: bool = field(name="EnableIPv4", default=True)
    enable_ipv6: bool = field(name="EnableIPv6", default=False)
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class ConnectBody(Wire):
    """The body of POST /networks/{id}/connect."""

    container: str = ""
    endpoint_config: EndpointAsked | None = None


class DisconnectBody(Wire):
    """The body of POST /networks/{id}/disconnect."""

    container: str = ""
    force: bool = False


class NetworkCreated(Wire):
    id: str
    warning: str = ""


class NetworkContainer(Wire):
    name: str
    endpoint_id: str = field(name="EndpointID")
    mac_address: str
    ipv4_address: str = field(name="IPv4Address")
    ipv6_address: str = field(name="IPv6Address", default="")


class ConfigReference(Wire):
    network: str = ""


class NetworkView(Wire):
    """A network as it is shown."""

    name: str
    id: str
    created: str
    scope: str
    driver: str
    ipam: Ipam = field(name="IPAM")
    internal: bool
    attachable: bool
    containers: dict[str, NetworkContainer]
    options: dict[str, str]
    labels: dict[str, str]
    enable_ipv4: bool = field(name="EnableIPv4", default=True)
    enable_ipv6: bool = field(name="EnableIPv6", default=False)
    ingress: bool = False
    config_from: ConfigReference = field(default_factory=ConfigReference)
    config_only: bool = False


class NetworksPruned(Wire):
    networks_deleted: list[str] | None

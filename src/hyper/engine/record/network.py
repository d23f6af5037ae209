"""Records of networks and of containers' endpoints."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from hyper.network import ipam
from hyper.network.ipam6 import Space6
from hyper.network.spec import BRIDGE as BRIDGE
from hyper.network.spec import NetworkSpec

#: Networks every daemon has, with their drivers.
PREDEFINED: Final = {BRIDGE: "bridge", "host": "host", "none": "null"}


class EndpointRecord(Struct):
    """An endpoint: a container's place on a network, as asked for, and as it is (or was last) while that runs."""

    #: "" where ``network`` was not there yet when it was asked for: it is looked for at the start.
    network_id: str
    network: str
    aliases: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    wanted_address: str = ""
    wanted_mac: str = ""
    wanted_address6: str = ""
    driver_opts: dict[str, str] | None = None
    id: str = ""
    address: str = ""
    mac: str = ""
    prefix: int = 0
    address6: str = ""
    prefix6: int = 0
    gateway: str = ""
    gateway6: str = ""
    #: Frames of this endpoint go through the machine's card as they are; others are told apart by their MAC.
    direct: bool = False


class NetworkRecord(Struct):
    """A network. ``subnet`` is "" until one is chosen; ``chosen``: by the daemon; ``subnet6`` "": no IPv6."""

    id: str
    name: str
    driver: str
    created_ns: int
    internal: bool = False
    attachable: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    ipam_options: dict[str, str] | None = None
    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    auxiliary: dict[str, str] = field(default_factory=dict)
    chosen: bool = False
    subnet6: str = ""
    gateway6: str = ""
    ip_range6: str = ""


def spec_of(record: NetworkRecord) -> NetworkSpec:
    """The network as a driver is told of it."""
    return NetworkSpec(
        id=record.id,
        name=record.name,
        internal=record.internal,
        options=record.options,
        subnet=record.subnet,
        gateway=record.gateway,
        ip_range=record.ip_range,
        auxiliary=tuple(record.auxiliary.values()),
        chosen=record.chosen,
        subnet6=record.subnet6,
        gateway6=record.gateway6,
        ip_range6=record.ip_range6,
    )


def keep_addresses(record: NetworkRecord, spec: NetworkSpec) -> None:
    """The record has the addresses that a driver has given the network."""
    record.subnet, record.gateway, record.chosen = spec.subnet, spec.gateway, spec.chosen
    record.subnet6, record.gateway6 = spec.subnet6, spec.gateway6


def space6_of(record: NetworkRecord) -> Space6 | None:
    """The IPv6 addresses of a network, if it has some. Raises: InvalidRequest: they make no sense."""
    return spec_of(record).space6()


def space_of(record: NetworkRecord) -> ipam.Space:
    """The IPv4 addresses of a network. Raises: InvalidRequest: they make no sense."""
    return spec_of(record).space()

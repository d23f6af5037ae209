"""Leases in the words of the packet filter: which ports lead to a machine, and who may reach it. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hyper.network.bridge.firewall import Firewall
from hyper.network.bridge.machine_rules import MachinePorts
from hyper.network.bridge.port_holds import is_ipv6
from hyper.network.bridge.rules import Port, Publication
from hyper.network.bridge.rules6 import Relayed
from hyper.network.host_ports import ANYWHERE
from hyper.network.lease import Endpoint, NetworkLease, primary
from hyper.network.port import PublishedPort


def machine_ports(
    lease: NetworkLease, tap: str, ports: tuple[Port, ...], *, host_services: bool
) -> MachinePorts:
    """The machine of a lease, by its ``tap``, which is on bridges by ``ports``."""
    main = primary(lease.endpoints)
    translated = [port for port in lease.ports if not is_ipv6(port)]
    return MachinePorts(
        tap,
        ports,
        () if main is None else tuple(_publication(port, main) for port in translated),
        _firewall(lease),
        lease.request.services,
        host_services,
        tuple(_relayed(port) for port in lease.ports if is_ipv6(port)),
    )


def _firewall(lease: NetworkLease) -> Firewall | None:
    lists = lease.request.white_lists
    if lists is None:
        return None
    ports = tuple((port.protocol, port.container_port) for port in lease.ports)
    return Firewall(lists.internal, lists.external, ports)


def _relayed(port: PublishedPort) -> Relayed:
    host = IPv6Address(port.host_address)
    return Relayed(port.protocol, None if host.is_unspecified else host, port.host_port)


def _publication(port: PublishedPort, main: Endpoint) -> Publication:
    anywhere = port.host_address == ANYWHERE
    return Publication(
        port.protocol,
        None if anywhere else IPv4Address(port.host_address),
        port.host_port,
        IPv4Address(main.address),
        port.container_port,
    )

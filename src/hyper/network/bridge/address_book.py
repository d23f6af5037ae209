"""The addresses that holders of leases have on bridged networks. No I/O: nothing comes between choice and entry."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Interface

from hyper.errors import Conflict
from hyper.ids import new_id
from hyper.network import ipam
from hyper.network.bridge.rules import Segment
from hyper.network.lease import Endpoint, EndpointRequest, Service
from hyper.network.spec import NetworkSpec


class AddressBook:
    """The endpoints of all leases by network and holder: no address of a network is two holders'."""

    def __init__(self) -> None:
        self._on: dict[str, dict[str, Endpoint]] = {}

    def take(
        self,
        holder: str,
        spec: NetworkSpec,
        segment: Segment,
        asked: EndpointRequest,
        *,
        direct: bool,
    ) -> Endpoint:
        """A new endpoint of ``holder``, with addresses that no other has.

        Raises:
            Conflict: an address asked for is taken, or none is free.
            InvalidRequest: an address asked for is not one of the network's.
        """
        on = self._on.setdefault(spec.id, {})
        others = [endpoint for other, endpoint in on.items() if other != holder]
        space = spec.space()
        address = space.pick(
            {IPv4Address(other.address) for other in others},
            wish=IPv4Address(asked.address) if asked.address else None,
            last=IPv4Address(asked.last_address) if asked.last_address else None,
        )
        address6 = _pick6(spec, asked, others)
        made = Endpoint(
            asked=asked,
            id=new_id(),
            address=str(address),
            prefix=space.subnet.prefixlen,
            mac=asked.mac or ipam.mac_of(address),
            gateway="" if spec.internal else str(space.gateway),
            address6=str(address6.ip) if address6 else "",
            prefix6=address6.network.prefixlen if address6 else 0,
            gateway6="" if segment.gateway6 is None else str(segment.gateway6.ip),
            direct=direct,
        )
        on[holder] = made
        return made

    def enter(self, holder: str, endpoint: Endpoint) -> None:
        """The endpoint is the holder's, as it was before."""
        self._on.setdefault(endpoint.asked.network_id, {})[holder] = endpoint

    def give_back(self, holder: str, network_id: str) -> None:
        """The holder has no address on the network. Repeatable."""
        on = self._on.get(network_id, {})
        on.pop(holder, None)
        if not on:
            self._on.pop(network_id, None)

    def networks(self) -> set[str]:
        """The ids of networks on which a holder has an address."""
        return set(self._on)


def _pick6(
    spec: NetworkSpec, asked: EndpointRequest, others: Iterable[Endpoint]
) -> IPv6Interface | None:
    space = spec.space6()
    if space is None:
        return None
    address = space.pick(
        {IPv6Address(other.address6) for other in others if other.address6},
        wish=IPv6Address(asked.address6) if asked.address6 else None,
        last=IPv6Address(asked.last_address6) if asked.last_address6 else None,
    )
    return IPv6Interface((address, space.subnet.prefixlen))


def check_services(services: Iterable[Service], segments: Iterable[Segment]) -> None:
    """The packets that a machine on ``segments`` sends to ``services`` pass the host and may go on to their hosts.

    Raises:
        Conflict: they do not, or may not.
    """
    used = list(segments)
    for service in services:
        where = f"service {service.address}:{service.port}"
        if all(segment.internal for segment in used):
            raise Conflict(f"{where}: the pod is on internal networks alone, which lead nowhere")
        for segment in used:
            if service.address in segment.subnet:
                raise Conflict(
                    f"{where}: the address is one of {segment.subnet}, which the pod is on",
                    hint="choose one that is on none of its networks, like 10.254.0.1",
                )
            apart = [host for host, _ in service.hosts if host in segment.subnet]
            if segment.isolate and apart:
                raise Conflict(
                    f"{where}: on {segment.subnet} machines do not reach each other: {apart[0]}"
                )

"""White lists and services of a pod: networks that may reach it, and addresses that it reaches. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address
from typing import Final

from hyper.addresses import Network, parse_host, parse_network
from hyper.engine.record.container import ContainerRecord, PodRecord
from hyper.errors import Conflict, Forbidden, InvalidRequest
from hyper.network.bridge.rules import Segment
from hyper.network.bridge.services import Service
from hyper.network.bridge.walls import Wall
from hyper.types import pod as wire
from hyper.types.pod import MAX_HOSTS, MAX_NETWORKS, MAX_SERVICES

_PORTS: Final = range(1, 65536)
_PROTOCOLS: Final = ("tcp", "udp")
_EVERYWHERE: Final = parse_network("0.0.0.0/0")
_HINT: Final = "it takes a hyperd that runs as root, and /dev/net/tun"


def check(body: wire.PodBody) -> None:
    """The white lists and services of a pod make sense.

    Raises:
        InvalidRequest: they do not.
    """
    lists = body.white_lists or wire.PodWhiteLists()
    networks("WhiteLists.InternalNetworks", lists.internal_networks)
    networks("WhiteLists.ExternalNetworks", lists.external_networks)
    if len(body.services) > MAX_SERVICES:
        raise InvalidRequest(f"a pod has at most {MAX_SERVICES} services, not {len(body.services)}")
    if body.services and body.network == "none":
        raise InvalidRequest("a pod with services needs a network: it is on none")
    places: list[tuple[IPv4Address, int, str]] = []
    for number, item in enumerate(body.services):
        made = _service(f"Services[{number}]", item)
        place = (made.address, made.port, made.protocol)
        if place in places:
            raise InvalidRequest(
                f"Services[{number}]: it is the same as Services[{places.index(place)}]"
            )
        places.append(place)


def _service(where: str, item: wire.PodService) -> Service:
    if item.protocol not in _PROTOCOLS:
        raise InvalidRequest(f"{where}.Protocol: {item.protocol[:20]!r} must be tcp or udp")
    if not 0 < len(item.hosts) <= MAX_HOSTS:
        raise InvalidRequest(
            f"{where}.Hosts: from 1 to {MAX_HOSTS} are possible, not {len(item.hosts)}"
        )
    address, port = _place(where, item.ip, item.port)
    hosts = [_place(f"{where}.Hosts[{n}]", it.ip, it.port) for n, it in enumerate(item.hosts)]
    for number, host in enumerate(hosts):
        if host in hosts[:number]:
            raise InvalidRequest(f"{where}.Hosts[{number}]: {host[0]}:{host[1]} is there already")
    return Service(item.protocol, address, port, tuple(hosts))


def _place(where: str, ip: str, port: int) -> tuple[IPv4Address, int]:
    if port not in _PORTS:
        raise InvalidRequest(f"{where}.Port: {port} is no port")
    try:
        return parse_host(ip), port
    except ValueError as error:
        raise InvalidRequest(f"{where}.Ip: {error}") from None


def networks(where: str, texts: list[str]) -> tuple[Network, ...]:
    """The networks of a white list.

    Raises:
        InvalidRequest: a text is no network, or there are too many.
    """
    if len(texts) > MAX_NETWORKS:
        raise InvalidRequest(
            f"{where}: at most {MAX_NETWORKS} networks are possible, not {len(texts)}"
        )
    try:
        return tuple(map(parse_network, texts))
    except ValueError as error:
        raise InvalidRequest(f"{where}: {error}") from None


def check_here(pod: PodRecord, why: str) -> None:
    """The pod needs no bridged networks, which this host does not have; ``why`` not.

    Raises:
        Forbidden: it needs them: without, no white list tells callers apart and no service leads connections elsewhere.
    """
    lists = pod.white_lists
    if pod.services:
        raise Forbidden(f"services cannot be had: {why}", hint=_HINT)
    if lists is not None and not _keeps_out_nobody(lists):
        raise Forbidden(
            f"white lists cannot be had: {why}", hint=f"{_HINT}; or publish on an address, HostIp"
        )


def _keeps_out_nobody(lists: wire.PodWhiteLists) -> bool:
    """Whether the white lists let any address in (to published ports: without bridges there is no other way in)."""
    return _EVERYWHERE in _parsed(lists) or not _parsed(lists)


def _parsed(lists: wire.PodWhiteLists) -> list[Network]:
    return [parse_network(it) for it in (*lists.internal_networks, *lists.external_networks)]


def wall(record: ContainerRecord) -> Wall | None:
    """The wall of ``record``'s machine; None: it has no white lists."""
    lists = None if record.pod is None else record.pod.white_lists
    if lists is None or not _parsed(lists):
        return None
    return Wall(
        _of(lists.internal_networks),
        _of(lists.external_networks),
        tuple((port.protocol, port.container_port) for port in record.ports),
    )


def services(record: ContainerRecord) -> tuple[Service, ...]:
    """The services of ``record``'s machine."""
    asked = [] if record.pod is None else record.pod.services
    return tuple(_service(f"Services[{number}]", item) for number, item in enumerate(asked))


def check_ways(services: Iterable[Service], segments: Sequence[Segment]) -> None:
    """The packets that a machine on ``segments`` sends to ``services`` pass the host and may go on to their hosts.

    Raises:
        Conflict: they do not, or may not.
    """
    for service in services:
        where = f"service {service.address}:{service.port}"
        if all(segment.internal for segment in segments):
            raise Conflict(f"{where}: the pod is on internal networks alone, which lead nowhere")
        for segment in segments:
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


def _of(texts: Iterable[str]) -> tuple[Network, ...]:
    return tuple(map(parse_network, texts))

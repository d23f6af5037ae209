"""White lists and services of a pod: networks that may reach it, and addresses that it reaches. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Final

from hyper.addresses import Network, parse_host, parse_network
from hyper.errors import InvalidRequest
from hyper.network.lease import Service, WhiteLists
from hyper.types import pod as wire
from hyper.types.pod import MAX_HOSTS, MAX_NETWORKS, MAX_SERVICES

_PORTS: Final = range(1, 65536)
_PROTOCOLS: Final = ("tcp", "udp")


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


def white_lists(lists: wire.PodWhiteLists | None) -> WhiteLists | None:
    """The white lists of a pod; None: it has none that name a network."""
    if lists is None or not (lists.internal_networks or lists.external_networks):
        return None
    return WhiteLists(_of(lists.internal_networks), _of(lists.external_networks))


def services(asked: Iterable[wire.PodService]) -> tuple[Service, ...]:
    """The services of a pod."""
    return tuple(_service(f"Services[{number}]", item) for number, item in enumerate(asked))


def _of(texts: Iterable[str]) -> tuple[Network, ...]:
    return tuple(map(parse_network, texts))

"""White lists of a pod, and services it finds, as pod files say it.

Source: hyperhq/hyperd, types/types.proto (PortmappingWhiteList, UserService), examples/port-mapping-in-sandbox.pod.
"""

from __future__ import annotations

from hyper.addresses import parse_host
from hyper.errors import InvalidRequest
from hyper.manifest import checks
from hyper.manifest.fields import Fields, text_of
from hyper.types.pod import (
    MAX_HOSTS,
    MAX_NETWORKS,
    MAX_SERVICES,
    PodService,
    PodServiceHost,
    PodWhiteLists,
)


def white_lists(pod: Fields) -> PodWhiteLists | None:
    """The white lists of the pod; None: it has none.

    Raises:
        InvalidRequest: one is no list of networks.
    """
    lists = pod.part("portmappingWhiteLists")
    if lists is None:
        return None
    made = PodWhiteLists(
        internal_networks=_networks(lists, "internalNetworks"),
        external_networks=_networks(lists, "externalNetworks"),
    )
    lists.finish()
    return made


def _networks(lists: Fields, name: str) -> list[str]:
    found = [checks.network(text_of(value, path), path) for path, value in lists.elements(name)]
    if len(found) > MAX_NETWORKS:
        raise lists.wrong(name, f"at most {MAX_NETWORKS} networks are possible, not {len(found)}")
    return found


def services(pod: Fields) -> list[PodService]:
    """The services the pod finds.

    Raises:
        InvalidRequest: one is malformed or there twice, or there are too many.
    """
    items, known = pod.items("services"), checks.Unique("service")
    if len(items) > MAX_SERVICES:
        raise pod.wrong("services", f"at most {MAX_SERVICES} are possible, not {len(items)}")
    made = [_service(item) for item in items]
    for service, item in zip(made, items, strict=True):
        known.add(f"{service.ip}:{service.port}/{service.protocol}", item.path)
    return made


def _service(item: Fields) -> PodService:
    made = PodService(
        ip=_address(item, "serviceIP"),
        port=_port(item, "servicePort"),
        protocol=checks.protocol(item.text("protocol") or "tcp", item.at("protocol")),
    )
    hosts, known = item.items("hosts"), checks.Unique("host")
    if not 0 < len(hosts) <= MAX_HOSTS:
        raise item.wrong("hosts", f"from 1 to {MAX_HOSTS} are possible, not {len(hosts)}")
    for host in hosts:
        place = PodServiceHost(ip=_address(host, "hostIP"), port=_port(host, "hostPort"))
        host.finish()
        known.add(f"{place.ip}:{place.port}", host.path)
        made.hosts.append(place)
    item.finish()
    return made


def _address(item: Fields, name: str) -> str:
    try:
        return str(parse_host(item.required(name)))
    except ValueError as error:
        raise InvalidRequest(f"{item.at(name)}: {error}") from None


def _port(item: Fields, name: str) -> int:
    port = item.integer(name, least=1, most=65535)
    if not port:
        raise item.wrong(name, "it is missing")
    return port

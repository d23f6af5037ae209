"""What a pod asks of the network beyond ports: who may reach it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hyper.addresses import Network, parse_network
from hyper.engine.record import ContainerRecord, PodRecord
from hyper.errors import Forbidden, InvalidRequest
from hyper.network.walls import Wall
from hyper.types import pod as wire

MAX_NETWORKS: Final = 256
_EVERYWHERE: Final = parse_network("0.0.0.0/0")
_HINT: Final = "it takes a hyperd that runs as root, and /dev/net/tun"


def check(body: wire.PodBody) -> None:
    """What is asked makes sense.

    Raises:
        InvalidRequest: it does not.
    """
    lists = body.white_lists or wire.PodWhiteLists()
    networks("WhiteLists.InternalNetworks", lists.internal_networks)
    networks("WhiteLists.ExternalNetworks", lists.external_networks)


def networks(where: str, texts: list[str]) -> tuple[Network, ...]:
    """The networks of a list.

    Raises:
        InvalidRequest: one is none, or there are too many.
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
    """A pod can be had where there are no bridged networks, and ``why`` there are none.

    Raises:
        Forbidden: it cannot: nothing here tells callers apart.
    """
    lists = pod.white_lists
    if lists is not None and not _keeps_out_nobody(lists):
        raise Forbidden(
            f"white lists cannot be had: {why}", hint=f"{_HINT}; or publish on an address, HostIp"
        )


def _keeps_out_nobody(lists: wire.PodWhiteLists) -> bool:
    """Whether everybody reaches published ports: without bridges there is no other way in."""
    return _EVERYWHERE in _parsed(lists) or not _parsed(lists)


def _parsed(lists: wire.PodWhiteLists) -> list[Network]:
    return [parse_network(it) for it in (*lists.internal_networks, *lists.external_networks)]


def wall(record: ContainerRecord) -> Wall | None:
    """Who may reach ``record``'s machine; None: whoever can."""
    lists = None if record.pod is None else record.pod.white_lists
    if lists is None or not _parsed(lists):
        return None
    return Wall(
        _of(lists.internal_networks),
        _of(lists.external_networks),
        tuple((port.protocol, port.container_port) for port in record.ports),
    )


def _of(texts: Iterable[str]) -> tuple[Network, ...]:
    return tuple(map(parse_network, texts))

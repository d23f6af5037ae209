"""Published and exposed ports, parsed from what is asked. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from hyper.errors import InvalidRequest
from hyper.network.port import PortRequest
from hyper.types.container import ContainerConfig, HostConfig, PortBinding

_PORT: Final = re.compile(r"([0-9]{1,5})(?:/(tcp|udp|sctp))?")
#: Those that can be published.
_PROTOCOLS: Final = ("tcp", "udp")


def parse_port(text: str) -> tuple[int, str]:
    """The port's number and protocol: ``80`` or ``80/udp``.

    Raises:
        InvalidRequest: neither.
    """
    match = _PORT.fullmatch(text)
    if match is None or not 0 < int(match[1]) < 65536:
        raise InvalidRequest(f"invalid port specification: {text!r}")
    protocol = match[2] or "tcp"
    if protocol not in _PROTOCOLS:
        raise InvalidRequest(f"publishing {protocol} ports is not supported: {text!r}")
    return int(match[1]), protocol


def exposed(config: ContainerConfig) -> tuple[tuple[int, str], ...]:
    """The ports, with their protocols, on which the image or the client says that the container listens.

    Texts that are no ports are passed over, as dockerd does: nothing was asked with them.
    """
    matches = map(_PORT.fullmatch, config.exposed_ports or {})
    found = [(int(match[1]), match[2] or "tcp") for match in matches if match is not None]
    return tuple(item for item in found if 0 < item[0] < 65536)


def parse(config: ContainerConfig, host: HostConfig) -> tuple[PortRequest, ...]:
    """The ports of the host asked for, in the order in which they are allocated.

    Raises:
        InvalidRequest: a text is no port or no address.
    """
    result = []
    for spec, places in (host.port_bindings or {}).items():
        port, protocol = parse_port(spec)
        result += [_request(spec, port, protocol, place) for place in places or ()]
    if host.publish_all_ports:
        published = {(item.container_port, item.protocol) for item in result}
        for spec in config.exposed_ports or {}:
            port, protocol = parse_port(spec)
            if (port, protocol) not in published:
                result.append(PortRequest(protocol, port))
    return tuple(result)


def _request(spec: str, port: int, protocol: str, place: PortBinding) -> PortRequest:
    first, _, last = (place.host_port or "0").partition("-")
    last = last or first
    if not _is_port(first) or not _is_port(last) or int(last) < int(first):
        raise InvalidRequest(f'invalid port specification: "{place.host_port[:100]}"')
    _check_address(spec, place.host_ip)
    return PortRequest(protocol, port, place.host_ip, int(first), int(last))


def _check_address(spec: str, text: str) -> None:
    if not text:
        return
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise InvalidRequest(f"invalid IP address {text!r} for {spec}") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise InvalidRequest(f"invalid IP address {text!r} for {spec}: it has a zone")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) < 65536

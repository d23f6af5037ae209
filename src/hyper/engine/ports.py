"""Published ports: from the API's bindings to forwards of the machine's card."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from typing import Final

from hyper.engine.record import PublishedPort
from hyper.errors import Conflict, Forbidden, HyperError, InvalidRequest, NotImplementedYet
from hyper.types.container import ContainerConfig, HostConfig, PortBinding

_PORT: Final = re.compile(r"([0-9]{1,5})(?:/(tcp|udp|sctp))?")
_KINDS: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def parse_port(text: str) -> tuple[int, str]:
    """Number and protocol of ``80`` or ``80/udp``.

    Raises:
        InvalidRequest: neither.
    """
    match = _PORT.fullmatch(text)
    if match is None or not 0 < int(match[1]) < 65536:
        raise InvalidRequest(f"invalid port specification: {text!r}")
    protocol = match[2] or "tcp"
    if protocol not in _KINDS:
        raise InvalidRequest(f"publishing {protocol} ports is not supported: {text!r}")
    return int(match[1]), protocol


def wanted(config: ContainerConfig, host: HostConfig) -> list[tuple[int, str, PortBinding]]:
    """Every publication asked for: (port, protocol, binding).

    Raises:
        InvalidRequest: a port or address that is none.
    """
    result = []
    bindings = host.port_bindings or {}
    for spec, places in bindings.items():
        port, protocol = parse_port(spec)
        for place in places or ():
            _check(spec, place)
            result.append((port, protocol, place))
    if host.publish_all_ports:
        published = {(port, protocol) for port, protocol, _ in result}
        for spec in config.exposed_ports or {}:
            port, protocol = parse_port(spec)
            if (port, protocol) not in published:
                result.append((port, protocol, PortBinding()))
    return result


def _check(spec: str, place: PortBinding) -> None:
    if place.host_port:
        first, _, last = place.host_port.partition("-")
        if not _is_port(first) or not _is_port(last or first) or int(last or first) < int(first):
            raise InvalidRequest(f'invalid port specification: "{place.host_port[:100]}"')
    if place.host_ip:
        try:
            address = ipaddress.ip_address(place.host_ip)
        except ValueError:
            raise InvalidRequest(f"invalid IP address {place.host_ip!r} for {spec}") from None
        if address.version != 4:
            raise NotImplementedYet(f"publishing on {address} is not supported yet: IPv4 only")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) < 65536


def hold(
    wishes: list[tuple[int, str, PortBinding]], *, default: str = "0.0.0.0"
) -> tuple[list[PublishedPort], list[socket.socket]]:
    """The same, and the sockets that keep others from them, until they are closed. ``default``: where nobody said.

    Packets never reach these sockets: the packet filter leads them on before.

    Raises:
        As ``allocate``.
    """
    held: list[socket.socket] = []
    try:
        return [
            _allocate(port, protocol, place, held, default) for port, protocol, place in wishes
        ], held
    except BaseException:
        for sock in held:
            sock.close()
        raise


def reserve(protocol: str, address: str, port: int) -> socket.socket:
    """A socket that keeps others from a port.

    Raises:
        OSError: another has it.
    """
    sock = socket.socket(socket.AF_INET, _KINDS[protocol])
    try:
        if protocol == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        if protocol == "tcp":
            sock.listen(1)
    except BaseException:
        sock.close()
        raise
    return sock


def allocate(wishes: list[tuple[int, str, PortBinding]]) -> list[PublishedPort]:
    """The host ports for ``wishes``, free at this moment (the machine takes them when it starts).

    Raises:
        Conflict: one is in use.
        InvalidRequest: the address is not this host's.
        Forbidden: the port needs privilege.
        HyperError: any other reason.
    """
    held: list[socket.socket] = []
    try:
        return [_allocate(port, protocol, place, held) for port, protocol, place in wishes]
    finally:
        for sock in held:
            sock.close()


def _allocate(
    port: int,
    protocol: str,
    place: PortBinding,
    held: list[socket.socket],
    default: str = "0.0.0.0",
) -> PublishedPort:
    address = place.host_ip or default
    first, _, last = (place.host_port or "0").partition("-")
    for number in range(int(first), int(last or first) + 1):
        try:
            sock = reserve(protocol, address, number)
        except OSError as error:
            failure = _explain(address, number, error)
            continue
        held.append(sock)
        return PublishedPort(protocol, port, address, sock.getsockname()[1])
    raise failure


def _explain(address: str, number: int, error: OSError) -> HyperError:
    """Docker's words: clients look for them."""
    lead = f"driver failed programming external connectivity: Bind for {address}:{number} failed"
    if error.errno == errno.EADDRINUSE:
        return Conflict(f"{lead}: port is already allocated")
    kinds = {errno.EADDRNOTAVAIL: InvalidRequest, errno.EACCES: Forbidden}
    kind = kinds.get(error.errno or 0, HyperError)
    return kind(f"{lead}: {str(error.strerror).lower()}")

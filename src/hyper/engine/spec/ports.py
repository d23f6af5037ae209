"""Published ports: from the API's bindings to forwards of the machine's card."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from typing import Final

from msgspec.structs import replace

from hyper.engine.record.container import PublishedPort
from hyper.errors import Conflict, Forbidden, HyperError, InvalidRequest, NotImplementedYet
from hyper.types.container import ContainerConfig, HostConfig, PortBinding

_PORT: Final = re.compile(r"([0-9]{1,5})(?:/(tcp|udp|sctp))?")
ANYWHERE: Final = "0.0.0.0"
EVERYWHERE6: Final = "::"
_ATTEMPTS: Final = 16
_KINDS: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def parse_port(text: str) -> tuple[int, str]:
    """The port's number and protocol: ``80`` or ``80/udp``.

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
    """The publications asked for: (port, protocol, binding) each.

    Raises:
        InvalidRequest: a text is no port or no address.
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
        if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
            raise InvalidRequest(f"invalid IP address {place.host_ip!r} for {spec}: it has a zone")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) < 65536


def hold(
    wishes: list[tuple[int, str, PortBinding]], *, default: str = ANYWHERE
) -> tuple[list[PublishedPort], list[socket.socket]]:
    """The published ports for ``wishes``, and for each a socket that keeps other programs from it until it is closed.

    ``default``: the host's address where a binding has none; by default all, those of IPv6 too if the host has some.
    Packets of IPv4 never reach these sockets: the packet filter leads them on before.

    Raises:
        As ``allocate``.
    """
    held: list[socket.socket] = []
    try:
        made: list[PublishedPort] = []
        for port, protocol, place in wishes:
            if place.host_ip or default != ANYWHERE:
                made.append(_allocate(port, protocol, place, held, default))
            else:
                made += _allocate_both(port, protocol, place, held)
        return made, held
    except BaseException:
        for sock in held:
            sock.close()
        raise


def reserve(protocol: str, address: str, port: int) -> socket.socket:
    """A socket that keeps other programs from a port.

    Raises:
        OSError: another program has it.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, _KINDS[protocol])
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
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
    """The published ports for ``wishes``, free at this moment (the machine takes them when it starts).

    Raises:
        NotImplementedYet: one is on an IPv6 address.
        Conflict: one is in use.
        InvalidRequest: the address is not this host's.
        Forbidden: the port needs privilege.
        HyperError: any other reason.
    """
    for _, _, place in wishes:
        if ":" in place.host_ip:
            raise NotImplementedYet(
                f"publishing on {place.host_ip} is not supported here: without bridges it is IPv4 only"
            )
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
    default: str = ANYWHERE,
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


def _allocate_both(
    port: int, protocol: str, place: PortBinding, held: list[socket.socket]
) -> list[PublishedPort]:
    """One port on all addresses of IPv4 and IPv6; of IPv4 alone on a host without IPv6."""
    for attempt in range(1, _ATTEMPTS + 1):
        first = _allocate(port, protocol, place, held)
        try:
            held.append(reserve(protocol, EVERYWHERE6, first.host_port))
        except OSError as error:
            if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                return [first]
            # One that the kernel has chosen for IPv4 may be taken: it chooses again.
            if attempt == _ATTEMPTS or place.host_port not in ("", "0"):
                raise _explain(EVERYWHERE6, first.host_port, error) from None
            held.pop().close()
        else:
            return [first, replace(first, host_address=EVERYWHERE6)]
    raise AssertionError("unreachable")


def _explain(address: str, number: int, error: OSError) -> HyperError:
    """The error of a port that could not be taken, in Docker's words: clients look for them."""
    where = f"[{address}]" if ":" in address else address
    lead = f"driver failed programming external connectivity: Bind for {where}:{number} failed"
    if error.errno == errno.EADDRINUSE:
        return Conflict(f"{lead}: port is already allocated")
    kinds = {errno.EADDRNOTAVAIL: InvalidRequest, errno.EACCES: Forbidden}
    kind = kinds.get(error.errno or 0, HyperError)
    return kind(f"{lead}: {str(error.strerror).lower()}")

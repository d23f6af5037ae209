"""Ports of the host: allocated for what is asked, and kept from other programs."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from hyper.errors import Conflict, Forbidden, HyperError, InvalidRequest, NotImplementedYet
from hyper.network.port import PortRequest, PublishedPort

ANYWHERE: Final = "0.0.0.0"
EVERYWHERE6: Final = "::"
_ATTEMPTS: Final = 16
_KINDS: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def hold(
    requests: Iterable[PortRequest], *, default: str = ANYWHERE
) -> tuple[list[PublishedPort], list[socket.socket]]:
    """The published ports for ``requests``, and for each a socket that keeps other programs from it until it is closed.

    ``default``: the host's address where a request has none; by default all, those of IPv6 too if the host has some.
    Packets of IPv4 never reach these sockets: the packet filter leads them on before.

    Raises:
        As ``allocate``; then no socket is open.
    """
    held: list[socket.socket] = []
    try:
        made: list[PublishedPort] = []
        for request in requests:
            if request.host_address or default != ANYWHERE:
                made.append(_allocate(request, held, default))
            else:
                made += _allocate_both(request, held)
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


def allocate(requests: Sequence[PortRequest]) -> list[PublishedPort]:
    """The published ports for ``requests``, free at this moment (the machine takes them when it starts).

    Raises:
        NotImplementedYet: one is on an IPv6 address.
        Conflict: one is in use.
        InvalidRequest: the address is not this host's.
        Forbidden: the port needs privilege.
        HyperError: any other reason.
    """
    for request in requests:
        if ":" in request.host_address:
            raise NotImplementedYet(
                f"publishing on {request.host_address} is not supported here: "
                "without bridges it is IPv4 only"
            )
    held: list[socket.socket] = []
    try:
        return [_allocate(request, held) for request in requests]
    finally:
        for sock in held:
            sock.close()


def _allocate(
    request: PortRequest, held: list[socket.socket], default: str = ANYWHERE
) -> PublishedPort:
    address = request.host_address or default
    for number in range(request.host_first, request.host_last + 1):
        try:
            sock = reserve(request.protocol, address, number)
        except OSError as error:
            failure = _explain(address, number, error)
            continue
        held.append(sock)
        host_port = sock.getsockname()[1]
        return PublishedPort(request.protocol, request.container_port, address, host_port)
    raise failure


def _allocate_both(request: PortRequest, held: list[socket.socket]) -> list[PublishedPort]:
    """One port on all addresses of IPv4 and IPv6; of IPv4 alone on a host without IPv6."""
    for attempt in range(1, _ATTEMPTS + 1):
        first = _allocate(request, held)
        try:
            held.append(reserve(request.protocol, EVERYWHERE6, first.host_port))
        except OSError as error:
            if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                return [first]
            # One that the kernel has chosen for IPv4 may be taken: it chooses again.
            if attempt == _ATTEMPTS or not request.chosen:
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

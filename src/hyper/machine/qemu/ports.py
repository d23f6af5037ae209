"""Published ports: whether they can be bound, and Docker's words when not."""

from __future__ import annotations

import errno

from hyper.errors import Conflict, InvalidRequest, MachineError
from hyper.machine.spec import Forward, MachineSpec
from hyper.system import socket as sockets


def check_ports(spec: MachineSpec) -> None:
    """The ports that ``spec`` forwards can all be bound now.

    Raises:
        Conflict: one is taken.
        MachineError: one cannot be bound for another reason.
        InvalidRequest: an address is not IPv4: slirp forwards no other.
    """
    for forward in spec.forwards:
        if ":" in forward.host_address:
            raise InvalidRequest(f"cannot forward from {forward.host_address}: IPv4 only")
        try:
            sockets.check_port_is_free(forward.protocol, forward.host_address, forward.host_port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise port_conflict(forward) from None
            raise MachineError(_bind_failed(forward, str(error.strerror).lower())) from error


def _bind_failed(forward: Forward, why: str) -> str:
    where = f"{forward.host_address}:{forward.host_port}"
    return f"driver failed programming external connectivity: Bind for {where} failed: {why}"


def port_conflict(forward: Forward) -> Conflict:
    """Docker's words for a port that is taken."""
    return Conflict(_bind_failed(forward, "port is already allocated"))
